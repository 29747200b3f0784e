"""Weather, night and the camera itself: what changes a whole picture at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from natix_cascade.testing.parts.canvas import blotches
from natix_cascade.testing.parts.paint import chance, count, grey, mixed, pick, uni

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natix_cascade.testing.ground import Camera
    from natix_cascade.testing.parts.paint import Rgb

    Floats = NDArray[np.float32]

__all__ = ["add_glow", "bonnet", "darken", "expose", "falling", "mist", "wet_road"]


def mist(pixels: Floats, camera: Camera, reach: float) -> None:
    """Veil what is far: half is gone at `reach` metres; in place."""
    rows = np.arange(camera.high, dtype=np.float32)
    below = np.maximum(rows - camera.horizon, camera.tall * camera.focal / 90)
    veil = 1 - 0.5 ** (camera.focal * camera.tall / below / reach)
    above = np.clip((camera.horizon - rows) / camera.horizon, 0, 1)
    veil = np.where(rows < camera.horizon, veil * (1 - 0.25 * above), veil)[:, None, None]
    tint = pixels[: max(2, camera.high // 12)].reshape(-1, 3).mean(axis=0)
    pixels += (tint - pixels) * veil.astype(np.float32)


def wet_road(pixels: Floats, camera: Camera, rng: np.random.Generator) -> None:
    """Mirror what stands above the horizon in the ground below it; in place."""
    strength = uni(rng, 0.3, 0.9)
    first = int(camera.horizon) + 1
    rows = camera.high - first
    mirror = Image.fromarray(np.clip(pixels[:first][::-1], 0, 255).astype(np.uint8)).resize((camera.wide, rows))
    image = mirror.filter(ImageFilter.BoxBlur((3, 9)))
    shiny = np.asarray(image, dtype=np.float32)
    puddles = np.clip((blotches(rng, (shiny.shape[0], camera.wide), 9) - 0.3) * 2, 0.25, 1)[..., None]
    part = pixels[first : first + shiny.shape[0]]
    part *= 1 - 0.35 * strength
    part += (shiny - part) * (puddles * strength * 0.55)


def falling(pixels: Floats, rng: np.random.Generator, weather: str) -> None:
    """Draw rain streaks with drops on the glass, or snow flakes; in place."""
    high, wide = pixels.shape[:2]
    layer = Image.new("L", (wide, high), 0)
    ink = ImageDraw.Draw(layer)
    if weather == "rain":
        slant = uni(rng, -0.3, 0.3)
        for _ in range(count(rng, 60, 240)):
            x, y, long = uni(rng, 0, wide), uni(rng, -20, high), uni(rng, 0.02, 0.07) * high
            ink.line((x, y, x + slant * long, y + long), fill=count(rng, 30, 90))
        cover = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.5)), dtype=np.float32)[..., None] / 255
        pixels += (np.float32(215) - pixels) * cover
        drops = Image.new("L", (wide, high), 0)
        ink = ImageDraw.Draw(drops)
        for _ in range(count(rng, 0, 40)):
            x, y, size = uni(rng, 0, wide), uni(rng, 0, high), uni(rng, 0.003, 0.012) * wide
            ink.ellipse((x - size, y - size, x + size, y + size * 1.3), fill=count(rng, 120, 230))
        soft = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(max(2, wide // 70)))
        turned = np.asarray(soft, dtype=np.float32)[::-1] * 0.4 + np.asarray(soft, dtype=np.float32) * 0.6
        cover = np.asarray(drops.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)[..., None] / 255
        pixels += (turned - pixels) * cover
    else:
        for _ in range(count(rng, 120, 500)):
            x, y, size = uni(rng, 0, wide), uni(rng, 0, high), uni(rng, 0.0006, 0.003) * wide + 0.3
            ink.ellipse((x - size, y - size, x + size, y + size), fill=count(rng, 90, 230))
        cover = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)[..., None] / 255
        pixels += (np.float32(244) - pixels) * cover


def darken(pixels: Floats, camera: Camera, rng: np.random.Generator, time_of_day: str) -> None:
    """Turn daylight into dusk or into night with the own car's headlights; in place."""
    if time_of_day == "dusk":
        tint = np.array(pick(rng, ((0.72, 0.6, 0.58), (0.6, 0.58, 0.68), (0.8, 0.64, 0.5))), dtype=np.float32)
        pixels *= tint * uni(rng, 0.75, 1.05)
        return
    high, wide = pixels.shape[:2]
    rows = (np.arange(high, dtype=np.float32)[:, None] - camera.horizon) / high
    columns = (np.arange(wide, dtype=np.float32)[None, :] - camera.vanish) / wide
    beam = np.exp(-((columns / uni(rng, 0.24, 0.4)) ** 2)) * np.exp(-(((rows - 0.16) / 0.2) ** 2))
    dusk = np.array((0.13, 0.14, 0.19), dtype=np.float32) * uni(rng, 0.7, 1.5)
    sodium = np.array(pick(rng, ((0.3, 0.22, 0.12), (0.2, 0.21, 0.23), (0.08, 0.07, 0.06))), dtype=np.float32)
    street = np.clip(1 - np.abs(rows - 0.1) * 2.2, 0, 1)[..., None] * (
        0.6 + 0.6 * blotches(rng, (high, wide), 4)[..., None]
    )
    lamp = np.array((1.0, 0.95, 0.84), dtype=np.float32) * uni(rng, 0.5, 0.95)
    sky = np.where(rows < 0, np.float32(0.45), np.float32(1))[..., None]
    pixels *= dusk * sky + sodium * street + lamp * beam[..., None]


def add_glow(light: Floats, spot: tuple[float, float], radius: float, colour: Rgb, strength: float) -> None:
    """Add the halo of a lamp (radius in pixels) to a layer of light, in place."""
    high, wide = light.shape[:2]
    x, y = spot
    reach = radius * 3
    x0, x1, y0, y1 = (
        max(0, int(x - reach)),
        min(wide, int(x + reach) + 1),
        max(0, int(y - reach)),
        min(high, int(y + reach) + 1),
    )
    if x0 >= x1 or y0 >= y1:
        return
    squared = (np.arange(x0, x1, dtype=np.float32)[None, :] - x) ** 2 + (
        np.arange(y0, y1, dtype=np.float32)[:, None] - y
    ) ** 2
    halo = 0.35 * np.exp(-squared / (radius * radius)) + np.exp(-squared / (0.12 * radius * radius + 0.3))
    light[y0:y1, x0:x1] += (
        halo[..., None].astype(np.float32) * np.array(colour, dtype=np.float32) * np.float32(strength)
    )


def bonnet(pixels: Floats, camera: Camera, rng: np.random.Generator) -> None:
    """Draw the front of the own car along the lower edge; in place."""
    high, wide = pixels.shape[:2]
    layer = Image.new("RGBA", (wide, high), (0, 0, 0, 0))
    ink = ImageDraw.Draw(layer)
    tint = pick(rng, (grey(rng, 14, 40), grey(rng, 120, 190), (60, 20, 24), (24, 34, 66)))
    top, middle = high * (1 - uni(rng, 0.04, 0.11)), camera.vanish + uni(rng, -0.1, 0.1) * wide
    for step in range(6):
        shade = mixed(tint, (190, 200, 210), 0.4 - 0.08 * step)
        low = top + step * high * 0.008
        ink.ellipse((middle - wide * 0.75, low, middle + wide * 0.75, low + high * 0.7), fill=(*shade, 255))
    layer = layer.filter(ImageFilter.GaussianBlur(wide / 500))
    over = np.asarray(layer, dtype=np.float32)
    cover = over[..., 3:] / 255
    pixels += (over[..., :3] - pixels) * cover


def expose(pixels: Floats, rng: np.random.Generator, time_of_day: str) -> NDArray[np.uint8]:
    """Take the picture: lens, shake, colour cast and sensor noise.

    Returns
    -------
    numpy.ndarray
        RGB uint8 of the same (H, W, 3).
    """
    high, wide = pixels.shape[:2]
    pixels *= np.array(
        [uni(rng, 0.94, 1.06), uni(rng, 0.97, 1.03), uni(rng, 0.93, 1.07)], dtype=np.float32
    ) * np.float32(uni(rng, 0.86, 1.12))
    rows, columns = (
        np.linspace(-1, 1, high, dtype=np.float32)[:, None],
        np.linspace(-1, 1, wide, dtype=np.float32)[None, :],
    )
    pixels *= 1 - uni(rng, 0, 0.28) * (0.5 * (rows**2 + columns**2))[..., None]
    if chance(rng, 0.5):
        pixels += (pixels.mean(axis=2, keepdims=True) - pixels) * uni(rng, 0, 0.35)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    shake = uni(rng, 0, 1)
    if shake < 0.15:  # noqa: PLR2004  # one in seven: the car moves or shakes
        image = image.filter(ImageFilter.BoxBlur((uni(rng, 0.5, 1.8), uni(rng, 0.1, 0.5))))
    elif chance(rng, 0.6):
        image = image.filter(ImageFilter.GaussianBlur(uni(rng, 0.2, 0.8) * wide / 640))
    noise = uni(rng, 1, 4) * (1.6 if time_of_day == "night" else 1)
    seen = np.asarray(image, dtype=np.float32) + rng.standard_normal((high, wide, 1), dtype=np.float32) * noise
    seen += rng.standard_normal((high, wide, 3), dtype=np.float32) * (noise * 0.5)
    return np.clip(seen, 0, 255).astype(np.uint8)
