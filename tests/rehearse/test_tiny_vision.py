"""Tiny instances: complete, small, the same for the same seed, and played by the engines that the cards name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.models import LoadOptions, load_model
from natix_cascade.models.boxes import decode_end_to_end, decode_yolo
from natix_cascade.rehearse.tiny_vision import ARCHITECTURES, build_tiny_vision
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import bundle

FEW_MB = 4_000_000
LOCAL = {name: card for name, card in bundle().cards.items() if not card.is_remote and card.weights is None}
needs_torch = pytest.mark.train
QUICK = [name for name in ARCHITECTURES if name != "rf_detr"]  # whose graph is traced, which takes long


def need() -> None:
    for package in ("torch", "transformers", "onnx"):
        pytest.importorskip(package, reason=f"needs {package}")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def kind(card: ModelCard) -> str:
    assert card.serving is not None
    return card.serving.architecture


def build(card: ModelCard, folder: Path, **how: object) -> None:
    build_tiny_vision(kind(card), folder, labels=getattr(card.task, "labels", ()), **how)


def test_every_local_card_has_a_tiny_instance() -> None:
    assert len(LOCAL) == 13
    assert {kind(card) for card in LOCAL.values()} <= set(ARCHITECTURES)
    with pytest.raises(ModelError, match="no tiny 'resnet'; known: florence2, "):
        build_tiny_vision("resnet", Path("nowhere"))


@needs_torch
@pytest.mark.parametrize("architecture", QUICK)
def test_the_seed_says_it_all(architecture: str, tmp_path: Path) -> None:
    need()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_tiny_vision(architecture, tmp_path / name, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")
    assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) < FEW_MB
    assert not [name for name in digests(tmp_path / "a") if name.endswith((".bin", ".pt", ".pkl"))]


@needs_torch
@pytest.mark.parametrize("name", LOCAL)
def test_the_catalogues_cards_run_on_them(name: str, tmp_path: Path) -> None:
    need()
    card = LOCAL[name]
    build(card, tmp_path)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 90, (*size, 3), dtype=np.uint8) for size in ((90, 160), (64, 64))]
    for each in (card, *(card.in_role(role) for role in card.roles)):
        model = load_model(each, tmp_path, LoadOptions(device="cpu"))
        answers = model.predict([model.prepare(pixels) for pixels in pictures])
        assert answers.scores.shape == (2,)
        assert ((answers.scores >= 0) & (answers.scores <= 1)).all()
        assert answers.silent is None or not answers.silent.any()
        model.close()


@needs_torch
@pytest.mark.parametrize("layout", ["yolo", "yolo26"])
def test_the_two_heads_are_what_the_decoders_read(layout: str, tmp_path: Path) -> None:
    need()
    import onnxruntime

    build_tiny_vision(layout, tmp_path, labels=("a", "b", "c"), size=64)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    pixels = np.random.default_rng(1).random((2, 3, 64, 64), dtype=np.float32)
    (raw,) = session.run(["output0"], {"images": pixels})
    if layout == "yolo":
        assert raw.shape == (2, 7, 84)
        assert ((raw[:, 4:] > 0) & (raw[:, 4:] < 1)).all()
        assert (raw[:, 2:4] >= 0).all()  # distances to both sides are never negative
        found = decode_yolo(raw[0], min_score=0.0)
    else:
        assert raw.shape == (2, 84, 6)
        assert (np.diff(raw[:, :, 4], axis=1) <= 0).all()
        assert set(np.unique(raw[:, :, 5])) <= {0, 1, 2}
        found = decode_end_to_end(raw[0], min_score=0.0)
    assert len(found) > 10
    assert len(np.unique(found.scores)) > 10


@needs_torch
def test_the_traced_rf_detr_is_the_network(tmp_path: Path) -> None:
    need()
    card = LOCAL["rf-detr-large"]
    build(card, tmp_path)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    settings["size"] = {"height": card.input.height, "width": card.input.width}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    graph = load_model(card, tmp_path, LoadOptions(device="cpu"))
    network = load_model(replace(card, engine="transformers"), tmp_path, LoadOptions(device="cpu"))
    pixels = np.random.default_rng(0).integers(
        0, 256, (card.input.height, card.input.width, 3), dtype=np.uint8
    )  # no resize
    said = [model.predict([model.prepare(pixels)]) for model in (graph, network)]
    np.testing.assert_allclose(said[0].scores, said[1].scores, atol=1e-4)
    boxes = [each.evidence[0].boxes for each in said]
    assert boxes[0]
    assert [box.label for box in boxes[0]] == [box.label for box in boxes[1]]


def test_without_its_libraries_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="a tiny yolo cannot be built without onnx: pip install"):
        build_tiny_vision("yolo", tmp_path)
