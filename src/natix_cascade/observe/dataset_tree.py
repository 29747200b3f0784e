"""Hard examples as a folder for each class, with a manifest: read by `evaluate`, by training, and by FiftyOne."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from natix_cascade.errors import ManifestError
from natix_cascade.files import write_whole

__all__ = ["MANIFEST", "UNLABELLED", "Example", "Exported", "check_place", "export_tree"]

MANIFEST = "manifest.csv"
UNLABELLED = "_unlabeled"
"""The folder of pictures whose truth is not known, as FiftyOne's ImageClassificationDirectoryTree calls it."""

_NAME_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A picture to hand out, what is true (None: not known), and the same in the question's words."""

    picture: Path
    sha256: str
    truth: bool | None
    word: str
    group: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written: the folder, pictures by class, those without a truth, and files that had gone by then."""

    folder: str
    classes: dict[str, int]
    unlabelled: int
    missing: int


def export_tree(folder: Path, examples: Iterable[Example], *, replace: bool = False) -> Exported:
    """Write the tree beside its place, then move it there: whoever looks finds all of it or nothing.

    Files are called by the beginning of their digest, so that no two collide and the same picture has the same name the
    next time. The manifest names pictures relative to itself; one without a truth is not in it.

    Parameters
    ----------
    folder : Path
        Must not be there yet.
    examples : iterable of Example
        What to write, each picture once.
    replace : bool
        A tree that this function wrote before may be replaced.

    Raises
    ------
    ManifestError
        The folder is there already, or cannot be written.
    """
    check_place(folder, replace=replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise ManifestError(f"no export into {folder}: {error.strerror or error}") from error
    try:
        exported = _write(made, folder, examples)
        made.chmod(0o755)
        _move(made, folder)
    except OSError as error:
        raise ManifestError(f"the export into {folder} failed: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return exported


def check_place(folder: Path, *, replace: bool = False) -> None:
    """Say before all work whether there is a place for the tree.

    Raises
    ------
    ManifestError
        The folder is there already.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not replace:
        raise ManifestError(f"the export folder {folder} is there already; give another, or --replace")
    if not (folder / MANIFEST).is_file():
        raise ManifestError(f"{folder} holds no {MANIFEST}, so it is no earlier export and stays; give another folder")


def _write(made: Path, folder: Path, examples: Iterable[Example]) -> Exported:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "label", "group", "split"))
    classes: dict[str, int] = {}
    unlabelled = missing = 0
    for example in examples:
        name = f"{_folder_of(example)}/{example.sha256[:_NAME_CHARS]}{example.picture.suffix.lower()}"
        if not example.picture.is_file():
            missing += 1
            continue
        (made / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(example.picture, made / name)
        if example.truth is None:
            unlabelled += 1
            continue
        classes[example.word] = classes.get(example.word, 0) + 1
        table.writerow((name, int(example.truth), example.group or example.sha256, example.split))
    write_whole(made / MANIFEST, text.getvalue().encode())
    return Exported(folder=str(folder), classes=classes, unlabelled=unlabelled, missing=missing)


def _folder_of(example: Example) -> str:
    return UNLABELLED if example.truth is None else example.word.replace("/", "_")


def _move(made: Path, folder: Path) -> None:
    """Put the new folder where the old one was; between the two moves there is none, never half of one."""
    old = Path(f"{made}.old")
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
