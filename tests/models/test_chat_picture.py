from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.image import decode
from natix_cascade.models.chat.picture import as_jpeg, data_url, sized, step_of
from natix_cascade.testing import render_scene
from natix_cascade.testing.chat import ask_card

sides = st.integers(8, 5000)


@given(sides, sides, st.integers(28 * 28, 2_000_000), st.sampled_from([28, 32]))
def test_sizes_keep_to_the_budget_and_to_whole_tokens(height: int, width: int, most: int, step: int) -> None:
    rows, columns = sized(height, width, most, step)
    assert rows * columns <= most
    assert rows > 0
    assert columns > 0
    if most >= step * step:
        assert rows % step == columns % step == 0
    assert rows < height + step  # never blown up beyond the next whole token
    assert columns < width + step
    again = sized(columns, rows, most, step)[::-1]
    assert np.prod(again) <= most


@given(st.integers(300, 3000), st.floats(0.4, 2.5), st.integers(200_000, 1_000_000))
def test_the_aspect_stays(height: int, aspect: float, most: int) -> None:
    width = max(300, round(height * aspect))
    rows, columns = sized(height, width, most, 32)
    assert columns / rows == pytest.approx(width / height, rel=0.25)
    assert rows * columns > 0.5 * min(most, height * width)


@pytest.mark.parametrize(
    ("size", "sent"),
    [((720, 1280), (384, 704)), ((448, 640), (448, 640)), ((224, 224), (224, 224)), ((8, 8), (32, 32))],
)
def test_usual_sizes(size: tuple[int, int], sent: tuple[int, int]) -> None:
    assert sized(*size, 640 * 448, 32) == sent


def test_the_step_is_that_of_the_family() -> None:
    card = ask_card("qwen2.5-vl-7b")
    assert step_of(card) == 28
    assert step_of(ask_card("qwen3-vl-8b")) == step_of(ask_card("internvl-3.5")) == 32


def test_nothing_but_pixels_travels_on() -> None:
    scene = render_scene(3, roadwork=True, size=(1280, 720))
    jpeg = as_jpeg(scene.pixels, 640 * 448, 32)
    url = data_url(jpeg)
    head, _, body = url.partition(",")
    assert head == "data:image/jpeg;base64"
    content = base64.b64decode(body, validate=True)
    picture = decode(content)
    assert picture.pixels.shape == (384, 704, 3)
    assert b"Exif" not in content
    small = decode(scene.jpeg(quality=95), short_side=384).pixels
    assert abs(float(small.mean()) - float(picture.pixels.mean())) < 2
