"""Blend a rendered sprite into a picture: measure the place, match it, cast a shadow, paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from natix_cascade.testing.parts.paint import chance, uni

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

__all__ = ["Look", "blend", "look_of"]

DARK = 75.0  # mean luminance below which a picture counts as taken at night


class Look(NamedTuple):
    """What a picture's camera and light do to everything in it.

    Attributes
    ----------
    black, white : float
        Second and ninety-eighth percentile of the luminance, 0 to 255.
    cast : numpy.ndarray
        Gain of each channel against grey, float32 of shape (3,).
    colour : float
        How colourful the picture is, about 1 for a vivid day and 0 for grey.
    blur : float
        Standard deviation, in pixels, of the blur that its edges show.
    noise : float
        Standard deviation of its sensor noise, in grey levels.
    mean : float
        Mean luminance, 0 to 255.
    """

    black: float
    white: float
    cast: Floats
    colour: float
    blur: float
    noise: float
    mean: float


def look_of(pixels: Pixels) -> Look:
    """Measure light, colour, sharpness and noise of a picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB uint8 of shape (H, W, 3).

    Returns
    -------
    Look
        The measurements.
    """
    small = pixels[::6, ::6].astype(np.float32)
    grey = small @ np.array([0.3, 0.59, 0.11], dtype=np.float32)
    black, white = (float(v) for v in np.percentile(grey, (2, 98)))
    means = small.reshape(-1, 3).mean(axis=0) + 1
    spread = float((small.max(axis=2) - small.min(axis=2)).mean())
    rows = pixels[:: max(1, pixels.shape[0] // 30), :, 1].astype(np.int16)
    near, far = np.abs(rows[:, 1:] - rows[:, :-1]), np.abs(rows[:, 3:] - rows[:, :-3])
    steep = far >= np.percentile(far, 97)
    sharp = float(near[:, 1:-1][steep].mean() / max(1.0, float(far[steep].mean())))
    wiggle = np.abs(rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2])
    return Look(
        black=black,
        white=max(white, black + 30),
        cast=(means / means.mean()).astype(np.float32),
        colour=min(1.2, 0.45 + spread / 60),
        blur=float(np.clip((0.72 - sharp) * 3.2, 0.25, 1.6)),
        noise=float(np.clip(np.percentile(wiggle, 30) / 2, 0.3, 8)),
        mean=float(grey.mean()),
    )


def _matched(sprite: Pixels, look: Look, rng: np.random.Generator, local: float) -> Floats:
    """The sprite's colours as the picture's camera would have seen them there."""
    rgb: Floats = sprite[..., :3].astype(np.float32)
    grey = rgb.mean(axis=2, keepdims=True)
    rgb = grey + (rgb - grey) * (min(1.0, look.colour + 0.25) * uni(rng, 0.8, 1.05))
    rgb *= 1 + np.clip(look.cast - 1, -0.18, 0.18) * uni(rng, 0.2, 1)
    low = look.black * uni(rng, 0.6, 1.1)
    high = min(255.0, look.white * uni(rng, 0.88, 1.08) + 8)
    gain = float(np.clip((local / max(20.0, look.mean)) ** 0.5 * uni(rng, 0.85, 1.12), 0.6, 1.2))
    if look.mean < DARK and chance(rng, 0.4):
        gain *= uni(rng, 1.2, 2.0)  # caught by the headlights
    rgb *= (high - low) / 250 * gain
    rgb += low
    return rgb


def _shadow(pixels: Pixels, sprite: Pixels, spot: tuple[int, int], rng: np.random.Generator, strength: float) -> None:
    """Darken the ground beneath: a tight contact shadow and, in hard light, a long soft one."""
    alpha, (left, bottom) = sprite[..., 3], spot
    high, wide = alpha.shape
    foot = alpha[-max(1, high // 12) :].max(axis=0).astype(np.float32) / 255
    tall = max(2, round(min(high * 0.16, wide * 0.22)))
    pad = tall
    length = wide + 2 * pad
    line = np.zeros(length, dtype=np.float32)
    line[pad : pad + wide] = foot
    kernel = np.ones(max(1, tall), dtype=np.float32) / max(1, tall)
    line = np.convolve(line, kernel, mode="same")
    fall = np.exp(-(np.linspace(-1.5, 1.8, tall + 2, dtype=np.float32) ** 2) * 1.4)
    patch = fall[:, None] * line[None, :] * strength
    if chance(rng, 0.4):
        slide = round(uni(rng, -0.7, 0.7) * pad)
        patch = np.maximum(patch, np.roll(patch, slide, axis=1))
    _darken(pixels, patch, left - pad, bottom - round(len(fall) * 0.55))


def _darken(pixels: Pixels, patch: Floats, left: int, top: int) -> None:
    high, wide = pixels.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(wide, left + patch.shape[1]), min(high, top + patch.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = patch[y0 - top : y1 - top, x0 - left : x1 - left, None]
    ground = pixels[y0:y1, x0:x1]
    pixels[y0:y1, x0:x1] = (ground * (1 - part)).astype(np.uint8)


def _softened(rgb: Floats, alpha: Pixels, blur: float) -> tuple[Floats, Floats]:
    """Blur colour and coverage together (premultiplied), with room around for the edge to spread."""
    pad = max(1, round(blur * 2))
    high, wide = alpha.shape
    rgba = np.zeros((high + 2 * pad, wide + 2 * pad, 4), dtype=np.uint8)
    share = alpha.astype(np.float32)[..., None] / 255
    rgba[pad:-pad, pad:-pad, :3] = np.clip(rgb, 0, 255) * share
    rgba[pad:-pad, pad:-pad, 3] = alpha
    image = Image.fromarray(rgba, "RGBA").filter(ImageFilter.GaussianBlur(blur))
    soft: Floats = np.asarray(image, dtype=np.float32)
    cover: Floats = soft[..., 3:] / np.float32(255)
    return soft[..., :3], cover


def blend(
    pixels: Pixels, sprite: Pixels, spot: tuple[int, int], look: Look, rng: np.random.Generator, *, far: float
) -> tuple[int, int, int, int] | None:
    """Paste a sprite into a picture, in place.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB uint8 of shape (H, W, 3); changed in place.
    sprite : numpy.ndarray
        RGBA uint8 of shape (h, w, 4), straight alpha.
    spot : (int, int)
        Column of the sprite's left edge and row just below its foot.
    look : Look
        What :func:`look_of` said of the picture.
    rng : numpy.random.Generator
        Source of the small deviations from a perfect match.
    far : float
        0 near the camera, 1 at the horizon: how much haze lies between.

    Returns
    -------
    (int, int, int, int) or None
        Left, top, right, bottom of what is visible, clipped to the picture; None if nothing is.
    """
    high, wide = sprite.shape[:2]
    left, bottom = spot
    top = bottom - high
    box = max(0, left), max(0, top), min(pixels.shape[1], left + wide), min(pixels.shape[0], bottom)
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    around = pixels[max(0, bottom - high // 2) : bottom + 2, box[0] : box[2]][::2, ::2]
    local = float(around.mean())
    backdrop = pixels[box[1] : box[3], box[0] : box[2]][::3, ::3].reshape(-1, 3).mean(axis=0)
    rgb = _matched(sprite, look, rng, local)
    rgb += (backdrop.astype(np.float32) - rgb) * (far * uni(rng, 0.0, 0.25))
    blur = max(0.2, look.blur * uni(rng, 0.7, 1.25))
    _shadow(pixels, sprite, spot, rng, uni(rng, 0.25, 0.65))
    premultiplied, cover = _softened(rgb, sprite[..., 3], blur)
    noise = rng.standard_normal((*cover.shape[:2], 1), dtype=np.float32) * (look.noise * uni(rng, 0.6, 1.2))
    pad = (cover.shape[0] - high) // 2
    x0, y0 = max(0, left - pad), max(0, top - pad)
    x1, y1 = min(pixels.shape[1], left + wide + pad), min(pixels.shape[0], bottom + pad)
    cut = np.s_[y0 - top + pad : y1 - top + pad, x0 - left + pad : x1 - left + pad]
    under = pixels[y0:y1, x0:x1].astype(np.float32)
    shine = premultiplied[cut] + noise[cut] * cover[cut]
    pixels[y0:y1, x0:x1] = np.clip(under * (1 - cover[cut]) + shine + 0.5, 0, 255).astype(np.uint8)
    return box
