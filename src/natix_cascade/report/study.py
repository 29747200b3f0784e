"""The arithmetic of an evaluation: from records to results."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import (
    Progress,
    calibrate,
    expected_calibration_error,
    mapped_probability,
    positive,
    reliability,
    replay,
    thresholds,
)
from natix_cascade.errors import CascadeError
from natix_cascade.image import Level
from natix_cascade.report.figures import Answers, Truth, level_result, mean_interval, part_results, pooled, rates, share
from natix_cascade.report.records import CLEAN, Failure, Records, seed_of
from natix_cascade.report.results import (
    Bin,
    Calibration,
    Evaluation,
    ExitResult,
    JudgeResult,
    Mistake,
    Predictions,
    Settings,
)
from natix_cascade.spec.resolved import ResolvedCascade
from natix_cascade.spec.rules import VoteSpec

__all__ = ["Study", "without_exits"]

QUALITIES = ("A", "S", "B")
MOST_MISTAKES = 40
_BINS = 15
_TRAIN = "train"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def without_exits(cascade: ResolvedCascade) -> ResolvedCascade:
    """Return the full ensemble: every member is asked about every picture, and all vote in the end."""
    levels = []
    voters: tuple[float, ...] = ()
    for level in cascade.levels:
        voters += tuple(member.weight for member in level.members)
        weights = level.weights if level.vote.over == "all" else voters
        vote = VoteSpec(method=level.vote.method, over="all")
        levels.append(replace(level, mode="all", exit=None, on_failure="drop", vote=vote, weights=weights))
    return replace(cascade, name=f"{cascade.name} without exits", levels=tuple(levels))


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Who answers, and what it takes to ask."""

    name: str
    place: str
    threshold: float
    answers: Answers
    asks: NDArray[np.floating]  # (N, M): who is asked
    asked: Floats  # (N,): is this judge asked in the cascade?


class Study:
    """The arithmetic of one evaluation.

    Parameters
    ----------
    cascade : ResolvedCascade
        Levels and policy.
    records : Records
        What the models said.
    settings : Settings
        How the pictures were varied.
    """

    def __init__(self, cascade: ResolvedCascade, records: Records, settings: Settings) -> None:
        self.cascade, self.records, self.settings = cascade, records, settings
        rows = [records.rows[index] for index in records.row]
        self.rows = rows
        names, group = np.unique(np.array([row.group for row in rows], dtype=np.str_), return_inverse=True)
        self.truth = Truth(
            label=np.array([row.label for row in rows], dtype=np.bool_),
            level=records.level,
            group=group.astype(np.int64),
            groups=len(names),
            weight=_weights(records.level, settings.repetitions),
        )
        self.progress = replay(cascade, records.scores, np.isnan(records.scores))
        self.answers = Answers(positive(cascade, self.progress), ~np.isnan(self.progress.probability))
        if not (self.answers.known & (self.truth.weight > 0)).any():
            why = records.failures[0].error if records.failures else "no model answered"
            raise CascadeError(f"none of the {len(records.rows)} pictures could be judged; the first: {why}")
        self.weight = np.where(self.answers.known, self.truth.weight, 0.0)

    def evaluation(self) -> Evaluation:
        """Everything."""
        cascade, records = self.cascade, self.records
        everyone = np.ones(len(self.rows))
        whole = without_exits(cascade)
        full = replay(whole, records.scores, np.isnan(records.scores))
        result = self._judge(self._voters(cascade, cascade.name, self.progress, everyone))
        ensemble = self._judge(self._voters(whole, "full ensemble", full, everyone))
        mistakes = self._mistakes()
        quality = np.array([row.quality for row in self.rows], dtype=np.str_)
        source = np.array([row.source for row in self.rows], dtype=np.str_)
        whole_picture = self.truth.level == self.settings.levels[0]
        tiers = {name: rates(pooled(self.truth, self.answers, quality == name))[0] for name in QUALITIES}
        first = {
            name: rates(pooled(self.truth, self.answers, (quality == name) & whole_picture))[0] for name in QUALITIES
        }
        executed = self.progress.reached.astype(np.float64)
        return Evaluation(
            cascade=cascade.name,
            policy=cascade.policy,
            question=cascade.question,
            settings=self.settings,
            pictures=len(records.rows),
            positives=sum(row.label for row in records.rows),
            groups=len({row.group for row in records.rows}),
            splits=dict(sorted(Counter(row.split for row in records.rows).items())),
            result=result,
            ensemble=ensemble,
            models=tuple(self._judge(judge) for judge in self._single()),
            thresholds={level.name: level.threshold for level in cascade.levels},
            exits=self._exits(),
            recall_by_quality=first,
            recall_by_quality_pooled=tiers,
            qualities=part_results(self.truth, self.answers, quality, records.row),
            sources=part_results(self.truth, self.answers, source, records.row),
            calibration=self._calibration(),
            mistakes=mistakes[:MOST_MISTAKES],
            mistaken=len(mistakes),
            mean_levels_executed=float(np.average(executed, weights=self.weight)),
            decode_ms=records.decode_ms,
            degraded=int((self.progress.degraded & (self.weight > 0)).sum()),
            failures=self._failures(),
            notes=self._notes(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=_versions(),
            predictions=self._predictions(),
        )

    def _voters(self, cascade: ResolvedCascade, name: str, progress: Progress, asked: Floats) -> _Judge:
        answers = Answers(positive(cascade, progress), ~np.isnan(progress.probability))
        return _Judge(name, "", cascade.levels[-1].threshold, answers, progress.asked.astype(np.float64), asked)

    def _single(self) -> list[_Judge]:
        """Each model alone: the policy's calibrator, and the threshold of the level in which it stands."""
        judges = []
        for level in self.cascade.levels:
            for member in level.members:
                p = calibrate(member.calibrator, self.records.scores[:, member.column])
                asks = np.zeros_like(self.records.scores)
                asks[:, member.column] = 1.0
                asked = self.progress.asked[:, member.column].astype(np.float64)
                answers = Answers(p >= level.threshold, ~np.isnan(p))
                judges.append(_Judge(member.model, level.name, level.threshold, answers, asks, asked))
        return judges

    def _judge(self, judge: _Judge) -> JudgeResult:
        options = {"repetitions": self.settings.bootstrap, "seed": self.settings.seed}
        found = [level_result(self.truth, judge.answers, level, **options) for level in self.settings.levels]
        levels = tuple(level for level in found if level is not None)
        if levels:
            low, high = mean_interval(self.truth, judge.answers, [level.level for level in levels], **options)
            mean = float(np.mean([level.mcc for level in levels]))
        else:  # a model that never answered
            low = high = mean = 0.0
        recall, specificity = rates(pooled(self.truth, judge.answers))
        cards = [self.cascade.cards[model] for model in self.cascade.models]
        asks = np.average(judge.asks, axis=0, weights=self.weight)
        return JudgeResult(
            name=judge.name,
            place=judge.place,
            threshold=judge.threshold,
            levels=levels,
            clean=level_result(self.truth, judge.answers, CLEAN, **options),
            mean_mcc=mean,
            low=low,
            high=high,
            recall=recall,
            specificity=specificity,
            ms=float(asks @ self.records.model_ms),
            gmacs=float(asks @ np.array([card.cost.gmacs for card in cards])),
            usd=float(asks @ np.array([card.cost.usd for card in cards])),
            asked=float(np.average(judge.asked, weights=self.weight)),
            failures=int((~judge.answers.known & (self.truth.weight > 0)).sum()),
        )

    def _exits(self) -> tuple[ExitResult, ...]:
        total = self.weight.sum()
        right = self.answers.yes == self.truth.label
        results = []
        for level in self.cascade.levels:
            here = np.where(self.progress.exit_level == level.index, self.weight, 0.0)
            results.append(
                ExitResult(
                    level=level.name,
                    executed=float(self.weight[self.progress.reached > level.index].sum() / total),
                    share=float(here.sum() / total),
                    yes=float(here[self.answers.yes].sum() / total),
                    no=float(here[~self.answers.yes].sum() / total),
                    accuracy=share(float(here[right].sum()), float(here.sum())),
                )
            )
        return tuple(results)

    def _calibration(self) -> Calibration:
        known = self.weight > 0
        data = (self.progress.probability[known], self.truth.label[known], _BINS, self.weight[known])
        diagram = reliability(*data)
        columns = zip(diagram.probability, diagram.frequency, diagram.weight, strict=True)
        bins = tuple(Bin(float(p), float(f), float(w)) for p, f, w in columns if w > 0)
        return Calibration(expected_calibration_error(*data), bins)

    def _mistakes(self) -> tuple[Mistake, ...]:
        """Return one for each picture with a wrong answer, the surest first."""
        q = self._mapped()
        counts = self.weight > 0
        wrong = counts & (self.answers.yes != self.truth.label)
        found = []
        for index in np.unique(self.records.row[wrong]):
            mine = np.flatnonzero((self.records.row == index) & wrong)
            worst = int(mine[np.argmax(np.abs(q[mine] - 0.5))])
            row, repetition = self.records.rows[index], int(self.records.repetition[worst])
            found.append(
                Mistake(
                    name=row.key,
                    path=str(row.path),
                    source=row.source,
                    quality=row.quality,
                    label=row.label,
                    level=str(self.records.level[worst]),
                    repetition=repetition,
                    probability=float(q[worst]),
                    exit_level=self.cascade.levels[int(self.progress.exit_level[worst])].name,
                    wrong=len(mine),
                    variants=int(((self.records.row == index) & counts).sum()),
                    seed=seed_of(row.key, repetition, self.settings.seed),
                )
            )
        return tuple(sorted(found, key=lambda each: (-abs(each.probability - 0.5), each.name)))

    def _mapped(self) -> Floats:
        return mapped_probability(self.progress.probability, thresholds(self.cascade, self.progress), self.answers.yes)

    def _failures(self) -> tuple[Failure, ...]:
        mute = []
        for index in np.unique(self.records.row[~self.answers.known]):
            where = self.truth.level[(self.records.row == index) & ~self.answers.known]
            mute.append(Failure(self.records.rows[index].key, f"no model answered at {', '.join(where)}"))
        return tuple(sorted([*self.records.failures, *mute], key=lambda failure: failure.name))

    def _notes(self) -> tuple[str, ...]:
        rows, notes = self.records.rows, []
        trained = sum(row.split == _TRAIN for row in rows)
        if trained:
            notes.append(
                f"{trained} of the {len(rows)} pictures are of the split '{_TRAIN}': if the models were trained on "
                "them, the figures flatter"
            )
        labels = {bool(label) for label in self.truth.label[self.weight > 0]}
        if len(labels) == 1:
            only = self.cascade.question.positive if labels.pop() else self.cascade.question.negative
            notes.append(f"all pictures are labelled '{only}': the MCC is 0 by definition; read recall or specificity")
        if self.truth.groups < len({row.key for row in rows}) and self.truth.groups < 20:  # noqa: PLR2004  # too few
            notes.append(f"the pictures come from {self.truth.groups} groups only: intervals are rough")
        failed = self._failures()
        if failed:
            notes.append(
                f"{len(failed)} pictures could not be judged (at all levels) and are left out of the figures there"
            )
        degraded = int((self.progress.degraded & (self.weight > 0)).sum())
        if degraded:
            notes.append(f"{degraded} answers are degraded: a model that should have been asked did not answer")
        return tuple(notes)

    def _predictions(self) -> Predictions:
        return Predictions(
            name=np.array([row.key for row in self.rows], dtype=np.str_),
            level=self.truth.level,
            repetition=self.records.repetition,
            label=self.truth.label,
            answer=self.answers.yes,
            vote=self.progress.probability,
            probability=self._mapped(),
            weight=self.weight,
            scores=self.records.scores,
        )


def _weights(level: NDArray[np.str_], repetitions: int) -> Floats:
    """Return what a variant counts, so that every level counts the same."""
    augmented = np.where(level == Level.L0.value, 1.0, 1.0 / repetitions)
    return np.where(level == CLEAN, 0.0, augmented)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("natix-cascade", "numpy", "onnxruntime", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found
