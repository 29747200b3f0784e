"""The simulation on rendered scenes, with the shipped cascade and with a model that is told what to say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from natix_cascade.errors import CascadeError
from natix_cascade.image import Picture, challenge
from natix_cascade.report.manifest import Row, read_manifest
from natix_cascade.report.records import seed_of
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.serve.miner.simulated import Plays, Simulation
from natix_cascade.serve.miner.simulation import answer_all, simulate
from natix_cascade.testing import ScriptedModel, scripted_cascade, write_scenes

FEW = Plays(challenges=150, runs=20, repetitions=2, seed=4)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return read_manifest(write_scenes(tmp_path_factory.mktemp("scenes"), 12, seed=5, size=(320, 240)))


@pytest.fixture(scope="module")
def embedded() -> LoadedCascade:
    return LoadedCascade.load(threads=1)


@pytest.fixture(scope="module")
def found(embedded: LoadedCascade, rows: list[Row]) -> Simulation:
    return simulate(embedded, rows, FEW)


def scripted(score: float) -> LoadedCascade:
    resolved, models = scripted_cascade([ScriptedModel("only", score)])
    return LoadedCascade(resolved, {}, models=models)


def test_answers_are_those_that_the_cascade_gives(embedded: LoadedCascade, rows: list[Row]) -> None:
    answered, failures, silent = answer_all(embedded, rows[:3], FEW)
    assert (failures, silent) == ([], 0)
    assert len(answered.yes) == 3 * (1 + 3 * FEW.repetitions)
    cascade = Cascade(embedded)
    from natix_cascade.image import decode

    ordered = sorted(rows[:3], key=lambda row: row.key)
    spots = np.flatnonzero(answered.level == "L2")
    seen = 0
    for spot, repetition in zip(spots, [0, 1] * 3, strict=True):
        row = ordered[answered.row[spot]]
        pixels = challenge(decode(row.path).pixels, "L2", seed=seed_of(row.key, repetition, FEW.seed))
        verdict = cascade.detect(Picture(pixels, row.key, "", "jpeg", 224, 224))
        assert bool(answered.yes[spot]) == verdict.detected
        assert embedded.resolved.levels[answered.exit[spot]].name == verdict.exit_level
        seen += 1
    assert seen == 6


def test_figures_lie_where_they_must(found: Simulation) -> None:
    for figure in (found.reward, found.weight, found.accuracy, *(level.reward for level in found.levels)):
        assert 0 <= figure.low <= figure.high <= 1
        assert 0 <= figure.value <= 1
    assert [level.level for level in found.levels] == ["L0", "L1", "L2", "L3"]
    assert sum(level.share for level in found.levels) == pytest.approx(1)
    assert sum(found.exits.values()) == pytest.approx(1)
    assert (found.pictures, found.positives, found.groups) == (12, 6, 12)
    assert "synthetic" in found.notes[0]
    assert np.mean([level.accuracy for level in found.levels]) == pytest.approx(found.accuracy.value)


def test_the_same_seed_gives_the_same_figures(embedded: LoadedCascade, rows: list[Row], found: Simulation) -> None:
    judged: list[tuple[int, int]] = []
    played: list[tuple[int, int]] = []
    again = simulate(
        embedded,
        rows[::-1],
        FEW,
        on_judged=lambda *step: judged.append(step),
        on_played=lambda *step: played.append(step),
    )
    assert again.as_dict() == found.as_dict()
    assert judged[-1] == (12, 12)
    assert played == [(k, 40) for k in range(1, 41)]
    other = simulate(embedded, rows, Plays(challenges=150, runs=20, repetitions=2, seed=5))
    assert other.as_dict() != found.as_dict()


def test_it_is_plain_data(found: Simulation) -> None:
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert data["plays"]["challenges"] == 150
    assert data["levels"][3]["reward"]["low"] <= data["levels"][3]["reward"]["high"]


@pytest.mark.parametrize("score", [0.9, 0.1])
def test_a_miner_that_always_says_the_same_earns_the_accuracy_alone(rows: list[Row], score: float) -> None:
    """MCC is 0 with one class of answers; accuracy over the last ten is binomial: E[(a / 2)^3] by its third moment."""
    result = simulate(scripted(score), rows, Plays(challenges=1000, runs=20, repetitions=1))
    assert result.mcc.value == 0
    assert result.accuracy.value == pytest.approx(0.5)
    n, p = 10, 0.5
    third = n * p * (1 - 3 * p + 3 * n * p + 2 * p**2 - 3 * n * p**2 + n**2 * p**2)
    assert result.reward.value == pytest.approx(third / n**3 / 8, rel=0.05)


def test_a_model_that_does_not_answer_says_no(rows: list[Row]) -> None:
    resolved, models = scripted_cascade([ScriptedModel("broken", fault="error")])
    loaded = LoadedCascade(resolved, {}, models=models)
    result = simulate(loaded, rows, Plays(challenges=120, runs=2, repetitions=1))
    assert result.accuracy.value == pytest.approx(0.5)
    assert any("no model answered" in note for note in result.notes)
    answered, _, silent = answer_all(loaded, rows[:2], Plays(repetitions=1))
    assert silent == len(answered.yes) == 8
    assert not answered.yes.any()


def test_lost_pictures_are_named(rows: list[Row], tmp_path: Path) -> None:
    gone = Row(tmp_path / "gone.jpg", label=True, group="g", name="gone.jpg")
    result = simulate(scripted(0.8), [*rows, gone], Plays(challenges=120, runs=2, repetitions=1))
    assert [failure.name for failure in result.failures] == ["gone.jpg"]
    assert result.pictures == 12
    with pytest.raises(CascadeError, match="could be judged"):
        simulate(scripted(0.8), [gone], FEW)


def test_impossible_wishes_are_refused(embedded: LoadedCascade, rows: list[Row]) -> None:
    with pytest.raises(CascadeError, match="more than 100 challenges"):
        Plays(challenges=100)
    with pytest.raises(CascadeError, match="repetitions is 0"):
        Plays(repetitions=0)
    with pytest.raises(CascadeError, match="at least one of each label"):
        simulate(embedded, [], FEW)
    with pytest.raises(CascadeError, match="label 'yes'"):
        simulate(scripted(0.5), [row for row in rows if not row.label], FEW)
