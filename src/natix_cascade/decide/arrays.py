"""Array types of this room, and the checks that its public functions share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from natix_cascade.errors import CascadeError

__all__ = ["EPS", "Bools", "Floats", "Ints", "binary", "expect_shape", "labelled", "masses", "vector"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]

EPS = 1e-6
"""Probabilities are kept this far from 0 and 1, so that log-odds stay within 13.9."""


def expect_shape(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise CascadeError unless an array has the shape that its neighbours ask for."""
    if found != wanted:
        raise CascadeError(f"{name} has shape {found}, but {wanted} is needed; give one entry per picture (and member)")


def vector(name: str, values: ArrayLike) -> Floats:
    """Return `values` as float64 of shape (n,), or raise CascadeError."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise CascadeError(f"{name} has {array.ndim} axes, but one is needed: shape (n,)")
    return array


def binary(name: str, values: ArrayLike, n: int | None = None) -> Bools:
    """Return `values`, all 0 or 1, as bool of shape (n,), or raise CascadeError."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise CascadeError(f"{name} has {array.ndim} axes, but one is needed: shape (n,)")
    if n is not None:
        expect_shape(name, array.shape, (n,))
    if array.dtype == np.bool_:
        return array
    if not ((array == 0) | (array == 1)).all():
        raise CascadeError(f"{name} must be 0 or 1 (or False and True); leave out rows without a label (NaN)")
    ones: Bools = array == 1
    return ones


def masses(weights: ArrayLike | None, n: int) -> Floats:
    """Return one non-negative, finite weight per row (1 where none are given), or raise CascadeError."""
    if weights is None:
        return np.ones(n)
    array = vector("weights", weights)
    expect_shape("weights", array.shape, (n,))
    if not (np.isfinite(array) & (array >= 0)).all():
        raise CascadeError("weights must be finite and not negative; give 0 to leave a row out")
    return array


def labelled(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Bools, Floats]:
    """Check the data of a fit and drop what does not count: rows without a score (NaN) or with weight 0.

    Parameters
    ----------
    scores : (n,) array of float
        Probabilities as the model gave them; NaN where it gave none.
    labels : (n,) array of 0 and 1
        The truth.
    weights : (n,) array of float or None
        What each row counts.

    Returns
    -------
    scores, labels, weights : (k,) arrays
        With k <= n.

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a score lies outside [0, 1], or only one class is left.
    """
    x = vector("scores", scores)
    y = binary("labels", labels, len(x))
    w = masses(weights, len(x))
    kept = ~np.isnan(x) & (w > 0)
    x, y, w = x[kept], y[kept], w[kept]
    if ((x < 0) | (x > 1)).any():
        raise CascadeError("scores must be probabilities in [0, 1]; turn logits into probabilities first (sigmoid)")
    yes = int(y.sum())
    if yes in {0, len(y)}:
        raise CascadeError(
            f"a fit needs scored rows of both classes; there are {yes} with label 1 and {len(y) - yes} with label 0"
        )
    return x, y, w
