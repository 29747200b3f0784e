from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.report.explain import explain, heat_overlay, write_explanation
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import render_scene


def verdict(*, heat: bool = True, failure: bool = False, detected: bool = True) -> Verdict:
    hot = np.linspace(-3, 5, 48, dtype=np.float32).reshape(6, 8) if heat else None
    opinions = (
        Opinion(
            "scout", "glance", None if failure else 0.6, None if failure else 0.6, 3.0, failure="x" if failure else None
        ),
        Opinion("guard", "look", 0.9, 0.93, 12.0, heat_map=hot),
    )
    return Verdict(
        id="p" * 80, sha256="0" * 64, question="roadwork", detected=detected, probability=0.93, confidence=0.93,
        consensus_ratio=1.0, exit_level="look", levels_executed=("glance", "look"), opinions=opinions, latency_ms=15.0,
        cost_usd=0.0, gmacs=0.42, degraded=failure, reasons=(), cascade="scripted@1", policy="none",
    )  # fmt: skip


@pytest.mark.parametrize("size", [(32, 32), (32, 400), (640, 360), (4000, 250), (2600, 3000)])
@pytest.mark.parametrize("heat", [True, False])
def test_any_size_of_picture(size: tuple[int, int], heat: bool) -> None:  # noqa: FBT001
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    drawn = explain(pixels, verdict(heat=heat), boxes=[(1, 1, size[0] - 2, size[1] - 2), (0, 0, 0, 0)])
    assert drawn.dtype == np.uint8
    assert drawn.shape[1:] == (960, 3)
    assert 150 < drawn.shape[0] < 1300


def test_skipped_levels_and_failures_are_drawn(loaded_with: Callable[..., LoadedCascade]) -> None:
    scene = render_scene(3, roadwork=True, size=(256, 144))
    cascade = loaded_with().resolved
    whole = explain(scene.pixels, verdict(), boxes=scene.boxes, cascade=cascade)
    failed = explain(scene.pixels, verdict(failure=True), boxes=scene.boxes, cascade=cascade)
    bare = explain(scene.pixels, verdict(), boxes=scene.boxes)
    assert whole.shape == failed.shape == bare.shape
    assert (whole != failed).any()
    assert (whole != bare).any()
    assert (explain(scene.pixels, verdict(detected=False)) != explain(scene.pixels, verdict())).any()


def test_a_long_cascade_fits(loaded_with: Callable[..., LoadedCascade]) -> None:
    cascade = loaded_with().resolved
    levels = tuple(replace(cascade.levels[0], name=f"a level with a long name {i}") for i in range(9))
    drawn = explain(np.zeros((64, 64, 3), np.uint8), verdict(), cascade=replace(cascade, levels=levels))
    assert drawn.shape[1] == 960


def test_only_evidence_for_yes_is_coloured() -> None:
    pixels = np.full((60, 80, 3), 120, np.uint8)
    assert np.array_equal(heat_overlay(pixels, np.full((3, 4), -2.0, np.float32)), pixels)
    heat = np.full((3, 4), -2.0, np.float32)
    heat[:, 3] = [np.nan, 9.0, 9.0]
    mixed = heat_overlay(pixels, heat)
    assert np.array_equal(mixed[:, :20], pixels[:, :20])
    assert (mixed[40:, 70:] != 120).any()


def test_writes_png_and_jpeg_whole(tmp_path: Path) -> None:
    pixels = np.zeros((90, 160, 3), np.uint8)
    for name, kind in (("a.png", "PNG"), ("deep/b.jpg", "JPEG")):
        path = write_explanation(tmp_path / name, pixels, verdict())
        with Image.open(path) as image:
            assert image.format == kind
        assert [item.name for item in path.parent.iterdir() if item.is_file()] == [path.name]
    with pytest.raises(CascadeError, match=r"\.png"):
        write_explanation(tmp_path / "c.gif", pixels, verdict())
    with pytest.raises(CascadeError, match="uint8"):
        explain(np.zeros((9, 9), np.uint8), verdict())
