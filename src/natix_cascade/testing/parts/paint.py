"""Colours and dice: small helpers that every drawing shares."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

T = TypeVar("T")
Rgb = tuple[int, int, int]

WHITE: Rgb = (240, 240, 238)
SILVER: Rgb = (196, 200, 204)
BLACK: Rgb = (26, 26, 28)
RUBBER: Rgb = (40, 40, 42)
STEEL: Rgb = (140, 144, 148)
AMBER: Rgb = (255, 176, 30)
GLASS: Rgb = (54, 66, 78)

ORANGES: tuple[Rgb, ...] = (
    (255, 92, 20),
    (255, 74, 22),
    (246, 64, 30),
    (240, 84, 34),
    (255, 118, 30),
    (240, 106, 36),
    (226, 60, 30),
    (255, 98, 40),
    (226, 98, 44),
)
HI_VIS: tuple[Rgb, ...] = ((206, 246, 46), (190, 232, 40), (226, 250, 70), (255, 98, 24), (255, 112, 40), (250, 80, 40))
MACHINE_COLOURS: tuple[Rgb, ...] = (
    (240, 184, 30),
    (248, 200, 50),
    (226, 164, 24),
    (236, 110, 30),
    (204, 50, 36),
    (232, 150, 40),
    (216, 220, 218),
    (90, 150, 70),
)


def uni(rng: np.random.Generator, low: float, high: float) -> float:
    """One draw from the uniform law on [low, high)."""
    return low + (high - low) * float(rng.random())


def chance(rng: np.random.Generator, share: float) -> bool:
    """Whether an event of the given share (0 to 1) happens now."""
    return float(rng.random()) < share


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all equally likely."""
    return options[int(float(rng.random()) * len(options))]


def count(rng: np.random.Generator, low: int, high: int) -> int:
    """One whole number from low to high, both included."""
    return low + int(float(rng.random()) * (high - low + 1))


def clip8(value: float) -> int:
    """The nearest whole number from 0 to 255."""
    return min(255, max(0, round(value)))


def scaled(colour: Rgb, factor: float) -> Rgb:
    """The colour made darker (factor < 1) or lighter (factor > 1)."""
    return clip8(colour[0] * factor), clip8(colour[1] * factor), clip8(colour[2] * factor)


def mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    """A share (0 to 1) of the second colour in the first."""
    red, green, blue = (clip8(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def varied(rng: np.random.Generator, colour: Rgb, hue: float = 0.012, light: float = 0.12) -> Rgb:
    """A neighbour of the colour: hue moved by up to `hue` (of 1), saturation and value by up to `light`."""
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    h = (h + uni(rng, -hue, hue)) % 1
    s = min(1.0, s * uni(rng, 1 - light, 1 + light))
    v = min(1.0, v * uni(rng, 1 - light, 1 + light * 0.5))
    red, green, blue = colorsys.hsv_to_rgb(h, s, v)
    return clip8(red * 255), clip8(green * 255), clip8(blue * 255)


def any_colour(rng: np.random.Generator, saturation: float = 1.0) -> Rgb:
    """A colour of any hue, at most as saturated as said."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation * uni(rng, 0.2, 1), uni(rng, 0.25, 1))
    return clip8(red * 255), clip8(green * 255), clip8(blue * 255)


def grey(rng: np.random.Generator, low: float, high: float) -> Rgb:
    """A nearly neutral grey whose value lies between low and high (0 to 255)."""
    value, warm = uni(rng, low, high), uni(rng, -5, 5)
    return clip8(value + warm), clip8(value), clip8(value - warm)


def work_orange(rng: np.random.Generator) -> Rgb:
    """One of the oranges of traffic cones, from red-orange to faded."""
    colour = varied(rng, pick(rng, ORANGES))
    return mixed(colour, (220, 160, 120), uni(rng, 0.1, 0.4)) if chance(rng, 0.15) else colour
