"""Scores into calibrated opinions, without a picture's own label ever helping its opinion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import calibrate, fit_platt, logit, sigmoid
from natix_cascade.decide.calibration import calibrate_columns
from natix_cascade.decide.labels import calibrate_labels
from natix_cascade.errors import CascadeError
from natix_cascade.plan.records import Records
from natix_cascade.spec.rules import Calibrator, Identity, Platt

__all__ = ["Opinions", "fit_calibrators", "folds_of", "held_out", "opinions_with"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHRINK = 25.0  # pictures that a label's offset is worth before data: Gaussian prior of variance 1 / 25 on log-odds
_NEWTON = 8
_EVEN = 0.5
_FEWEST = 1


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """Calibrated opinions of m models on n pictures.

    Attributes
    ----------
    p : (n, m) array of float
        Yes/no records: P(yes). Label records: probability that the answer is right. NaN where there is none.
    answer : (n, m) array of int
        The label that each model names (yes/no: 1 at p >= 0.5); -1 for none.
    truth : (n,) array of int
        Label.
    kinds : int
        How many labels there are.
    yes_no : bool
        Kind of the records.
    weight : (n,) array of float
        What each row counts; the mean is 1.
    group : (n,) array of int
        Rows with the same number belong together.
    """

    p: Floats
    answer: Ints
    truth: Ints
    kinds: int
    yes_no: bool
    weight: Floats
    group: Ints

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, chosen: NDArray[np.generic]) -> Opinions:
        """Some of the pictures: a mask or indices."""
        fields = ("p", "answer", "truth", "weight", "group")
        return replace(self, **{name: getattr(self, name)[chosen] for name in fields})


def fit_calibrators(records: Records) -> list[Calibrator]:
    """Fit one calibrator per model.

    A straight line on the log-odds (Platt); for label records also an offset for each label that the model names,
    shrunk towards 0 (a Gaussian prior), because a model may be right about one label far more often than
    about another. A model whose scores cannot be fitted (all right, all wrong) keeps them as they are.

    Parameters
    ----------
    records : Records
        With labels.

    Returns
    -------
    list of m calibrators
    """
    return [_fit(records, column) for column in range(len(records.models))]


def _fit(records: Records, column: int) -> Calibrator:
    score = np.where(records.failed[:, column], np.nan, records.score[:, column])
    if records.answer is None:
        right = records.label == 1
    else:
        score = np.where(records.answer[:, column] < 0, np.nan, score)
        right = records.answer[:, column] == records.label
    try:
        line = fit_platt(score, right, records.weight)
    except CascadeError:
        return Identity()
    if records.answer is None:
        return line
    return replace(line, offsets=_offsets(line, score, records.answer[:, column], right, records))


def _offsets(line: Platt, score: Floats, answer: Ints, right: NDArray[np.bool_], records: Records) -> dict[str, float]:
    """Maximum a posteriori offsets by Newton steps; the labels do not touch each other."""
    known = ~np.isnan(score)
    base, said, hit = logit(calibrate(line, score[known])), answer[known], right[known].astype(np.float64)
    w, kinds = records.weight[known], len(records.labels)
    offset = np.zeros(kinds)
    for _ in range(_NEWTON):
        q = sigmoid(base + offset[said])
        slope = np.bincount(said, w * (hit - q), kinds) - _SHRINK * offset
        bend = np.bincount(said, w * q * (1.0 - q), kinds) + _SHRINK
        offset += np.clip(slope / bend, -1.0, 1.0)
    return {records.labels[i]: round(float(offset[i]), 4) for i in np.flatnonzero(np.round(offset, 4))}


def opinions_with(records: Records, calibrators: Sequence[Calibrator]) -> Opinions:
    """Opinions of all models under given calibrators."""
    score = np.where(records.failed, np.nan, records.score)
    if records.answer is None:
        p = calibrate_columns(calibrators, score)
        answer = _yes_or_no(p)
    else:
        answer = np.where(np.isnan(score), -1, records.answer)
        p = calibrate_labels(calibrators, answer, score, records.labels)
    total = float(records.weight.mean())
    return Opinions(
        p=p,
        answer=answer,
        truth=records.label,
        kinds=len(records.labels),
        yes_no=records.yes_no,
        weight=records.weight / (total or 1.0),
        group=np.unique(records.group, return_inverse=True)[1].astype(np.int64),
    )


def _yes_or_no(p: Floats) -> Ints:
    answers: Ints = np.where(np.isnan(p), -1, p >= _EVEN).astype(np.int64)
    return answers


def folds_of(group: Ints, count: int, seed: int) -> Ints:
    """Deal groups out at random into folds of about the same size; returns each row's fold, (n,)."""
    names = int(group.max(initial=-1)) + 1
    order = np.random.default_rng(seed).permutation(names)
    size = np.bincount(group, minlength=names)[order]
    fold = np.empty(names, dtype=np.int64)
    fold[order] = np.minimum((np.cumsum(size) - size / 2) * count // max(int(size.sum()), 1), count - 1)
    return fold[group]


def held_out(records: Records, *, folds: int = 5, seed: int = 0) -> Opinions:
    """Opinions in which each picture's calibrators were fitted on the other folds.

    Parameters
    ----------
    records : Records
        With labels.
    folds : int
        Groups are dealt out into so many.
    seed : int
        Of the dealing.
    """
    whole = opinions_with(records, [Identity()] * len(records.models))
    fold = folds_of(whole.group, folds, seed)
    p = np.array(whole.p)
    for k in range(folds):
        rows = np.flatnonzero(fold == k)
        if len(rows):
            fitted = fit_calibrators(records.rows(fold != k))
            p[rows] = opinions_with(records.rows(rows), fitted).p
    answer = _yes_or_no(p) if whole.yes_no else whole.answer
    return replace(whole, p=p, answer=answer)
