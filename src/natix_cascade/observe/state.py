"""A service's state folder, read from beside: its verdicts with what was said of them, and the pictures it kept.

The file is opened for reading only, so a service may be at work in it. Verdicts that stand only in a journal yet (the
last tenth of a second, or all that a killed service had not filed) are read too.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import StoreError

__all__ = ["Stored", "StoredFeedback", "is_state", "stored_verdicts"]

_FILE, _VERSION = "service.sqlite", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFeedback:
    """What a user said of a verdict: Unix time, the truth, a note, and the kept picture where there is one."""

    created: float
    label: bool
    note: str | None
    picture: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A verdict as the service remembers it.

    Attributes
    ----------
    id : str
        Of the verdict; 32 hex digits, in the order of time.
    verdict : Verdict
        As it was given.
    answer : dict
        The whole JSON of the answer: `created`, `place` (`lat`, `lon`) and `label` stand in it beside the verdict.
    feedback : tuple of StoredFeedback
        The oldest first: the last word counts.
    picture : Path or None
        The kept picture, re-encoded.
    """

    id: str
    verdict: Verdict
    answer: dict[str, Any]
    feedback: tuple[StoredFeedback, ...] = ()
    picture: Path | None = None

    @property
    def truth(self) -> bool | None:
        """What is true, as the last word has it; None: nobody said."""
        return self.feedback[-1].label if self.feedback else self.answer.get("label")


def is_state(path: Path) -> bool:
    """Whether this is a folder in which a service keeps its state."""
    return (path / _FILE).is_file()


def stored_verdicts(folder: Path) -> Iterator[Stored]:
    """Every verdict of a state folder, the oldest first.

    Raises
    ------
    StoreError
        There is no store, it is of another version, or it cannot be read.
    """
    path = folder / _FILE
    if not path.is_file():
        raise StoreError(f"no store in {folder}; give the --state folder of `natix-cascade serve`")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as file:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                raise StoreError(f"the store {path} is of version {version}; this program reads version {_VERSION}")
            waiting = _journals(folder)  # before the table: a line that is filed meanwhile is seen twice, never lost
            said = _feedback(file, folder)
            for name, body in file.execute("SELECT id, body FROM verdicts ORDER BY id"):
                waiting.pop(name, None)
                yield from _stored(name, body, said, folder)
            for name, body in sorted(waiting.items()):
                yield from _stored(name, body, said, folder)
    except sqlite3.Error as error:
        raise StoreError(f"the store {path} cannot be read: {error}") from error


def _stored(name: str, body: bytes, said: dict[str, list[StoredFeedback]], folder: Path) -> Iterator[Stored]:
    """The verdict of a row; nothing where a very old version wrote it in another way."""
    try:
        answer = json.loads(body)
        verdict = Verdict.from_dict(answer)
    except (KeyError, TypeError, ValueError):
        return
    words = tuple(said.get(name, ()))
    kept = next((word.picture for word in reversed(words) if word.picture is not None), None)
    own = folder / "pictures" / verdict.sha256[:2] / f"{verdict.sha256}.jpg"
    picture = kept if kept is not None else own if own.is_file() else None
    yield Stored(id=name, verdict=verdict, answer=answer, feedback=words, picture=picture)


def _feedback(file: sqlite3.Connection, folder: Path) -> dict[str, list[StoredFeedback]]:
    found: dict[str, list[StoredFeedback]] = {}
    columns = "verdict_id, created, label, note, picture"
    for name, created, label, note, picture in file.execute(f"SELECT {columns} FROM feedback ORDER BY created"):  # noqa: S608  # our own words
        kept = folder / picture if picture is not None else None
        found.setdefault(name, []).append(
            StoredFeedback(
                created=created, label=bool(label), note=note, picture=kept if kept and kept.is_file() else None
            )
        )
    return found


def _journals(folder: Path) -> dict[str, bytes]:
    """Verdicts in the journals of all workers, dead or alive; half a line at the end is none."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("journal-*.ndjson")):
        try:
            *lines, _ = path.read_bytes().split(b"\n")
        except FileNotFoundError:  # its worker has just filed them
            continue
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found[str(json.loads(line)["verdict_id"])] = line
    return found
