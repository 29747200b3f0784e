"""How far probabilities can be taken at their word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import Floats, binary, masses, vector
from natix_cascade.errors import CascadeError

__all__ = ["Reliability", "expected_calibration_error", "reliability"]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """A reliability diagram of b bins of equal width.

    Attributes
    ----------
    probability : (b,) array of float
        Mean probability in each bin; NaN where it is empty.
    frequency : (b,) array of float
        Share of label 1 in each bin; NaN where it is empty.
    weight : (b,) array of float
        Number (or weight) of the rows in each bin.
    """

    probability: Floats
    frequency: Floats
    weight: Floats


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> Reliability:
    """Compare probabilities with frequencies, bin by bin (Murphy and Winkler, Applied Statistics 1977).

    Parameters
    ----------
    probabilities : (n,) array of float
        In [0, 1]; rows with NaN are left out.
    labels : (n,) array of 0 and 1
        The truth; one class is enough.
    bins : int
        Of equal width.
    weights : (n,) array of float, optional
        What each row counts.

    Returns
    -------
    Reliability

    Raises
    ------
    CascadeError
        Shapes differ, a label is not 0 or 1, a value is no probability, or `bins` is less than 1.
    """
    p = vector("probabilities", probabilities)
    y = binary("labels", labels, len(p))
    w = masses(weights, len(p))
    kept = ~np.isnan(p)
    p, y, w = p[kept], y[kept], w[kept]
    if bins < 1 or ((p < 0) | (p > 1)).any():
        raise CascadeError(f"reliability needs probabilities in [0, 1] and at least one bin; bins is {bins}")
    where = np.minimum((p * bins).astype(np.int64), bins - 1)
    mass: Floats = np.bincount(where, w, minlength=bins).astype(np.float64)
    divisor = np.where(mass > 0, mass, np.nan)
    return Reliability(
        probability=np.bincount(where, w * p, minlength=bins) / divisor,
        frequency=np.bincount(where, w * y, minlength=bins) / divisor,
        weight=mass,
    )


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> float:
    """Mean distance between probability and frequency over bins of equal width (Naeini et al., AAAI 2015).

    Parameters and errors as for `reliability`; in [0, 1], and CascadeError without rows.
    """
    diagram = reliability(probabilities, labels, bins, weights)
    total = float(diagram.weight.sum())
    if not total:
        raise CascadeError("the calibration error needs at least one row with a probability and a weight")
    gap = np.abs(diagram.probability - diagram.frequency)
    return float(np.where(diagram.weight > 0, gap * diagram.weight, 0.0).sum() / total)
