from __future__ import annotations

import dataclasses
import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from natix_cascade.testing import TIMES, WEATHERS, WORK_KINDS, Scene, render_scene

SMALL = (256, 144)


@given(seed=st.integers(0, 2**40))
@settings(max_examples=6, deadline=None)
def test_same_seed_same_bytes(seed: int) -> None:
    first, again = render_scene(seed, size=SMALL), render_scene(seed, size=SMALL)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.jpeg() == again.jpeg()
    assert (first.label, first.boxes, first.weather, first.time_of_day) == (
        again.label,
        again.boxes,
        again.weather,
        again.time_of_day,
    )


@given(seed=st.integers(0, 2**40), roadwork=st.sampled_from([True, False, None]))
@settings(max_examples=14, deadline=None)
def test_label_and_boxes_agree(seed: int, roadwork: bool | None) -> None:  # noqa: FBT001  # hypothesis
    scene = render_scene(seed, roadwork=roadwork, size=SMALL)
    assert scene.label is bool(scene.boxes)
    if roadwork is not None:
        assert scene.label is roadwork
    for box in scene.boxes:
        assert box.kind in WORK_KINDS
        assert 0 <= box.left < box.right <= SMALL[0]
        assert 0 <= box.top < box.bottom <= SMALL[1]


@pytest.mark.parametrize(("weather", "hour"), list(itertools.product(WEATHERS, TIMES)))
def test_every_weather_and_time(weather: str, hour: str) -> None:
    scene = render_scene(3, weather=weather, time_of_day=hour, size=SMALL)
    assert (scene.weather, scene.time_of_day) == (weather, hour)
    assert scene.pixels.std() > 4


def test_night_is_darker_than_day() -> None:
    for seed in range(2):
        day = render_scene(seed, time_of_day="day", size=SMALL).pixels.mean()
        assert render_scene(seed, time_of_day="night", size=SMALL).pixels.mean() < 0.7 * day


@pytest.mark.parametrize("size", [(64, 64), (321, 200), (200, 320), (640, 360)])
def test_any_size(size: tuple[int, int]) -> None:
    scene = render_scene(5, roadwork=True, size=size)
    assert scene.pixels.shape == (size[1], size[0], 3)
    assert scene.pixels.dtype == np.uint8
    assert scene.boxes


def test_the_seed_decides_unless_told() -> None:
    scenes = [render_scene(seed, size=(64, 64)) for seed in range(26)]
    assert {scene.label for scene in scenes} == {True, False}
    assert {scene.weather for scene in scenes} == set(WEATHERS)
    assert {scene.time_of_day for scene in scenes} == set(TIMES)


def test_jpeg_is_the_picture() -> None:
    scene = render_scene(6, size=SMALL)
    back = np.asarray(Image.open(io.BytesIO(scene.jpeg(95))), dtype=np.float64)
    assert back.shape == scene.pixels.shape
    assert np.abs(back - scene.pixels).mean() < 8
    assert len(scene.jpeg(30)) < len(scene.jpeg(90))


def test_scenes_are_frozen_and_compare_by_identity() -> None:
    scene = render_scene(1, size=(64, 64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.label = False  # type: ignore[misc]
    assert scene == scene  # noqa: PLR0124  # identity is what is tested
    assert scene != dataclasses.replace(scene)
    assert not hasattr(scene, "__dict__")
    assert isinstance(scene, Scene)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"weather": "hail"}, "unknown weather 'hail'"),
        ({"time_of_day": "noon"}, "unknown time of day 'noon'"),
        ({"size": (63, 200)}, "63x200"),
    ],
)
def test_odd_requests_are_refused(kwargs: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render_scene(1, **kwargs)  # type: ignore[arg-type]


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1"):
        render_scene(-1)
