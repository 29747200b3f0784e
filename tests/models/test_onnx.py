"""The ONNX Runtime engine on real files: what it computes, and what it says of files that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_onnx import Tiny, lie

from natix_cascade.errors import ChecksumError, ModelError, SpecError
from natix_cascade.models import LoadOptions, load_model
from natix_cascade.models.engines import verify_weights
from natix_cascade.models.onnx import OnnxModel

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
TWO = {"slopes": (0.01, 0.05), "shifts": (0.3, -6.4)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_the_graph_sees_is_what_the_card_says(tmp_path: Path, layout: str, dtype: str) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    weights = RNG.normal(size=(8, 8, 3))  # tells rows, columns and channels apart
    own = weights if layout == "NHWC" else weights.transpose(2, 0, 1)
    tiny = Tiny(layout=layout, dtype=dtype, weights=own, slopes=(1.0,), shifts=(0.2,), mean=mean, std=std)
    model = load_model(*tiny.write(tmp_path))
    seen = PIXELS if dtype == "uint8" else (PIXELS / 255 - mean) / std
    expected = (seen * weights.astype(np.float32)).mean(axis=(1, 2, 3)) + 0.2
    scores = model.predict([model.prepare(pixels) for pixels in PIXELS]).scores
    np.testing.assert_allclose(scores, sigmoid(expected), atol=1e-5)
    model.close()


@pytest.mark.parametrize("fit", ["stretch", "center_crop", "pad"])
def test_pictures_are_fitted_as_the_card_says(tmp_path: Path, fit: str) -> None:
    model = load_model(*Tiny(fit=fit).write(tmp_path))
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 8:24] = 255
    expected = {"stretch": 127.5, "center_crop": 255, "pad": (127.5 + 128) / 2}[fit]
    assert model.prepare(pixels).mean() == pytest.approx(expected, abs=2)
    image = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR))
    if fit == "stretch":
        np.testing.assert_allclose(model.prepare(pixels).astype(int), image.astype(int), atol=3)
    model.close()


@pytest.mark.parametrize("kind", ["logit", "probability", "logits", "probabilities"])
def test_kinds_of_output(tmp_path: Path, kind: str) -> None:
    how = TWO if kind.endswith("s") else {}
    model = load_model(*Tiny(kind=kind, **how).write(tmp_path))
    mean = PIXELS.mean(axis=(1, 2, 3))
    logit = 0.05 * mean - 6.4 - (0.01 * mean + 0.3 if kind.endswith("s") else 0)
    scores = model.predict([model.prepare(pixels) for pixels in PIXELS]).scores
    np.testing.assert_allclose(scores, sigmoid(logit), atol=1e-5)
    model.close()


@pytest.mark.parametrize("classes", [("dark", "bright"), ("bright", "dark")])
def test_the_positive_class_is_found_by_its_name(tmp_path: Path, classes: tuple[str, str]) -> None:
    card, path = Tiny(kind="logits", slopes=(0.0, 0.05), shifts=(0.0, -6.4)).write(tmp_path)
    model = load_model(lie(card, classes=classes), path)
    score = model.predict([np.full((8, 8, 3), 255, np.uint8)]).scores[0]
    assert score == pytest.approx(0.998 if classes[1] == "bright" else 0.002, abs=1e-3)
    model.close()


def test_heat_maps_are_by_place(tmp_path: Path) -> None:
    model = load_model(*Tiny(heat=True).write(tmp_path))
    maps = model.predict(list(PIXELS), explain=True).heat_maps
    assert maps is not None
    np.testing.assert_allclose(maps, PIXELS.mean(axis=3) * 0.05 - 6.4, atol=1e-4)
    model.close()


@pytest.mark.parametrize("threads", [1, 2, 0])
def test_threads_are_bounded(tmp_path: Path, threads: int) -> None:
    model = load_model(*Tiny().write(tmp_path), LoadOptions(threads=threads))
    assert isinstance(model, OnnxModel)
    options = model._session.get_session_options()
    assert options.intra_op_num_threads == max(1, threads)
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert model._session.get_providers() == ["CPUExecutionProvider"]
    model.close()


def test_no_weights(tmp_path: Path) -> None:
    card, _ = Tiny().write(tmp_path)
    with pytest.raises(ChecksumError, match=r"'bright': no weights at .*gone\.onnx"):
        load_model(card, tmp_path / "gone.onnx")


def test_weights_of_another_size(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ChecksumError, match=r"has \d+ bytes, the card says \d+; get the file again"):
        load_model(card, path)


def test_weights_that_were_tampered_with(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match=r"sha256 of .* is [0-9a-f]{16}\.\.\., the card says"):
        load_model(card, path)


def test_a_digest_in_capitals_is_the_same_digest(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    verify_weights(lie(card, weights__sha256=card.weights.sha256.upper()), path)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_a_truncated_file_that_the_card_agrees_with(tmp_path: Path, keep: float) -> None:
    tiny = Tiny()
    whole = tiny.encode()
    part = whole[: int(len(whole) * keep)] or b"\x00"
    path = tmp_path / "part.onnx"
    path.write_bytes(part)
    with pytest.raises(ModelError, match=r"'bright': ONNX Runtime cannot load .*part\.onnx") as caught:
        load_model(tiny.card(part), path)
    assert "\n" not in str(caught.value)


def test_no_such_engine(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    with pytest.raises(SpecError, match="no engine 'abacus'; known: onnx"):
        load_model(lie(card, engine="abacus"), path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"input__name": "image"}, r"no input 'image', only \['pixels'\]"),
        ({"output__name": "score"}, r"no output \['score'\], only \['answer'\]"),
        ({"output__heat_map": "heat"}, r"no output \['heat'\]"),
        ({"input__height": 16}, r"shape \['n', 8, 8, 3\], the card makes pictures of \[16, 8, 3\]"),
        ({"input__layout": "NCHW"}, r"pictures of \[3, 8, 8\] \(NCHW\)"),
        ({"input__dtype": "float32"}, r"is tensor\(uint8\), the card's dtype float32"),
        ({"output__kind": "logits", "positive": "night"}, r"positive 'night' is not one of \['dark', 'bright'\]"),
    ],
    ids=str,
)
def test_a_card_that_is_not_of_this_graph_is_refused_at_load(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    card, path = Tiny().write(tmp_path)
    with pytest.raises(ModelError, match=sentence):
        load_model(lie(card, **changes), path)


def test_a_fixed_batch_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes batches of 1 only; export it with a dynamic first axis"):
        load_model(*Tiny(batch=1).write(tmp_path))


@pytest.mark.parametrize(
    ("tiny", "changes", "sentence"),
    [
        (Tiny(), {"output__kind": "logits"}, r"shape \(3, 1\) to 3 pictures; wanted 2 numbers"),
        (Tiny(**TWO), {}, r"shape \(3, 2\) to 3 pictures; wanted one number a picture"),
        (Tiny(kind="logits", **TWO), {"classes": ("dark", "dim", "bright")}, "wanted 3 numbers, one for each"),
        (Tiny(shifts=(float("nan"),)), {}, "answered with NaN or infinity"),
        (Tiny(shifts=(float("inf"),)), {}, "answered with NaN or infinity"),
        (Tiny(kind="logits", slopes=(0.0, 1.0), shifts=(0.0, float("-inf"))), {}, "answered with NaN or infinity"),
        (Tiny(kind="probability", shifts=(float("nan"),)), {}, "answered with NaN or infinity"),
        (Tiny(shifts=(-9.0,)), {"output__kind": "probability"}, r"is no probability; .* write kind: logit under"),
        (Tiny(kind="logits", **TWO), {"output__kind": "probabilities"}, "write kind: logits under output in its card"),
    ],
)
def test_answers_that_cannot_be_used(tmp_path: Path, tiny: Tiny, changes: dict[str, object], sentence: str) -> None:
    card, path = tiny.write(tmp_path)
    model = load_model(lie(card, **changes), path)
    with pytest.raises(ModelError, match=sentence):
        model.predict(list(PIXELS))
    model.close()


def test_a_wrong_heat_map_is_named(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    model = load_model(lie(card, output__heat_map="answer"), path)
    assert len(model.predict(list(PIXELS)).scores) == 3
    with pytest.raises(ModelError, match=r"heat maps of shape \(3, 1\) for 3 pictures, wanted \(3, h, w\)"):
        model.predict(list(PIXELS), explain=True)
    model.close()


@pytest.mark.parametrize(
    "batch", [[], [np.zeros((4, 8, 3), np.uint8)], [PIXELS[0], np.zeros((9, 8, 3), np.uint8)], [np.zeros((8, 8, 3))]]
)
def test_a_batch_that_does_not_fit(tmp_path: Path, batch: list[np.ndarray]) -> None:
    model = load_model(*Tiny().write(tmp_path))
    with pytest.raises(ModelError, match="model 'bright' failed: ") as caught:
        model.predict(batch)
    assert "\n" not in str(caught.value)
    model.close()
