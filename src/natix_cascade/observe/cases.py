"""Verdicts beside their pictures and the truth: from results, a state folder and a manifest to cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ManifestError
from natix_cascade.observe.results_file import Answered, answers
from natix_cascade.observe.state import Stored, is_state, stored_verdicts
from natix_cascade.report.manifest import Row, read_manifest
from natix_cascade.spec.cascade import Question

__all__ = ["Album", "Case", "Counted", "cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A verdict, its picture and what is true.

    Attributes
    ----------
    verdict : Verdict
        What the cascade said.
    picture : Path
        The file, absolute.
    name : str
        The picture, as the results call it.
    truth : bool or None
        None: nobody said.
    group, split : str
        Of the manifest; empty where it is not known.
    verdict_id : str or None
        Of a service's verdict.
    created : str or None
        When a service gave it: UTC, ISO 8601.
    place : tuple of float or None
        Latitude and longitude in degrees, where known.
    """

    verdict: Verdict
    picture: Path
    name: str
    truth: bool | None = None
    group: str = ""
    split: str = ""
    verdict_id: str | None = None
    created: str | None = None
    place: tuple[float, float] | None = None


@dataclass(slots=True)
class Counted:
    """What was met on the way: lines read, pictures not found (with the first names), lines that hold an error."""

    read: int = 0
    missing: int = 0
    errors: int = 0
    missing_names: list[str] = field(default_factory=list)

    MOST_NAMED = 5

    def miss(self, name: str) -> None:
        """A picture is not there."""
        self.missing += 1
        if len(self.missing_names) < self.MOST_NAMED:
            self.missing_names.append(name)


class Album:
    """Where pictures lie and what they show.

    Parameters
    ----------
    folders : sequence of Path
        Names are relative to the first of these in which there is such a file.
    labels : Path or None
        A manifest of the truth.
    question : Question
        Whose words the manifest may use.

    Raises
    ------
    ManifestError
        The manifest cannot be read.
    """

    def __init__(self, folders: Sequence[Path], labels: Path | None = None, question: Question | None = None) -> None:
        rows = read_manifest(labels, question=question) if labels is not None else []
        self._folders = [folder.absolute() for folder in folders]
        self._by_file: dict[Path, Row] = {row.path.resolve(): row for row in rows}
        self._by_name: dict[str, Row] = {row.name: row for row in rows}

    def picture(self, name: str) -> Path | None:
        """The file of a name; None: there is none in any folder."""
        for folder in self._folders:
            path = folder / name  # an absolute name stays what it is
            if path.is_file():
                return path
        row = self._by_name.get(name)
        return row.path if row is not None and row.path.is_file() else None

    def row(self, name: str, picture: Path) -> Row | None:
        """What the manifest says of a picture: by its file, else by its name."""
        return self._by_file.get(picture.resolve()) or self._by_name.get(name)


def cases(results: Path, album: Album, counted: Counted) -> Iterator[Case]:
    """Every verdict whose picture is there.

    Parameters
    ----------
    results : Path
        A file of verdicts (`results_file.answers`) or a service's state folder.
    album : Album
        Pictures and truth; a manifest's word counts more than a service's feedback.
    counted : Counted
        Takes the counts.

    Raises
    ------
    ManifestError
        There are no such results, or they hold something else.
    StoreError
        The state folder cannot be read.
    """
    if results.is_dir() and not is_state(results):
        raise ManifestError(f"{results} is a folder without service.sqlite; give a service's state folder or a file")
    found = _of_state(stored_verdicts(results)) if results.is_dir() else _of_file(answers(results))
    for stored, answered in found:
        name = answered.name
        counted.read += 1
        if answered.verdict is None:
            counted.errors += 1
            continue
        kept = stored.picture.absolute() if stored is not None and stored.picture is not None else None
        picture = kept or album.picture(name)
        if picture is None:
            counted.miss(name)
            continue
        yield _case(picture, answered, answered.verdict, stored, album.row(name, picture))


_Found = Iterator[tuple[Stored | None, Answered]]


def _of_file(lines: Iterable[Answered]) -> _Found:
    for line in lines:
        yield None, line


def _of_state(rows: Iterable[Stored]) -> _Found:
    for row in rows:
        yield row, Answered(name=row.verdict.id, verdict=row.verdict, answer=row.answer)


def _case(picture: Path, answered: Answered, verdict: Verdict, stored: Stored | None, row: Row | None) -> Case:
    answer = answered.answer
    place = answer.get("place")
    said = stored.truth if stored is not None else answer.get("label")
    return Case(
        verdict=verdict,
        picture=picture,
        name=answered.name,
        truth=row.label if row is not None else said,
        group=row.group if row is not None else "",
        split=row.split if row is not None else "",
        verdict_id=answer.get("verdict_id"),
        created=answer.get("created"),
        place=None if place is None else (float(place["lat"]), float(place["lon"])),
    )
