"""Calibrators from labelled scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import Bools, Floats, Ints, labelled
from natix_cascade.decide.calibration import logit, sigmoid
from natix_cascade.errors import CascadeError
from natix_cascade.spec.rules import Binning, Isotonic, Platt, Temperature

__all__ = ["fit_binning", "fit_isotonic", "fit_platt", "fit_temperature"]

_HOTTEST = 100.0  # temperatures stay in [1 / 100, 100], slopes in [1 / 100, inf)
_RIDGE = 1e-12
_STEPS = 100
_SMALLEST_STEP = 1e-10


def fit_temperature(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Temperature:
    """Fit the one number that log-odds are divided by: maximum likelihood (Guo et al., 2017, arXiv 1706.04599).

    Parameters
    ----------
    scores : (n,) array of float
        Probabilities as the model gave them, in [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float, optional
        What each row counts.

    Returns
    -------
    Temperature
        Between 0.01 (the scores separate the classes) and 100 (they say nothing, or the opposite).

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a score is no probability, or only one class is there.
    """
    p, y, w = labelled(scores, labels, weights)
    x = logit(p)
    weighted = w * x

    def rise(log_slope: float) -> float:
        return float((weighted * (sigmoid(np.exp(log_slope) * x) - y)).sum())

    widest = float(np.log(_HOTTEST))
    return Temperature(temperature=float(np.exp(-_root(rise, -widest, widest))))


def fit_platt(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Platt:
    """Fit slope and shift of the log-odds (Platt, 1999; Newton steps as in Lin, Lin and Weng, 2007).

    The targets are Platt's, ``(n1 + 1) / (n1 + 2)`` and ``1 / (n0 + 2)``, so that perfect data do not ask for an
    infinite slope.

    Parameters
    ----------
    scores : (n,) array of float
        Probabilities as the model gave them, in [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float, optional
        What each row counts.

    Returns
    -------
    Platt
        The slope is at least 0.01: a model whose scores point the wrong way is flattened, not turned round.

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a score is no probability, or only one class is there.
    """
    p, y, w = labelled(scores, labels, weights)
    x = logit(p)
    yes, no = float(w[y].sum()), float(w[~y].sum())
    target = np.where(y, (yes + 1.0) / (yes + 2.0), 1.0 / (no + 2.0))
    slope, shift = _newton(x, target, w)
    if slope < 1.0 / _HOTTEST:
        slope = 1.0 / _HOTTEST
        shift = _root(lambda b: float((w * (sigmoid(slope * x + b) - target)).sum()), -50.0, 50.0)
    return Platt(slope=slope, intercept=shift)


def fit_isotonic(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, min_block: float = 0.0
) -> Isotonic:
    """Fit the non-decreasing line of least squares by pooling neighbours (Zadrozny and Elkan, 2002; PAVA).

    Parameters
    ----------
    scores : (n,) array of float
        Probabilities as the model gave them, in [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float, optional
        What each row counts.
    min_block : float
        Blocks whose weight (without `weights`: number of pictures) is less are joined with their neighbour.

    Returns
    -------
    Isotonic
        Two knots per block, at its lowest and highest score; between blocks the line is straight.

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a score is no probability, or only one class is there.
    """
    p, y, w = labelled(scores, labels, weights)
    xs, means, mass = _by_score(p, y, w)
    starts = _large_enough(_pool(means, mass), mass, min_block)
    ends = np.append(starts[1:], len(xs)) - 1
    heights = _heights(starts, means, mass)
    knots = np.column_stack([xs[starts], xs[ends]]).ravel()
    levels = np.repeat(heights, 2)
    kept = np.append(True, np.diff(knots) > 0)
    return Isotonic(scores=tuple(knots[kept].tolist()), probabilities=tuple(levels[kept].tolist()))


def fit_binning(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, bins: int = 10) -> Binning:
    """Fit a constant per bin of equal mass; bins that are out of order are pooled (Zadrozny and Elkan, 2001).

    Parameters
    ----------
    scores : (n,) array of float
        Probabilities as the model gave them, in [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float, optional
        What each row counts.
    bins : int
        How many at most; equal scores always share a bin.

    Returns
    -------
    Binning

    Raises
    ------
    CascadeError
        `bins` is less than 1, shapes differ, a label is not 0 or 1, a score is no probability, or only one class is
        there.
    """
    if bins < 1:
        raise CascadeError(f"bins is {bins}, but at least 1 is needed")
    p, y, w = labelled(scores, labels, weights)
    xs, means, mass = _by_score(p, y, w)
    below = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
    wanted = below[-1] + mass[-1]
    borders = np.searchsorted(below, wanted * np.arange(1, bins) / bins, side="left")
    first = np.unique(np.concatenate([[0], borders[borders < len(xs)]]))
    heights, sizes = _means(first, means, mass), np.add.reduceat(mass, first)
    pooled = _pool(heights, sizes)
    return Binning(
        edges=tuple(xs[first[pooled[1:]]].tolist()),
        probabilities=tuple(_heights(pooled, heights, sizes).tolist()),
    )


def _root(rise: Callable[[float], float], low: float, high: float) -> float:
    """Halve [low, high] around the zero of a non-decreasing function; the nearer end when it has none inside."""
    for _ in range(60):
        middle = (low + high) / 2
        if rise(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _newton(x: Floats, target: Floats, w: Floats) -> tuple[float, float]:
    """Minimise the weighted cross-entropy of ``sigmoid(a x + b)`` by damped Newton steps; returns a, b."""

    def loss(a: float, b: float) -> float:
        z = a * x + b
        return float((w * (np.logaddexp(0.0, z) - target * z)).sum())

    a, b = 1.0, 0.0
    best = loss(a, b)
    for _ in range(_STEPS):
        q = sigmoid(a * x + b)
        slack, bend = w * (q - target), w * q * (1.0 - q)
        ga, gb = float((slack * x).sum()), float(slack.sum())
        haa, hab, hbb = float((bend * x * x).sum()) + _RIDGE, float((bend * x).sum()), float(bend.sum()) + _RIDGE
        scale = haa * hbb - hab * hab
        if scale <= 0 or max(abs(ga), abs(gb)) < 1e-10 * float(w.sum()):
            break
        da, db = (hbb * ga - hab * gb) / scale, (haa * gb - hab * ga) / scale
        step = 1.0
        while step > _SMALLEST_STEP and loss(a - step * da, b - step * db) >= best:
            step /= 2
        if step <= _SMALLEST_STEP:
            break
        a, b = a - step * da, b - step * db
        best = loss(a, b)
    return a, b


def _by_score(p: Floats, y: Bools, w: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores in order, the mean label at each, and its weight."""
    xs, where = np.unique(p, return_inverse=True)
    mass = np.bincount(where, w).astype(np.float64)
    return xs, np.bincount(where, w * y) / mass, mass


def _pool(values: Floats, mass: Floats) -> Ints:
    """Pool adjacent violators: the first index of each block of the non-decreasing least-squares fit, in O(n)."""
    starts: list[int] = []
    heights: list[float] = []
    sizes: list[float] = []
    for index, (value, size) in enumerate(zip(values.tolist(), mass.tolist(), strict=True)):
        start, height, weight = index, value, size
        while heights and heights[-1] >= height:
            total = sizes[-1] + weight
            height = (heights.pop() * sizes[-1] + height * weight) / total
            start, weight = starts.pop(), total
            sizes.pop()
        starts.append(start)
        heights.append(height)
        sizes.append(weight)
    return np.array(starts, dtype=np.int64)


def _large_enough(starts: Ints, mass: Floats, least: float) -> Ints:
    """Join blocks from the left until each weighs at least `least`; a light rest joins the last."""
    kept: list[int] = []
    weight = least
    for start, size in zip(starts.tolist(), np.add.reduceat(mass, starts).tolist(), strict=True):
        if weight >= least:
            kept.append(start)
            weight = 0.0
        weight += size
    if weight < least and len(kept) > 1:
        kept.pop()
    return np.array(kept, dtype=np.int64)


def _means(starts: Ints, values: Floats, mass: Floats) -> Floats:
    """Weighted mean of each block."""
    means: Floats = np.add.reduceat(values * mass, starts) / np.add.reduceat(mass, starts)
    return means


def _heights(starts: Ints, values: Floats, mass: Floats) -> Floats:
    """Weighted mean of each pooled block, with no fall and nothing above 1 left over from rounding."""
    return np.minimum(np.maximum.accumulate(_means(starts, values, mass)), 1.0)
