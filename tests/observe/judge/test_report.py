from __future__ import annotations

import json
from dataclasses import replace

import pytest

from natix_cascade.observe.judge.journal import Row
from natix_cascade.observe.judge.report import lines, report

DAY = 86_400.0
ROW = Row(
    20_000 * DAY, "v", True, 0.9, "c@1", "p@1", "roadwork@1", "d1", "judge", True, 0.9, False, "r", 0.01, 5.0,
    None, None,
)  # fmt: skip
ROWS = [
    ROW,
    replace(ROW, score=0.7, label=True),
    replace(ROW, score=0.2, label=False),
    replace(ROW, created=ROW.created + DAY, score=None, abstained=True, label=True),
    replace(ROW, created=ROW.created + DAY, score=0.1, by_chance=False),
    replace(ROW, created=ROW.created + DAY, score=None, failure="gone", label=True),
    replace(ROW, created=ROW.created + 2 * DAY, digest="d2", score=0.4, label=True),
]


def test_figures_by_day_and_by_judge() -> None:
    told = report(ROWS, {"pace": 4})
    json.dumps(told, allow_nan=False)
    assert [(day["day"], day["asked"], day["scored"], day["abstained"], day["failed"]) for day in told["days"]] == [
        ("2024-10-04", 3, 3, 0, 0),
        ("2024-10-05", 3, 1, 1, 1),
        ("2024-10-06", 1, 1, 0, 0),
    ]
    assert told["days"][0]["mean_score"] == pytest.approx(0.6)
    assert told["days"][1]["mean_score"] is None  # the only score was not by chance
    assert told["cost_usd"] == pytest.approx(0.07)
    first, second = told["judges"]
    assert (first["digest"], second["digest"]) == ("d1", "d2")
    assert first["abstention_rate"] == pytest.approx(1 / 5)
    assert first["rolling"] == {"n": 3, "mean": pytest.approx(0.6), "before": None, "p_fallen": None}
    assert (first["agreement"]["n"], first["agreement"]["ratio"], first["agreement"]["abstained"]) == (2, 1.0, 1)
    assert first["agreement"]["auc"] == 1.0
    assert second["agreement"]["ratio"] == 0.0
    assert second["agreement"]["auc"] is None
    assert told["skipped"] == {"pace": 4}


def test_windows() -> None:
    told = report([ROW] * 10 + [replace(ROW, score=0.1)] * 10, {}, window=10)
    rolling = told["judges"][0]["rolling"]
    assert (rolling["n"], rolling["p_fallen"]) == (10, 0.0)
    assert rolling["before"] == pytest.approx(0.9)


def test_lines_for_people() -> None:
    text = "\n".join(lines(report(ROWS, {"pace": 4}), days=2))
    assert "2024-10-06" in text
    assert "2024-10-04" not in text
    assert "and 1 days before" in text
    assert "agrees with people on 100.0% of 2 verdicts (95 %: 34.2% to 100.0%), kappa 1.000, AUC 1.000" in text
    assert "mean score of right verdicts 0.700 (1), of wrong ones 0.200 (1)" in text
    assert "not asked about: pace 4" in text


def test_nothing_yet() -> None:
    told = report([], {})
    assert told["asked"] == 0
    assert told["mean_score"] is None
    assert len(list(lines(told))) == 1
