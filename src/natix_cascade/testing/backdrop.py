"""What stands behind a street: sky, hills, tree lines and house fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from natix_cascade.testing.parts.canvas import blotches
from natix_cascade.testing.parts.paint import GLASS, Rgb, chance, clip8, count, grey, mixed, pick, scaled, uni, varied

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natix_cascade.testing.ground import Camera, Street

    Floats = NDArray[np.float32]

__all__ = ["draw_backdrop", "draw_sky"]

WALLS: tuple[Rgb, ...] = (
    (150, 92, 74),
    (186, 170, 146),
    (204, 198, 186),
    (120, 110, 104),
    (168, 140, 112),
    (210, 186, 150),
    (140, 150, 158),
    (176, 108, 80),
    (96, 100, 108),
)
SKIES: dict[str, tuple[Rgb, Rgb]] = {  # zenith and horizon, by weather
    "clear": ((70, 124, 196), (186, 210, 232)),
    "overcast": ((150, 156, 164), (206, 208, 210)),
    "rain": ((112, 118, 126), (170, 174, 178)),
    "fog": ((186, 190, 194), (208, 210, 212)),
    "snow": ((170, 176, 184), (214, 218, 222)),
}
OVERSAMPLE = 2


def draw_sky(size: tuple[int, int], rng: np.random.Generator, weather: str, time_of_day: str) -> Floats:
    """Paint the sky over a whole picture of (width, height) pixels.

    Returns
    -------
    numpy.ndarray
        Float32 of shape (H, W, 3), 0 to 255, in daylight; night is graded later.
    """
    wide, high = size
    top, low = SKIES[weather]
    if time_of_day == "dusk" and weather == "clear":
        top, low = pick(
            rng, (((74, 84, 140), (250, 170, 100)), ((96, 80, 120), (246, 140, 96)), ((60, 80, 130), (240, 200, 150)))
        )
    top, low = varied(rng, top, light=0.08), varied(rng, low, light=0.06)
    fall = np.clip(np.linspace(0, 1.9, high, dtype=np.float32), 0, 1)[:, None, None] ** uni(rng, 0.6, 1.3)
    sky = np.array(top, dtype=np.float32) * (1 - fall) + np.array(low, dtype=np.float32) * fall
    sky = np.broadcast_to(sky, (high, wide, 3)).astype(np.float32)
    if weather in {"clear", "overcast", "rain"}:
        puffs = (
            0.55 * blotches(rng, (high, wide), 5)
            + 0.3 * blotches(rng, (high, wide), 12)
            + 0.15 * blotches(rng, (high, wide), 40)
        )
        cover = np.clip((puffs - uni(rng, 0.42, 0.66)) * 4, 0, 1)[..., None]
        tint = np.array(mixed((250, 250, 250), low, uni(rng, 0.1, 0.7)), dtype=np.float32)
        share = uni(rng, 0.3, 0.95) if weather == "clear" else uni(rng, 0.1, 0.4)
        sky += (tint * (1 - 0.25 * blotches(rng, (high, wide), 16)[..., None]) - sky) * (cover * share)
    return sky


class _Easel:
    """A supersampled picture with two inks: one for things, one for the light they give."""

    def __init__(self, camera: Camera) -> None:
        size = (camera.wide * OVERSAMPLE, camera.high * OVERSAMPLE)
        self.image = Image.new("RGBA", size, (0, 0, 0, 0))
        self.lit = Image.new("RGB", size, (0, 0, 0))
        self._ink, self._glow = ImageDraw.Draw(self.image), ImageDraw.Draw(self.lit)

    def poly(self, points: list[tuple[float, float]], colour: Rgb, glow: Rgb = (0, 0, 0)) -> None:
        corners = [(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points]
        self._ink.polygon(corners, fill=(*colour, 255))
        self._glow.polygon(corners, fill=glow)


def draw_backdrop(pixels: Floats, camera: Camera, street: Street, rng: np.random.Generator, *, lit: float) -> Floats:
    """Paint hills, trees and houses over the sky, in place.

    Parameters
    ----------
    pixels : numpy.ndarray
        Float32 of shape (H, W, 3), 0 to 255; changed in place.
    camera, street : Camera, Street
        Where one stands and on what.
    rng : numpy.random.Generator
        Source of every choice.
    lit : float
        Share of the windows (0 to 1) behind which a lamp burns.

    Returns
    -------
    numpy.ndarray
        Float32 of shape (H, W, 3): light that windows give, to be added once the rest is darkened.
    """
    easel = _Easel(camera)
    _hills(easel, camera, rng)
    town = pick(rng, ("both", "both", "left", "right", "none"))
    for side in (-1, 1):
        if town in {"both", "left" if side < 0 else "right"}:
            _row_of_houses(easel, camera, street, rng, side=side, lit=lit)
        else:
            _tree_line(easel, camera, street, rng, side)
    small = np.asarray(easel.image.reduce(OVERSAMPLE), dtype=np.float32)
    cover = small[..., 3:] / np.float32(255)
    pixels += (small[..., :3] - pixels) * cover
    light: Floats = np.asarray(easel.lit.reduce(OVERSAMPLE), dtype=np.float32)
    return light


def _hills(easel: _Easel, camera: Camera, rng: np.random.Generator) -> None:
    for layer in range(2):
        tint = mixed(
            varied(rng, pick(rng, ((90, 108, 84), (100, 110, 120), (80, 96, 70)))), (190, 200, 210), 0.55 - 0.3 * layer
        )
        peak = camera.high * uni(rng, 0.01, 0.09) * (1.3 - 0.6 * layer)
        knots = np.interp(np.linspace(0, 10, 81), np.arange(11), rng.random(11)) + rng.random(81) * (0.12 + 0.2 * layer)
        ridge = [(camera.wide * k / 80, camera.horizon + 3 - peak * float(knots[k])) for k in range(81)]
        easel.poly([*ridge, (camera.wide, camera.horizon + 4), (0, camera.horizon + 4)], tint)


def _tree_line(easel: _Easel, camera: Camera, street: Street, rng: np.random.Generator, side: int) -> None:
    tint = varied(rng, pick(rng, ((62, 84, 50), (84, 100, 60), (74, 80, 56), (150, 110, 60))))
    across = side * (street.half + street.walk + uni(rng, 2, 7))
    blobs = [(_RING * rng.uniform(0.75, 1.1, (14, 1))).tolist() for _ in range(20)]
    for depth in sorted((1 / uni(rng, 1 / 110, 1 / 10) for _ in range(22)), reverse=True):
        scale, foot = camera.focal / depth, across + side * uni(rng, 0, 6)
        tall = uni(rng, 3.5, 8)
        x, y = camera.project(foot, 0, depth)
        leaves = mixed(scaled(varied(rng, tint), uni(rng, 0.8, 1.2)), (170, 180, 184), min(0.6, depth / 160))
        trunk, thin = mixed((70, 60, 52), leaves, 0.3), 0.14 * scale
        easel.poly(
            [(x - thin, y), (x + thin, y), (x + thin, y - 0.5 * tall * scale), (x - thin, y - 0.5 * tall * scale)],
            trunk,
        )
        for k in range(12):
            up = tall * (0.4 + 0.5 * k / 11)
            size = scale * tall * uni(rng, 0.13, 0.22)
            cx, cy = x + uni(rng, -0.2, 0.2) * tall * scale, y - up * scale
            ring = [(cx + size * c, cy + size * s) for c, s in pick(rng, blobs)]
            easel.poly(ring, scaled(leaves, uni(rng, 0.75, 0.95) + 0.3 * k / 11))


_RING = np.stack([np.cos(np.linspace(0, 2 * np.pi, 14)), 0.8 * np.sin(np.linspace(0, 2 * np.pi, 14))], axis=1)


def _row_of_houses(
    easel: _Easel, camera: Camera, street: Street, rng: np.random.Generator, *, side: int, lit: float
) -> None:
    across = side * (street.half + street.walk + uni(rng, 0.2, 6))
    depth, fronts = uni(rng, 2.5, 8), []
    while depth < 130:  # noqa: PLR2004  # metres: beyond, hills take over
        long = uni(rng, 7, 22)
        fronts.append((depth, depth + long))
        depth += long + (uni(rng, 2, 9) if chance(rng, 0.25) else 0.0)
    for near, far in reversed(fronts):
        _house(easel, camera, rng, (across + side * uni(rng, 0, 1.5), near, far), lit)


def _house(
    easel: _Easel, camera: Camera, rng: np.random.Generator, where: tuple[float, float, float], lit: float
) -> None:
    across, near, far = where
    floors = count(rng, 2, 7)
    storey = uni(rng, 2.9, 3.6)
    tall = floors * storey + uni(rng, 0.3, 1.2)
    wall = varied(rng, pick(rng, WALLS), light=0.15)
    wall = mixed(wall, (190, 198, 206), min(0.55, near / 220))
    shade = uni(rng, 0.7, 1.05)
    front = mixed(wall, (0, 0, 0), max(0.0, 1 - shade))

    def spot(up: float, depth: float) -> tuple[float, float]:
        return camera.project(across, up, max(1.5, depth))

    back = across + (8 if across > 0 else -8)
    gable = [
        spot(0, near),
        spot(tall, near),
        camera.project(back, tall, max(1.5, near)),
        camera.project(back, 0, max(1.5, near)),
    ]
    easel.poly(gable, scaled(front, 0.75))
    easel.poly([spot(0, near), spot(tall, near), spot(tall, far), spot(0, far)], front)
    easel.poly([spot(tall, near), spot(tall + 0.4, near), spot(tall + 0.4, far), spot(tall, far)], scaled(front, 0.8))
    if near > 90:  # noqa: PLR2004  # metres: too far for windows
        return
    columns = max(2, round((far - near) / uni(rng, 2.2, 3.4)))
    step = (far - near) / columns
    glass = mixed(GLASS, (150, 170, 190), uni(rng, 0, 0.5))
    for floor in range(floors):
        low, high = floor * storey + 0.9, floor * storey + 2.4
        shop = floor == 0 and columns > 3  # noqa: PLR2004  # a row of shop windows
        for column in range(columns):
            a, b = near + (column + (0.08 if shop else 0.25)) * step, near + (column + (0.92 if shop else 0.75)) * step
            burning = chance(rng, lit * (2 if shop else 1))
            pane = scaled(glass, uni(rng, 0.7, 1.3))
            lamp = scaled((255, 206, 130), uni(rng, 0.35, 0.9)) if burning else (0, 0, 0)
            bottom = 0.4 if shop else low
            easel.poly([spot(bottom, a), spot(high, a), spot(high, b), spot(bottom, b)], pane, lamp)
    if columns > 3 and chance(rng, 0.5):  # noqa: PLR2004  # a shop has a fascia
        tint: Rgb = (clip8(uni(rng, 30, 220)), clip8(uni(rng, 30, 200)), clip8(uni(rng, 30, 200)))
        fascia = mixed(tint, grey(rng, 60, 120), 0.3)
        easel.poly(
            [spot(2.5, near), spot(3.1, near), spot(3.1, far), spot(2.5, far)], fascia, scaled(fascia, lit * 0.6)
        )
