"""What a wrong answer counts, so that accuracy, MCC and the subnet's reward are all searched as a sum of losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Confusion, confusion, reward
from natix_cascade.decide.metrics import accuracy, mcc
from natix_cascade.spec.policy import Metric

__all__ = ["Prices", "metric_draws", "metric_of", "prices"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prices:
    """Loss of a wrong answer, in the metric's own points: a false yes and a missed one (labels: both are `missed`)."""

    false_yes: float = 1.0
    missed: float = 1.0

    def loss(self, truth: Ints, answer: Ints) -> Floats:
        """Loss of each answer, (n,)."""
        wrong = answer != truth
        result: Floats = np.where(wrong, np.where((answer == 1) & (truth == 0), self.false_yes, self.missed), 0.0)
        return result


def metric_of(metric: Metric, truth: Ints, answer: Ints, weight: Floats) -> float:
    """Value of the metric, in [-1, 1]; MCC and reward are for two labels.

    Parameters
    ----------
    metric : {"accuracy", "mcc", "reward"}
        What is measured.
    truth, answer : (n,) arrays of int
        Labels; an answer of -1 is wrong.
    weight : (n,) array of float
        What each row counts.
    """
    if metric == "accuracy":
        return float(np.average(truth == answer, weights=weight))
    yes, said = truth == 1, answer == 1
    correlation = mcc(yes, said, weight)
    return correlation if metric == "mcc" else reward(correlation, accuracy(yes, said, weight))


def metric_draws(metric: Metric, truth: Ints, answer: Ints, draws: NDArray[np.float32]) -> Floats:
    """Value of the metric in each draw of a bootstrap, (d,); `draws` (d, n) has the share of each picture."""
    if metric == "accuracy":
        right: Floats = (draws @ (answer == truth).astype(np.float32)).astype(np.float64)
        return right
    said, yes = answer == 1, truth == 1
    cells = np.column_stack([said & yes, said & ~yes, ~said & yes, ~said & ~yes]).astype(np.float32)
    tp, fp, fn, tn = (draws @ cells).astype(np.float64).T
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    correlation: Floats = np.divide(tp * tn - fp * fn, spread, out=np.zeros_like(spread), where=spread > 0)
    if metric == "mcc":
        return correlation
    result: Floats = ((np.maximum(correlation, 0.0) + tp + tn) / 2.0) ** 3
    return result


def prices(metric: Metric, truth: Ints, answer: Ints, weight: Floats) -> Prices:
    """Linearise a metric around the answers of a reference: how much one false yes or one missed yes takes from it.

    Parameters
    ----------
    metric, truth, answer, weight
        As for `metric_of`; the answers are the reference's.

    Returns
    -------
    Prices
        Such that the mean loss of an answer falls and rises with the metric; for accuracy both are 1.
    """
    if metric == "accuracy":
        return Prices()
    c = confusion(truth == 1, answer == 1, weight)
    total = c.true_positive + c.false_positive + c.false_negative + c.true_negative
    step = total * 1e-3
    here = _value(metric, c)
    more_false = Confusion(c.true_positive, c.false_positive + step, c.false_negative, max(c.true_negative - step, 0))
    more_missed = Confusion(max(c.true_positive - step, 0), c.false_positive, c.false_negative + step, c.true_negative)
    taken = [max((here - _value(metric, worse)) / 1e-3, 0.05) for worse in (more_false, more_missed)]
    return Prices(*taken)


def _value(metric: Metric, c: Confusion) -> float:
    cells = np.array([c.true_positive, c.false_positive, c.false_negative, c.true_negative])
    truth, said = np.array([True, False, True, False]), np.array([True, True, False, False])
    correlation = mcc(truth, said, cells)
    return correlation if metric == "mcc" else reward(correlation, accuracy(truth, said, cells))
