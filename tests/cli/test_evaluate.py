"""The verb `evaluate`, with two scripted models in place of the shipped ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from natix_cascade.cli.evaluate import evaluate
from natix_cascade.errors import SpecError
from natix_cascade.models.base import Answers
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.card import Cost, InputSpec, ModelCard, WeightsSpec
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec
from natix_cascade.spec.resolved import resolve
from natix_cascade.spec.rules import Threshold
from natix_cascade.testing import write_scenes

app = typer.Typer()
app.command()(evaluate)
runner = CliRunner()


class Orange:
    def __init__(self, card: ModelCard, gain: float) -> None:
        self.card, self.gain = card, gain

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        small = pixels[::2, ::2].astype(np.float64)
        return np.array((small[..., 0] - small[..., 2] > 60).mean())

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        assert not explain
        return Answers(1 / (1 + np.exp(-self.gain * (np.log(np.stack(batch) + 1e-3) + 4))))

    def close(self) -> None:
        pass


def scripted() -> LoadedCascade:
    cards = {
        name: ModelCard(
            name=name,
            licence="MIT",
            input=InputSpec(height=32, width=32),
            weights=WeightsSpec(file="w", sha256="0" * 64, bytes=1),
            cost=Cost(gmacs=gmacs),
        )
        for name, gmacs in (("small", 0.1), ("large", 1.0))
    }
    spec = CascadeSpec(
        name="scripted",
        levels=(
            LevelSpec(name="glance", members=(MemberSpec(model="small"),), exit=Threshold(yes=0.8, no=0.2)),
            LevelSpec(name="study", members=(MemberSpec(model="large"),)),
        ),
    )
    models = {name: Orange(card, gain) for (name, card), gain in zip(cards.items(), (1.0, 2.0), strict=True)}
    return LoadedCascade(resolve(spec, cards), {}, models=models)


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(cascade: str, *, policy: str | None = None, threads: int | None = None, **_: object) -> LoadedCascade:
        if cascade == "missing":
            raise SpecError(f"no cascade 'missing' (policy {policy}, threads {threads})")
        return scripted()

    monkeypatch.setattr(LoadedCascade, "load", load)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 8, seed=2, size=(256, 144))


def test_json_is_all_there_is_on_standard_output(manifest: Path, tmp_path: Path) -> None:
    out, html = tmp_path / "r.json", tmp_path / "r.html"
    options = ["--bootstrap", "10", "--out", str(out), "--html", str(html), "--thumbnails", "--split", "test"]
    result = runner.invoke(app, [str(manifest), "--json", *options])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert list(data["levels"]) == ["L0", "L1", "L2", "L3"]
    assert json.loads(out.read_text("utf-8")) == data
    assert html.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert "wrote" in result.stderr


def test_tables_for_people(manifest: Path) -> None:
    options = ["--bootstrap", "10", "--levels", "L0,L3", "--repetitions", "2", "--seed", "3", "--flips"]
    result = runner.invoke(app, [str(manifest), *options])
    assert result.exit_code == 0, result.output
    for word in ("L0", "L3", "mean", "the cascade", "full ensemble", "small", "glance", "95 % interval", "A", "GMACs"):
        assert word in result.stdout
    assert "L1" not in result.stdout


def test_a_lost_picture_makes_exit_code_one(manifest: Path) -> None:
    more = manifest.with_name("more.csv")
    text = manifest.read_text("utf-8").replace("test,A", "train,A", 1)
    more.write_text(f"{text}scenes/gone.jpg,1,g,test,A\n", "utf-8")
    result = runner.invoke(app, [str(more), "--bootstrap", "5", "--levels", "L0"])
    assert result.exit_code == 1
    assert "scenes/gone.jpg" in result.stderr
    assert "split 'train'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "cannot be read"),
        (["MANIFEST", "--split", "tset"], "splits here: test"),
        (["MANIFEST", "--levels", "L7"], "choose among L0"),
        (["MANIFEST", "-c", "missing"], "no cascade 'missing'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(manifest: Path, arguments: list[str], message: str) -> None:
    given = [str(manifest) if item == "MANIFEST" else item for item in arguments]
    result = runner.invoke(app, given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
