"""Evaluate a cascade on labelled pictures, under the challenges of Subnet 72."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from natix_cascade.errors import CascadeError, ManifestError
from natix_cascade.image import Level
from natix_cascade.report.manifest import Row
from natix_cascade.report.records import collect
from natix_cascade.report.results import (
    Evaluation,
    Settings,
)
from natix_cascade.report.study import Study
from natix_cascade.run.loaded import LoadedCascade

__all__ = ["evaluate"]


def evaluate(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    *,
    levels: Sequence[Level | str] = tuple(Level),
    repetitions: int = 1,
    seed: int = 0,
    flips: bool = False,
    bootstrap: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask all models about every picture at every level of difficulty, and work out what the cascade would answer.

    The same pictures, seeds and models give the same figures (times apart), whatever the order of the rows.

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade with its policy and models.
    rows : sequence of Row
        Labelled pictures, see `natix_cascade.report.manifest.read_manifest`.
    levels : sequence of Level or str
        Of difficulty, see `natix_cascade.image.challenge`; the picture as it is is always looked at too.
    repetitions : int
        Independent augmentations of each picture at L1 to L3.
    seed : int
        Of the augmentations and of the bootstrap.
    flips : bool
        Let the subnet's flips fire.
    bootstrap : int
        Draws of groups for each interval.
    on_progress : callable, optional
        Called with the number of pictures done and of all.

    Returns
    -------
    Evaluation

    Raises
    ------
    CascadeError
        There are no rows, an option is out of range, a model cannot be loaded, or no picture could be judged.
    """
    chosen = _levels(levels, repetitions, bootstrap)
    if not rows:
        raise ManifestError("there are no pictures to evaluate; give at least one row")
    settings = Settings(tuple(level.value for level in chosen), repetitions, seed, flips, bootstrap)
    records = collect(
        loaded, rows, levels=chosen, repetitions=repetitions, seed=seed, flips=flips, on_progress=on_progress
    )
    return Study(loaded.resolved, records, settings).evaluation()


def _levels(levels: Sequence[Level | str], repetitions: int, bootstrap: int) -> list[Level]:
    try:
        chosen = sorted({Level(level) for level in levels})
    except ValueError:
        raise CascadeError(f"levels are {', '.join(map(str, levels))}; choose among {', '.join(Level)}") from None
    if not chosen:
        raise CascadeError(f"no level was chosen; choose among {', '.join(Level)}")
    if repetitions < 1 or bootstrap < 1:
        raise CascadeError(f"repetitions is {repetitions} and bootstrap is {bootstrap}; each must be at least 1")
    return chosen
