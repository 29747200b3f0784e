"""What the service remembers: verdicts, feedback, and what its workers tell each other, in SQLite.

One thread writes. Verdicts go into a journal first (one write for all that wait) and from there into SQLite in larger
transactions, so that no answer waits for another worker's lock. Whoever waits is told when a verdict is in the journal,
and when anything else is committed: ``kill -9`` at any moment leaves the file readable, and the next start finds every
acknowledged record. Feedback reaches the disk itself before it is acknowledged; verdicts survive the processes, not the
loss of power.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from natix_cascade.errors import CascadeError, StoreError
from natix_cascade.run.mail import LoopReply
from natix_cascade.serve.journal import Journal, abandoned

__all__ = ["FeedbackRow", "Store"]

_VERSION = 1
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (
  id TEXT PRIMARY KEY, verdict_id TEXT NOT NULL, created REAL NOT NULL, label INTEGER NOT NULL, note TEXT,
  was_right INTEGER NOT NULL, picture TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feedback_of ON feedback (verdict_id);
CREATE TABLE IF NOT EXISTS control (
  run TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generations (
  run TEXT NOT NULL, number INTEGER NOT NULL, cascade TEXT NOT NULL, policy TEXT, PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (
  run TEXT NOT NULL, worker INTEGER NOT NULL, pid INTEGER NOT NULL, updated REAL NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (run, worker)
) WITHOUT ROWID;
"""
_BUSY_MS, _SHORT_MS = 5000, 50
_MOST_AT_ONCE = 512
_PRUNE_EVERY = 2000
_PACE_S = 0.1  # between two transactions of verdicts
_SAID_AFTER = 20  # tries to file verdicts: some two seconds
_JOURNAL = "journal"
_MOST_PENDING = 20_000  # when SQLite cannot be written
_PATIENCE_S = 10.0
_JOURNAL_BYTES = 16 * 1024 * 1024
_RUNS_KEPT_S = 86_400.0
_log = logging.getLogger("natix_cascade.store")


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """The truth for one verdict; `picture` is the kept file, relative to the state's folder."""

    id: str
    verdict_id: str
    created: float
    label: bool
    note: str | None
    was_right: bool
    picture: str | None


@dataclass(slots=True)
class _Write:
    """A statement, or a verdict (its id and its JSON) for the journal."""

    sql: str
    values: Sequence[Any]
    durable: bool
    done: LoopReply[Any]


class Store:
    """The service's file of verdicts and feedback.

    Parameters
    ----------
    folder : Path
        The state's folder; made where it is missing.
    keep : int
        How many verdicts are kept; older ones without feedback are removed.

    Raises
    ------
    CascadeError
        The folder cannot be written, or the file is not a store.
    """

    def __init__(self, folder: Path, *, keep: int = 200_000) -> None:
        self.folder = folder
        self.path = folder / "service.sqlite"
        self._keep = keep
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._pending: dict[str, bytes] = {}  # verdicts that are in the journal only
        self._written = self._unfiled = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._reader = self._open()
            (version,) = self._reader.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise CascadeError(
                    f"the store {self.path} is of version {version}, not {_VERSION}; give another --state"
                )
            self._reader.executescript(_SCHEMA)
            self._recover(self._reader)
            self._journal = Journal(folder)
        except (OSError, sqlite3.Error) as error:
            raise CascadeError(f"the store {self.path} cannot be opened: {error}; give another --state") from error
        self._reading = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="natix-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then close."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()

    async def add_verdict(self, id: str, body: bytes, *, timeout_s: float | None = None) -> None:  # noqa: A002
        """Write a verdict's JSON; returns when it would survive the death of this process.

        Raises
        ------
        TimeoutError
            Not within `timeout_s`; it may be written later.
        CascadeError
            It cannot be written.
        """
        await self._write(_JOURNAL, (id, body), timeout_s=timeout_s)

    async def add_feedback(self, row: FeedbackRow) -> None:
        """Write feedback; returns when it is on the disk.

        Raises
        ------
        TimeoutError
            The store does not answer.
        CascadeError
            It cannot be written.
        """
        sql = "INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?)"
        await self._write(sql, _values(row), durable=True, timeout_s=_PATIENCE_S)

    async def set_control(self, run: str, key: str, value: str) -> None:
        """Tell all workers of a run something."""
        await self._write("INSERT OR REPLACE INTO control VALUES (?, ?, ?)", (run, key, value))

    async def add_generation(self, run: str, cascade: str, policy: str | None) -> int:
        """Tell all workers of a run what is to be at work from now on; returns its number: the highest one counts."""
        sql = (
            "INSERT INTO generations SELECT ?, COALESCE(MAX(number), 1) + 1, ?, ? FROM generations WHERE run = ? "
            "RETURNING number"
        )
        (number,) = await self._write(sql, (run, cascade, policy, run))
        return int(number)

    def generation(self, run: str) -> tuple[int, str, str | None] | None:
        """Number, cascade and policy that are to be at work; None: those of the start."""
        sql = "SELECT number, cascade, policy FROM generations WHERE run = ? ORDER BY number DESC LIMIT 1"
        found = self._read(sql, (run,))
        return found[0] if found else None

    async def set_worker(self, run: str, worker: int, pid: int, body: bytes, *, timeout_s: float | None = None) -> None:
        """Say how a worker is."""
        sql = "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)"
        await self._write(sql, (run, worker, pid, time.time(), body), timeout_s=timeout_s)

    def control(self, run: str) -> dict[str, str]:
        """What the workers of a run were told."""
        return dict(self._read("SELECT key, value FROM control WHERE run = ?", (run,)))

    def workers(self, run: str, *, younger_than_s: float) -> list[bytes]:
        """How the workers of a run are, of those that said so lately."""
        since = time.time() - younger_than_s
        found = self._read("SELECT body FROM workers WHERE run = ? AND updated > ? ORDER BY worker", (run, since))
        return [body for (body,) in found]

    def verdict(self, id: str) -> bytes | None:  # noqa: A002  # the column's name
        """The JSON of a verdict, or None."""
        waiting = self._pending.get(id)
        if waiting is not None:
            return waiting
        found = self._read("SELECT body FROM verdicts WHERE id = ?", (id,))
        return found[0][0] if found else None

    def verdicts(self, *, limit: int, before: str | None = None) -> list[tuple[str, bytes]]:
        """Ids and JSON of the latest verdicts, the newest first; ids are in the order of time."""
        end = before or "~"
        waiting = {id: body for id, body in tuple(self._pending.items()) if id < end}  # noqa: A001  # the column's name
        found = self._read("SELECT id, body FROM verdicts WHERE id < ? ORDER BY id DESC LIMIT ?", (end, limit))
        return sorted((waiting | dict(found)).items(), reverse=True)[:limit]

    def feedback(self, verdict_id: str) -> list[FeedbackRow]:
        """What was said of a verdict, the oldest first."""
        found = self._read("SELECT * FROM feedback WHERE verdict_id = ? ORDER BY created", (verdict_id,))
        return [_feedback(row) for row in found]

    def all_feedback(self) -> list[FeedbackRow]:
        """All feedback, the oldest first."""
        return [_feedback(row) for row in self._read("SELECT * FROM feedback ORDER BY created", ())]

    def picture_file(self, sha256: str) -> Path:
        """Where the kept picture of a digest lies, relative to the folder."""
        return Path("pictures") / sha256[:2] / f"{sha256}.jpg"

    async def _write(
        self, sql: str, values: Sequence[Any], *, durable: bool = False, timeout_s: float | None = None
    ) -> Any:
        """Write in the next transaction; returns the first row that the statement gives, if it gives any."""
        done: LoopReply[Any] = LoopReply()
        self._queue.put(_Write(sql, values, durable, done))
        return await done.wait(timeout_s)

    def _read(self, sql: str, values: Sequence[Any]) -> list[Any]:
        try:
            with self._reading:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.path} cannot be read: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _work(self) -> None:
        connection = self._open()
        due, last = 0.0, False
        while not last:
            writes, last = self._gather(due - time.monotonic() if self._pending else None)
            self._append([write for write in writes if write.sql is _JOURNAL])
            self._commit(connection, [write for write in writes if write.sql is not _JOURNAL])
            if self._pending and (last or time.monotonic() >= due):
                self._file(connection)
                due = time.monotonic() + _PACE_S
        if not self._pending:
            self._journal.close()
        connection.close()

    def _gather(self, wait_s: float | None) -> tuple[list[_Write], bool]:
        """All that waits, and whether it is the end."""
        writes: list[_Write] = []
        try:
            item = self._queue.get(timeout=None if wait_s is None else max(wait_s, 0.001))
            while item is not None and len(writes) < _MOST_AT_ONCE:
                writes.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return writes, False
        if item is not None:
            writes.append(item)
        return writes, item is None

    def _append(self, writes: list[_Write]) -> None:
        """Verdicts into the journal."""
        if not writes:
            return
        if len(self._pending) > _MOST_PENDING:
            self._failed(writes, OSError(f"{len(self._pending)} verdicts wait for it already"))
            return
        try:
            self._journal.append([write.values[1] for write in writes])
        except OSError as error:
            self._failed(writes, error)
            return
        for write in writes:
            self._pending[write.values[0]] = write.values[1]
            write.done.set_result(None)

    def _file(self, connection: sqlite3.Connection) -> None:
        """Verdicts from the journal into SQLite."""
        rows = list(self._pending.items())
        connection.execute(f"PRAGMA busy_timeout = {_SHORT_MS}")  # it can wait, and new verdicts cannot
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", rows)
            self._written += len(rows)
            if self._written >= _PRUNE_EVERY:
                self._written = 0
                self._prune(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:  # they stay in the journal; another worker may have been at it
            _rolled_back(connection)
            self._unfiled += 1
            if self._unfiled == _SAID_AFTER:
                _log.error("verdicts stay in the journal: %s: %s", self.path, error)  # one line
            return
        finally:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._unfiled = 0
        self._pending.clear()
        if self._journal.size > _JOURNAL_BYTES:
            self._journal.clear()

    def _recover(self, connection: sqlite3.Connection) -> None:
        """Verdicts out of the journals of processes that have died."""
        try:
            for path, lines in abandoned(self.folder):
                rows = [(name, line) for line in lines if (name := _name_of(line)) is not None]
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", rows)
                connection.execute("COMMIT")
                path.unlink(missing_ok=True)
                if rows:
                    _log.info("%d verdicts found in the journal of a process that died", len(rows))
        except (OSError, sqlite3.Error) as error:  # the files stay for the next start
            _rolled_back(connection)
            _log.error("journals in %s cannot be read: %s", self.folder, error)  # one line is enough

    def _commit(self, connection: sqlite3.Connection, writes: list[_Write]) -> None:
        if not writes:
            return
        try:
            rows = self._transact(connection, writes)
        except sqlite3.Error as error:
            _rolled_back(connection)
            self._failed(writes, error)
            return
        for write, row in zip(writes, rows, strict=True):
            write.done.set_result(row)

    def _failed(self, writes: list[_Write], error: Exception) -> None:
        _log.error("the store %s cannot be written: %s", self.path, error)
        problem = StoreError(f"the store cannot be written: {error}")
        for write in writes:
            write.done.set_exception(problem)

    def _transact(self, connection: sqlite3.Connection, writes: list[_Write]) -> list[Any]:
        durable = any(write.durable for write in writes)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        rows = [connection.execute(write.sql, write.values).fetchone() for write in writes]
        connection.execute("COMMIT")
        return rows

    def _prune(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM verdicts WHERE id <= (SELECT id FROM verdicts ORDER BY id DESC LIMIT 1 OFFSET ?) "
            "AND id NOT IN (SELECT verdict_id FROM feedback)",
            (self._keep,),
        )
        old = time.time() - _RUNS_KEPT_S
        connection.execute("DELETE FROM workers WHERE updated < ?", (old,))
        for table in ("control", "generations"):
            connection.execute(f"DELETE FROM {table} WHERE run NOT IN (SELECT run FROM workers)")  # noqa: S608  # our own


def _values(row: FeedbackRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


def _name_of(line: bytes) -> str | None:
    """The id in a verdict's JSON; None for what is not one."""
    try:
        found = orjson.loads(line)
        return str(found["verdict_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _rolled_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _feedback(row: Sequence[Any]) -> FeedbackRow:
    return FeedbackRow(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5]), row[6])
