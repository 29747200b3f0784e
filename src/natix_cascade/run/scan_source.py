"""Where the pictures of a scan come from: a folder, a list, a CSV manifest or standard input; never all in memory."""

from __future__ import annotations

import csv
import heapq
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from natix_cascade.errors import ManifestError

__all__ = ["SUFFIXES", "Item", "PictureSource"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_NOT_LISTS = (".parquet", ".json", ".jsonl", ".ndjson")
_HELD = 1 << 16
"""Most names of one folder that are held and sorted at a time; a larger folder is read several times."""
_BLOCK = 1 << 16
_LOOK_AT_CLOCK = 256


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be.

    Attributes
    ----------
    name : str
        What the output calls it.
    file : str
        Where it is.
    problem : str or None
        Why it cannot even be tried: a folder that cannot be listed, a line without a path.
    """

    name: str
    file: str
    problem: str | None = None


class PictureSource:
    """Names pictures one after the other, in the same order each time.

    Parameters
    ----------
    source : str or Path
        A folder: its pictures, recursively, by name. Links to folders are followed, each folder is visited once, so
        loops end. A text file: one path a line (or ended by NUL), relative to the file's folder. A CSV file: its
        column ``path``, the same way. ``-``: paths on standard input, relative to the working folder.

    Raises
    ------
    ManifestError
        There is no such source, or it is not of these kinds.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.name = os.fspath(source)
        self.is_stdin = self.name == "-"
        self.is_folder = not self.is_stdin and Path(self.name).is_dir()
        if self.is_stdin:
            return
        suffix = Path(self.name).suffix.lower()
        if not self.is_folder and suffix in SUFFIXES:
            raise ManifestError(f"{self.name!r} is one picture; scan takes a folder or a list (see 'detect' for one)")
        if not self.is_folder and suffix in _NOT_LISTS:
            raise ManifestError(f"{self.name!r} is no list of pictures; give a folder, a text file or a CSV file")
        try:
            if self.is_folder:
                os.scandir(self.name).close()
            else:
                Path(self.name).open("rb").close()
        except OSError as error:
            raise ManifestError(f"cannot read the source {self.name!r}: {error.strerror}") from error
        if suffix == ".csv" and not self.is_folder:
            next(self._csv(), None)  # says now whether the column is missing

    @property
    def identity(self) -> str:
        """The same for the same source, from whatever folder it is named."""
        return self.name if self.is_stdin else os.path.abspath(self.name)  # noqa: PTH100  # keeps links as they are

    def __iter__(self) -> Iterator[Item]:
        if self.is_folder:
            return _walk(self.name)
        if not self.is_stdin and Path(self.name).suffix.lower() == ".csv":
            return self._csv()
        return self._lines()

    def count(self, seconds: float) -> int | None:
        """How many pictures, or None if that is not found out in this time."""
        if self.is_stdin:
            return None
        end, number = time.perf_counter() + seconds, 0
        for _ in self:
            number += 1
            if number % _LOOK_AT_CLOCK == 0 and time.perf_counter() > end:
                return None
        return number

    def _lines(self) -> Iterator[Item]:
        base = "" if self.is_stdin else os.path.dirname(self.name)  # noqa: PTH120  # bytes of the name stay as they are
        with ExitStack() as stack:
            file: BinaryIO = sys.stdin.buffer if self.is_stdin else stack.enter_context(Path(self.name).open("rb"))
            try:
                for line in _records(file):
                    name = os.fsdecode(line)
                    yield Item(name, os.path.join(base, name))  # noqa: PTH118  # fast, and any bytes
            except OSError as error:
                raise ManifestError(f"cannot read on in {self.name!r}: {error.strerror}") from error

    def _csv(self) -> Iterator[Item]:
        base = os.path.dirname(self.name)  # noqa: PTH120  # bytes of the name stay as they are
        with Path(self.name).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file)
            try:
                if "path" not in (table.fieldnames or ()):
                    found = ", ".join(table.fieldnames or ()) or "none"
                    raise ManifestError(f"manifest {self.name!r} has no column 'path'; its columns: {found}")
                for line in table:
                    name = line["path"]
                    problem = None if name else f"line {table.line_num} of the manifest has no path"
                    name = name or f"{self.name}:{table.line_num}"
                    yield Item(name, os.path.join(base, name), problem)  # noqa: PTH118  # fast, and any bytes
            except csv.Error as error:
                raise ManifestError(f"manifest {self.name!r}, line {table.line_num}: {error}") from error


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends, or what NUL ends if there is one in the first block; empty ones are left out."""
    rest, end = b"", b""
    read = getattr(file, "read1", file.read)
    while block := read(_BLOCK):
        if not end:
            end = b"\0" if b"\0" in block else b"\n"
            block = block.removeprefix(b"\xef\xbb\xbf")
        *whole, rest = (rest + block).split(end)
        for one in whole:
            if path := one if end == b"\0" else one.removesuffix(b"\r"):
                yield path
    if path := rest if end == b"\0" else rest.removesuffix(b"\r"):
        yield path


def _walk(root: str) -> Iterator[Item]:
    """Pictures below a folder, depth first, each folder by name."""
    seen = {_identity(root)}
    stack = [("", _listing(root))]
    while stack:
        prefix, listing = stack[-1]
        try:
            name, is_folder = next(listing)
        except StopIteration:
            stack.pop()
            continue
        except OSError as error:
            stack.pop()
            yield Item(prefix or ".", root, f"cannot list the folder: {error.strerror}")
            continue
        path = prefix + name
        full = os.path.join(root, path)  # noqa: PTH118  # a Path for each of a million files is slow
        if not is_folder:
            yield Item(path, full)
            continue
        identity = _identity(full)
        if identity not in seen:
            seen.add(identity)
            stack.append((path + os.sep, _listing(full)))


def _identity(folder: str) -> tuple[int, int] | str:
    try:
        status = os.stat(folder)  # noqa: PTH116  # see `_walk`
    except OSError:
        return folder
    return status.st_dev, status.st_ino


def _listing(folder: str) -> Iterator[tuple[str, bool]]:
    """Pictures and folders of one folder by name: (name, whether it is a folder)."""
    after = ""
    while True:
        with os.scandir(folder) as entries:
            names = heapq.nsmallest(_HELD, (pair for pair in map(_kind, entries) if pair and pair[0] > after))
        yield from names
        if len(names) < _HELD:
            return
        after = names[-1][0]


def _kind(entry: os.DirEntry[str]) -> tuple[str, bool] | None:
    try:
        if entry.is_dir():
            return entry.name, True
        is_picture = entry.name.lower().endswith(SUFFIXES)
        return (entry.name, False) if is_picture and (entry.is_file() or entry.is_symlink()) else None
    except OSError:  # a link that cannot be followed: an error row says so
        return (entry.name, False) if entry.name.lower().endswith(SUFFIXES) else None
