"""What a folder of weights holds, file by file: written last, so a folder without a manifest is unfinished."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from annotated_types import Ge, Len

from natix_cascade.errors import ModelError
from natix_cascade.files import write_whole
from natix_cascade.spec.base import Spec
from natix_cascade.spec.build import plain
from natix_cascade.spec.files import read_spec

__all__ = [
    "CUSTOM",
    "HEAD",
    "LOCK",
    "MANIFEST",
    "Differences",
    "FileEntry",
    "Lock",
    "Manifest",
    "Pin",
    "check_name",
    "compare",
    "describe",
    "files_below",
    "hash_files",
    "is_below",
    "read_lock",
    "read_manifest",
    "write_lock",
    "write_manifest",
]

MANIFEST, LOCK, CUSTOM = "manifest.json", "models.lock.json", "custom"
HEAD = "head.safetensors"
"""What a training project adds to a fetched backbone; linked, so no part of the manifest."""

_NAME = re.compile(r"\w[\w.-]*")
_CHUNK = 4 * 1024 * 1024
_NOT_OURS = {".cache"}  # the hub's library notes there what it was about

Progress = Callable[[int], None]
"""Called with the number of bytes that were just read; from several threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry(Spec):
    """One file: its path below the folder (with ``/``), its size and its sha256."""

    file: Annotated[str, Len(1)]
    bytes: Annotated[int, Ge(0)]
    sha256: Annotated[str, Len(64, 64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Spec):
    """Contents of a folder of weights.

    Attributes
    ----------
    version : int
        Of this format.
    name : str
        The model's name.
    identifier, commit : str
        Where it was fetched from; empty for what was converted or linked.
    made_from : str
        sha256 of the file that it was converted from, or empty.
    files : tuple of FileEntry
        Sorted by path.
    """

    version: Literal[1] = 1
    name: str
    identifier: str = ""
    commit: str = ""
    made_from: str = ""
    files: tuple[FileEntry, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.bytes for entry in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin(Spec):
    """The commit that a model was fetched at."""

    identifier: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock(Spec):
    """Pinned commits of all fetched models, by name: another machine with this file fetches the same ones."""

    version: Literal[1] = 1
    models: dict[str, Pin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Differences:
    """How a folder differs from its manifest: paths below the folder."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.extra)

    def __str__(self) -> str:
        return "; ".join(
            f"{word}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"  # noqa: PLR2004
            for word, names in (("missing", self.missing), ("changed", self.changed), ("extra", self.extra))
            if names
        )


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises
    ------
    SpecError
        It is there but cannot be read.
    ModelError
        It names files outside of its folder.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = read_spec(path, Manifest)
    for entry in manifest.files:
        if not is_below(entry.file):
            raise ModelError(f"{path}: {entry.file!r} is no path below the folder; get the model again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest: the folder is finished."""
    return write_whole(folder / MANIFEST, _text(manifest))


def read_lock(folder: Path) -> Lock:
    """Pinned commits of a models folder; empty where there are none yet."""
    path = folder / LOCK
    return read_spec(path, Lock) if path.is_file() else Lock()


def write_lock(folder: Path, lock: Lock) -> Path:
    """Write the pinned commits."""
    return write_whole(folder / LOCK, _text(Lock(models=dict(sorted(lock.models.items())))))


def files_below(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted, but for its manifest, a linked head and the hub library's notes."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found.extend((here / name).relative_to(folder).as_posix() for name in names)
    linked = {HEAD} if (folder / HEAD).is_symlink() else set()
    return sorted(name for name in found if name != MANIFEST and name not in linked)


def describe(
    folder: Path, files: Iterable[str], *, threads: int = 2, progress: Progress | None = None
) -> list[FileEntry]:
    """Size and sha256 of files below a folder, sorted by path."""
    names = sorted(files)
    digests = hash_files([folder / name for name in names], threads=threads, progress=progress)
    return [
        FileEntry(file=name, bytes=(folder / name).stat().st_size, sha256=digest)
        for name, digest in zip(names, digests, strict=True)
    ]


def hash_files(paths: Sequence[Path], *, threads: int = 2, progress: Progress | None = None) -> list[str]:
    """sha256 of files, hex, in their order; several at a time.

    Raises
    ------
    ModelError
        A file cannot be read.
    """

    def one(path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    if progress is not None:
                        progress(len(chunk))
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        return digest.hexdigest()

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(one, paths))


def compare(
    folder: Path, manifest: Manifest, *, quick: bool = False, threads: int = 2, progress: Progress | None = None
) -> Differences:
    """How a folder differs from its manifest.

    Parameters
    ----------
    folder : Path
        Of the weights.
    manifest : Manifest
        What ought to be there.
    quick : bool
        Compare sizes only.
    threads : int
        Files that are hashed at a time.
    progress : callable or None
        See `Progress`.
    """
    there = {name: (folder / name).stat().st_size for name in files_below(folder) if (folder / name).exists()}
    wanted = {entry.file: entry for entry in manifest.files}
    missing = [name for name in wanted if name not in there]
    changed = {name for name in wanted if name in there and there[name] != wanted[name].bytes}
    if not quick:
        same = [name for name in wanted if name in there and name not in changed]
        digests = hash_files([folder / name for name in same], threads=threads, progress=progress)
        changed |= {name for name, digest in zip(same, digests, strict=True) if digest != wanted[name].sha256}
    return Differences(tuple(missing), tuple(sorted(changed)), tuple(sorted(set(there) - set(wanted))))


def check_name(name: str) -> None:
    """Refuse a model's name that is no plain name of a folder.

    Raises
    ------
    ModelError
        It leads elsewhere, or the models folder has it for another purpose.
    """
    if not _NAME.fullmatch(name) or name == CUSTOM:
        raise ModelError(
            f"model {name!r}: the name cannot be that of a folder; use letters, digits, '-', '_' and '.', "
            f"and not {CUSTOM!r}"
        )


def is_below(name: str) -> bool:
    """Whether a path (with ``/``) stays below the folder that it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def _text(value: Spec) -> bytes:
    return (json.dumps({"version": 1} | plain(value), indent=1, ensure_ascii=False) + "\n").encode()
