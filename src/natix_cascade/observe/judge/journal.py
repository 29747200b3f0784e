"""What a judge was asked and said, and what people said of the same verdicts, in SQLite: rows are added, not changed.

A question is written before it is sent and its answer when it is there, so that after ``kill -9`` nothing is lost but
the answers under way, and what these may have cost counts as spent. Both survive the process, not the loss of power.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from natix_cascade.errors import StoreError

__all__ = ["FILE", "Answer", "Journal", "Question", "Row", "read_rows", "read_skipped"]

FILE: Final = "judge.sqlite"
_VERSION = 1
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS questions (
  number INTEGER PRIMARY KEY AUTOINCREMENT, created REAL NOT NULL, verdict_id TEXT NOT NULL, answer INTEGER NOT NULL,
  probability REAL NOT NULL, cascade TEXT NOT NULL, policy TEXT NOT NULL, rubric TEXT NOT NULL, digest TEXT NOT NULL,
  judge TEXT NOT NULL, by_chance INTEGER NOT NULL, most_usd REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS questions_at ON questions (created);
CREATE TABLE IF NOT EXISTS answers (
  question INTEGER PRIMARY KEY, created REAL NOT NULL, score REAL, abstained INTEGER NOT NULL, reason TEXT NOT NULL,
  cost_usd REAL NOT NULL, latency_ms REAL NOT NULL, failure TEXT
);
CREATE TABLE IF NOT EXISTS truths (
  number INTEGER PRIMARY KEY, created REAL NOT NULL, verdict_id TEXT NOT NULL, label INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS truths_of ON truths (verdict_id);
CREATE TABLE IF NOT EXISTS skipped (created REAL NOT NULL, why TEXT NOT NULL, count INTEGER NOT NULL);
"""
_ROWS = """
SELECT q.created, q.verdict_id, q.answer, q.probability, q.cascade, q.policy, q.rubric, q.digest, q.judge, q.by_chance,
  a.score, coalesce(a.abstained, 0), coalesce(a.reason, ''), coalesce(a.cost_usd, q.most_usd),
  coalesce(a.latency_ms, 0.0), CASE WHEN a.question IS NULL THEN 'no answer was written' ELSE a.failure END,
  (SELECT t.label FROM truths t WHERE t.verdict_id = q.verdict_id ORDER BY t.number DESC LIMIT 1)
FROM questions q LEFT JOIN answers a ON a.question = q.number
WHERE q.created >= ? ORDER BY q.number
"""
_SPENT = """
SELECT coalesce(sum(coalesce(a.cost_usd, q.most_usd)), 0.0),
  coalesce(sum(CASE WHEN q.by_chance THEN 0.0 ELSE coalesce(a.cost_usd, q.most_usd) END), 0.0)
FROM questions q LEFT JOIN answers a ON a.question = q.number WHERE q.created >= ?
"""
_SCORES = """
SELECT a.score FROM questions q JOIN answers a ON a.question = q.number
WHERE q.by_chance AND a.score IS NOT NULL AND q.digest = ? AND q.judge = ? ORDER BY q.number DESC LIMIT ?
"""
_PRUNE = (
    "DELETE FROM questions WHERE number <= (SELECT max(number) FROM questions) - ?",
    "DELETE FROM answers WHERE question < (SELECT min(number) FROM questions)",
    "DELETE FROM truths WHERE number <= (SELECT max(number) FROM truths) - ?",
)
_PRUNE_EVERY = 5000
_BUSY_S = 5.0
_ASK = """
INSERT INTO questions (created, verdict_id, answer, probability, cascade, policy, rubric, digest, judge, by_chance,
  most_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A verdict about which a judge is to be asked.

    Attributes
    ----------
    created : float
        Seconds since 1970.
    verdict_id : str
        The request's id.
    answer : bool
        What the verdict says.
    probability : float
        P(yes) of the verdict.
    cascade, policy, rubric : str
        ``name@version``.
    digest : str
        Of the rubric.
    judge : str
        The model's name.
    by_chance : bool
        The verdict was drawn by chance.
    most_usd : float
        What counts as spent while there is no answer.
    """

    created: float
    verdict_id: str
    answer: bool
    probability: float
    cascade: str
    policy: str
    rubric: str
    digest: str
    judge: str
    by_chance: bool
    most_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it.

    Attributes
    ----------
    created : float
        Seconds since 1970.
    score : float or None
        How likely the verdict is right.
    abstained : bool
        The judge gave no score.
    reason : str
        Written by the judge.
    cost_usd, latency_ms : float
        Of the answer.
    failure : str or None
        Why there is none.
    """

    created: float
    score: float | None
    abstained: bool
    reason: str
    cost_usd: float
    latency_ms: float
    failure: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A question, its answer, and the truth as people told it last; fields as in `Question` and `Answer`."""

    created: float
    verdict_id: str
    answer: bool
    probability: float
    cascade: str
    policy: str
    rubric: str
    digest: str
    judge: str
    by_chance: bool
    score: float | None
    abstained: bool
    reason: str
    cost_usd: float
    latency_ms: float
    failure: str | None
    label: bool | None


class Journal:
    """The file of one judge; safe for the threads of one process.

    Parameters
    ----------
    folder : Path
        The state's folder; made where it is missing.
    keep : int
        Most questions, and most truths; older ones are removed.

    Raises
    ------
    StoreError
        It cannot be opened, or is of another version.
    """

    def __init__(self, folder: Path, *, keep: int = 500_000) -> None:
        self.path = folder / FILE
        self._keep, self._written = keep, 0
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            _expect_version(self._file, self.path, 0)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.executescript(_SCHEMA)
            self._prune()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the judge's journal {self.path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def ask(self, question: Question) -> int:
        """Write a question; returns its number.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        number = self._write(_ASK, *astuple(question))
        self._written += 1
        if self._written % _PRUNE_EVERY == 0:
            with self._lock, _told("written"):
                self._prune()
        return number

    def answer(self, number: int, answer: Answer) -> None:
        """Write what came of a question; errors as for `ask`."""
        self._write("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", number, *astuple(answer))

    def truth(self, created: float, verdict_id: str, *, label: bool) -> None:
        """Write what somebody told of a verdict; errors as for `ask`."""
        self._write("INSERT INTO truths (created, verdict_id, label) VALUES (?, ?, ?)", created, verdict_id, label)

    def skipped(self, created: float, counts: Mapping[str, int]) -> None:
        """Write how many verdicts nobody was asked about, by why; errors as for `ask`."""
        for why, count in counts.items():
            self._write("INSERT INTO skipped VALUES (?, ?, ?)", created, why, count)

    def entered(self, since: float) -> list[tuple[float, bool]]:
        """When questions were asked, and whether by chance."""
        found = self._read("SELECT created, by_chance FROM questions WHERE created >= ?", since)
        return [(at, bool(by_chance)) for at, by_chance in found]

    def spent(self, since: float) -> tuple[float, float]:
        """US dollars, in all and on what was not drawn by chance; questions without an answer count in full."""
        ((every, remarkable),) = self._read(_SPENT, since)
        return every, remarkable

    def scores(self, digest: str, judge: str, most: int) -> list[float]:
        """The last scores of verdicts drawn by chance, the oldest first."""
        return [score for (score,) in reversed(self._read(_SCORES, digest, judge, most))]

    def _write(self, sql: str, *values: object) -> int:
        with self._lock, _told("written"):
            return self._file.execute(sql, values).lastrowid or 0

    def _read(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, _told("read"):
            return self._file.execute(sql, values).fetchall()

    def _prune(self) -> None:
        for sql in _PRUNE:
            self._file.execute(sql, (self._keep,) if "?" in sql else ())


def read_rows(folder: Path, *, since: float = 0.0) -> list[Row]:
    """All that a state's folder holds from a time on, in the order in which it was asked.

    Raises
    ------
    StoreError
        There is no journal, or it cannot be read.
    """
    with _reading(folder) as file:
        found = file.execute(_ROWS, (since,)).fetchall()
    return [_row(*each) for each in found]


def read_skipped(folder: Path, *, since: float = 0.0) -> dict[str, int]:
    """How many verdicts the judge was not asked about, by why; errors as for `read_rows`."""
    sql = "SELECT why, sum(count) FROM skipped WHERE created >= ? GROUP BY why ORDER BY why"
    with _reading(folder) as file:
        return dict(file.execute(sql, (since,)).fetchall())


def _row(*values: object) -> Row:
    names = dict(zip(Row.__slots__, values, strict=True))
    label = names["label"]
    flags = {name: bool(names[name]) for name in ("answer", "by_chance", "abstained")}
    return Row(**(names | flags | {"label": None if label is None else bool(label)}))  # type: ignore[arg-type]


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / FILE
    if not path.is_file():
        raise StoreError(f"no judge's journal at {path}: give the --state of a service with [observe.judge]")
    with _told("read"), contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
        _expect_version(file, path)
        yield file


def _expect_version(file: sqlite3.Connection, path: Path, *also: int) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version not in {_VERSION, *also}:
        raise StoreError(f"the judge's journal {path} is of version {version}, not {_VERSION}; move it away")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the judge's journal cannot be {what}: {error}") from error
