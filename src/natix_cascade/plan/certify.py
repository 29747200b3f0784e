"""The guarantee: which plans of a path may be promised, by Learn then Test with pictures that made no plan.

Plans are ordered from safe to cheap on the pictures that made them (Pareto testing: Laufer-Goldenberg et al., ICLR
2023, arXiv 2210.07913: one order for any number of thresholds at once) and tested one after the other on others until
the first that cannot be promised (fixed-sequence testing in Learn then Test: Angelopoulos et al., arXiv 2110.01052).
Then the probability that any promised plan breaks its limit is at most delta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.loss import metric_draws, metric_of
from natix_cascade.plan.pvalues import pictures_needed, regret
from natix_cascade.spec.policy import Metric

__all__ = ["Certificate", "Trial", "certify"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A plan on the n pictures that test it.

    Attributes
    ----------
    answer : (n,) array of int
        Its answers.
    level : (n,) array of int
        Where each picture left.
    levels : tuple of int
        The levels at which a picture may leave; default: those at which one did. For the conditional mode: nothing can
        be promised of a level at which no picture of the test left.
    """

    answer: Ints
    level: Ints
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was won.

    Attributes
    ----------
    promised : int
        How many plans from the start of the path may be promised; the last of them is the cheapest.
    p_values : tuple of float
        Of the plans that were tested; the last one may be above delta.
    needed : int or None
        About how many labelled pictures would allow the next cheaper plan; None where none is left, or it looks too
        bad for any number.
    exact : bool
        The p-values hold for any number of pictures; otherwise they come from a bootstrap and hold for many.
    """

    promised: int
    p_values: tuple[float, ...]
    needed: int | None
    exact: bool


def certify(
    trials: Sequence[Trial],
    reference: Ints,
    truth: Ints,
    group: Ints,
    weight: Floats,
    *,
    metric: Metric,
    risk: float,
    delta: float,
    conditional: bool = False,
    seed: int = 0,
    draws: NDArray[np.float32] | None = None,
) -> Certificate:
    """Test plans one after the other.

    Parameters
    ----------
    trials : sequence of Trial
        From safe to cheap; the order must not come from these pictures.
    reference, truth : (n,) arrays of int
        The reference's answers, and the labels.
    group : (n,) array of int
        Groups are exchangeable, pictures within one are not.
    weight : (n,) array of float
        What each picture counts: for a shift of the distribution, the ratio of densities.
    metric : {"accuracy", "mcc", "reward"}
        For accuracy the test is exact; for the others it is a bootstrap by group, valid for many groups.
    risk : float
        Largest regret.
    delta : float
        Largest probability that the promise is false, in (0, 1).
    conditional : bool
        The promise shall hold among the pictures that leave at each level (accuracy only).
    seed : int
        Of the betting test's order.
    draws : (d, n) array of float32
        For the bootstrap.
    """
    p_values: list[float] = []
    for trial in trials:
        if metric == "accuracy":
            p = _exact(trial, reference, truth, group, weight, risk, delta, conditional=conditional, seed=seed)
        else:
            p = _bootstrap(metric, trial.answer, reference, truth, weight, risk, draws)
        p_values.append(p)
        if p > delta:
            break
    promised = sum(p <= delta for p in p_values)
    needed = None
    if promised < len(trials):
        loss = _losses(trials[promised].answer, reference, truth)
        mean = float(np.average(loss, weights=weight))
        sums = np.bincount(group, weight * (loss - mean))
        variance = float((sums**2).sum()) / float(weight.sum()) ** 2 * len(loss)
        needed = pictures_needed(mean, variance, risk, delta)
    return Certificate(promised, tuple(p_values), needed, exact=metric == "accuracy")


def _losses(answer: Ints, reference: Ints, truth: Ints) -> Floats:
    losses: Floats = (answer != truth).astype(np.float64) - (reference != truth)
    return losses


def _exact(
    trial: Trial,
    reference: Ints,
    truth: Ints,
    group: Ints,
    weight: Floats,
    risk: float,
    delta: float,
    *,
    conditional: bool,
    seed: int,
) -> float:
    losses = _losses(trial.answer, reference, truth)
    counted = None if (weight == weight[0]).all() else weight
    names = None if len(np.unique(group)) == len(group) else group
    p = regret(losses, risk, groups=names, weights=counted, seed=seed, aim=delta)
    if not conditional:
        return p
    for level in sorted({*trial.levels, *np.unique(trial.level).tolist()}):
        here = np.flatnonzero(trial.level == level)
        if not len(here):
            return 1.0
        part = None if counted is None else counted[here]
        within = None if names is None else names[here]
        p = max(p, regret(losses[here], risk, groups=within, weights=part, seed=seed, aim=delta))
    return p


def _bootstrap(
    metric: Metric,
    answer: Ints,
    reference: Ints,
    truth: Ints,
    weight: Floats,
    risk: float,
    draws: NDArray[np.float32] | None,
) -> float:
    """Share of the draws in which the regret is above the risk, reflected around what all pictures show (basic)."""
    if draws is None:
        return 1.0
    whole = metric_of(metric, truth, reference, weight) - metric_of(metric, truth, answer, weight)
    shown = metric_draws(metric, truth, reference, draws) - metric_draws(metric, truth, answer, draws)
    above = 2 * whole - shown > risk
    return float((above.sum() + 1) / (len(draws) + 1))
