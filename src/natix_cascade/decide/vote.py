"""Opinions into one probability, and how far they agree with it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import Bools, Floats, expect_shape
from natix_cascade.decide.calibration import clip, log_odds, sigmoid
from natix_cascade.errors import CascadeError

__all__ = ["Present", "VoteMethod", "consensus", "pooled", "present", "share", "vote"]

VoteMethod: TypeAlias = Literal["log_odds", "mean", "majority"]


def vote(method: VoteMethod, probabilities: ArrayLike, weights: ArrayLike, *, threshold: float = 0.5) -> Floats:
    """Combine the opinions on each picture; who is absent drops out and the rest share the weight.

    ``log_odds`` is the normalised weighted geometric mean of the odds (logarithmic opinion pool: Genest and Zidek,
    Statistical Science 1986): ``logit(p) = sum(w logit(p_i)) / sum(w)``.

    Parameters
    ----------
    method : {"log_odds", "mean", "majority"}
        Weighted mean of the log-odds, of the probabilities, or of the yes/no votes.
    probabilities : (n, m) array of float
        One column per member; NaN means absent.
    weights : (m,) array of float
        Not negative; a member with weight 0 counts as absent. Only their ratios matter.
    threshold : float
        For ``majority``: a member says yes at ``p >= threshold``.

    Returns
    -------
    (n,) array of float
        Between the lowest and the highest opinion (``majority``: the share that says yes, in [0, 1]); NaN where
        nobody with a weight is present.

    Raises
    ------
    CascadeError
        The method is unknown, the shapes do not fit, or a weight is negative or not finite.
    """
    p, w = _checked(probabilities, weights)
    return pooled(method, present(clip(p) if method == "log_odds" else p, w), threshold)


def consensus(probabilities: ArrayLike, weights: ArrayLike, winner: Bools, threshold: float = 0.5) -> Floats:
    """Weighted share of the opinions that are on the winning side: the consensus ratio.

    Parameters
    ----------
    probabilities : (n, m) array of float
        One column per member; NaN means absent.
    weights : (m,) array of float
        Not negative; a member with weight 0 counts as absent.
    winner : (n,) array of bool
        The side that won: True is yes.
    threshold : float
        A member is on the side of yes at ``p >= threshold``.

    Returns
    -------
    (n,) array of float
        In [0, 1], exactly 1 when all are on the winning side; NaN where nobody with a weight is present.

    Raises
    ------
    CascadeError
        The shapes do not fit, or a weight is negative or not finite.
    """
    opinions = present(*_checked(probabilities, weights))
    expect_shape("winner", winner.shape, opinions.total.shape)
    return share(opinions, winner, threshold)


class Present(NamedTuple):
    """Who takes part in a vote.

    Attributes
    ----------
    opinions : (n, m) array of float
        NaN where a member is absent or weighs nothing.
    weights : (n, m) array of float
        0 there.
    total : (n,) array of float
        Weight in each row; NaN where there is none.
    """

    opinions: Floats
    weights: Floats
    total: Floats


def present(p: Floats, w: Floats) -> Present:
    """Sort out who takes part: opinions (n, m) with NaN, weights (m,) not negative; nothing is checked."""
    if not w.all():
        p = np.where(w > 0, p, np.nan)
    # contiguous rows: every row is summed in the same order, alone or among 100,000
    p = np.ascontiguousarray(p)
    weights = np.where(np.isnan(p), 0.0, w)
    total = np.add.reduce(weights, axis=1)
    return Present(p, weights, np.where(total > 0, total, np.nan))


def pooled(method: VoteMethod, who: Present, threshold: float = 0.5) -> Floats:
    """Return what `vote` does; for ``log_odds`` the opinions are clipped already."""
    p, weights, total = who
    if method == "majority":
        yes: Floats = np.add.reduce((p >= threshold) * weights, axis=1) / total
        return yes
    filled = np.where(np.isnan(p), 0.5, p)
    if method == "log_odds":
        mean = sigmoid(np.add.reduce(log_odds(filled) * weights, axis=1) / total)
    elif method == "mean":
        mean = np.add.reduce(filled * weights, axis=1) / total
    else:
        raise CascadeError(f"vote method {method!r} is unknown; use 'log_odds', 'mean' or 'majority'")
    if not p.shape[1]:
        return mean
    # rounding must not carry a mean past its members: equal opinions give exactly that opinion
    return np.minimum(np.maximum(mean, np.fmin.reduce(p, axis=1)), np.fmax.reduce(p, axis=1))


def share(who: Present, winner: Bools, threshold: float) -> Floats:
    """Return what `consensus` does."""
    agreeing = (who.opinions >= threshold) == winner[:, None]
    result: Floats = np.add.reduce(agreeing * who.weights, axis=1) / who.total
    return result


def _checked(probabilities: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    p, w = np.asarray(probabilities, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if p.ndim != 2:  # noqa: PLR2004 - two axes: pictures and members
        raise CascadeError(f"probabilities has {p.ndim} axes, but two are needed: shape (n, m)")
    expect_shape("weights", w.shape, p.shape[1:])
    if not ((w >= 0) & (w < np.inf)).all():
        raise CascadeError("weights must be finite and not negative; give 0 to leave a member out")
    return p, w
