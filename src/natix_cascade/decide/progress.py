"""A cascade as a state machine on arrays: the same steps for one picture and for 100,000 records.

The runner and the planner go through the same four calls::

    progress = start(cascade, n)
    for turn in rounds(cascade):
        ask = wanted(cascade, progress, turn)              # who is to be asked, per picture
        advance(cascade, progress, turn, scores, failed)   # what they said

`stop` ends what is still open when time runs out; `natix_cascade.decide.advance` holds the step itself, and
`natix_cascade.decide.outcome` reads the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from natix_cascade.decide.arrays import Bools, Floats, Ints, expect_shape
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["Progress", "Round", "rounds", "start", "stop", "wanted"]


@dataclass(frozen=True, slots=True)
class Round:
    """Members that are asked at the same time.

    Attributes
    ----------
    level : int
        Index of their level.
    first, last : int
        Their columns: ``first`` up to, not including, ``last``; the same when nobody is asked (a pure consensus).
    """

    level: int
    first: int
    last: int


@dataclass(slots=True, eq=False)
class Progress:
    """Where each of n pictures stands in a cascade of M members; `advance` and `stop` write to these arrays.

    Attributes
    ----------
    opinions : (n, M) array of float
        Calibrated probabilities; NaN until answered.
    asked, failed : (n, M) array of bool
        Who was asked, and who of those failed.
    probability : (n,) array of float
        The latest vote; NaN until there is one.
    consensus : (n,) array of float
        Weighted share of that vote's opinions that are on its side; NaN until there is a vote.
    exit_level : (n,) array of int
        The level at which a picture ended; -1 while it is open.
    exit_side : (n,) array of int8
        1 or -1: an exit rule let it out with yes or no. 0: the last level, a failure or the deadline ended it.
    reached : (n,) array of int
        How many levels were executed.
    degraded : (n,) array of bool
        A required member failed, or the picture was stopped.
    """

    opinions: Floats
    asked: Bools
    failed: Bools
    probability: Floats
    consensus: Floats
    exit_level: Ints
    exit_side: NDArray[np.int8]
    reached: Ints
    degraded: Bools


def rounds(cascade: ResolvedCascade) -> tuple[Round, ...]:
    """Return the cascade's rounds in order.

    A level is one round, but ``until-agreement`` is one round per member, and a level without members is a round in
    which nobody is asked.
    """
    result: list[Round] = []
    column = 0
    for level in cascade.levels:
        end = column + len(level.members)
        if level.mode == "until-agreement" and level.members:
            result += [Round(level.index, first, first + 1) for first in range(column, end)]
        else:
            result.append(Round(level.index, column, end))
        column = end
    return tuple(result)


def start(cascade: ResolvedCascade, n: int) -> Progress:
    """Return the progress of n pictures before the first round."""
    width = sum(len(level.members) for level in cascade.levels)
    return Progress(
        opinions=np.full((n, width), np.nan),
        asked=np.zeros((n, width), dtype=np.bool_),
        failed=np.zeros((n, width), dtype=np.bool_),
        probability=np.full(n, np.nan),
        consensus=np.full(n, np.nan),
        exit_level=np.full(n, -1, dtype=np.int64),
        exit_side=np.zeros(n, dtype=np.int8),
        reached=np.zeros(n, dtype=np.int64),
        degraded=np.zeros(n, dtype=np.bool_),
    )


def wanted(cascade: ResolvedCascade, progress: Progress, turn: Round) -> Bools:
    """Say which of a round's members are to be asked, for each picture.

    Parameters
    ----------
    cascade : ResolvedCascade
        Levels, weights and bands.
    progress : Progress
        Of n pictures.
    turn : Round
        One of ``rounds(cascade)``, with k members.

    Returns
    -------
    (n, k) array of bool
        Nobody for a picture that has ended. In mode ``one``: the first member whose band [low, high) holds the
        probability so far (a band that ends at 1 includes it); without a probability, or where no band holds it,
        the member with the highest weight. Otherwise: every member of the round.
    """
    level = cascade.levels[turn.level]
    is_open = progress.exit_level < 0
    count = turn.last - turn.first
    if level.mode != "one" or not count:
        return np.repeat(is_open[:, None], count, axis=1)
    bands = [member.band or (np.inf, -np.inf) for member in level.members]
    lows = np.array([low for low, _ in bands])
    highs = np.array([high if high < 1 else np.inf for _, high in bands])
    heaviest = max(range(count), key=lambda index: level.members[index].weight)
    p = progress.probability[:, None]
    holds = (p >= lows) & (p < highs)
    picked = np.where(holds.any(axis=1), holds.argmax(axis=1), heaviest)
    result: Bools = (np.arange(count) == picked[:, None]) & is_open[:, None]
    return result


def stop(
    cascade: ResolvedCascade,  # noqa: ARG001 - called as advance is
    progress: Progress,
    mask: ArrayLike,
    *,
    degraded: bool = True,
) -> None:
    """End open pictures early, as at a deadline, with the verdict so far. Changes `progress` in place.

    Parameters
    ----------
    cascade : ResolvedCascade
        The cascade they are in.
    progress : Progress
        Of n pictures; written to.
    mask : (n,) array of bool
        Which to end; pictures that have ended already stay as they are. Level 0 is named as the exit level where no
        level was executed.
    degraded : bool
        Whether their verdicts are degraded; not where the caller wanted no more.

    Raises
    ------
    CascadeError
        `mask` is not of shape (n,).
    """
    chosen = np.asarray(mask, dtype=np.bool_)
    expect_shape("mask", chosen.shape, progress.exit_level.shape)
    chosen = chosen & (progress.exit_level < 0)
    progress.exit_level[chosen] = np.maximum(progress.reached[chosen] - 1, 0)
    progress.degraded[chosen] |= degraded
