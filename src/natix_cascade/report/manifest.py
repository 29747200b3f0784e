"""Manifests: CSV files that say which pictures show what."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from natix_cascade.errors import ManifestError
from natix_cascade.spec.cascade import Question

__all__ = ["Row", "read_manifest"]

_YES, _NO = frozenset(("1", "yes", "true")), frozenset(("0", "no", "false"))
_SOURCES = ("source_repo", "source")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled picture.

    Attributes
    ----------
    path : Path
        Absolute.
    label : bool
        The true answer to the question.
    group : str
        Pictures of one group (a place, a drive) are not independent; by default each is a group of its own.
    split : str
        Part of the data set; empty when the manifest does not say.
    quality : str
        How well the label is seen (A, S, B; N for none); empty when the manifest does not say.
    source : str
        Where the picture comes from; empty when the manifest does not say.
    name : str
        The path as the manifest writes it: it names the picture wherever the folder lies. Default: `path`.
    """

    path: Path
    label: bool
    group: str
    split: str = ""
    quality: str = ""
    source: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """Name of the picture in reports, and what its random numbers are drawn from."""
        return self.name or str(self.path)


def read_manifest(
    path: str | Path, *, root: str | Path | None = None, split: str | None = None, question: Question | None = None
) -> list[Row]:
    """Read a manifest.

    Parameters
    ----------
    path : str or Path
        CSV with a header: ``path`` and ``label`` (0/1, no/yes, false/true, or the question's two answers), and, if
        wanted, ``group``, ``split``, ``quality`` and ``source`` (or ``source_repo``). Other columns are ignored.
    root : str or Path, optional
        Folder that the pictures' paths are relative to; by default that of the manifest.
    split : str, optional
        Take the rows of this split only.
    question : Question, optional
        Whose answers are accepted as labels; by default roadwork or none.

    Returns
    -------
    list of Row
        In the order of the file.

    Raises
    ------
    ManifestError
        The file cannot be read or holds no rows, a column is missing, a label is none, or a picture is there twice
        with different labels; the text names file and line.
    """
    file = Path(path)
    asked = question or Question()
    folder = Path(root) if root is not None else file.parent
    seen: dict[Path, tuple[int, bool]] = {}
    rows: list[Row] = []
    splits: set[str] = set()
    for line, cells in _records(file):
        row = _row(f"{file}:{line}", cells, folder, asked)
        splits.add(row.split)
        if split is not None and row.split != split:
            continue
        before = seen.setdefault(row.path, (line, row.label))
        if before[1] != row.label:
            raise ManifestError(
                f"{file}:{line}: {row.name} is labelled otherwise in line {before[0]}; keep one of the two"
            )
        rows.append(row)
    if not splits:
        raise ManifestError(f"{file}:1: there are no rows below the header; add one per picture")
    if not rows:
        known = ", ".join(sorted(splits - {""})) or "none (there is no filled column 'split')"
        raise ManifestError(f"{file}: no row has the split {split!r}; splits here: {known}")
    return rows


def _records(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells, by lower-case column, of each row that is not blank."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in ("path", "label") if name not in header]
            if missing:
                found = ", ".join(name for name in header if name) or "none: the file is empty"
                raise ManifestError(
                    f"{file}:1: a manifest needs the columns path and label; missing: {', '.join(missing)}; "
                    f"columns here: {found}"
                )
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise ManifestError(
                        f"{file}:{reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                        "put text that holds commas in double quotes"
                    )
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except OSError as error:
        raise ManifestError(f"the manifest {file} cannot be read: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ManifestError(f"{file} is not a CSV file in UTF-8: {error}") from error


def _row(where: str, cells: dict[str, str], folder: Path, question: Question) -> Row:
    name = cells["path"]
    if not name:
        raise ManifestError(f"{where}: the path is empty; write the picture's file relative to {folder}")
    return Row(
        path=(folder / name).absolute(),
        label=_label(where, cells["label"], question),
        group=cells.get("group") or name,
        split=cells.get("split", ""),
        quality=cells.get("quality", ""),
        source=next((cells[column] for column in _SOURCES if cells.get(column)), ""),
        name=name,
    )


def _label(where: str, text: str, question: Question) -> bool:
    word = text.lower()
    if word in _YES or word == question.positive.lower():
        return True
    if word in _NO or word == question.negative.lower():
        return False
    raise ManifestError(
        f"{where}: the label is {text!r}; write 1 or 0, yes or no, {question.positive!r} or {question.negative!r}"
    )
