"""Sizes: pictures to model inputs. Cropping comes before scaling, and nothing is copied that need not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from natix_cascade.image.picture import Pixels

_PADDING = 128
_REDUCING_GAP = 3.0


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Scale pixels, with antialiasing.

    Bilinear with a support that grows with the reduction, as PIL and torchvision (antialias=True) do it; strong
    reductions first average whole blocks, which is faster and changes no pixel by more than a few levels.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (any, any, 3), uint8.
    height, width : int
        Pixels wanted.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), uint8, C-contiguous; `pixels` itself when it has that size already.
    """
    return scale(pixels, height, width, reducing_gap=_REDUCING_GAP)


def scale(pixels: Pixels, height: int, width: int, *, reducing_gap: float | None = None) -> Pixels:
    """Scale with the exact bilinear filter (`reducing_gap` None), or with block averages first (see PIL's resize)."""
    if height < 1 or width < 1:
        raise ValueError(f"the size wanted is {height} x {width}; both sides need at least one pixel")
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    from PIL import Image  # noqa: PLC0415  # start-up does not pay for Pillow

    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=reducing_gap))


def center_crop_square(pixels: Pixels) -> Pixels:
    """Cut out the largest centred square.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3).

    Returns
    -------
    numpy.ndarray
        Shape (side, side, 3) with side = min(height, width): a view.
    """
    side = min(pixels.shape[:2])
    return _center_crop(pixels, side, side)


def fit(pixels: Pixels, height: int, width: int, mode: Literal["stretch", "center_crop", "pad"] = "stretch") -> Pixels:
    """Bring pixels to a size by one of three rules.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (any, any, 3), uint8.
    height, width : int
        Pixels wanted.
    mode : {'stretch', 'center_crop', 'pad'}
        'stretch' changes the aspect; 'center_crop' cuts the longer side to the aspect wanted, then scales; 'pad'
        scales the whole picture and fills the rest, evenly on both sides, with mid-grey (128).

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), uint8, C-contiguous.
    """
    rows, columns = pixels.shape[:2]
    if mode == "stretch":
        return resize(pixels, height, width)
    if mode == "center_crop":
        shrink = min(rows / height, columns / width)
        crop_rows, crop_columns = max(1, round(height * shrink)), max(1, round(width * shrink))
        return resize(_center_crop(pixels, crop_rows, crop_columns), height, width)
    if mode == "pad":
        grow = min(height / rows, width / columns)
        inner = resize(pixels, max(1, round(rows * grow)), max(1, round(columns * grow)))
        out = np.full((height, width, 3), _PADDING, np.uint8)
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return out
    raise ValueError(f"mode is {mode!r}; write 'stretch', 'center_crop' or 'pad'")


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """Make pixels smaller, at the same aspect, until neither side is longer than `longest`; smaller ones stay."""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    return pixels if factor >= 1 else resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)))


def _center_crop(pixels: Pixels, height: int, width: int) -> Pixels:
    """Cut out the centre, placed as torchvision's center_crop places it."""
    top, left = round((pixels.shape[0] - height) / 2), round((pixels.shape[1] - width) / 2)
    return pixels[top : top + height, left : left + width]
