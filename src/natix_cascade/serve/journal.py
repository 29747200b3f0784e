"""An append-only file of one process, which outlives it: what was written to it is there after ``kill -9``."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Journal", "abandoned"]

_NAME = "journal-*.ndjson"


class Journal:
    """Lines of one process.

    Parameters
    ----------
    folder : Path
        Where it lies; the file is locked as long as the process lives.

    Raises
    ------
    OSError
        The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._size = 0
        while True:
            self.path = folder / _NAME.replace("*", secrets.token_hex(8))
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_nlink:
                break
            os.close(self._file)  # before the lock was there, another process took the file for an abandoned one

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines, which hold no line break, in one go.

        Raises
        ------
        OSError
            The disk is full, or gone; what had been written of these lines is taken back.
        """
        content = b"".join(line + b"\n" for line in lines)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(content)

    def clear(self) -> None:
        """Forget all lines: they are elsewhere by now."""
        os.ftruncate(self._file, 0)
        self._size = 0

    def close(self) -> None:
        """Remove the file: its lines are elsewhere by now."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


def abandoned(folder: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """Journals whose process has died, with their complete lines; remove each when its lines are elsewhere."""
    for path in sorted(folder.glob(_NAME)):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # another process has just taken care of it
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # its process lives
            continue
        else:
            *lines, _ = path.read_bytes().split(b"\n")  # behind the last line break: nothing, or half a line
            yield path, lines
        finally:
            os.close(file)
