"""The verb `record`, with two scripted models in place of the shipped ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from natix_cascade.cli.record import record
from natix_cascade.plan.records import read_records
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.library import WEIGHTS
from natix_cascade.testing import ScriptedModel, scripted_cascade, write_scenes

app = typer.Typer()
app.command()(record)
runner = CliRunner()

Loads = list[tuple[object, object]]


def brightness(pixels: NDArray[np.uint8]) -> float:
    return float(pixels.mean()) / 255


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """What cascades were asked for; scripted models come instead."""
    asked: Loads = []

    def load(cascade: object, *, policy: str, cards: object, threads: int, **_: object) -> LoadedCascade:
        assert (policy, threads) == ("none", 1)
        asked.append((cascade, cards))
        dear = ScriptedModel("dear", 0.75, fault="nan", every=1 if cascade == "failing" else 1000)
        resolved, models = scripted_cascade([ScriptedModel("cheap", brightness), dear])
        return LoadedCascade(resolved, {}, models=models)

    monkeypatch.setattr(LoadedCascade, "load", load)
    return asked


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 6, seed=2, size=(96, 64))


@pytest.fixture
def ask(loads: Loads, manifest: Path, tmp_path: Path) -> Callable[..., Any]:  # noqa: ARG001  # patches
    def call(*arguments: str) -> Any:
        return runner.invoke(app, [str(manifest), "--out", str(tmp_path / "r.parquet"), *arguments])

    return call


def test_one_line_for_people(ask: Callable[..., Any], loads: Loads, tmp_path: Path) -> None:
    result = ask()
    assert result.exit_code == 0, result.output
    wanted = f"6 rows: 6 pictures at clean; 2 models: cheap, dear; written to {tmp_path / 'r.parquet'}\n"
    assert result.stdout == wanted
    assert loads == [("embedded", None)]
    assert len(read_records(tmp_path / "r.parquet")) == 6


def test_json_is_all_there_is_on_standard_output(ask: Callable[..., Any], tmp_path: Path) -> None:
    result = ask("--json", "--augment", "L0..L2", "--repetitions", "2", "--seed", "3", "--flips", "--unit", "ms")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "out": str(tmp_path / "r.parquet"),
        "rows": 30,
        "pictures": 6,
        "resumed": 0,
        "levels": ["L0", "L1", "L1#1", "L2", "L2#1"],
        "models": ["cheap", "dear"],
        "failed": {"cheap": 0, "dear": 0},
        "lost": [],
    }
    assert read_records(tmp_path / "r.parquet").unit == "ms"


@pytest.mark.parametrize(
    ("text", "levels"),
    [("none", ["clean"]), ("L3", ["L3"]), ("L3, L0", ["L0", "L3"]), ("L1..L3", ["L1", "L2", "L3"])],
)
def test_levels(ask: Callable[..., Any], text: str, levels: list[str]) -> None:
    assert json.loads(ask("--json", "--augment", text).stdout)["levels"] == levels


def test_a_lost_picture_makes_exit_code_one(loads: Loads, manifest: Path, tmp_path: Path) -> None:  # noqa: ARG001
    more = manifest.with_name("more.csv")
    more.write_text(manifest.read_text("utf-8") + "scenes/gone.jpg,1,g,test,A\n", "utf-8")
    out = tmp_path / "r.parquet"
    result = runner.invoke(app, [str(more), "-o", str(out), "--json"])
    assert result.exit_code == 1
    assert [lost["picture"] for lost in json.loads(result.stdout)["lost"]] == ["scenes/gone.jpg"]
    assert "scenes/gone.jpg" in result.stderr
    assert len(read_records(out)) == 6


def test_a_model_that_fails_is_told(ask: Callable[..., Any]) -> None:
    result = ask("--cascade", "failing")
    assert result.exit_code == 0
    assert "note: dear did not answer in 6 of 6 rows" in result.stderr


def test_models_by_name(ask: Callable[..., Any], loads: Loads, tmp_path: Path) -> None:
    assert ask("--models", "road-lite0, road-gate", "--cards", str(tmp_path)).exit_code == 0
    spec, cards = loads[0]
    assert isinstance(spec, CascadeSpec)
    assert [member.model for level in spec.levels for member in level.members] == ["road-lite0", "road-gate"]
    assert cards == tmp_path


def test_an_interrupted_run_goes_on(ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("natix_cascade.plan.record.write_records", interrupt)
        result = ask()
    assert result.exit_code == 130
    assert "goes on from there" in result.stderr
    result = ask("--seed", "1")
    assert result.exit_code == 2
    assert "other seed; go on with the same" in result.stderr
    assert "6 pictures (6 of them by the run before) at clean" in ask().stdout
    assert "exists already" in ask().stderr
    assert ask("--fresh").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.parquet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--augment", "L7"], "--augment is 'L7'; write a range (L0..L3)"),
        (["--augment", "L3..L0"], "--augment is 'L3..L0'"),
        (["--augment", ","], "--augment is ','"),
        (["--unit", "eur"], "the unit is 'eur'"),
        (["--split", "tset"], "splits here: test"),
        (["--root", "/nowhere"], "none of the 6 pictures can be decoded"),
        (["--models", "nobody"], "no card for model nobody"),
        (["--models", "road-gate", "--cascade", "embedded"], "--cascade and --models are both given"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    ask: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.skipif(not (WEIGHTS / "road-gate.onnx").exists(), reason="the shipped weights are not in this checkout")
def test_a_shipped_model_for_real(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    result = runner.invoke(app, [str(manifest), "--models", "road-gate", "--augment", "L0,L3", "-o", str(out)])
    assert result.exit_code == 0, result.output
    records = read_records(out)
    assert records.models == ("road-gate",)
    assert len(records) == 12
    assert len(records.sha256["road-gate"]) == 64
    assert records.cost().tolist()[0] > 0
