"""The verbs of ``natix-cascade miner`` that need no bittensor, and what the one that does says without it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from natix_cascade import __version__
from natix_cascade.cli.miner import _key, app
from natix_cascade.serve.miner.options import MinerOptions
from natix_cascade.testing import write_scenes

runner = CliRunner()
FEW = ["--challenges", "120", "--runs", "5", "--repetitions", "1"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 8, seed=2, size=(256, 144))


def test_simulate_prints_tables(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = runner.invoke(app, ["simulate", str(manifest), "--split", "test", *FEW])
    assert result.exit_code == 0, result.output
    for word in ("reward", "moving average", "MCC", "L0", "L3", "95 % interval", "gate", "synthetic pictures"):
        assert word in result.stdout


def test_simulate_as_json_is_all_there_is_on_standard_output(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "figures.json"
    result = runner.invoke(
        app, ["simulate", str(manifest), "--flips", "--seed", "3", "--json", "--out", str(out), *FEW]
    )
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data == json.loads(out.read_text("utf-8"))
    assert data["plays"] == {"challenges": 120, "runs": 5, "repetitions": 1, "seed": 3, "flips": True}


def test_a_lost_picture_makes_exit_code_one(manifest: Path) -> None:
    more = manifest.with_name("more.csv")
    more.write_text(f"{manifest.read_text('utf-8')}scenes/gone.jpg,1,g,test,A\n", "utf-8")
    result = runner.invoke(app, ["simulate", str(more), *FEW])
    assert result.exit_code == 1
    assert "scenes/gone.jpg" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "cannot be read"),
        (["MANIFEST", "--split", "tset"], "splits here: test"),
        (["MANIFEST", "--challenges", "100"], "more than 100 challenges"),
        (["MANIFEST", "-c", "missing"], "missing"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(manifest: Path, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, ["simulate", *[str(manifest) if item == "MANIFEST" else item for item in arguments]])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_card_is_written(tmp_path: Path) -> None:
    result = runner.invoke(app, ["card", "--out", str(tmp_path), "--submitted-by", "5Miner", "--json"])
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "model_card.json").read_text("utf-8"))
    assert json.loads(result.stdout) == card
    assert card["version"] == __version__
    wrong = runner.invoke(app, ["card", "--out", str(tmp_path), "--submitted-by", "me", "--version", "one"])
    assert wrong.exit_code == 2
    assert "three numbers" in wrong.stderr


@pytest.mark.skipif(importlib.util.find_spec("bittensor") is not None, reason="bittensor is installed here")
def test_without_bittensor_it_says_what_to_install() -> None:
    result = runner.invoke(app, ["run", "--offline", "--alone", "--axon-port", "0"])
    assert result.exit_code == 2
    assert "pip install 'natix-cascade[miner]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n", "utf-8")
    monkeypatch.setenv("NATIX_CASCADE_KEY", "from-environment")
    assert _key(file) == "from-file"
    assert _key(None) == "from-environment"
    monkeypatch.setenv("NATIX_CASCADE_KEY", "")
    assert _key(None) is None


def test_a_key_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    result = runner.invoke(app, ["run", "--service-key-file", str(tmp_path / "gone")])
    assert result.exit_code == 2
    assert "gone" in result.stderr


def test_options_do_not_show_the_key() -> None:
    assert "secret" not in repr(MinerOptions(service_key="secret"))
