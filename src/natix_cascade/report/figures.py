"""From answers to figures: levels, judges, parts of the data. Arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Confusion, accuracy, bootstrap_by_group, mcc, reward
from natix_cascade.report.records import CLEAN
from natix_cascade.report.results import LevelResult, PartResult

__all__ = ["Answers", "Truth", "level_result", "mean_interval", "part_results", "pooled", "rates", "share"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# one row per cell of a confusion: a table of counts is a data set of four weighted rows
_LABELS, _ANSWERS = np.array([True, False, True, False]), np.array([True, True, False, False])


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of N variants without asking anyone.

    Attributes
    ----------
    label : (N,) array of bool
        The right answer.
    level : (N,) array of str
        Level of difficulty.
    group : (N,) array of int
        Index of the group, below `groups`.
    groups : int
        How many groups there are.
    weight : (N,) array of float
        What a variant counts in pooled figures; 0 for ``clean``.
    """

    label: Bools
    level: NDArray[np.str_]
    group: NDArray[np.int64]
    groups: int
    weight: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one judge says of N variants: yes or no, and whether it says anything."""

    yes: Bools
    known: Bools


def level_result(truth: Truth, answers: Answers, level: str, *, repetitions: int, seed: int) -> LevelResult | None:
    """Figures at one level of difficulty, or None when there is no answer."""
    chosen = (truth.level == level) & answers.known
    if not chosen.any():
        return None
    table = _counts(truth, answers, chosen)
    cells = table.sum(axis=0)
    correlation = mcc(_LABELS, _ANSWERS, cells)
    right = accuracy(_LABELS, _ANSWERS, cells)
    low, high = _interval(table[:, None, :], repetitions, seed)
    recall, specificity = rates(cells)
    tp, fp, fn, tn = (int(cell) for cell in cells)
    return LevelResult(
        level=level,
        n=int(chosen.sum()),
        mcc=correlation,
        accuracy=right,
        reward=reward(correlation, right),
        low=low,
        high=high,
        recall=recall,
        specificity=specificity,
        confusion=Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn),
    )


def mean_interval(
    truth: Truth, answers: Answers, levels: Sequence[str], *, repetitions: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the mean of the levels' MCC: each draw of groups is the same at all levels."""
    tables = [_counts(truth, answers, (truth.level == level) & answers.known) for level in levels]
    return _interval(np.stack(tables, axis=1), repetitions, seed)


def rates(cells: Floats) -> tuple[float | None, float | None]:
    """Recall and specificity of (true positives, false positives, false negatives, true negatives)."""
    tp, fp, fn, tn = cells
    return share(tp, tp + fn), share(tn, tn + fp)


def pooled(truth: Truth, answers: Answers, chosen: Bools | None = None) -> Floats:
    """Weighted cells (4,) over L0 to L3, of the chosen variants."""
    rows = answers.known if chosen is None else answers.known & chosen
    cells: Floats = np.bincount(_cell(truth, answers)[rows], truth.weight[rows], minlength=4).astype(np.float64)
    return cells


def part_results(
    truth: Truth, answers: Answers, names: NDArray[np.str_], row: NDArray[np.int64]
) -> tuple[PartResult, ...]:
    """Figures by part of the data; variants without a name are left out.

    Parameters
    ----------
    truth, answers : Truth, Answers
        Of N variants.
    names : (N,) array of str
        The part that each variant belongs to.
    row : (N,) array of int
        Its picture.
    """
    results = []
    for name in sorted(set(names.tolist()) - {""}):
        chosen = (names == name) & (truth.level != CLEAN) & answers.known
        if not chosen.any():
            continue
        cells = pooled(truth, answers, chosen)
        recall, specificity = rates(cells)
        results.append(
            PartResult(
                name=name,
                positives=len(np.unique(row[chosen & truth.label])),
                negatives=len(np.unique(row[chosen & ~truth.label])),
                recall=recall,
                specificity=specificity,
                accuracy=accuracy(_LABELS, _ANSWERS, cells),
                mcc=None if recall is None or specificity is None else mcc(_LABELS, _ANSWERS, cells),
            )
        )
    return tuple(results)


def share(part: float, whole: float) -> float | None:
    """Part of the whole; None of nothing."""
    return float(part / whole) if whole > 0 else None


def _cell(truth: Truth, answers: Answers) -> NDArray[np.int64]:
    """Index of each variant's cell: true positive, false positive, false negative, true negative."""
    cell: NDArray[np.int64] = np.where(answers.yes, np.where(truth.label, 0, 1), np.where(truth.label, 2, 3))
    return cell


def _counts(truth: Truth, answers: Answers, chosen: Bools) -> Floats:
    """Cells by group: (G, 4). A group's rows share their weight in every draw, so their sums are all it takes."""
    where = truth.group[chosen] * 4 + _cell(truth, answers)[chosen]
    counts: Floats = np.bincount(where, minlength=4 * truth.groups).reshape(truth.groups, 4).astype(np.float64)
    return counts


def _interval(tables: Floats, repetitions: int, seed: int) -> tuple[float, float]:
    """Interval of the mean MCC of tables (G, L, 4)."""

    def mean_mcc(cells: Floats, *, weights: Floats) -> float:
        drawn = np.tensordot(weights.astype(np.float64), cells, axes=1)
        return float(np.mean([mcc(_LABELS, _ANSWERS, level) for level in drawn]))

    used = np.flatnonzero(tables.sum(axis=(1, 2)))
    return bootstrap_by_group(mean_mcc, used, tables[used], repetitions=repetitions, seed=seed)
