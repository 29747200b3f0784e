"""Figures agree with scikit-learn, do not depend on the order of rows, and say what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, matthews_corrcoef, recall_score

from natix_cascade.decide import reward
from natix_cascade.errors import CascadeError
from natix_cascade.report.evaluation import evaluate
from natix_cascade.report.manifest import Row
from natix_cascade.report.results import Evaluation
from natix_cascade.report.study import without_exits
from natix_cascade.run.loaded import LoadedCascade

Maker = Callable[..., LoadedCascade]


@pytest.fixture(scope="module")
def found(loaded_with: Maker, rows: list[Row]) -> Evaluation:
    return evaluate(loaded_with(), rows, repetitions=2, bootstrap=60)


def timeless(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a clock decides."""
    kept = {k: v for k, v in data.items() if k not in ("created", "mean_latency_ms", "mean_decode_ms")}
    for judge in (*kept["models"], kept["ensemble"]):
        judge.pop("ms")
    return kept


def test_figures_equal_scikit_learn(found: Evaluation) -> None:
    said, data = found.predictions, found.as_dict()
    correlations = []
    for level in ("L0", "L1", "L2", "L3", "clean"):
        here = said.level == level
        truth, answer = said.label[here], said.answer[here]
        shown = data["clean"] if level == "clean" else data["levels"][level]
        assert shown["n"] == here.sum() == (12 if level in ("L0", "clean") else 24)
        assert shown["mcc"] == pytest.approx(matthews_corrcoef(truth, answer))
        assert shown["accuracy"] == pytest.approx(accuracy_score(truth, answer))
        assert shown["recall"] == pytest.approx(recall_score(truth, answer))
        assert shown["reward"] == pytest.approx(reward(shown["mcc"], shown["accuracy"]))
        assert shown["low"] <= shown["high"]
        tn, fp, fn, tp = confusion_matrix(truth, answer).ravel()
        assert list(shown["confusion"].values()) == [tp, fp, fn, tn]
        correlations.append(shown["mcc"])
    assert data["mean_mcc"] == pytest.approx(np.mean(correlations[:4]))
    pooled = said.level != "clean"
    weight = np.where(said.level == "L0", 1.0, 0.5)[pooled]
    assert data["specificity_pooled"] == pytest.approx(
        recall_score(~said.label[pooled], ~said.answer[pooled], sample_weight=weight)
    )
    whole = said.level == "L0"
    assert data["specificity"] == pytest.approx(recall_score(~said.label[whole], ~said.answer[whole]))
    assert len({m["name"] for m in data["models"]}) == 3


def test_models_alone_and_the_ensemble(found: Evaluation, loaded_with: Maker) -> None:
    said, judge = found.predictions, found.models[2]
    here = said.level == "L1"
    assert judge.levels[1].mcc == pytest.approx(matthews_corrcoef(said.label[here], said.scores[here, 2] >= 0.45))
    assert judge.gmacs == pytest.approx(1.5)
    assert found.ensemble.gmacs == pytest.approx(1.92)
    assert found.result.gmacs == pytest.approx(sum(m.asked * m.gmacs for m in found.models))
    assert found.result.usd == pytest.approx(found.models[2].asked * 0.002)
    assert all(level.exit is None for level in without_exits(loaded_with().resolved).levels)


def test_dictionary_has_its_keys_and_is_json(found: Evaluation) -> None:
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    wanted = {"levels", "mean_mcc", "recall_by_quality", "specificity", "exit_shares", "mean_latency_ms", "mean_cost"}
    assert wanted <= data.keys()
    assert list(data["levels"]) == ["L0", "L1", "L2", "L3"]
    assert {"mcc", "accuracy", "reward", "low", "high"} <= data["levels"]["L3"].keys()
    assert list(data["recall_by_quality"]) == ["A", "S", "B"]
    assert data["recall_by_quality"]["B"] is None
    assert sum(data["exit_shares"].values()) == pytest.approx(1)
    assert data["levels_executed"]["glance"] == 1
    assert data["mean_levels_executed"] == pytest.approx(sum(data["levels_executed"].values()))
    assert {part["name"] for part in data["by_source"]} == {"north/cam", "south/cam"}
    assert data["mistaken"] == len(data["mistakes"])


def test_same_seed_same_figures_whatever_the_order(loaded_with: Maker, rows: list[Row], found: Evaluation) -> None:
    again = evaluate(loaded_with(), rows[::-1], repetitions=2, bootstrap=60)
    assert timeless(again.as_dict()) == timeless(found.as_dict())
    said = evaluate(loaded_with(), rows, bootstrap=5, seed=1, levels=["L1"]).predictions
    before = found.predictions
    here = (before.level == "L1") & (before.repetition == 0)
    assert not np.array_equal(said.scores[said.level == "L1"], before.scores[here])


def test_one_class_is_noted_not_an_error(loaded_with: Maker, rows: list[Row]) -> None:
    data = evaluate(loaded_with(), [row for row in rows if row.label], bootstrap=10, levels=["L2"]).as_dict()
    assert data["mean_mcc"] == 0
    assert data["specificity"] is None
    assert any("MCC is 0" in note for note in data["notes"])
    assert list(data["levels"]) == ["L2"]
    json.dumps(data, allow_nan=False)


def test_missing_pictures_are_counted_and_listed(loaded_with: Maker, rows: list[Row]) -> None:
    lost = replace(rows[0], path=rows[0].path.with_name("gone.jpg"), name="scenes/gone.jpg")
    data = evaluate(loaded_with(), [lost, *rows[1:]], bootstrap=10, levels=["L0"]).as_dict()
    assert data["errors"]["count"] == 1
    assert data["errors"]["items"][0]["name"] == "scenes/gone.jpg"
    assert data["levels"]["L0"]["n"] == 11
    with pytest.raises(CascadeError, match="none of the 1 pictures"):
        evaluate(loaded_with(), [lost], bootstrap=10)


def test_a_model_that_fails_degrades(loaded_with: Maker, rows: list[Row]) -> None:
    data = evaluate(loaded_with(broken=["guard"]), rows, bootstrap=10, levels=["L1"]).as_dict()
    assert data["degraded"] > 0
    assert data["models"][1]["failures"] == 12
    assert data["models"][1]["levels"] == {}
    with pytest.raises(CascadeError, match="no model answered"):
        evaluate(loaded_with(broken=["scout", "guard", "judge"]), rows[:2], bootstrap=10, levels=["L0"])


def test_training_rows_are_noted(loaded_with: Maker, rows: list[Row]) -> None:
    mixed = [replace(row, split="train") for row in rows[:4]] + rows[4:]
    notes = evaluate(loaded_with(), mixed, bootstrap=10, levels=["L0"]).notes
    assert any("4 of the 12 pictures are of the split 'train'" in note for note in notes)


def test_one_group_for_all_still_gives_an_interval(loaded_with: Maker, rows: list[Row]) -> None:
    one = evaluate(loaded_with(), [replace(row, group="same") for row in rows], bootstrap=10, levels=["L0"])
    level = one.result.levels[0]
    assert level.low == level.high == pytest.approx(level.mcc)


@pytest.mark.parametrize(
    "options", [{"levels": ["L9"]}, {"levels": []}, {"repetitions": 0}, {"bootstrap": 0}, {"rows": []}]
)
def test_options_out_of_range(loaded_with: Maker, rows: list[Row], options: dict[str, Any]) -> None:
    with pytest.raises(CascadeError):
        evaluate(loaded_with(), options.pop("rows", rows), **options)


def test_progress_ends_at_all(loaded_with: Maker, rows: list[Row]) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(loaded_with(), rows, bootstrap=5, levels=["L0"], on_progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (12, 12)
