"""Where examples come from: a service's state folder, or a file of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from natix_cascade.observe.cases import Album
from natix_cascade.observe.phoenix.examples import Shown
from natix_cascade.observe.results_file import answers
from natix_cascade.observe.state import stored_verdicts

__all__ = ["of_results", "of_state"]


def of_state(folder: Path) -> Iterator[Shown]:
    """All verdicts that a service remembers, with feedback and kept pictures; it may be at work meanwhile.

    Raises
    ------
    StoreError
        There is no store, or it cannot be read.
    """
    for stored in stored_verdicts(folder):
        yield Shown(
            verdict=stored.verdict,
            name=stored.verdict.id,
            truth=stored.truth,
            note=stored.feedback[-1].note if stored.feedback else None,
            picture=stored.picture.absolute() if stored.picture is not None else None,
            verdict_id=stored.id,
        )


def of_results(path: Path, album: Album) -> Iterator[Shown]:
    """All verdicts of a file that `scan` wrote or `detect --json` printed; lines with errors are passed over.

    Parameters
    ----------
    path : Path
        The file.
    album : Album
        Where the pictures lie, and what they show.

    Raises
    ------
    ManifestError
        It cannot be read, or is no such file.
    """
    for line in answers(path):
        if line.verdict is None:
            continue
        picture = album.picture(line.name)
        row = album.row(line.name, picture or Path(line.name))
        yield Shown(
            verdict=line.verdict,
            name=line.name,
            truth=row.label if row is not None else line.answer.get("label"),
            picture=picture.absolute() if picture is not None else None,
            verdict_id=line.answer.get("verdict_id"),
        )
