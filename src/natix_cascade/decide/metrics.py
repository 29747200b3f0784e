"""How good answers and probabilities are, and how sure one can be of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from natix_cascade.decide.arrays import Floats, binary, expect_shape, labelled
from natix_cascade.errors import CascadeError

__all__ = [
    "Confusion",
    "accuracy",
    "best_threshold",
    "bootstrap_by_group",
    "confusion",
    "mcc",
    "reward",
    "rolling_reward",
]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts (or weights) of right and wrong answers."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float


def confusion(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> Confusion:
    """Count right and wrong answers.

    Parameters
    ----------
    labels, predictions : (n,) arrays of bool, or of 0 and 1
        The truth and the answers.
    weights : (n,) array, optional
        What each row counts.

    Returns
    -------
    Confusion

    Raises
    ------
    CascadeError
        Shapes differ, or an entry is not 0 or 1.
    """
    truth = binary("labels", labels)
    answer = binary("predictions", predictions, len(truth))
    if weights is not None:
        weights = np.asarray(weights)
        expect_shape("weights", weights.shape, truth.shape)
    cell = truth.view(np.int8) * np.int8(2) + answer.view(np.int8)
    tn, fp, fn, tp = np.bincount(cell, weights, minlength=4).tolist()
    return Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)


def mcc(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Matthews correlation coefficient, in [-1, 1]; 0 where it is undefined (one class among labels or answers).

    Parameters and errors as for `confusion`. Matthews, Biochimica et Biophysica Acta 405 (1975).
    """
    c = confusion(labels, predictions, weights)
    cells = np.array([[c.true_positive], [c.false_positive], [c.false_negative], [c.true_negative]], dtype=np.float64)
    return float(_mcc(*cells)[0])


def accuracy(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of right answers, in [0, 1]; parameters and errors as for `confusion`, and CascadeError without rows."""
    c = confusion(labels, predictions, weights)
    total = c.true_positive + c.false_positive + c.false_negative + c.true_negative
    if not total:
        raise CascadeError("accuracy needs at least one row with a weight")
    return (c.true_positive + c.true_negative) / total


def reward(mcc: float, accuracy: float) -> float:
    """Reward of Subnet 72 for a valid miner: ``((max(mcc, 0) + accuracy) / 2) ** 3``, in [0, 1]."""
    return float(((max(mcc, 0.0) + accuracy) / 2.0) ** 3)


def rolling_reward(
    labels: ArrayLike, predictions: ArrayLike, *, mcc_window: int = 100, accuracy_window: int = 10
) -> Floats:
    """Reward of Subnet 72 after each answer: MCC over the last 100 and accuracy over the last 10.

    Parameters
    ----------
    labels, predictions : (n,) arrays of bool, or of 0 and 1
        In the order in which they were given.
    mcc_window, accuracy_window : int
        How many answers count; at the beginning, as many as there are.

    Returns
    -------
    (n,) array of float

    Raises
    ------
    CascadeError
        Shapes differ, an entry is not 0 or 1, or a window is less than 1.
    """
    truth = binary("labels", labels)
    answer = binary("predictions", predictions, len(truth))
    if min(mcc_window, accuracy_window) < 1:
        raise CascadeError(f"windows are {mcc_window} and {accuracy_window}, but each must be at least 1")

    def over(hits: NDArray[np.bool_], window: int) -> Floats:
        total = np.concatenate([[0.0], np.cumsum(hits)])
        last = np.arange(1, len(hits) + 1)
        result: Floats = total[last] - total[np.maximum(last - window, 0)]
        return result

    cells = (truth & answer, ~truth & answer, truth & ~answer, ~truth & ~answer)
    correlation = _mcc(*(over(cell, mcc_window) for cell in cells))
    right = over(truth == answer, accuracy_window) / np.minimum(np.arange(1, len(truth) + 1), accuracy_window)
    return ((np.maximum(correlation, 0.0) + right) / 2.0) ** 3


def bootstrap_by_group(
    statistic: Callable[..., float],
    groups: ArrayLike,
    *arrays: ArrayLike,
    repetitions: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic when rows of one group belong together (cluster bootstrap).

    Whole groups are drawn with replacement; a row's weight is how often its group was drawn (Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8).

    Parameters
    ----------
    statistic : callable
        Called as ``statistic(*arrays, weights=w)`` with w of shape (n,), as `mcc` and `accuracy` are.
    groups : (n,) array
        Which group (place, drive, source picture) each row belongs to.
    *arrays : (n,) arrays
        Passed on to `statistic`.
    repetitions : int
        How many draws.
    seed : int
        The same seed gives the same interval.
    level : float
        Share of the draws that the interval holds, in (0, 1).

    Returns
    -------
    low, high : float

    Raises
    ------
    CascadeError
        There are no rows, lengths differ, `repetitions` is less than 1 or `level` is outside (0, 1).
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if not len(names) or repetitions < 1 or not 0 < level < 1:
        raise CascadeError(
            f"a bootstrap needs rows, repetitions >= 1 and a level in (0, 1); got {len(names)} groups, "
            f"{repetitions} repetitions and level {level}"
        )
    columns = [np.asarray(array) for array in arrays]
    for column in columns:
        expect_shape("array", column.shape[:1], member.shape)
    draw = np.random.default_rng(seed)
    values = np.empty(repetitions)
    for repetition in range(repetitions):
        times = np.bincount(draw.integers(len(names), size=len(names)), minlength=len(names))
        values[repetition] = statistic(*columns, weights=times[member])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def best_threshold(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Find where yes should begin (``p >= threshold``) for the highest MCC.

    Parameters
    ----------
    probabilities : (n,) array of float
        In [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float, optional
        What each row counts.

    Returns
    -------
    float
        In (0, 1): the middle of the widest stretch of thresholds that reach the highest MCC, which is the one least
        moved by a few other pictures.

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a value is no probability, or only one class is there.
    """
    p, y, w = labelled(probabilities, labels, weights)
    distinct, where = np.unique(p, return_inverse=True)
    yes, no = np.bincount(where, w * y), np.bincount(where, w * ~y)
    # stretch k, from the k-th border to the next: everything below the k-th distinct value is called no
    fn, tn = np.concatenate([[0.0], np.cumsum(yes)]), np.concatenate([[0.0], np.cumsum(no)])
    score = _mcc(fn[-1] - fn, tn[-1] - tn, fn, tn)
    borders = np.concatenate([[0.0], distinct, [1.0]])
    score = np.where(np.diff(borders) > _ROUNDING, score, -np.inf)  # no threshold lies between equal values
    best = score >= score.max() - _ROUNDING
    edges = np.flatnonzero(np.diff(np.concatenate([[False], best, [False]]).astype(np.int8)))
    low, high = borders[edges[::2]], borders[edges[1::2]]
    widest = int(np.argmax(high - low))
    return float((low[widest] + high[widest]) / 2.0)


def _mcc(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
    """MCC of counts of any one shape; 0 where it is undefined."""
    spread = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    product = tp * tn - fp * fn
    return np.where(spread > 0, product / np.where(spread > 0, spread, 1.0), 0.0)
