from __future__ import annotations

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from natix_cascade.image import center_crop_square, fit, resize

PIXELS = files.noisy(96, 160)


@pytest.mark.parametrize(("height", "width"), [(48, 80), (224, 224), (10, 300), (8, 8)])
def test_resize_is_antialiased_bilinear(height: int, width: int) -> None:
    out = resize(PIXELS, height, width)
    want = np.asarray(Image.fromarray(PIXELS).resize((width, height), Image.Resampling.BILINEAR))
    assert out.shape == (height, width, 3)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert out.flags.writeable
    assert np.abs(out.astype(int) - want).max() <= 8


def test_fine_stripes_become_grey_not_moire() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(resize(stripes, 50, 50)[:, 2:-2].astype(int)) < 8


def test_the_same_size_costs_no_copy() -> None:
    assert resize(PIXELS, 96, 160) is PIXELS


def test_a_view_is_taken() -> None:
    assert np.array_equal(resize(PIXELS[::-1], 96, 160), PIXELS[::-1])
    assert resize(PIXELS[:, 10:90], 20, 20).shape == (20, 20, 3)


def test_center_crop_square_is_a_view_of_the_middle() -> None:
    square = center_crop_square(PIXELS)
    assert square.shape == (96, 96, 3)
    assert np.shares_memory(square, PIXELS)
    assert np.array_equal(square, PIXELS[:, 32:128])
    assert np.array_equal(center_crop_square(PIXELS.transpose(1, 0, 2)), PIXELS.transpose(1, 0, 2)[32:128])


@pytest.mark.parametrize("mode", ["stretch", "center_crop", "pad"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (30, 200), (200, 30), (96, 160)])
def test_fit_gives_the_size_asked_for(mode: str, height: int, width: int) -> None:
    out = fit(PIXELS, height, width, mode)
    assert out.shape == (height, width, 3)
    assert out.flags.c_contiguous


def test_center_crop_cuts_before_it_scales() -> None:
    assert np.array_equal(fit(PIXELS, 48, 48, "center_crop"), resize(center_crop_square(PIXELS), 48, 48))


def test_pad_keeps_the_whole_picture_between_grey_bars() -> None:
    out = fit(PIXELS, 160, 160, "pad")
    assert (out[:32] == 128).all()
    assert (out[128:] == 128).all()
    assert np.array_equal(out[32:128], PIXELS)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 5"):
        resize(PIXELS, 0, 5)
    with pytest.raises(ValueError, match="'squash'"):
        fit(PIXELS, 5, 5, "squash")
