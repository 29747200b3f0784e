"""The cascade is about as often right as all its models together, for a part of their compute.

Every model is asked about every picture of the manifest's split `test`, as it is (clean) and under the challenges of
Subnet 72 (L0 to L3; three draws of the random ones); then the cascade, each model alone and the full ensemble without
exits are read off the same scores. None of these pictures was seen in training or calibration.

Intervals are 95 % percentile intervals of a bootstrap over groups (places, drives), 1000 draws. Recall and
specificity by quality, source and part count L0 to L3 alike. Compute is multiply-accumulates of the models asked.

`quality A only` takes roadwork that is plainly seen against all pictures without. `two-class sources only` takes the
sources that have both answers (TraCon, 99succubus, Mi3): there, no source gives the answer away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common
from natix_cascade.decide import accuracy, bootstrap_by_group, calibrate, mcc, positive, replay, reward
from natix_cascade.report.evaluation import evaluate
from natix_cascade.report.figures import Answers, Truth, level_result, mean_interval, pooled, rates
from natix_cascade.report.manifest import Row
from natix_cascade.report.records import CLEAN
from natix_cascade.report.results import Evaluation
from natix_cascade.report.study import without_exits
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.resolved import ResolvedCascade

LEVELS = (CLEAN, "L0", "L1", "L2", "L3")
TWO_CLASS = ("ikatsamenis", "99succubus", "mi3")
SEED = 0

Bools = NDArray[np.bool_]


class Study:
    """Judges, and parts of the data, on the answers of one evaluation."""

    def __init__(self, cascade: ResolvedCascade, rows: Sequence[Row], found: Evaluation) -> None:
        self.found, self.draws = found, found.settings.bootstrap
        said = found.predictions
        by_name = {row.key: row for row in rows}
        self.rows = [by_name[name] for name in said.name.tolist()]
        names, group = np.unique(np.array([row.group for row in self.rows], dtype=np.str_), return_inverse=True)
        self.truth = Truth(said.label, said.level, group.astype(np.int64), len(names), said.weight)
        self.judges = {"cascade": Answers(said.answer, ~np.isnan(said.vote))}
        for level in cascade.levels:
            for member in level.members:
                p = calibrate(member.calibrator, said.scores[:, member.column])
                self.judges[member.model] = Answers(p >= level.threshold, ~np.isnan(p))
        whole = without_exits(cascade)
        everyone = replay(whole, said.scores, np.isnan(said.scores))
        self.judges["ensemble"] = Answers(positive(whole, everyone), ~np.isnan(everyone.probability))

    def judge(self, answers: Answers, chosen: Bools | None = None) -> dict[str, Any]:
        """Figures at every level, of the chosen variants."""
        if chosen is not None:
            answers = Answers(answers.yes, answers.known & chosen)
        levels = {
            name: self._level(answers, name) for name in LEVELS if ((self.truth.level == name) & answers.known).any()
        }
        challenged = [name for name in levels if name != CLEAN]
        recall, specificity = rates(pooled(self.truth, answers))
        low, high = mean_interval(self.truth, answers, challenged, repetitions=self.draws, seed=SEED)
        mean = float(np.mean([levels[name]["mcc"] for name in challenged]))
        return {
            **levels,
            "mean": {"mcc": mean, "mcc_low": low, "mcc_high": high, "recall": recall, "specificity": specificity},
        }

    def _level(self, answers: Answers, name: str) -> dict[str, Any]:
        found = level_result(self.truth, answers, name, repetitions=self.draws, seed=SEED)
        assert found is not None
        here = (self.truth.level == name) & answers.known
        data = (self.truth.group[here], self.truth.label[here], answers.yes[here])
        intervals = {
            kind: bootstrap_by_group(statistic, *data, repetitions=self.draws, seed=SEED)
            for kind, statistic in (("accuracy", accuracy), ("reward", _reward))
        }
        return {
            "n": found.n,
            "mcc": found.mcc,
            "mcc_low": found.low,
            "mcc_high": found.high,
            "accuracy": found.accuracy,
            "accuracy_low": intervals["accuracy"][0],
            "accuracy_high": intervals["accuracy"][1],
            "reward": found.reward,
            "reward_low": intervals["reward"][0],
            "reward_high": intervals["reward"][1],
            "recall": found.recall,
            "specificity": found.specificity,
            "confusion": asdict(found.confusion),
        }

    def recall_by_quality(self) -> dict[str, Any]:
        """By judge: recall of A, S and B on L0 and pooled, and specificity."""
        quality = np.array([row.quality for row in self.rows], dtype=np.str_)
        at_l0 = np.where(self.truth.level == "L0", self.truth.weight, 0.0)
        only_l0 = Truth(self.truth.label, self.truth.level, self.truth.group, self.truth.groups, at_l0)
        results = {}
        for judge, answers in self.judges.items():
            results[judge] = {
                place: {
                    **{name: rates(pooled(truth, answers, quality == name))[0] for name in ("A", "S", "B")},
                    "all": rates(pooled(truth, answers))[0],
                    "specificity": rates(pooled(truth, answers))[1],
                }
                for place, truth in (("L0", only_l0), ("pooled", self.truth))
            }
        return results

    def part(self, chosen: Bools) -> dict[str, Any] | None:
        """The judges on a part of the data; None where it lacks one of the answers."""
        names = {True: set(), False: set()}
        for row, yes in zip(self.rows, chosen, strict=True):
            if yes:
                names[row.label].add(row.key)
        if not names[True] or not names[False]:
            return None
        return {
            "positives": len(names[True]),
            "negatives": len(names[False]),
            **{judge: self.judge(answers, chosen) for judge, answers in self.judges.items()},
        }

    def parts(self) -> dict[str, Any]:
        """Part by name."""
        clear = np.array([not row.label or row.quality == "A" for row in self.rows], dtype=np.bool_)
        both = np.array([any(name in row.source.lower() for name in TWO_CLASS) for row in self.rows], dtype=np.bool_)
        found = {"quality_a_only": self.part(clear), "two_class_sources_only": self.part(both)}
        return {name: part for name, part in found.items() if part is not None}


def _reward(labels: NDArray[Any], answers: NDArray[Any], *, weights: NDArray[Any]) -> float:
    return reward(mcc(labels, answers, weights), accuracy(labels, answers, weights))


def figures(cascade: ResolvedCascade, rows: Sequence[Row], found: Evaluation) -> dict[str, Any]:
    """Everything that is claimed."""
    study = Study(cascade, rows, found)
    judges = {name: study.judge(answers) for name, answers in study.judges.items()}
    for level in found.result.levels:  # the two ways to the same figures must meet
        assert judges["cascade"][level.level]["mcc"] == level.mcc
    for level in found.ensemble.levels:
        assert judges["ensemble"][level.level]["mcc"] == level.mcc
    return {
        **judges,
        "gain_over_ensemble_mcc": judges["cascade"]["mean"]["mcc"] - judges["ensemble"]["mean"]["mcc"],
        "recall_by_quality": study.recall_by_quality(),
        "by_source": {part.name: asdict(part) for part in found.sources},
        **study.parts(),
        "compute": {
            "cascade_gmacs": found.result.gmacs,
            "ensemble_gmacs": found.ensemble.gmacs,
            "ratio": found.result.gmacs / found.ensemble.gmacs,
            "times_less": found.ensemble.gmacs / found.result.gmacs,
            "levels_executed": found.mean_levels_executed,
        },
        "exits": {item.level: asdict(item) for item in found.exits},
        "calibration_error": found.calibration.ece,
        "mistaken_pictures": found.mistaken,
        "failures": len(found.failures),
        "degraded": found.degraded,
    }


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "accuracy", manifest=True)
    parser.add_argument("--repetitions", type=int, default=3, help="draws of the challenges L1 to L3")
    arguments = parser.parse_args()
    rows = common.labelled(arguments.manifest)
    repetitions, draws = arguments.repetitions, 1000
    if arguments.quick:
        rows, repetitions, draws = common.spaced(rows, 32), 1, 100
    loaded = LoadedCascade.load()
    try:
        found = evaluate(
            loaded,
            rows,
            repetitions=repetitions,
            bootstrap=draws,
            seed=SEED,
            on_progress=lambda done, total: common.progress(f"{done} of {total} pictures"),
        )
    finally:
        loaded.close()
    common.progress("")
    result = figures(loaded.resolved, rows, found)
    data = {
        "pictures": found.pictures,
        "positives": found.positives,
        "groups": found.groups,
        "split": "test",
        "repetitions": repetitions,
        "cascade": found.cascade,
        "policy": found.policy,
        "notes": list(found.notes),
    }
    show(result)
    common.save(arguments.out, __doc__, data=data, figures=result, quick=arguments.quick)


def show(result: dict[str, Any]) -> None:
    """Print the figures."""
    models = [name for name in result["recall_by_quality"] if name not in {"cascade", "ensemble"}]
    lines = []
    for name in ("cascade", "ensemble", *models):
        judge, recall = result[name], result["recall_by_quality"][name]["pooled"]
        lines.append(
            [name]
            + [judge.get(level, {}).get("mcc") for level in LEVELS]
            + [f"{judge['mean']['mcc']:.3f} [{judge['mean']['mcc_low']:.3f}, {judge['mean']['mcc_high']:.3f}]"]
            + [recall[kind] for kind in ("A", "S", "B", "specificity")]
        )
    common.table(["MCC", *LEVELS, "mean L0-L3 [95 %]", "recall A", "S", "B", "specificity"], lines)
    for part in ("quality_a_only", "two_class_sources_only"):
        if part in result:
            here = result[part]["cascade"]
            numbers = [here.get(level, {}).get("mcc") for level in LEVELS]
            common.table([f"{part}, cascade: MCC", *LEVELS], [["", *numbers]])
    exits = [[name, item["share"], item["accuracy"]] for name, item in result["exits"].items()]
    common.table(["exit", "share", "accuracy"], exits)
    print(f"compute: {result['compute']['ratio']:.1%} of the full ensemble's\n")


if __name__ == "__main__":
    main()
