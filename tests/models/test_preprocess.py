"""Pictures as folders of weights want them, against transformers' own image processors where those are installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_torch import needs_torch

from natix_cascade.errors import ModelError
from natix_cascade.models.preprocess import Preprocessor, plain_bilinear, size_to_edges, size_to_multiple
from natix_cascade.spec.card import InputSpec

CARD = InputSpec(height=64, width=48)
SIDES = st.integers(8, 2000)
OWN = {  # architecture, its processor, settings, largest difference in levels of 255 (torch's filters round otherwise)
    "florence2": ("CLIPImageProcessorPil", {"size": {"height": 96, "width": 96}, "do_center_crop": False}, 0),
    "rt_detr_v2": ("RTDetrImageProcessorPil", {"size": {"height": 96, "width": 96}}, 0),
    "grounding-dino": ("GroundingDinoImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}}, 0),
    "siglip": ("SiglipImageProcessorPil", {"size": {"height": 96, "width": 96}}, 0),
    "depth_anything": (
        "DPTImageProcessorPil",
        {"size": {"height": 70, "width": 70}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
        0,
    ),
    "dinov3_vit": ("DINOv3ViTImageProcessor", {"size": {"height": 96, "width": 96}}, 1.01),
    "rf_detr": ("RfDetrImageProcessor", {"size": {"height": 96, "width": 96}}, 0.51),
    "sam3": ("Sam3ImageProcessor", {"size": {"height": 96, "width": 96}}, 1.01),
}


def read(folder: Path, architecture: str = "siglip", **settings: object) -> Preprocessor:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return Preprocessor.read(folder, architecture, CARD)


def picture(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = rng.integers(0, 256, (rows // 8 + 2, columns // 8 + 2, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return np.ascontiguousarray(smooth[:rows, :columns]).astype(np.uint8)


def test_the_card_stands_in(tmp_path: Path) -> None:
    how = Preprocessor.read(tmp_path, "siglip", CARD)
    assert how.target(300, 500) == (64, 48)
    assert how.mean == (0.5, 0.5, 0.5)
    assert Preprocessor.read(tmp_path, "grounding-dino", CARD).target(1000, 1000) == (800, 800)
    assert Preprocessor.read(tmp_path, "rt_detr_v2", CARD).std == (1.0, 1.0, 1.0)


def test_the_folder_comes_first(tmp_path: Path) -> None:
    how = read(tmp_path, size=32, image_mean=[0, 0, 0], image_std=[1, 1, 1], rescale_factor=0.5, resample=2)
    assert how(picture(50, 70)).shape == (32, 32, 3)
    assert (how.scale, how.mean, how.resample) == (0.5, (0, 0, 0), 2)
    assert read(tmp_path, do_rescale=False, do_normalize=False).scale == 1
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text('{"image_processor": {"size": {"height": 8, "width": 9}}}')
    assert Preprocessor.read(tmp_path, "siglip", CARD).target(300, 500) == (8, 9)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": {"longest_edge": 9}}, "fitted by {'longest_edge': 9}; wanted a size of height and width"),
        ({"do_center_crop": True}, "fitted by a crop"),
    ],
)
def test_what_no_architecture_does_is_named(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        read(tmp_path, **settings)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"preprocessor_config\.json cannot be read: .*; fetch the model again"):
        Preprocessor.read(tmp_path, "siglip", CARD)


@given(SIDES, SIDES)
def test_edges_are_kept(rows: int, columns: int) -> None:
    height, width = size_to_edges(rows, columns, 80, 133)
    assert max(height, width) <= 133
    assert min(height, width) <= 80
    assert min(height, width) == 80 or max(height, width) >= 132
    assert (height <= width) == (rows <= columns) or abs(height - width) <= 1


@given(SIDES, SIDES)
def test_multiples_are_kept(rows: int, columns: int) -> None:
    height, width = size_to_multiple(rows, columns, 70, 70, keep_aspect=True, multiple=14)
    assert height % 14 == width % 14 == 0
    assert height >= 14
    assert width >= 14
    assert size_to_multiple(rows, columns, 70, 70, keep_aspect=False, multiple=14) == (70, 70)


def test_bilinear_by_hand() -> None:
    pixels = np.array([[[0] * 3, [100] * 3], [[50] * 3, [200] * 3]], np.uint8)
    assert plain_bilinear(pixels, 1, 1)[0, 0, 0] == 88  # the mean, 87.5
    assert plain_bilinear(pixels, 2, 2).tolist() == pixels.tolist()
    assert plain_bilinear(pixels, 4, 2)[:, 0, 0].tolist() == [0, 12, 38, 50]


@pytest.mark.train
@pytest.mark.parametrize("architecture", OWN)
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (480, 640), (300, 300)], ids=str)
def test_as_the_architectures_own_processor(tmp_path: Path, architecture: str, shape: tuple[int, int]) -> None:
    needs_torch()
    from natix_cascade.models import cpu_torchvision

    cpu_torchvision.install()
    import transformers

    name, settings, levels = OWN[architecture]
    if not hasattr(transformers, name) or getattr(transformers, name).__module__.endswith("dummy_torchvision_objects"):
        pytest.skip(f"{name} needs torchvision")
    own = getattr(transformers, name)(**settings)
    own.save_pretrained(str(tmp_path))
    how = Preprocessor.read(tmp_path, architecture, CARD)
    pixels = picture(*shape)
    if architecture == "grounding-dino":
        wanted = np.asarray(own(pixels, return_tensors="np", do_pad=False)["pixel_values"][0])
    else:
        wanted = np.asarray(own(pixels, return_tensors="np")["pixel_values"][0])
    given = (how(pixels).transpose(2, 0, 1) * how.scale - np.reshape(how.mean, (3, 1, 1))) / np.reshape(
        how.std, (3, 1, 1)
    )
    assert given.shape == wanted.shape
    assert np.abs((given - wanted) * np.reshape(how.std, (3, 1, 1)) / how.scale).max() <= levels + 1e-3
