"""The real training code on a few rendered scenes: train, distil, export, card, policy, verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from natix_cascade.decide import mcc
from natix_cascade.learn.policy import fit_policy
from natix_cascade.plan import from_table
from natix_cascade.plan.policies import answer, answer_reference
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec, Threshold
from natix_cascade.spec.resolved import resolve_layout


def test_a_fitted_policy_is_cheaper_than_the_full_ensemble_at_the_same_mcc() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(4000) < 0.4
    truth = np.where(labels, 2.0, -2.0)
    scores = 1 / (1 + np.exp(-(truth[:, None] + rng.normal(0, [2.0, 1.2, 1.0], (4000, 3)))))
    costs = {"gate": 0.1, "mid": 1.0, "big": 2.0}
    table = {"label": labels.astype(int), **dict(zip(costs, scores.T, strict=True))}
    records = from_table(table, label="label", costs=costs)
    cascade = CascadeSpec(
        name="three",
        levels=(
            LevelSpec(name="gate", members=(MemberSpec(model="gate"),), exit=Threshold()),
            LevelSpec(name="then", members=(MemberSpec(model="mid"),), exit=Threshold()),
            LevelSpec(name="last", members=(MemberSpec(model="big"),)),
            LevelSpec(name="consensus"),
        ),
    )
    policy = fit_policy(cascade, records.rows(np.arange(2000)), budget=1.0, made_from="a simulation")
    assert policy.promise is not None
    assert set(policy.levels) == {"gate", "then", "last", "consensus"}
    judged = records.rows(np.arange(2000, 4000))
    own = answer(resolve_layout(replace(policy, layout=cascade.levels)), judged)
    full = answer_reference(policy.promise.reference, judged)
    assert full.asked.all()
    assert own.cost(costs).mean() < 1.05
    yes = judged.label == 1
    assert mcc(yes, own.answer == 1) > mcc(yes, full.answer == 1) - 0.02


@pytest.mark.train
@pytest.mark.timeout(1200)
def test_train_distil_package_and_ask(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra: make test-train")
    from typer.testing import CliRunner

    from natix_cascade.learn.__main__ import app
    from natix_cascade.run.cascade import Cascade
    from natix_cascade.testing import render_scene, write_scenes

    manifest = write_scenes(tmp_path / "scenes", 16, seed=3, size=(256, 144))
    runner = CliRunner()
    train = ["train", str(manifest), "--checkpoints", str(tmp_path / "states"), "--split", "test"]
    small = ["--scale", "0.001", "--batch", "4", "--rendered", "4"]
    first = runner.invoke(app, [*train, *small], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "states").iterdir()}
    again = runner.invoke(app, [*train, *small], catch_exceptions=False)
    assert again.exit_code == 0
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "states").iterdir()}, "trained twice"

    out = tmp_path / "out"
    options = ["--checkpoints", str(tmp_path / "states"), "--out", str(out), "--split", "test", "--repetitions", "1"]
    packaged = runner.invoke(app, ["package", str(manifest), *options], catch_exceptions=False)
    assert packaged.exit_code == 0, packaged.output
    policy = json.loads((out / "policies" / "embedded.json").read_text())
    assert set(policy["models"]) == {"road-gate", "road-lite0", "road-lite1", "road-lite2"}

    cards = tmp_path / "cards"
    cards.mkdir()
    for path in (out / "catalogue").glob("*.yaml"):
        (cards / path.name).write_text(path.read_text())
    for path in (out / "weights").glob("*.onnx"):
        (cards / path.name).write_bytes(path.read_bytes())
    with Cascade.load("embedded", cards=cards, policy=out / "policies" / "embedded.json") as cascade:
        verdict = cascade.detect(render_scene(1).jpeg(), explain=True)
    assert 0 < verdict.probability < 1
    assert verdict.heat_map is not None


@pytest.mark.train
def test_an_exported_network_answers_as_the_trained_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra: make test-train")
    import onnxruntime

    from natix_cascade.learn.export import export_onnx
    from natix_cascade.learn.train import NetworkSettings, build

    torch.manual_seed(0)
    settings = NetworkSettings(blocks=11, side=112)
    network = build(settings, image_size=112).eval()
    torch.nn.init.normal_(network.evidence.weight, std=0.1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    with torch.inference_mode():
        wanted, heat = network(torch.tensor(pixels).permute(0, 3, 1, 2).float())
    for storage, tolerance in (("fp32", 1e-4), ("fp16", 0.02), ("int8", 0.3)):
        export_onnx(network, 112, tmp_path / "net.onnx", storage=storage)
        session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
        logit, map_ = session.run(["logit", "heat_map"], {"pixels": pixels})
        assert np.abs(logit - wanted.numpy()).max() < tolerance * max(1.0, np.abs(wanted.numpy()).max())
        assert map_.shape == heat.shape


@pytest.mark.train
def test_simulated_jpeg_is_close_to_the_real_one() -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra: make test-train")

    from natix_cascade.image import decode, encode_jpeg
    from natix_cascade.learn.augment import jpeg
    from natix_cascade.testing import render_scene

    pixels = np.ascontiguousarray(render_scene(5).pixels[:224, :224])
    real = decode(encode_jpeg(pixels, quality=75)).pixels.astype(float)
    simulated = jpeg(torch.tensor(pixels).permute(2, 0, 1)[None].float(), torch.tensor([75.0]))[0].permute(1, 2, 0)
    own_loss = np.mean((real - pixels) ** 2)
    assert np.mean((simulated.numpy() - real) ** 2) < 0.3 * own_loss


@pytest.mark.train
def test_boxes_on_map_follow_the_view() -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra: make test-train")

    from natix_cascade.learn.augment import boxes_on_map

    whole = torch.tensor([[[100.0, 0.0, 100.0], [0.0, 100.0, 100.0]]])  # the view is the whole 200 x 200 picture
    box = torch.tensor([[[10.0, 10.0, 40.0, 40.0], [float("nan")] * 4]])
    seen = boxes_on_map(whole, box, 4)
    assert seen[0, 0, 0] == 1
    assert seen[0, 2:, 2:].sum() == 0
    right = torch.tensor([[[50.0, 0.0, 150.0], [0.0, 100.0, 100.0]]])  # only the right half
    assert boxes_on_map(right, box, 4).sum() == 0
