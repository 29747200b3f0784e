"""The subnet's challenges: each step fires as often as the table says and does what the table says."""

from __future__ import annotations

import io
import math
from functools import lru_cache

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from natix_cascade.image import Level, augment, challenge, challenge_jpeg
from natix_cascade.image.augment import Box, Recipe

PIXELS = files.noisy(180, 320)
SMOOTH = files.scene(224, 224)
DRAWS = 6_000


@lru_cache(maxsize=32)
def recipes(
    level: str, count: int = DRAWS, height: int = 360, width: int = 640, *, flips: bool = False
) -> list[Recipe]:
    rng = np.random.default_rng(5)
    return [augment.draw(level, height, width, rng=rng, flips=flips) for _ in range(count)]


def close(share: float, wanted: float, count: int = DRAWS) -> bool:
    """Five standard deviations: one false alarm in two million."""
    return abs(share - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / count)


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# Dice ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "field", "values"),
    [
        ("L2", "saturation", (None, 0.4)),
        ("L2", "contrast", (None, 0.85)),
        ("L2", "downsampling", (None, 2)),
        ("L3", "saturation", (None, 0.4, 0.3)),
        ("L3", "contrast", (None, 0.85, 0.725)),
        ("L3", "downsampling", (None, 2, 3)),
        ("L3", "noise", (None, 0.001, 0.002)),
        ("L3", "blur", (None, 7, 9)),
    ],
)
def test_each_value_comes_equally_often(level: str, field: str, values: tuple[object, ...]) -> None:
    drawn = [getattr(recipe, field) for recipe in recipes(level)]
    assert set(drawn) == set(values)
    for value in values:
        assert close(drawn.count(value) / DRAWS, 1 / len(values))


def test_steps_are_independent() -> None:
    drawn = recipes("L3")
    share = sum(recipe.saturation is None and recipe.blur is None for recipe in drawn) / DRAWS
    assert close(share, 1 / 9)


def test_lower_levels_have_no_more_than_the_table() -> None:
    assert set(recipes("L0", 50)) == {Recipe()}
    for recipe in recipes("L1", 200):
        assert recipe == Recipe(recipe.degrees, recipe.box)
    for recipe in recipes("L2", 200):
        assert recipe.noise is None
        assert recipe.blur is None


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
def test_rotation_is_uniform_over_forty_degrees(level: str) -> None:
    degrees = np.array([recipe.degrees for recipe in recipes(level)])
    assert np.abs(degrees).max() <= 20
    counts, _ = np.histogram(degrees, bins=8, range=(-20, 20))
    assert all(close(count / DRAWS, 1 / 8) for count in counts)


def test_flips_fire_only_when_asked_and_then_half_the_time() -> None:
    assert not any(recipe.horizontal_flip or recipe.vertical_flip for recipe in recipes("L3"))
    drawn = recipes("L3", flips=True)
    for field in ("horizontal_flip", "vertical_flip"):
        assert close(sum(getattr(recipe, field) for recipe in drawn) / DRAWS, 1 / 2)
    assert set(recipes("L0", 20, flips=True)) == {Recipe()}


def test_asking_for_flips_changes_nothing_else() -> None:
    plain, flipped = recipes("L3", 50), recipes("L3", 50, flips=True)
    assert [(r.degrees, r.box, r.blur) for r in plain] == [(r.degrees, r.box, r.blur) for r in flipped]


def test_crops_of_a_square_picture_cover_its_area_uniformly() -> None:
    boxes = [recipe.box for recipe in recipes("L1", height=500, width=500)]
    areas = np.array([box.side**2 / 500**2 for box in boxes])
    assert areas.min() > 0.19
    assert areas.max() <= 1
    counts, _ = np.histogram(areas, bins=8, range=(0.2, 1.0))
    assert all(abs(count / DRAWS - 1 / 8) < 0.03 for count in counts)
    assert all(box.top + box.side <= 500 and box.left + box.side <= 500 for box in boxes)


def test_crops_of_a_wide_picture_fit_and_fall_back_to_the_centre() -> None:
    boxes = [recipe.box for recipe in recipes("L1", height=100, width=1000)]
    assert all(box.side <= 100 for box in boxes)
    assert {(box.top, box.left) for box in boxes} == {(0, 450)}  # a fifth of the area is never a square of 100
    wide = [recipe.box for recipe in recipes("L1", height=360, width=640)]
    assert min(box.side for box in wide) >= 214
    fallen = sum(box == Box(0, 140, 360) for box in wide) / DRAWS
    succeeds = (360**2 / (360 * 640) - 0.2) / 0.8
    assert fallen < 3 * (1 - succeeds) ** 10 + 0.01


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="L4"):
        challenge(PIXELS, "L4", seed=1)


# Effects ------------------------------------------------------------------------------------------------------------


def test_rotation_agrees_with_pillow_and_fills_with_black() -> None:
    for degrees in (-20, -3.3, 0.5, 13, 20):
        want = np.asarray(Image.fromarray(PIXELS).rotate(degrees, Image.Resampling.NEAREST))
        out = augment.rotate(PIXELS, degrees)
        assert (out != want).any(axis=2).mean() < 0.002  # half-way ties
        assert (out[0, 0] == 0).all()
        assert (out[-1, -1] == 0).all()


def test_rotating_a_part_is_the_part_of_the_rotated() -> None:
    box = Box(20, 100, 150)
    part, whole = augment.rotate(PIXELS, 11, box), augment.rotate(PIXELS, 11)
    assert (part != whole[20:170, 100:250]).any(axis=2).mean() < 0.002


def test_a_full_turn_and_a_quarter_turn() -> None:
    square = files.noisy(100, 100)
    assert np.array_equal(augment.rotate(square, 0), square)
    assert np.array_equal(augment.rotate(square, 90), np.rot90(square))


@pytest.mark.parametrize("factor", [0.4, 0.3])
def test_saturation_scales_the_colour_channels_and_keeps_the_luma(factor: float) -> None:
    before = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr")).astype(int)
    after = np.asarray(Image.fromarray(augment.saturate(SMOOTH, factor)).convert("YCbCr")).astype(int)
    assert np.abs(after[..., 0] - before[..., 0]).max() <= 2
    assert np.abs((after[..., 1:] - 128) - factor * (before[..., 1:] - 128)).max() <= 2


def test_saturation_keeps_grey_and_does_not_wrap() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2).repeat(4, 1)
    assert np.abs(augment.saturate(grey, 0.4).astype(int) - grey).max() <= 1
    corners = np.array([[[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]], np.uint8)
    out = augment.saturate(corners, 0.4).astype(float)
    luma = (corners @ np.array([0.299, 0.587, 0.114]))[..., None]
    assert np.abs(out - (luma + 0.4 * (corners - luma))).max() <= 1


@pytest.mark.parametrize("factor", [0.85, 0.725])
def test_contrast_darkens_by_its_factor(factor: float) -> None:
    assert np.array_equal(augment.contrast(SMOOTH, factor), (SMOOTH.astype(np.float32) * factor).astype(np.uint8))


@pytest.mark.parametrize("factor", [2, 3])
def test_downsampling_keeps_smooth_parts_and_loses_detail(factor: float) -> None:
    grain = files.noisy(224, 224)
    out = augment.downsample(grain, factor)
    assert out.shape == (224, 224, 3)
    assert out.dtype == np.uint8
    assert (
        np.abs(np.diff(out[:100, :100].astype(int), axis=1)).mean()
        < 0.6 * np.abs(np.diff(grain[:100, :100].astype(int), axis=1)).mean()
    )
    assert mean_difference(augment.downsample(SMOOTH, factor), SMOOTH) < 2


def test_downsampling_by_two_is_the_mean_of_four_grown_back() -> None:
    grain = files.noisy(224, 224)
    small = np.rint(grain.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3)))
    rows = np.concatenate([small[:1], small, small[-1:]])
    want = np.empty((224, 112, 3))
    want[::2], want[1::2] = 0.25 * rows[:-2] + 0.75 * rows[1:-1], 0.75 * rows[1:-1] + 0.25 * rows[2:]
    columns = np.concatenate([want[:, :1], want, want[:, -1:]], axis=1)
    full = np.empty((224, 224, 3))
    full[:, ::2] = 0.25 * columns[:, :-2] + 0.75 * columns[:, 1:-1]
    full[:, 1::2] = 0.75 * columns[:, 1:-1] + 0.25 * columns[:, 2:]
    assert np.abs(augment.downsample(grain, 2).astype(int) - full).max() <= 1


@pytest.mark.parametrize("variance", [0.001, 0.002])
def test_noise_has_the_variance_of_the_table_in_ycbcr(variance: float) -> None:
    flat = np.full((224, 224, 3), 128, np.uint8)
    out = augment.noise(flat, variance, np.random.default_rng(3)).astype(float) + 0.5  # undo the truncation
    red, green, blue = (out[..., i] for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    unit = math.sqrt(variance) * 255
    assert luma.mean() == pytest.approx(128, abs=0.3)
    assert luma.std() == pytest.approx(unit * 255 / 219, rel=0.02)
    assert ((blue - luma) / 1.772).std() == pytest.approx(unit * 255 / 224, rel=0.02)
    assert ((red - luma) / 1.402).std() == pytest.approx(unit * 255 / 224, rel=0.02)
    assert abs(np.corrcoef(luma.ravel(), (blue - luma).ravel())[0, 1]) < 0.03


def test_noise_stays_within_the_range() -> None:
    for value in (0, 255):
        out = augment.noise(np.full((64, 64, 3), value, np.uint8), 0.002, np.random.default_rng(1))
        assert np.abs(out.astype(int) - value).max() < 100


@pytest.mark.parametrize(("kernel", "sigma"), [(7, 7 / 6), (9, 1.5)])
def test_blur_is_the_gaussian_of_the_table(kernel: int, sigma: float) -> None:
    point = np.zeros((224, 224, 3), np.uint8)
    point[100, 100] = 255
    out = augment.blur(point, kernel).astype(float)
    reach = kernel // 2
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    assert (
        np.abs(out[100 - reach : 101 + reach, 100 - reach : 101 + reach, 0] - 255 * np.outer(taps, taps)).max() <= 0.5
    )
    assert out[: 100 - reach].sum() == 0
    assert out[:, 101 + reach :].sum() == 0


def test_blur_mirrors_at_the_edges() -> None:
    ramp = np.repeat(np.arange(224, dtype=np.uint8)[:, None, None], 224, 1).repeat(3, 2)
    out = augment.blur(ramp, 7).astype(float)
    taps = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    taps /= taps.sum()
    assert abs(out[0, 50, 0] - (taps * np.abs(np.arange(-3, 4))).sum()) <= 0.5
    assert np.array_equal(out[10:200], ramp[10:200])


# Whole challenges ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("size", [(180, 320), (320, 180), (224, 224), (9, 300), (100, 100)])
def test_a_challenge_is_a_small_jpeg_of_quality_75(level: str, size: tuple[int, int]) -> None:
    data = challenge_jpeg(files.noisy(*size), level, seed=3)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (224, 224)
        assert image.layer[0][1:3] == (2, 2)
        tables = image.quantization
    with Image.open(io.BytesIO(files.save(SMOOTH, "JPEG"))) as image:  # Pillow's default, as the subnet's
        assert image.quantization == tables
    out = challenge(files.noisy(*size), level, seed=3)
    assert out.shape == (224, 224, 3)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
def test_the_seed_decides(level: str) -> None:
    first = challenge(PIXELS, level, seed=1)
    assert np.array_equal(first, challenge(PIXELS, level, seed=1))
    assert not np.array_equal(first, challenge(PIXELS, level, seed=2))


def test_level_zero_is_the_centre_whatever_the_seed() -> None:
    first = challenge(PIXELS, Level.L0, seed=1)
    assert np.array_equal(first, challenge(PIXELS, "L0", seed=2, flips=True))
    want = Image.fromarray(PIXELS[:, 70:250]).resize((224, 224), Image.Resampling.BILINEAR)
    assert mean_difference(first, np.asarray(want)) < 6
    assert np.array_equal(augment.apply(PIXELS, Recipe(), np.random.default_rng()), np.asarray(want))


def test_the_jpeg_is_the_one_that_pillow_writes_by_default() -> None:
    pixels = augment.apply(PIXELS, Recipe(), np.random.default_rng())
    assert challenge_jpeg(PIXELS, "L0", seed=0) == files.save(pixels, "JPEG")


def test_flips_mirror_the_result() -> None:
    rng = np.random.default_rng(0)
    box = Box(0, 100, 180)
    plain = augment.apply(PIXELS, Recipe(None, box), rng)
    assert np.array_equal(augment.apply(PIXELS, Recipe(None, box, horizontal_flip=True), rng), plain[:, ::-1])
    assert np.array_equal(augment.apply(PIXELS, Recipe(None, box, vertical_flip=True), rng), plain[::-1])


def test_a_recipe_takes_the_steps_in_the_subnets_order() -> None:
    rng = np.random.default_rng
    recipe = Recipe(5.0, Box(10, 90, 160), saturation=0.3, contrast=0.725, downsampling=3, noise=0.002, blur=9)
    want = augment.scale(augment.rotate(PIXELS, 5, recipe.box), 224, 224)
    want = augment.downsample(augment.contrast(augment.saturate(want, 0.3), 0.725), 3)
    want = augment.blur(augment.noise(want, 0.002, rng(4)), 9)
    assert np.array_equal(augment.apply(PIXELS, recipe, rng(4)), want)


def test_the_input_is_left_alone() -> None:
    before = PIXELS.copy()
    for seed in range(8):
        challenge(PIXELS, "L3", seed=seed, flips=True)
    assert np.array_equal(PIXELS, before)
