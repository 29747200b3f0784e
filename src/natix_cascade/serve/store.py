"""What the service remembers: verdicts, feedback, and what its workers tell each other, in SQLite.

One thread writes. All that waits is written in one transaction, and whoever waits for it is told only when it has been
committed: ``kill -9`` at any moment leaves the file readable with every acknowledged record in it. Feedback reaches the
disk itself before it is acknowledged; verdicts survive the process, not the loss of power.
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

from natix_cascade.errors import CascadeError
from natix_cascade.run.mail import LoopReply

__all__ = ["FeedbackRow", "Store", "VerdictRow"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS verdicts (
  id TEXT PRIMARY KEY, created REAL NOT NULL, sha256 TEXT NOT NULL, detected INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
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
_BUSY_MS = 5000
_MOST_AT_ONCE = 512
_PRUNE_EVERY = 2000
_PACE_S = 0.004
_RUNS_KEPT_S = 86_400.0
_log = logging.getLogger("natix_cascade.store")


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One verdict; `body` is the JSON that was answered, `created` seconds since 1970."""

    id: str
    created: float
    sha256: str
    detected: bool
    body: bytes


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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._reader = self._open()
            self._reader.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise CascadeError(
                f"the store {self.path} cannot be opened: {error}; give another --state folder"
            ) from error
        self._reading = threading.Lock()
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._written = 0
        self._thread = threading.Thread(target=self._work, name="natix-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then close."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()

    async def add_verdict(self, row: VerdictRow, *, timeout_s: float | None = None) -> None:
        """Write a verdict; returns when it is committed.

        Raises
        ------
        TimeoutError
            Not within `timeout_s`; it may be written later.
        CascadeError
            It cannot be written.
        """
        sql = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)"
        await self._write(sql, _values(row), timeout_s=timeout_s)

    async def add_feedback(self, row: FeedbackRow) -> None:
        """Write feedback; returns when it is on the disk."""
        await self._write("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?)", _values(row), durable=True)

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

    async def set_worker(self, run: str, worker: int, pid: int, body: bytes) -> None:
        """Say how a worker is."""
        await self._write(
            "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)", (run, worker, pid, time.time(), body)
        )

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
        found = self._read("SELECT body FROM verdicts WHERE id = ?", (id,))
        return found[0][0] if found else None

    def verdicts(self, *, limit: int, before: str | None = None) -> list[tuple[str, bytes]]:
        """Ids and JSON of the latest verdicts, the newest first; ids are in the order of time."""
        sql = "SELECT id, body FROM verdicts WHERE id < ? ORDER BY id DESC LIMIT ?"
        return self._read(sql, (before or "~", limit))

    def feedback(self, verdict_id: str) -> list[FeedbackRow]:
        """What was said of a verdict, the oldest first."""
        found = self._read("SELECT * FROM feedback WHERE verdict_id = ? ORDER BY created", (verdict_id,))
        return [_feedback(row) for row in found]

    def all_feedback(self) -> list[tuple[FeedbackRow, str | None]]:
        """All feedback, the oldest first, each with the sha256 of its verdict's picture."""
        sql = "SELECT f.*, v.sha256 FROM feedback f LEFT JOIN verdicts v ON v.id = f.verdict_id ORDER BY f.created"
        found = self._read(sql, ())
        return [(_feedback(row), row[7]) for row in found]

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
            raise CascadeError(f"the store {self.path} cannot be read: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _work(self) -> None:
        connection = self._open()
        last = False
        while not last:
            writes: list[_Write] = []
            item = self._queue.get()
            while item is not None:
                writes.append(item)
                if len(writes) == _MOST_AT_ONCE:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            last = item is None
            if writes:
                self._commit(connection, writes)
            if len(writes) > 1 and not last:  # many write at once: fewer, larger transactions
                time.sleep(_PACE_S)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, writes: list[_Write]) -> None:
        problem: CascadeError | None = None
        rows: list[Any] = []
        try:
            rows = self._transact(connection, writes)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _log.error("the store %s cannot be written: %s", self.path, error)  # one line is enough
            problem = CascadeError(f"the store cannot be written: {error}")
        for number, write in enumerate(writes):
            if problem is None:
                write.done.set_result(rows[number])
            else:
                write.done.set_exception(problem)

    def _transact(self, connection: sqlite3.Connection, writes: list[_Write]) -> list[Any]:
        durable = any(write.durable for write in writes)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        rows = [connection.execute(write.sql, write.values).fetchone() for write in writes]
        self._written += len(writes)
        if self._written >= _PRUNE_EVERY:
            self._written = 0
            self._prune(connection)
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


def _values(row: VerdictRow | FeedbackRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


def _feedback(row: Sequence[Any]) -> FeedbackRow:
    return FeedbackRow(row[0], row[1], row[2], bool(row[3]), row[4], bool(row[5]), row[6])
