"""How far a judge's scores agree with what people said of the same verdicts. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import binary, expect_shape, vector
from natix_cascade.decide.metrics import accuracy, confusion
from natix_cascade.errors import CascadeError

__all__ = ["Agreement", "agreement", "auc", "kappa", "wilson"]

_Z95 = 1.959964
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge beside people; a score from 0.5 on counts as "the verdict is right".

    Attributes
    ----------
    n : int
        Verdicts that both have judged.
    abstained : int
        Verdicts that people have judged and the judge has not wanted to; they count in nothing else here.
    ratio, low, high : float or None
        Share of `n` on which they agree, and Wilson's interval of 95 % for it.
    kappa : float or None
        Agreement beyond chance; None where it is undefined.
    auc : float or None
        How likely a right verdict has a higher score than a wrong one; None without both.
    mean_right, mean_wrong : float or None
        Mean score of verdicts that people call right, and wrong.
    right : int
        How many of `n` people call right.
    """

    n: int
    abstained: int
    ratio: float | None
    low: float | None
    high: float | None
    kappa: float | None
    auc: float | None
    mean_right: float | None
    mean_wrong: float | None
    right: int


def agreement(scores: ArrayLike, right: ArrayLike) -> Agreement:
    """Compare a judge with people.

    Parameters
    ----------
    scores : (n,) array of float
        From 0 to 1; NaN where the judge abstained.
    right : (n,) array of bool
        Whether the verdict was right, as people say.

    Raises
    ------
    CascadeError
        Lengths differ, or an entry of `right` is not 0 or 1.
    """
    every = vector("scores", scores)
    truth = binary("right", right, len(every))
    told = ~np.isnan(every)
    score, truth = every[told], truth[told]
    says = score >= _HALF
    n, abstained = len(score), int((~told).sum())
    if not n:
        return Agreement(0, abstained, None, None, None, None, None, None, None, 0)
    agreed = accuracy(truth, says)
    low, high = wilson(round(agreed * n), n)
    mean_right, mean_wrong = (float(score[side].mean()) if side.any() else None for side in (truth, ~truth))
    beyond, ranked, right_ones = kappa(truth, says), auc(score, truth), int(truth.sum())
    return Agreement(n, abstained, agreed, low, high, beyond, ranked, mean_right, mean_wrong, right_ones)


def wilson(hits: int, n: int, z: float = _Z95) -> tuple[float, float]:
    """Wilson's score interval for a share: ``hits`` of ``n``.

    Wilson, Journal of the American Statistical Association 22 (1927); `z` as of the normal distribution, 95 % unless
    told otherwise.

    Raises
    ------
    CascadeError
        ``n`` is less than 1, or `hits` not between 0 and it.
    """
    if not 0 <= hits <= n or n < 1:
        raise CascadeError(f"a share of {hits} in {n} is none; give 0 <= hits <= n and n >= 1")
    share, z2 = hits / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def kappa(truth: ArrayLike, says: ArrayLike) -> float | None:
    """Cohen's kappa of two yes-no judgements; None where both only ever say the same one thing.

    Parameters and errors as for `natix_cascade.decide.metrics.confusion`. Cohen, Educational and Psychological
    Measurement 20 (1960).
    """
    c = confusion(truth, says)
    n = c.true_positive + c.false_positive + c.false_negative + c.true_negative
    if not n:
        return None
    observed = (c.true_positive + c.true_negative) / n
    yes = (c.true_positive + c.false_negative) / n * ((c.true_positive + c.false_positive) / n)
    no = (c.true_negative + c.false_positive) / n * ((c.true_negative + c.false_negative) / n)
    return None if yes + no >= 1 else (observed - yes - no) / (1 - yes - no)


def auc(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """How likely a score of the true rows is higher than one of the others; equal ones count half; None without both.

    The statistic of Mann and Whitney, Annals of Mathematical Statistics 18 (1947), divided by the number of pairs.

    Parameters
    ----------
    scores : (n,) array of float
        Without NaN.
    truth : (n,) array of bool
        Which rows are true.
    """
    values = vector("scores", scores)
    side = binary("truth", truth)
    expect_shape("truth", side.shape, values.shape)
    high, low = values[side], np.sort(values[~side])
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2 * len(high) * len(low)))
