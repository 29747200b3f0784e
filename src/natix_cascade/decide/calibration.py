"""Scores into probabilities: what each calibrator computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import EPS, Floats, expect_shape, vector
from natix_cascade.errors import SpecError
from natix_cascade.spec.rules import Binning, Calibrator, Isotonic, Platt, Temperature

__all__ = ["calibrate", "calibrate_columns", "clip", "log_odds", "logit", "sigmoid"]

_LARGEST_EXPONENT = 700.0  # exp(710) overflows
_NARROWEST = 1e-300  # 1 / 1e-309 overflows


def clip(p: ArrayLike) -> Floats:
    """Return probabilities kept within [EPS, 1 - EPS]; any shape, NaN stays NaN."""
    return np.minimum(np.maximum(np.asarray(p, dtype=np.float64), EPS), 1.0 - EPS)


def logit(p: ArrayLike) -> Floats:
    """Log-odds of probabilities.

    Parameters
    ----------
    p : array of float, any shape
        Probabilities; clipped to [EPS, 1 - EPS] first, NaN stays NaN.

    Returns
    -------
    array of float, the same shape
        Natural log of ``p / (1 - p)``, within 13.9 of 0.
    """
    return log_odds(clip(p))


def log_odds(p: Floats) -> Floats:
    """Log-odds of probabilities that are clipped already; see `logit`."""
    result: Floats = np.log(p / (1.0 - p))
    return result


def sigmoid(x: ArrayLike) -> Floats:
    """Probability of log-odds, without overflow at either end.

    Parameters
    ----------
    x : array of float, any shape
        Log-odds; NaN stays NaN.

    Returns
    -------
    array of float, the same shape
        ``1 / (1 + exp(-x))``; below x = -700 it stays at about 1e-304.
    """
    power = np.exp(np.minimum(np.negative(x), _LARGEST_EXPONENT))
    result: Floats = 1.0 / (1.0 + power)
    return result


def calibrate(calibrator: Calibrator, scores: ArrayLike) -> Floats:
    """Turn one model's scores into probabilities.

    Parameters
    ----------
    calibrator : Identity, Temperature, Platt, Isotonic or Binning
        What to do; see the class for its paper.
    scores : (n,) array of float
        Scores as the model gave them, in [0, 1]; NaN means that it gave none.

    Returns
    -------
    (n,) array of float
        Probabilities in [EPS, 1 - EPS], non-decreasing in the score; NaN where the score is NaN.

    Raises
    ------
    CascadeError
        `scores` is not of shape (n,), or the calibrator's table is not in order.
    """
    return calibrate_columns((calibrator,), vector("scores", scores)[:, None])[:, 0]


def calibrate_columns(calibrators: Sequence[Calibrator], scores: Floats) -> Floats:
    """Turn the scores of several models into probabilities, all straight lines on log-odds in one go.

    Parameters
    ----------
    calibrators : sequence of k calibrators
        One per column.
    scores : (n, k) array of float
        Scores in [0, 1], or NaN.

    Returns
    -------
    (n, k) array of float
        Probabilities in [EPS, 1 - EPS], or NaN. Always a new array.

    Raises
    ------
    CascadeError
        The number of columns and of calibrators differ, or a calibrator's table is not in order.
    """
    expect_shape("scores", scores.shape[1:], (len(calibrators),))
    result = clip(scores)
    lines = [column for column, each in enumerate(calibrators) if isinstance(each, Temperature | Platt)]
    if lines:
        slope, shift = np.array([_line(calibrators[column]) for column in lines]).T
        if len(lines) == len(calibrators):
            return clip(sigmoid(log_odds(result) * slope + shift))
        result[:, lines] = sigmoid(log_odds(np.take(result, lines, axis=1)) * slope + shift)
    tables = [column for column, each in enumerate(calibrators) if isinstance(each, Isotonic | Binning)]
    if tables:
        bounded = np.minimum(np.maximum(scores, 0.0), 1.0)
        for column in tables:
            result[:, column] = _looked_up(calibrators[column], bounded[:, column])
    return clip(result)


def _line(calibrator: Calibrator) -> tuple[float, float]:
    if isinstance(calibrator, Platt):
        return calibrator.slope, calibrator.intercept
    if isinstance(calibrator, Temperature):
        return 1.0 / calibrator.temperature, 0.0
    return 1.0, 0.0


def _looked_up(calibrator: Calibrator, scores: Floats) -> Floats:
    if isinstance(calibrator, Isotonic):
        xs, pieces = _knots(calibrator)
        begin, low, slope, high = pieces.take(xs.searchsorted(scores, "right"), axis=1)
        values: Floats = np.minimum((scores - begin) * slope + low, high)
        return values
    if isinstance(calibrator, Binning):
        edges, ys = _bins(calibrator)
        return np.where(np.isnan(scores), np.nan, ys.take(edges.searchsorted(scores, "right")))
    return scores


@lru_cache(maxsize=256)
def _knots(calibrator: Isotonic) -> tuple[Floats, Floats]:
    """Return the knots (k,) and a table (4, k + 1) of the pieces that they bound; the outer two are flat.

    Of each piece: where it begins, its value there, its slope, its highest value.
    """
    xs, ys = np.array(calibrator.scores), np.array(calibrator.probabilities)
    if len(xs) != len(ys) or not len(xs):
        raise SpecError(f"isotonic calibrator: {len(xs)} scores but {len(ys)} probabilities; give one of each per knot")
    if not ((np.diff(xs) > 0).all() and (np.diff(ys) >= 0).all()):
        raise SpecError("isotonic calibrator: scores must increase from knot to knot and probabilities must not fall")
    widths = np.maximum(np.diff(xs), _NARROWEST)  # between two knots this close, the value at the right one bounds it
    begin = np.concatenate([xs[:1], xs])
    low, high = np.concatenate([ys[:1], ys]), np.append(ys, ys[-1])
    slope = np.concatenate([[0.0], np.diff(ys) / widths, [0.0]])
    return xs, np.stack([begin, low, slope, high])


@lru_cache(maxsize=256)
def _bins(calibrator: Binning) -> tuple[Floats, Floats]:
    """Return the inner borders (b - 1,) and the probabilities (b,)."""
    edges, ys = np.array(calibrator.edges, dtype=np.float64), np.array(calibrator.probabilities)
    if len(edges) + 1 != len(ys):
        raise SpecError(
            f"binning calibrator: {len(edges)} inner borders make {len(edges) + 1} bins, but there are "
            f"{len(ys)} probabilities; give one per bin"
        )
    if not ((np.diff(edges) > 0).all() and (np.diff(ys) >= 0).all()):
        raise SpecError("binning calibrator: borders must increase from bin to bin and probabilities must not fall")
    return edges, ys
