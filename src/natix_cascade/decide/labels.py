"""The same cascade on answers of more than two kinds: records only, for planning on other people's models.

An opinion names one label and is so sure of it; the rest of its probability is spread evenly over the other labels.
With two labels this is the ``mean`` vote of `natix_cascade.decide.vote`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import Bools, Floats, Ints, expect_shape
from natix_cascade.decide.calibration import calibrate_columns, clip, logit, sigmoid
from natix_cascade.errors import CascadeError
from natix_cascade.spec.resolved import Level, ResolvedCascade
from natix_cascade.spec.rules import Agreement, ByLabel, Calibrator, Platt

__all__ = ["LabelProgress", "calibrate_labels", "pool_labels", "replay_labels"]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class LabelProgress:
    """How a cascade of M members answered n pictures.

    Attributes
    ----------
    answer : (n,) array of int
        The label; -1 where nobody answered.
    probability : (n,) array of float
        Of that label; NaN where nobody answered.
    exit_level : (n,) array of int
        The level at which it was given.
    asked : (n, M) array of bool
        Who was asked.
    """

    answer: Ints
    probability: Floats
    exit_level: Ints
    asked: Bools


def calibrate_labels(
    calibrators: Sequence[Calibrator], answers: Ints, confidences: Floats, labels: Sequence[str]
) -> Floats:
    """Turn confidences into probabilities that the answer is right.

    Parameters
    ----------
    calibrators : sequence of m calibrators
        A `Platt` may add an offset for the label that was given.
    answers : (n, m) array of int
        Index into `labels`; -1 for none.
    confidences : (n, m) array of float
        In [0, 1]; NaN for none.
    labels : sequence of str
        Of the records.

    Returns
    -------
    (n, m) array of float
        NaN where there is no answer.
    """
    result = calibrate_columns(calibrators, confidences)
    for column, calibrator in enumerate(calibrators):
        if isinstance(calibrator, Platt) and calibrator.offsets:
            shift = np.array([calibrator.offsets.get(label, 0.0) for label in labels] + [0.0])
            result[:, column] = clip(sigmoid(logit(result[:, column]) + shift[answers[:, column]]))
    result[answers < 0] = np.nan
    return result


def pool_labels(answers: Ints, probabilities: Floats, weights: ArrayLike, kinds: int) -> tuple[Ints, Floats]:
    """Vote: the weighted mean of the opinions' distributions (linear opinion pool: Stone, Ann. Math. Stat. 1961).

    Parameters
    ----------
    answers : (n, m) array of int
        The label that each member names.
    probabilities : (n, m) array of float
        How sure it is; NaN means absent.
    weights : (m,) array of float
        Not negative; only their ratios matter.
    kinds : int
        How many labels there are.

    Returns
    -------
    winner : (n,) array of int
        The label with the highest probability (among equals, the one named by the earliest member); -1 for none.
    probability : (n,) array of float
        Of that label; NaN for none.
    """
    n, m = answers.shape
    w = np.where(np.isnan(probabilities), 0.0, np.asarray(weights, dtype=np.float64))
    p = np.where(w > 0, probabilities, 0.0)
    total = w.sum(axis=1)
    rest = w * (1.0 - p) / max(kinds - 1, 1)
    gain = w * p - rest  # what a member adds to its own label, beyond what it gives to every label
    best = np.full(n, -np.inf)
    winner = np.full(n, -1, dtype=np.int64)
    for slot in range(m):
        said = np.zeros(n)
        for other in range(m):
            said += np.where(answers[:, other] == answers[:, slot], gain[:, other], 0.0)
        better = (w[:, slot] > 0) & (said > best)
        best[better] = said[better]
        winner[better] = answers[better, slot]
    probability = np.divide(best + rest.sum(axis=1), total, out=np.full(n, np.nan), where=total > 0)
    return winner, probability


def replay_labels(
    cascade: ResolvedCascade,
    labels: Sequence[str],
    answers: Ints,
    confidences: Floats,
    failed: Bools | None = None,
) -> LabelProgress:
    """Run a cascade on label records, as `natix_cascade.decide.replay` does on yes/no records.

    Parameters
    ----------
    cascade : ResolvedCascade
        Levels of mode ``all`` with exit rules `ByLabel`, `Agreement` or none.
    labels : sequence of str
        All labels.
    answers : (n, M) array of int
        By column: index into `labels`, -1 for none.
    confidences : (n, M) array of float
        In [0, 1]; NaN for none.
    failed : (n, M) array of bool, optional
        Members that would fail if asked.

    Raises
    ------
    CascadeError
        The shapes do not fit the cascade, or a level has a mode or rule that label records do not know.
    """
    members = cascade.members
    expect_shape("answers", answers.shape, (len(answers), len(members)))
    expect_shape("confidences", confidences.shape, answers.shape)
    given = answers if failed is None else np.where(failed, -1, answers)
    p = calibrate_labels([member.calibrator for member in members], given, confidences, labels)
    n = len(given)
    asked = np.zeros(given.shape, dtype=np.bool_)
    answer, probability = np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
    exit_level = np.full(n, -1, dtype=np.int64)
    last = 0
    for level in cascade.levels:
        if level.mode != "all":
            raise CascadeError(f"level {level.name!r}: label records know the mode 'all' only, not {level.mode!r}")
        rows = np.flatnonzero(exit_level < 0)
        asked[rows, last : last + len(level.members)] = True
        last += len(level.members)
        first = last - len(level.weights)
        here, sure = given[rows, first:last], p[rows, first:last]
        winner, certain = pool_labels(here, sure, level.weights, len(labels))
        heard = winner >= 0
        answer[rows[heard]], probability[rows[heard]] = winner[heard], certain[heard]
        leave = _leaves(level, winner, certain, here, labels)
        if level is cascade.levels[-1]:
            leave[:] = True
        exit_level[rows[leave]] = level.index
    return LabelProgress(answer, probability, exit_level, asked)


def _leaves(level: Level, winner: Ints, certain: Floats, answers: Ints, labels: Sequence[str]) -> Bools:
    rule = level.exit
    if rule is None:
        return np.zeros(len(winner), dtype=np.bool_)
    if isinstance(rule, ByLabel):
        borders = [rule.labels.get(label, rule.default) for label in labels]
        table = np.array([np.inf if border is None else border for border in borders] + [np.inf])
        leave: Bools = certain >= table[winner]
        return leave
    if isinstance(rule, Agreement):
        given = answers >= 0
        ratio = ((answers == winner[:, None]) & given).sum(axis=1) / np.maximum(given.sum(axis=1), 1)
        agreed: Bools = (ratio >= rule.ratio - _ROUNDING) & (given.sum(axis=1) >= rule.members)
        return agreed
    raise CascadeError(f"level {level.name!r}: label records know the exits 'by_label' and 'agreement' only")
