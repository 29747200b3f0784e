"""The challenges of Subnet 72 (StreetVision): what a validator does to a picture before it sends it.

After natix 2.0.4, ``natix/utils/image_transforms.py``, whose distortions come from DeeperForensics-1.0
(Jiang et al., CVPR 2020). All levels end as 224 x 224 RGB in a real JPEG of quality 75, 4:2:0.

===== =================================================================================================================
level what
===== =================================================================================================================
L0    centre crop to a square, resize to 224
L1    rotation by U[-20, 20] degrees (nearest, black fill), random resized crop to 224 (area 0.2 to 1.0, square)
L2    L1, then each with probability 1/2: saturation x 0.4, contrast x 0.85, "jpeg" (down by 2 and back up)
L3    L1, then each at level 0, 1 or 2 with probability 1/3: saturation off, x 0.4, x 0.3; contrast off, x 0.85,
      x 0.725; "jpeg" off, 2, 3; noise in YCbCr of variance off, .001, .002; Gaussian blur off, kernel 7 with sigma
      7/6, kernel 9 with sigma 1.5
===== =================================================================================================================

The subnet's code holds flips that never fire at this version; `flips=True` lets each fire with probability 1/2.
Chance and pixels are apart: `draw` throws the dice, `apply` is pure but for the noise. Where the subnet truncates to
whole levels, so do the colour operations here; its resizing truncates too and Pillow's rounds, one level at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from natix_cascade.image.decode import decode
from natix_cascade.image.encode import encode_jpeg
from natix_cascade.image.resize import center_crop_square, scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natix_cascade.image.picture import Pixels

SIDE = 224
QUALITY = 75
MAX_DEGREES = 20.0
CROP_AREA = (0.2, 1.0)
CROP_TRIES = 10
SATURATIONS = (None, 0.4, 0.3)
CONTRASTS = (None, 0.85, 0.725)
DOWNSAMPLINGS = (None, 2, 3)
NOISE_VARIANCES = (None, 0.001, 0.002)
BLUR_KERNELS = (None, 7, 9)

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_RED_OF_CR, _BLUE_OF_CB = 1.402, 1.772
_GREEN_OF_CB, _GREEN_OF_CR = -0.344136, -0.714136
_LUMA_SWING, _CHROMA_SWING = 219, 224  # levels of studio YCbCr, in which the subnet adds its noise


class Level(StrEnum):
    """How hard a challenge is; the validator draws each with probability 1/4."""

    L0 = "L0"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


@dataclass(frozen=True, slots=True)
class Box:
    """A square cut out of a picture: its first row and column, and its side, in pixels."""

    top: int
    left: int
    side: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """What happens to one picture; None leaves a step out.

    Attributes
    ----------
    degrees : float, optional
        Rotation, counter-clockwise.
    box : Box, optional
        The crop, in the rotated picture; None for the centred square.
    horizontal_flip, vertical_flip : bool
    saturation, contrast : float, optional
        Factors, see the module's table.
    downsampling : int, optional
        The "jpeg" of the subnet.
    noise : float, optional
        Variance, in YCbCr of unit range.
    blur : int, optional
        Kernel size; sigma is a sixth of it.
    """

    degrees: float | None = None
    box: Box | None = None
    horizontal_flip: bool = False
    vertical_flip: bool = False
    saturation: float | None = None
    contrast: float | None = None
    downsampling: int | None = None
    noise: float | None = None
    blur: int | None = None


def challenge(pixels: Pixels, level: Level | str, *, seed: int, flips: bool = False) -> Pixels:
    """Make the picture that a miner of Subnet 72 sees, after the JPEG round trip.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), uint8, RGB upright.
    level : {'L0', 'L1', 'L2', 'L3'}
    seed : int
        The same seed gives the same picture. L0 ignores it.
    flips : bool
        Let the flips of L1 to L3 fire, each with probability 1/2; at natix 2.0.4 they never do.

    Returns
    -------
    numpy.ndarray
        Shape (224, 224, 3), uint8, RGB.
    """
    return decode(challenge_jpeg(pixels, level, seed=seed, flips=flips)).pixels


def challenge_jpeg(pixels: Pixels, level: Level | str, *, seed: int, flips: bool = False) -> bytes:
    """Make the JPEG that a validator of Subnet 72 sends; see `challenge`.

    Returns
    -------
    bytes
        A JPEG of quality 75, 4:2:0, 224 x 224 pixels.
    """
    rng = np.random.default_rng(seed)
    recipe = draw(level, *pixels.shape[:2], rng=rng, flips=flips)
    return encode_jpeg(apply(pixels, recipe, rng), quality=QUALITY, subsampling="4:2:0")


def draw(level: Level | str, height: int, width: int, *, rng: np.random.Generator, flips: bool = False) -> Recipe:
    """Throw the dice for a picture of `height` x `width` pixels.

    Raises
    ------
    ValueError
        `level` is not one of L0 to L3.
    """
    level = Level(level)
    if level is Level.L0:
        return Recipe()
    degrees = float(rng.uniform(-MAX_DEGREES, MAX_DEGREES))
    box = draw_box(height, width, rng)
    horizontal, vertical = (bool(flip) and flips for flip in rng.integers(2, size=2))
    if level is Level.L1:
        return Recipe(degrees, box, horizontal, vertical)
    steps = rng.integers(2 if level is Level.L2 else 3, size=5)
    noisy = level is Level.L3
    return Recipe(
        degrees,
        box,
        horizontal,
        vertical,
        saturation=SATURATIONS[steps[0]],
        contrast=CONTRASTS[steps[1]],
        downsampling=DOWNSAMPLINGS[steps[2]],
        noise=NOISE_VARIANCES[steps[3]] if noisy else None,
        blur=BLUR_KERNELS[steps[4]] if noisy else None,
    )


def draw_box(height: int, width: int, rng: np.random.Generator) -> Box:
    """Draw a square as torchvision's RandomResizedCrop does with ratio 1.

    Ten tries at an area of 0.2 to 1.0 of the picture; if none fits (wide pictures), the largest centred square.
    """
    for _ in range(CROP_TRIES):
        side = round(math.sqrt(height * width * rng.uniform(*CROP_AREA)))
        if 0 < side <= min(height, width):
            return Box(int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side)
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side)


def apply(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> Pixels:
    """Carry out a recipe, in the subnet's order.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), uint8, RGB.
    recipe : Recipe
    rng : numpy.random.Generator
        Used by the noise only.

    Returns
    -------
    numpy.ndarray
        Shape (224, 224, 3), uint8, before the JPEG round trip.
    """
    if recipe.degrees:
        cut = rotate(pixels, recipe.degrees, recipe.box)
    elif recipe.box is not None:
        box = recipe.box
        cut = pixels[box.top : box.top + box.side, box.left : box.left + box.side]
    else:
        cut = center_crop_square(pixels)
    out = scale(cut, SIDE, SIDE)
    out = out[:: -1 if recipe.vertical_flip else 1, :: -1 if recipe.horizontal_flip else 1]
    if recipe.saturation is not None:
        out = saturate(out, recipe.saturation)
    if recipe.contrast is not None:
        out = contrast(out, recipe.contrast)
    if recipe.downsampling is not None:
        out = downsample(out, recipe.downsampling)
    if recipe.noise is not None:
        out = noise(out, recipe.noise, rng)
    if recipe.blur is not None:
        out = blur(out, recipe.blur)
    return np.ascontiguousarray(out)


def rotate(pixels: Pixels, degrees: float, box: Box | None = None) -> Pixels:
    """Rotate about the centre, counter-clockwise: nearest neighbour, black fill, the frame stays.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), uint8.
    degrees : float
    box : Box, optional
        Compute this part of the rotated picture only.

    Returns
    -------
    numpy.ndarray
        Shape of `pixels`, or (side, side, 3) of `box`.
    """
    from PIL import Image  # noqa: PLC0415  # start-up does not pay for Pillow

    height, width = pixels.shape[:2]
    top, left = (box.top, box.left) if box else (0, 0)
    size = (box.side, box.side) if box else (width, height)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = left - width / 2, top - height / 2
    # Where each pixel comes from: the inverse rotation, in image coordinates (y points down).
    affine = (cos, -sin, cos * x - sin * y + width / 2, sin, cos, sin * x + cos * y + height / 2)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.NEAREST))


def saturate(pixels: Pixels, factor: float) -> Pixels:
    """Scale Cb and Cr, that is the distance of each colour from its grey, by `factor` (0.4 or 0.3)."""
    luma = pixels @ _LUMA
    out = luma[..., None] * np.float32(1 - factor) + pixels * np.float32(factor)
    return out.astype(np.uint8)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Multiply all pixels by `factor` (0.85 or 0.725): the subnet's contrast darkens."""
    table = (np.arange(256, dtype=np.float32) * np.float32(factor)).astype(np.uint8)
    return table[pixels]


def downsample(pixels: Pixels, factor: int) -> Pixels:
    """Shrink by `factor` (2 or 3) and grow back, both bilinear without antialiasing: the subnet calls it "jpeg"."""
    down_rows, up_rows = _bilinear(pixels.shape[0], factor)
    down_columns, up_columns = _bilinear(pixels.shape[1], factor)
    small = np.rint(_separable(_planes(pixels), down_rows, down_columns))
    return _pixels(_separable(small, up_rows, up_columns))


def noise(pixels: Pixels, variance: float, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise of `variance` (.001 or .002 of unit range) to Y, Cb and Cr.

    The subnet adds it in studio YCbCr (219 and 224 levels), so in full range it is 255 / 219 and 255 / 224 stronger.
    """
    deviation = math.sqrt(variance) * 255 * 255
    draws = rng.standard_normal((3, *pixels.shape[:2]), dtype=np.float32)
    luma, cb, cr = draws * np.array(
        [[[deviation / _LUMA_SWING]], [[deviation / _CHROMA_SWING]], [[deviation / _CHROMA_SWING]]], np.float32
    )
    out = pixels.astype(np.float32)
    out[..., 0] += luma + _RED_OF_CR * cr
    out[..., 1] += luma + _GREEN_OF_CB * cb + _GREEN_OF_CR * cr
    out[..., 2] += luma + _BLUE_OF_CB * cb
    return np.clip(out, 0, 255, out=out).astype(np.uint8)


def blur(pixels: Pixels, kernel: int) -> Pixels:
    """Blur with a Gaussian of `kernel` taps (7 or 9) and sigma kernel / 6; edges are mirrored, as OpenCV does."""
    return _pixels(_separable(_planes(pixels), _gaussian(pixels.shape[0], kernel), _gaussian(pixels.shape[1], kernel)))


def _planes(pixels: Pixels) -> NDArray[np.float32]:
    """Return shape (3, height, width), float32, contiguous."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def _pixels(planes: NDArray[np.float32]) -> Pixels:
    """Return shape (height, width, 3), uint8, rounded."""
    return np.rint(planes).astype(np.uint8).transpose(1, 2, 0)


def _separable(
    planes: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Filter each plane down its rows and along its columns by matrices: shape (3, out rows, out columns)."""
    out: NDArray[np.float32] = np.matmul(np.matmul(rows, planes), columns.T)
    return out


@lru_cache(maxsize=16)
def _bilinear(side: int, factor: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices that shrink `side` pixels to side // factor, and grow them back."""
    small = max(1, side // factor)
    return _interpolation(side, small), _interpolation(small, side)


def _interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Return the matrix (target, source) of linear interpolation between pixel centres, edges held."""
    centres = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    lower = np.minimum(centres.astype(np.intp), max(source - 2, 0))
    weights = centres - lower
    matrix = np.zeros((target, source), np.float32)
    rows = np.arange(target)
    matrix[rows, lower] = 1 - weights
    matrix[rows, np.minimum(lower + 1, source - 1)] += weights
    return matrix


@lru_cache(maxsize=16)
def _gaussian(side: int, kernel: int) -> NDArray[np.float32]:
    """Return the matrix (side, side) of a Gaussian filter that mirrors at the edges without repeating them."""
    reach = kernel // 2
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / (kernel / 6)) ** 2)
    weights /= weights.sum()
    last = side - 1
    matrix = np.zeros((side, side), np.float32)
    for offset, weight in zip(offsets, weights, strict=True):
        source = np.abs(np.arange(side) + offset)
        np.add.at(matrix, (np.arange(side), last - np.abs(last - source)), weight)
    return matrix
