"""Exit rules: whether what was said so far is enough for a verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from natix_cascade.decide.arrays import Floats, Ints, expect_shape, vector
from natix_cascade.decide.calibration import logit
from natix_cascade.decide.vote import consensus
from natix_cascade.spec.rules import Agreement, ExitRule, Threshold, Window

__all__ = ["exits", "sides"]

_ROUNDING = 1e-12


def exits(
    rule: ExitRule | None, p: ArrayLike, opinions: ArrayLike, weights: ArrayLike, threshold: float
) -> NDArray[np.int8]:
    """Decide for each picture whether it leaves, and to which side.

    Parameters
    ----------
    rule : Threshold, Agreement, Window or None
        None never lets a picture out.
    p : (n,) array of float
        The vote's probability; NaN never exits.
    opinions : (n, m) array of float
        What each member said; NaN means absent. Only `Agreement` looks at them.
    weights : (m,) array of float
        Of the members' votes; who weighs nothing is not counted.
    threshold : float
        Where yes begins, for the vote and for each member.

    Returns
    -------
    (n,) array of int8
        1 exit with yes, -1 exit with no, 0 go on; non-decreasing in `p`. Where both sides of a rule hold, yes wins.

    Raises
    ------
    CascadeError
        The shapes do not fit.
    """
    p = vector("p", p)
    if not isinstance(rule, Agreement):
        return sides(rule, p, threshold)
    table: Floats = np.asarray(opinions, dtype=np.float64)
    expect_shape("opinions", table.shape[:1], p.shape)
    ratio = consensus(table, weights, p >= threshold, threshold)
    given = np.add.reduce(~np.isnan(table) & (np.asarray(weights) > 0), axis=1, dtype=np.int64)
    return sides(rule, p, threshold, ratio, given)


def sides(
    rule: ExitRule | None,
    p: Floats,
    threshold: float,
    ratio: Floats | None = None,
    given: Ints | None = None,
) -> NDArray[np.int8]:
    """Return what `exits` does; `Agreement` takes the consensus ratio (n,) and the number of opinions given (n,)."""
    if isinstance(rule, Threshold):
        yes = p >= (np.inf if rule.yes is None else rule.yes)
        no = p <= (-np.inf if rule.no is None else rule.no)
    elif isinstance(rule, Agreement) and ratio is not None and given is not None:
        agreed = (ratio >= rule.ratio - _ROUNDING) & (given >= rule.members)
        yes, no = agreed & (p >= threshold), agreed & (p < threshold)
    elif isinstance(rule, Window):
        distance = logit(p) - logit(threshold)
        yes, no = distance >= rule.half_width, distance <= -rule.half_width
    else:
        return np.zeros(len(p), dtype=np.int8)
    return yes.view(np.int8) - (no & ~yes).view(np.int8)
