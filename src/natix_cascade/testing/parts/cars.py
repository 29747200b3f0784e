"""Ordinary traffic: cars from behind, from the front and from the side, and buses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.machines import wheel
from natix_cascade.testing.parts.paint import (
    BLACK,
    GLASS,
    RUBBER,
    SILVER,
    WHITE,
    Rgb,
    any_colour,
    chance,
    count,
    grey,
    pick,
    scaled,
    uni,
    varied,
)

if TYPE_CHECKING:
    import numpy as np

CAR_COLOURS: tuple[Rgb, ...] = (
    (232, 232, 230),
    (236, 236, 236),
    (30, 30, 34),
    (44, 46, 50),
    (120, 124, 128),
    (170, 172, 176),
    (30, 50, 100),
    (60, 90, 140),
    (150, 30, 34),
    (90, 70, 56),
    (50, 80, 60),
)
REDS: tuple[Rgb, ...] = ((190, 28, 32), (214, 40, 34), (236, 90, 30), (170, 24, 36), (246, 120, 40))


def _common(rng: np.random.Generator) -> Rgb:
    return varied(rng, pick(rng, CAR_COLOURS) if chance(rng, 0.8) else pick(rng, REDS))


def car_rear(rng: np.random.Generator, height: int) -> Canvas:
    """A car from behind."""
    return _end_view(rng, height, _common(rng), front=False)


def car_front(rng: np.random.Generator, height: int) -> Canvas:
    """A car from in front."""
    return _end_view(rng, height, _common(rng), front=True)


def car_side(rng: np.random.Generator, height: int) -> Canvas:
    """A car from the side."""
    return _side_view(rng, height, _common(rng))


def bus_end(rng: np.random.Generator, height: int) -> Canvas:
    """A bus from behind or in front."""
    return _bus_end(rng, height, varied(rng, any_colour(rng)))


def car(rng: np.random.Generator, height: int) -> Canvas:
    """A car of any common colour, from behind, in front or the side."""
    return _car(rng, height, varied(rng, pick(rng, CAR_COLOURS) if chance(rng, 0.85) else any_colour(rng)))


def red_car(rng: np.random.Generator, height: int) -> Canvas:
    """A red or orange car, which is no sign of roadwork."""
    return _car(rng, height, varied(rng, pick(rng, REDS)))


def _car(rng: np.random.Generator, height: int, tint: Rgb) -> Canvas:
    if chance(rng, 0.6):
        return _end_view(rng, height, tint, front=chance(rng, 0.4))
    return _side_view(rng, height, tint)


def _end_view(rng: np.random.Generator, height: int, tint: Rgb, *, front: bool) -> Canvas:
    wide = uni(rng, 1.0, 1.28)
    canvas = Canvas(rng, height, wide)
    half, roof, waist = wide / 2, uni(rng, 0.6, 0.78) * wide / 2, uni(rng, 0.36, 0.46)
    for side in (-1, 1):
        canvas.panel(side * half * 0.62, 0.74, side * half * 0.94, 1.0, RUBBER, radius=0.03)
    canvas.rect(-half * 0.7, 0.8, half * 0.7, 0.93, BLACK, shade=0.6)
    canvas.poly(
        ((-roof, 0.04), (-roof * 0.9, 0), (roof * 0.9, 0), (roof, 0.04), (half * 0.92, waist), (-half * 0.92, waist)),
        tint,
        1.15,
    )
    window = ((-roof * 0.88, 0.07), (roof * 0.88, 0.07), (half * 0.76, waist - 0.02), (-half * 0.76, waist - 0.02))
    canvas.poly(window, GLASS, uni(rng, 0.7, 1.5))
    canvas.poly(
        ((-roof * 0.8, 0.08), (roof * 0.2, 0.08), (-half * 0.2, waist - 0.03), (-half * 0.7, waist - 0.03)),
        GLASS,
        uni(rng, 1.0, 1.9),
    )
    canvas.panel(-half, waist - 0.01, half, 0.86, tint, radius=0.06)
    canvas.rect(-half * 0.97, waist + 0.01, half * 0.97, waist + 0.06, tint, shade=1.25)
    canvas.panel(
        -half * 0.98, 0.7, half * 0.98, 0.88, scaled(tint, 0.85) if chance(rng, 0.6) else grey(rng, 40, 70), radius=0.04
    )
    lamp = (230, 234, 240) if front else varied(rng, (190, 20, 24))
    thick = uni(rng, 0.06, 0.16)
    for side in (-1, 1):
        canvas.panel(
            side * half * uni(rng, 0.5, 0.66), waist + 0.06, side * half * 0.96, waist + 0.06 + thick, lamp, radius=0.02
        )
        canvas.panel(
            side * (half + 0.01), waist - 0.09, side * (half - 0.08), waist - 0.02, scaled(tint, 0.8), radius=0.02
        )
    if front:
        canvas.panel(-half * 0.46, waist + 0.08, half * 0.46, 0.68, BLACK, radius=0.02)
    canvas.rect(
        -0.14,
        0.62 if not front else 0.74,
        0.14,
        0.69 if not front else 0.8,
        pick(rng, (WHITE, (236, 214, 90))),
        shade=1.0,
    )
    return canvas


def _side_view(rng: np.random.Generator, height: int, tint: Rgb) -> Canvas:
    long = uni(rng, 2.5, 3.1)
    canvas = Canvas(rng, height, long)
    way, half = pick(rng, (-1, 1)), long / 2
    waist = uni(rng, 0.36, 0.44)
    boxy = uni(rng, 0, 0.25)

    def flip(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
        return [(way * x, y) for x, y in points]

    top = ((-half * (0.62 + boxy), waist), (-half * (0.4 + boxy), 0.02), (half * 0.18, 0.0), (half * 0.5, waist))
    canvas.poly(flip(top), tint, 1.15)
    glass = (
        (-half * (0.54 + boxy), waist - 0.02),
        (-half * (0.37 + boxy), 0.07),
        (half * 0.16, 0.06),
        (half * 0.42, waist - 0.02),
    )
    canvas.poly(flip(glass), GLASS, uni(rng, 0.7, 1.6))
    canvas.line(flip(((-half * 0.1, 0.04), (-half * 0.12, waist))), tint, 0.045)
    lower = (
        (-half, waist + 0.1),
        (-half * 0.94, waist),
        (half * 0.5, waist),
        (half * 0.92, waist + 0.12),
        (half, waist + 0.24),
        (half * 0.98, 0.84),
        (-half * 0.98, 0.84),
    )
    canvas.poly(flip(lower), tint, 1.0)
    canvas.poly(
        flip(
            (
                (-half * 0.96, waist + 0.02),
                (half * 0.5, waist),
                (half * 0.9, waist + 0.13),
                (-half * 0.96, waist + 0.09),
            )
        ),
        tint,
        1.2,
    )
    canvas.poly(
        flip(((-half * 0.98, 0.72), (half * 0.99, 0.72), (half * 0.98, 0.86), (-half * 0.98, 0.86))), tint, 0.65
    )
    canvas.line(flip(((-half * 0.1, waist), (-half * 0.1, 0.78))), scaled(tint, 0.6), 0.012)
    for x in (-0.58, 0.6):
        canvas.ellipse(way * x * half, 0.81, 0.215, 0.215, BLACK, shade=0.5)
        wheel(canvas, way * x * half, 0.82, 0.18, pick(rng, (SILVER, grey(rng, 60, 140))))
    canvas.poly(
        flip(
            (
                (half * 0.84, waist + 0.15),
                (half * 0.97, waist + 0.2),
                (half * 0.97, waist + 0.28),
                (half * 0.86, waist + 0.25),
            )
        ),
        WHITE,
    )
    canvas.poly(
        flip(((-half, waist + 0.1), (-half * 0.92, waist + 0.1), (-half * 0.93, waist + 0.24), (-half, waist + 0.24))),
        (180, 20, 24),
    )
    return canvas


def bus(rng: np.random.Generator, height: int) -> Canvas:
    """A bus or van, from behind or the side, of any colour, orange and yellow too."""
    tint = varied(
        rng,
        pick(
            rng, (WHITE, (200, 40, 40), (240, 190, 40), (40, 90, 160), (240, 120, 40), (80, 150, 90), any_colour(rng))
        ),
    )
    if chance(rng, 0.5):
        return _bus_end(rng, height, tint)
    long = uni(rng, 2.2, 3.6)
    canvas = Canvas(rng, height, long)
    half = long / 2
    canvas.panel(-half, 0.02, half, 0.9, tint, radius=0.05)
    if chance(rng, 0.6):
        canvas.rect(-half, uni(rng, 0.5, 0.6), half, uni(rng, 0.62, 0.75), any_colour(rng), shade=None)
    panes = count(rng, 5, 9)
    for k in range(panes):
        left = -half * 0.94 + k * 1.88 * half / panes
        canvas.rect(left, 0.16, left + 1.75 * half / panes, 0.46, GLASS, shade=uni(rng, 0.8, 1.4))
    for x in (-0.62, 0.66):
        canvas.ellipse(x * half, 0.87, 0.15, 0.15, BLACK, shade=0.5)
        wheel(canvas, x * half, 0.87, 0.13, SILVER)
    return canvas


def _bus_end(rng: np.random.Generator, height: int, tint: Rgb) -> Canvas:
    wide = uni(rng, 0.74, 0.95)
    canvas = Canvas(rng, height, wide)
    half = wide / 2
    for side in (-1, 1):
        canvas.panel(side * half * 0.55, 0.84, side * half * 0.9, 1.0, RUBBER, radius=0.02)
    canvas.panel(-half, 0.0, half, 0.92, tint, radius=0.05)
    canvas.panel(-half * 0.86, 0.12, half * 0.86, uni(rng, 0.4, 0.5), GLASS, radius=0.03)
    if chance(rng, 0.5):
        canvas.rect(-half * 0.7, 0.025, half * 0.7, 0.1, BLACK)
        canvas.text(
            0, 0.062, pick(rng, ("12 CENTRAL", "7 STATION", "SCHOOL BUS")), (255, 180, 60), high=0.05, wide=wide * 0.6
        )
    lamp = pick(rng, ((200, 24, 24), WHITE))
    for side in (-1, 1):
        canvas.panel(side * half * 0.7, 0.68, side * half * 0.94, 0.78, lamp, radius=0.02)
    canvas.rect(-half * 0.96, 0.82, half * 0.96, 0.9, scaled(tint, 0.5), shade=0.8)
    return canvas
