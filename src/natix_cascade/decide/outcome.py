"""Reading the result of a cascade: yes or no, and how sure."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import EPS, Bools, Floats, expect_shape
from natix_cascade.decide.calibration import logit, sigmoid
from natix_cascade.decide.progress import Progress
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["confidence", "mapped_probability", "positive", "thresholds"]


def thresholds(cascade: ResolvedCascade, progress: Progress) -> Floats:
    """Return where yes begins for each picture: the threshold of the level at which it ended (or stands now).

    Parameters
    ----------
    cascade : ResolvedCascade
        The cascade.
    progress : Progress
        Of n pictures.

    Returns
    -------
    (n,) array of float
    """
    by_level = _by_level(tuple(level.threshold for level in cascade.levels))
    level = np.where(progress.exit_level < 0, np.maximum(progress.reached - 1, 0), progress.exit_level)
    chosen: Floats = by_level[level]
    return chosen


@lru_cache(maxsize=64)
def _by_level(thresholds: tuple[float, ...]) -> Floats:
    return np.array(thresholds)


def positive(cascade: ResolvedCascade, progress: Progress) -> Bools:
    """Return the answer for each picture.

    Parameters
    ----------
    cascade : ResolvedCascade
        The cascade.
    progress : Progress
        Of n pictures.

    Returns
    -------
    (n,) array of bool
        The side of the exit where an exit rule fired; elsewhere, whether the probability is at least the threshold of
        the level at which the picture ended. False where nobody answered (probability NaN).
    """
    by_threshold = progress.probability >= thresholds(cascade, progress)
    answer: Bools = np.where(progress.exit_side == 0, by_threshold, progress.exit_side > 0)
    return answer


def mapped_probability(p: ArrayLike, threshold: ArrayLike, positive: Bools | None = None) -> Floats:
    """Move the decision threshold to 0.5 for receivers that round: ``logit(q) = logit(p) - logit(threshold)``.

    Parameters
    ----------
    p : (n,) array of float
        Probabilities; NaN stays NaN.
    threshold : float or (n,) array of float
        Where yes begins.
    positive : (n,) array of bool, optional
        The answers, where they may differ from ``p >= threshold`` (an exit rule decided).

    Returns
    -------
    (n,) array of float
        Above 0.5 exactly where the answer is yes and below 0.5 where it is no, by at least EPS (so that it survives
        float32); never 0.5. Non-decreasing in `p` for one threshold.

    Raises
    ------
    CascadeError
        `positive` has another shape than `p`.
    """
    values = np.asarray(p, dtype=np.float64)
    border = np.asarray(threshold, dtype=np.float64)
    yes = values >= border if positive is None else positive
    expect_shape("positive", yes.shape, values.shape)
    moved = sigmoid(logit(values) - logit(border))
    return np.where(yes, np.maximum(moved, 0.5 + EPS), np.minimum(moved, 0.5 - EPS))


def confidence(q: ArrayLike) -> Floats:
    """Return how sure a probability is of its own side: ``max(q, 1 - q)``, at least 0.5; any shape, NaN stays NaN."""
    values = np.asarray(q, dtype=np.float64)
    return np.maximum(values, 1.0 - values)
