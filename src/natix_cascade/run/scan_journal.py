"""What a scan has finished, on disk: killed at any moment, it goes on without losing a picture or doing one twice.

::

    OUT.parts/lock             held by the scan that is running; the system lets go when it dies
    OUT.parts/meta.json        what the parts were made with
    OUT.parts/part-000001.csv  rows of one chunk, without header
    OUT.parts/journal.jsonl    one line a finished chunk; only what it names exists
    OUT.parts/finished.json    the output is in place; only cleaning up is left

A chunk counts from the moment in which its line in the journal is complete: the part is on disk before. A torn last
line, and parts that the journal does not name, are thrown away by the next scan. The output is joined from the parts
under another name and then renamed, so it is never seen half.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ManifestError
from natix_cascade.run.sinks import Row, Sink

__all__ = ["Counts", "Journal", "Seen", "digest_of"]

_LOCK, _META, _JOURNAL, _FINISHED = "lock", "meta.json", "journal.jsonl", "finished.json"
_MERGE = 1 << 16


@dataclass(slots=True)
class Counts:
    """What the rows so far say.

    Attributes
    ----------
    done, errors, yes : int
        Rows, rows with an error, and rows with the answer yes.
    exits : Counter
        Verdicts by the level at which they were given.
    """

    done: int = 0
    errors: int = 0
    yes: int = 0
    exits: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[Row]) -> None:
        """Count some more rows."""
        self.done += len(rows)
        self.errors += sum(row.error is not None for row in rows)
        self.yes += sum(bool(row.detected) for row in rows)
        self.exits.update(row.exit_level for row in rows if row.exit_level is not None)

    def take(self, line: dict[str, Any]) -> None:
        """Count what `as_dict` wrote."""
        self.done += line["done"]
        self.errors += line["errors"]
        self.yes += line["yes"]
        self.exits.update(line["exits"])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"done": self.done, "errors": self.errors, "yes": self.yes, "exits": dict(self.exits)}


def digest_of(name: str) -> int:
    """Eight bytes of BLAKE2b that stand for a picture's name.

    Two of a million names fall together with a probability of 3e-8.
    """
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), "little")


class Seen:
    """A set of digests in little memory: a sorted array and a small set of the newest, 8 MB for a million."""

    def __init__(self, digests: NDArray[np.uint64]) -> None:
        self._sorted = np.unique(digests)
        self._newest: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._newest)

    def add(self, digest: int) -> bool:
        """Take in a digest; False if it was there."""
        key = np.uint64(digest)
        place = int(np.searchsorted(self._sorted, key))
        if digest in self._newest or (place < len(self._sorted) and self._sorted[place] == key):
            return False
        self._newest.add(digest)
        if len(self._newest) >= _MERGE:
            newest = np.fromiter(self._newest, np.uint64, len(self._newest))
            self._sorted = np.sort(np.concatenate([self._sorted, newest]))
            self._newest.clear()
        return True


class Journal:
    """The parts folder of one output, held by one scan.

    Parameters
    ----------
    output : Path
        The file that there will be in the end.
    sink : Sink
        Its format.
    meta : dict
        What verdicts depend on; a scan goes on only where all of it is the same.
    resume : bool
        Go on with parts that are there; otherwise they are thrown away.
    overwrite : bool
        An output that is there may be replaced.

    Raises
    ------
    ManifestError
        Another scan writes this output, it exists already, or the parts were made with something else.
    """

    def __init__(
        self, output: Path, sink: Sink, meta: dict[str, Any], *, resume: bool = True, overwrite: bool = False
    ) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self.counts = Counts()
        self.finished = False
        self._sink = sink
        self._parts: list[str] = []
        self._disposable = False  # nothing in the folder is worth keeping
        self._file = -1
        self._lock = _lock(self.folder, output)
        try:
            self.seen = Seen(self._begin(meta, resume=resume, overwrite=overwrite))
            if not self.finished:
                self._file = os.open(self.folder / _JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise
        self.skipped = self.counts.done

    def commit(self, rows: Sequence[Row], digests: Sequence[int]) -> None:
        """Put a finished chunk on disk; once this returns, no crash takes it back."""
        name = f"part-{len(self._parts) + 1:06d}{self._sink.suffix}"
        data = self._sink.encode(list(rows))
        counts = Counts()
        counts.add(rows)
        names = np.asarray(digests, np.uint64).tobytes().hex()
        line = {"part": name, "bytes": len(data), **counts.as_dict(), "digests": names}
        text = memoryview(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        with _writing(self.output):
            _write(self.folder / name, data)
            _sync_folder(self.folder)
            while text:
                text = text[os.write(self._file, text) :]
            os.fsync(self._file)
        self._disposable = False
        self._parts.append(name)
        self.counts.add(rows)

    def finish(self) -> None:
        """Join the parts to the output and put it in place; `close` then removes the parts."""
        whole = self.folder / "whole.tmp"
        with _writing(self.output):
            with whole.open("wb") as file:
                self._sink.join((self.folder / name for name in self._parts), file)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(self.output)
            _sync_folder(self.output.parent)
            _write_whole(self.folder / _FINISHED, json.dumps(self.counts.as_dict()).encode())
        self.finished = self._disposable = True

    def close(self) -> None:
        """Let go of the output; the parts stay unless they are not needed any more."""
        if self._lock < 0:
            return
        if self._file >= 0:
            os.close(self._file)
        if self._disposable:
            self._clean()
            (self.folder / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # somebody begins the next scan just now
                self.folder.rmdir()
        os.close(self._lock)
        self._file = self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, meta: dict[str, Any], *, resume: bool, overwrite: bool) -> NDArray[np.uint64]:
        """Find out what is there; digests of the pictures that are done."""
        finished = self.folder / _FINISHED
        if finished.exists() and resume and not overwrite and self.output.exists():
            self.counts.take(json.loads(finished.read_bytes()))
            self.finished = self._disposable = True
            return np.empty(0, np.uint64)
        if finished.exists() or not resume:
            self._clean()
        digests = [np.empty(0, np.uint64)]
        for line in self._read():
            self._parts.append(line["part"])
            self.counts.take(line)
            digests.append(np.frombuffer(bytes.fromhex(line["digests"]), np.uint64))
        if self._parts:
            self._check(meta)
            return np.concatenate(digests)
        self._disposable = True
        if self.output.exists() and not overwrite:
            raise ManifestError(
                f"{self.output} exists already; choose another output, or say --overwrite (overwrite=True)"
            )
        self._clean()
        _write_whole(self.folder / _META, json.dumps(meta, indent=2).encode())
        return digests[0]

    def _read(self) -> Iterator[dict[str, Any]]:
        """Lines of the journal whose parts are there; whatever comes after them is cut off."""
        path, good = self.folder / _JOURNAL, 0
        if not path.exists():
            return
        with path.open("rb") as file:
            for text in file:
                line = _parse(text)
                if line is None or _size(self.folder / line["part"]) != line["bytes"]:
                    break
                good += len(text)
                yield line
        os.truncate(path, good)

    def _check(self, meta: dict[str, Any]) -> None:
        path = self.folder / _META
        before = json.loads(path.read_bytes()) if path.exists() else {}
        for key, value in meta.items():
            if before.get(key) != value:
                told = f": it was {before.get(key)!r} and is {value!r} now" if isinstance(value, str) else ""
                raise ManifestError(
                    f"{self.folder} holds an unfinished scan with another {key}{told}; go on with the same, choose "
                    f"another output, or begin anew with --no-resume (resume=False)"
                )

    def _clean(self) -> None:
        """Remove all but the lock: first what says that parts count, last what says that they are not needed."""
        others = (path for path in self.folder.iterdir() if path.name not in {_LOCK, _FINISHED})
        for path in (self.folder / _JOURNAL, *others, self.folder / _FINISHED):
            path.unlink(missing_ok=True)


def _lock(folder: Path, output: Path) -> int:
    """Make the folder and lock it; the handle that holds the lock."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except FileNotFoundError:  # the scan before this one removed the folder just now
            continue
        except OSError as error:
            raise ManifestError(f"cannot write beside the output {output}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(folder / _LOCK)):  # noqa: PTH116  # fstat's counterpart
                return handle
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                raise ManifestError(f"another scan is writing {output} now; wait for it or stop it") from error
            raise ManifestError(f"cannot lock {folder}: {error.strerror}") from error
        os.close(handle)


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ManifestError(
            f"cannot write {output}: {error.strerror or error}; when that is mended, the same command goes on"
        ) from error


def _parse(text: bytes) -> dict[str, Any] | None:
    """A line of the journal; None for one that was not written to its end."""
    if not text.endswith(b"\n"):
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_whole(path: Path, data: bytes) -> None:
    """Put a small file in place whole, or not at all."""
    new = path.with_name(path.name + ".tmp")
    _write(new, data)
    new.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
