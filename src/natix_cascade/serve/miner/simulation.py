"""What a miner would earn on labelled pictures: every variant is judged once, then many runs are played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import accuracy, mcc, positive, replay
from natix_cascade.errors import CascadeError, ManifestError
from natix_cascade.image import Level
from natix_cascade.report.manifest import Row
from natix_cascade.report.records import Failure, collect
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.serve.miner.rewards import MCC_WINDOW, Answered, average_at_end, draw_places, play
from natix_cascade.serve.miner.simulated import Figure, LevelFigures, Plays, Simulation

__all__ = ["answer_all", "simulate"]

Floats = NDArray[np.float64]
LEVELS = tuple(level.value for level in Level)
SYNTHETIC = (
    "about half of the subnet's challenges are synthetic pictures (text-to-image and image-to-image); none are in this "
    "simulation, so a miner's real reward will differ"
)


def simulate(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    plays: Plays | None = None,
    *,
    on_judged: Callable[[int, int], None] | None = None,
    on_played: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Play the subnet's challenges over labelled pictures.

    Parameters
    ----------
    loaded : LoadedCascade
        Who answers.
    rows : sequence of Row
        Labelled pictures, see `natix_cascade.report.manifest.read_manifest`.
    plays : Plays, optional
        How.
    on_judged, on_played : callable, optional
        Called with the number of pictures (of runs) that are done, and of all.

    Returns
    -------
    Simulation

    Raises
    ------
    CascadeError
        There are no rows, one of the labels is missing, or a model cannot be loaded.
    """
    plays = plays or Plays()
    answered, failures, silent = answer_all(loaded, rows, plays, on_progress=on_judged)
    rng = np.random.default_rng(plays.seed)
    everywhere = np.ones(answered.groups, dtype=np.int64)

    def played(first: int) -> Callable[[int], None]:
        return lambda run: None if on_played is None else on_played(first + run, 2 * plays.runs)

    here = _runs(answered, plays, lambda: everywhere, rng, played(0))
    elsewhere = _runs(answered, plays, lambda: draw_places(answered, rng), rng, played(plays.runs))
    chances = answered.chances(everywhere)
    labels = answered.label[np.unique(answered.row, return_index=True)[1]]
    names = [level.name for level in loaded.resolved.levels]
    shares = np.bincount(answered.exit, chances, minlength=len(names))
    notes = [SYNTHETIC]
    if failures:
        notes.append(f"{len(failures)} pictures could not be decoded and are left out")
    if silent:
        notes.append(f"no model answered {silent} of {len(answered.yes)} variants; they count as 'no'")
    return Simulation(
        cascade=loaded.resolved.name,
        policy=loaded.resolved.policy,
        plays=plays,
        pictures=len(labels),
        positives=int(labels.sum()),
        groups=answered.groups,
        reward=_figure(here.reward, elsewhere.reward),
        weight=_figure(here.weight, elsewhere.weight),
        mcc=Figure(mcc(answered.label, answered.yes, chances), *_interval(elsewhere.mcc)),
        accuracy=Figure(accuracy(answered.label, answered.yes, chances), *_interval(elsewhere.accuracy)),
        levels=tuple(
            _level(answered, level, chances, here.by_level[:, k], elsewhere.by_level[:, k])
            for k, level in enumerate(LEVELS)
        ),
        exits={name: float(share) for name, share in zip(names, shares, strict=True)},
        failures=tuple(failures),
        notes=tuple(notes),
    )


def answer_all(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    plays: Plays,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Answered, list[Failure], int]:
    """Judge every picture at every level once.

    Returns
    -------
    answered : Answered
        What the cascade says of each variant, as the runner would say it.
    failures : list of Failure
        Pictures that could not be decoded.
    silent : int
        Variants about which no model said anything; a miner answers 'no'.

    Raises
    ------
    CascadeError
        There are no rows, or none could be decoded.
    """
    if not rows:
        raise ManifestError("there are no pictures to play with; give at least one of each label")
    records = collect(
        loaded,
        rows,
        levels=tuple(Level),
        repetitions=plays.repetitions,
        seed=plays.seed,
        flips=plays.flips,
        clean=False,
        on_progress=on_progress,
    )
    if not len(records.row):
        raise CascadeError(f"none of the {len(rows)} pictures could be judged; the first: {records.failures[0].error}")
    progress = replay(loaded.resolved, records.scores, np.isnan(records.scores))
    silent = np.isnan(progress.probability)
    of = [records.rows[index] for index in records.row]
    answered = Answered.of(
        np.array([row.label for row in of], dtype=np.bool_),
        positive(loaded.resolved, progress) & ~silent,
        row=records.row,
        level=records.level,
        group=np.array([row.group for row in of], dtype=np.str_),
        exit_level=np.maximum(progress.exit_level, 0).astype(np.int64),
    )
    return answered, records.failures, int(silent.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Played:
    """Figures of R runs."""

    reward: Floats  # (R,)
    weight: Floats  # (R,)
    mcc: Floats  # (R,) expected on the places of the run
    accuracy: Floats  # (R,)
    by_level: Floats  # (R, 4) reward if all challenges were of the level


def _runs(
    answered: Answered,
    plays: Plays,
    places: Callable[[], NDArray[np.int64]],
    rng: np.random.Generator,
    on_played: Callable[[int], None],
) -> _Played:
    reward, weight, found, right = (np.empty(plays.runs) for _ in range(4))
    by_level = np.empty((plays.runs, len(LEVELS)))
    for run in range(plays.runs):
        times = places()
        chances = answered.chances(times)
        _, rewards = play(answered, chances, plays.challenges, rng)
        reward[run] = rewards[MCC_WINDOW:].mean()
        weight[run] = average_at_end(rewards)
        found[run] = mcc(answered.label, answered.yes, chances)
        right[run] = accuracy(answered.label, answered.yes, chances)
        for k, level in enumerate(LEVELS):
            _, alone = play(answered, answered.chances(times, level), plays.challenges, rng)
            by_level[run, k] = alone[MCC_WINDOW:].mean()
        on_played(run + 1)
    return _Played(reward, weight, found, right, by_level)


def _level(answered: Answered, level: str, chances: Floats, here: Floats, elsewhere: Floats) -> LevelFigures:
    alone = np.where(answered.level == level, chances, 0.0)
    return LevelFigures(
        level=level,
        share=float(alone.sum()),
        reward=_figure(here, elsewhere),
        mcc=mcc(answered.label, answered.yes, alone),
        accuracy=accuracy(answered.label, answered.yes, alone),
    )


def _figure(here: Floats, elsewhere: Floats) -> Figure:
    return Figure(float(here.mean()), *_interval(elsewhere))


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high
