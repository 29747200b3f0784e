"""Feedback as a manifest: labelled pictures that evaluation, planning and training read."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole
from natix_cascade.serve.store import Store

__all__ = ["Exported", "export_feedback"]

_COLUMNS = ("path", "label", "group", "split", "source", "verdict_id", "was_right", "note")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    rows, wrong : int
        Labelled pictures, and those whose verdict was wrong.
    without_picture : int
        Feedback that came without its picture, and is of no use to training.
    """

    rows: int
    wrong: int
    without_picture: int


def export_feedback(state: Path, out: Path, *, wrong_only: bool = False) -> Exported:
    """Write a manifest of the pictures that were kept with their truth.

    The latest word on a picture counts. A picture's group is its own digest: nothing is known of places and drives, so
    give `group` by hand where many pictures come from one street.

    Parameters
    ----------
    state : Path
        Folder of the service's state.
    out : Path
        A CSV; its paths are absolute.
    wrong_only : bool
        Leave out what the cascade knew.

    Raises
    ------
    CascadeError
        There is no store.
    """
    if not (state / "service.sqlite").is_file():
        raise CascadeError(f"no store in {state}; give the --state folder of `natix-cascade serve`")
    store = Store(state)
    try:
        feedback = store.all_feedback()
    finally:
        store.close()
    latest = {row.picture: row for row in feedback if row.picture is not None}
    chosen = [row for row in latest.values() if not (wrong_only and row.was_right)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in chosen:
        path = (state / (row.picture or "")).resolve()
        label, right = int(row.label), int(row.was_right)
        writer.writerow([path, label, path.stem, "", "feedback", row.verdict_id, right, row.note or ""])
    write_whole(out, text.getvalue().encode())
    wrong = sum(not row.was_right for row in chosen)
    return Exported(len(chosen), wrong, sum(row.picture is None for row in feedback))
