"""The folder where a recording keeps its answers until it is done: killed at any moment, nothing whole is lost."""

from __future__ import annotations

import fcntl
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import RecordsError
from natix_cascade.files import write_whole

__all__ = ["ARRAYS", "Part", "parts_folder", "read_part", "write_part"]

ARRAYS = ("row", "level", "repetition", "scores", "variant_ms", "lost", "why")
"""What a part holds: by answer, and of the pictures that were lost."""

Part = dict[str, NDArray[Any]]
_META = "meta.json"


@contextmanager
def parts_folder(out: Path, meta: dict[str, Any], *, fresh: bool) -> Iterator[Path]:
    """Hold the folder of parts, this run alone; what is in it was made with `meta`.

    ::

        OUT.parts/meta.json   what the parts were made with
        OUT.parts/000000.npz  answers about the first pictures by name, and so on; each is there whole or not at all

    A part that is torn all the same (the machine lost power) is made again. The folder goes when the output is there.

    Raises
    ------
    RecordsError
        `out` exists, another run holds the folder, or its parts were made with something else.
    """
    folder = out.with_name(out.name + ".parts")
    if out.exists() and not fresh and not (folder / _META).exists():
        raise RecordsError(f"{out} exists already; choose another output, or replace it with --fresh (fresh=True)")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordsError(f"another run is recording {out} now; wait for it or stop it") from None
        wanted = json.loads(json.dumps(meta))
        before = None if fresh or not any(folder.glob("*.npz")) else _known(folder / _META)
        if before is None:
            for file in folder.iterdir():
                file.unlink()
            write_whole(folder / _META, json.dumps(meta).encode())
        elif before != wanted:
            other = " and ".join(key for key in wanted if before.get(key) != wanted[key])
            raise RecordsError(
                f"{folder} holds an unfinished run with other {other}; go on with the same, choose another output, or "
                f"begin anew with --fresh (fresh=True)"
            )
        yield folder
    finally:
        os.close(handle)


def read_part(file: Path) -> Part | None:
    """Read a part; None where there is none that can be read."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as data:
            return {name: data[name] for name in ARRAYS}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def write_part(file: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **part)  # type: ignore[arg-type]  # no array is named allow_pickle
    write_whole(file, buffer.getvalue())


def _known(meta: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(meta.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
