"""Machines of a road site: diggers, rollers, loaders, work trucks; and what they leave on the ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from natix_cascade.testing.parts.barriers import stripe_pair
from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.paint import (
    AMBER,
    BLACK,
    GLASS,
    MACHINE_COLOURS,
    RUBBER,
    STEEL,
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
    work_orange,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def _paint(rng: np.random.Generator) -> Rgb:
    return varied(rng, pick(rng, MACHINE_COLOURS))


def wheel(canvas: Canvas, x: float, y: float, radius: float, rim: Rgb) -> None:
    """Draw a tyre with its rim, centred on (x, y)."""
    canvas.ellipse(x, y, radius, radius, RUBBER, shade=0.8)
    canvas.ellipse(x, y, radius * 0.58, radius * 0.58, rim, shade=0.95)
    canvas.ellipse(x, y, radius * 0.2, radius * 0.2, scaled(rim, 0.5))


def excavator(rng: np.random.Generator, height: int) -> Canvas:
    """A machine at work, seen from the side: an excavator, a wheel loader or a roller."""
    draw = pick(rng, (_digger, _digger, _digger, _loader, _roller))
    return draw(rng, height)


def _digger(rng: np.random.Generator, height: int) -> Canvas:
    canvas = Canvas(rng, height, 1.75)
    way = pick(rng, (-1, 1))
    tint, dark = _paint(rng), grey(rng, 24, 56)
    back, cab = uni(rng, 0.36, 0.46), uni(rng, 0.22, 0.32)

    def quad(points: tuple[tuple[float, float], ...], colour: Rgb, shade: float = 1.0) -> None:
        canvas.poly([(way * (x + 0.22), y) for x, y in points], colour, shade)

    canvas.panel(way * -0.7 + way * 0.22, 0.82, way * 0.05 + way * 0.22, 1.0, dark, radius=0.08)
    for k in range(5):
        canvas.ellipse(way * (-0.62 + k * 0.148 + 0.22), 0.92, 0.05, 0.05, grey(rng, 60, 90), shade=0.9)
    elbow, reach = (uni(rng, 0, 0.3), uni(rng, 0.0, 0.16)), uni(rng, 0.36, 0.62)
    quad(((-0.1, 0.72), (-0.02, 0.58), (elbow[0] + 0.02, elbow[1]), (elbow[0] + 0.1, elbow[1] + 0.08)), tint, 1.05)
    hand = (reach, uni(rng, 0.55, 0.85))
    quad(
        ((elbow[0], elbow[1] - 0.01), (elbow[0] + 0.1, elbow[1]), (hand[0] + 0.05, hand[1]), (hand[0] - 0.04, hand[1])),
        tint,
        0.9,
    )
    canvas.line([(way * (x + 0.22), y) for x, y in ((-0.05, 0.5), (elbow[0] - 0.06, elbow[1] + 0.12))], STEEL, 0.025)
    tip = (hand[0] - uni(rng, 0.1, 0.2), min(0.98, hand[1] + 0.16))
    quad(
        (hand, (hand[0] + 0.08, hand[1] + 0.08), (hand[0], hand[1] + 0.17), tip, (hand[0] - 0.1, hand[1] + 0.02)),
        dark,
        1.1,
    )
    quad(((-0.7, back + 0.12), (-0.62, back), (-0.2, back), (-0.2, 0.76), (-0.7, 0.76)), tint, 1.0)
    quad(((-0.7, 0.66), (-0.1, 0.66), (-0.1, 0.8), (-0.66, 0.8)), scaled(tint, 0.7), 0.8)
    quad(
        ((-0.34, cab), (-0.06, cab), (0.02, 0.5), (0.02, 0.74), (-0.34, 0.74)), tint if chance(rng, 0.6) else dark, 0.95
    )
    quad(((-0.3, cab + 0.04), (-0.09, cab + 0.04), (-0.02, 0.5), (-0.02, 0.6), (-0.3, 0.6)), GLASS, uni(rng, 0.8, 1.6))
    canvas.line([(way * (-0.16 + 0.22), cab + 0.04), (way * (-0.14 + 0.22), 0.6)], tint, 0.018)
    if chance(rng, 0.4):
        canvas.ball(way * (-0.2 + 0.22), cab - 0.03, 0.03, 0.03, AMBER)
    return canvas


def _loader(rng: np.random.Generator, height: int) -> Canvas:
    canvas = Canvas(rng, height, 1.9)
    way, tint, dark = pick(rng, (-1, 1)), _paint(rng), grey(rng, 24, 56)

    def quad(points: tuple[tuple[float, float], ...], colour: Rgb, shade: float = 1.0) -> None:
        canvas.poly([(way * x, y) for x, y in points], colour, shade)

    quad(((-0.8, 0.46), (-0.75, 0.4), (-0.2, 0.42), (-0.2, 0.8), (-0.8, 0.8)), tint)
    quad(((-0.3, 0.02), (0.12, 0.02), (0.18, 0.45), (0.18, 0.76), (-0.3, 0.76)), dark, 1.1)
    quad(((-0.26, 0.07), (0.08, 0.07), (0.13, 0.44), (-0.26, 0.44)), GLASS, uni(rng, 0.9, 1.7))
    quad(((-0.34, 0.0), (0.16, 0.0), (0.16, 0.05), (-0.34, 0.05)), tint)
    lift = uni(rng, 0.45, 0.8)
    quad(((0.05, 0.5), (0.12, 0.42), (0.75, lift), (0.7, lift + 0.09)), tint, 0.9)
    quad(((0.64, lift - 0.12), (0.95, lift + 0.16), (0.66, lift + 0.2)), scaled(tint, 0.75), 0.9)
    for x in (-0.52, 0.34):
        wheel(canvas, way * x, 0.78, 0.22, tint)
    return canvas


def _roller(rng: np.random.Generator, height: int) -> Canvas:
    canvas = Canvas(rng, height, 1.8)
    way, tint = pick(rng, (-1, 1)), _paint(rng)
    canvas.panel(way * -0.6, 0.42, way * 0.55, 0.74, tint, radius=0.04)
    canvas.rect(-0.3, 0.0, 0.3, 0.05, tint, shade=1.1)
    for x in (-0.27, 0.25):
        canvas.rect(x - 0.02, 0.03, x + 0.02, 0.45, BLACK)
    canvas.ellipse(-0.02, 0.22, 0.06, 0.07, (190, 150, 120))
    canvas.panel(-0.1, 0.28, 0.07, 0.46, pick(rng, ((206, 246, 46), (255, 98, 24))), radius=0.03)
    for x in (-0.55, 0.55):
        canvas.ball(x, 0.76, 0.24, 0.24, grey(rng, 90, 160))
        canvas.ellipse(x, 0.76, 0.06, 0.06, tint)
    return canvas


def truck(rng: np.random.Generator, height: int) -> Canvas:
    """A work truck from the side or from behind, with beacon, striped tail or dump body."""
    return _truck_rear(rng, height) if chance(rng, 0.5) else _truck_side(rng, height)


def _truck_rear(rng: np.random.Generator, height: int) -> Canvas:
    wide = uni(rng, 0.66, 0.95)
    canvas = Canvas(rng, height, wide * 1.05)
    tint = pick(rng, (_paint(rng), WHITE, work_orange(rng)))
    for x in (-wide * 0.32, wide * 0.32):
        canvas.panel(x - 0.09, 0.76, x + 0.09, 1.0, RUBBER, radius=0.03)
    canvas.rect(-wide * 0.4, 0.74, wide * 0.4, 0.86, grey(rng, 24, 50), shade=0.8)
    top = uni(rng, 0.06, 0.16)
    canvas.panel(-wide / 2, top, wide / 2, 0.8, tint, radius=0.01)
    pair = stripe_pair(rng) if chance(rng, 0.6) else ((206, 30, 34), (238, 214, 40))
    low, middle = uni(rng, 0.34, 0.5), 0.0
    canvas.stripes(-wide / 2 + 0.02, low, middle, 0.77, pair, pitch=uni(rng, 0.07, 0.12), rise=1.0)
    canvas.stripes(middle, low, wide / 2 - 0.02, 0.77, pair, pitch=uni(rng, 0.07, 0.12), rise=-1.0)
    if chance(rng, 0.5):
        canvas.rect(-wide * 0.36, top + 0.03, wide * 0.36, low - 0.03, BLACK)
        for k in range(-4, 5):
            canvas.ellipse(k * wide * 0.075, (top + low) / 2, 0.016, 0.016, AMBER, shade=1.4)
    for side in (-1, 1):
        canvas.rect(side * wide * 0.45 - 0.03, 0.78, side * wide * 0.45 + 0.03, 0.84, (200, 30, 30), shade=1.1)
        canvas.ball(side * wide * uni(rng, 0.2, 0.42), top - 0.025, 0.04, 0.035, varied(rng, AMBER))
    return canvas


def _truck_side(rng: np.random.Generator, height: int) -> Canvas:
    canvas = Canvas(rng, height, 2.1)
    way, tint = pick(rng, (-1, 1)), pick(rng, (_paint(rng), WHITE, work_orange(rng), any_colour(rng, 0.8)))
    body = pick(rng, (tint, grey(rng, 90, 160), _paint(rng)))

    def quad(points: tuple[tuple[float, float], ...], colour: Rgb, shade: float = 1.0) -> None:
        canvas.poly([(way * x, y) for x, y in points], colour, shade)

    quad(((-0.95, 0.72), (0.9, 0.72), (0.9, 0.84), (-0.95, 0.84)), grey(rng, 24, 50), 0.8)
    quad(((0.42, 0.12), (0.72, 0.12), (0.84, 0.42), (0.98, 0.46), (0.98, 0.82), (0.42, 0.82)), tint, 1.0)
    quad(((0.5, 0.18), (0.7, 0.18), (0.8, 0.42), (0.5, 0.42)), GLASS, uni(rng, 0.9, 1.7))
    if chance(rng, 0.6):
        if chance(rng, 0.5):
            canvas.ball(-0.3 * way, 0.24, 0.55, 0.13, (96, 76, 56))
        quad(((-1.0, 0.2), (0.36, 0.2), (0.36, 0.74), (-0.9, 0.74)), body, 0.95)
        for k in range(6):
            x = -0.85 + k * 0.22
            quad(((x, 0.22), (x + 0.03, 0.22), (x + 0.03, 0.72), (x, 0.72)), scaled(body, 0.8), 0.9)
    else:
        quad(((-1.0, 0.66), (0.4, 0.66), (0.4, 0.74), (-1.0, 0.74)), body, 0.95)
        canvas.line([(way * 0.1, 0.66), (way * 0.0, 0.1), (way * -0.7, 0.25)], _paint(rng), 0.06)
        for k in range(count(rng, 1, 4)):
            x = way * (-0.9 + 0.14 * k)
            canvas.poly(((x - 0.05, 0.66), (x, 0.5), (x + 0.05, 0.66)), work_orange(rng))
    canvas.stripes(-0.95, 0.74, 0.36, 0.79, ((206, 30, 34), WHITE), pitch=0.1, rise=0.0)
    for x in (-0.66, -0.36, 0.68):
        if x > -0.4 or chance(rng, 0.6):  # noqa: PLR2004  # the second rear axle is optional
            wheel(canvas, way * x, 0.86, 0.14, grey(rng, 110, 200))
    canvas.ball(way * 0.56, 0.09, 0.06, 0.04, varied(rng, AMBER))
    return canvas


def dirt_pile(rng: np.random.Generator, height: int) -> Canvas:
    """A heap of earth, gravel or broken asphalt."""
    wide = uni(rng, 1.6, 3.2)
    canvas = Canvas(rng, height, wide)
    tint = varied(
        rng, pick(rng, ((128, 98, 70), (150, 124, 92), (110, 104, 98), (84, 80, 78), (170, 150, 120))), hue=0.02
    )
    lumps = [(uni(rng, -0.42, 0.42), uni(rng, 0.3, 1.0)) for _ in range(5)] + [(uni(rng, -0.1, 0.1), 1.0)]

    def ridge(u: float) -> float:
        bell: float = max(h * max(0.0, 1 - abs((u - at) / 0.45)) ** 0.8 for at, h in lumps)
        return 1 - bell * min(1.0, (0.5 - abs(u)) * 6)

    us = [-0.5 + k / 60 for k in range(61)]
    outline = [(u * wide, min(1.0, ridge(u) + uni(rng, -0.02, 0.02))) for u in us]
    canvas.poly([*outline, (wide / 2, 1.0), (-wide / 2, 1.0)], tint, 1.0)
    _rubble(canvas, wide, tint, lambda u: ridge(u) + 0.03, 160)
    return canvas


def _rubble(canvas: Canvas, wide: float, tint: Rgb, ceiling: Callable[[float], float], pieces: int) -> None:
    rng = canvas.rng
    for _ in range(pieces):
        u = uni(rng, -0.46, 0.46)
        top = ceiling(u)
        if top > 0.95:  # noqa: PLR2004  # no room there
            continue
        y, size = uni(rng, top, 0.97), uni(rng, 0.012, 0.05)
        shade = 1 + canvas.hardness * 0.6 * math.sin(u * 5 + canvas.sun) + uni(rng, -0.3, 0.3)
        canvas.ellipse(u * wide, y, size, size * uni(rng, 0.5, 0.9), scaled(tint, uni(rng, 0.75, 1.2)), shade=shade)


def trench(rng: np.random.Generator, height: int) -> Canvas:
    """An open cut in the road: a dark hole with a rim of spoil, seen flat from a car."""
    wide = uni(rng, 2.6, 4.6)
    canvas = Canvas(rng, height, wide)
    soil = varied(rng, pick(rng, ((128, 98, 70), (110, 104, 98), (96, 84, 72))), hue=0.02)
    rim = [(wide / 2 * math.cos(a) * uni(rng, 0.9, 1), 0.5 + 0.5 * math.sin(a) * uni(rng, 0.85, 1)) for a in _turns(24)]
    canvas.poly(rim, soil, 1.0)
    for _ in range(70):
        a, r = uni(rng, 0, math.tau), uni(rng, 0.72, 0.97)
        size = uni(rng, 0.02, 0.08)
        spot = wide / 2 * r * math.cos(a), 0.5 + 0.48 * r * math.sin(a)
        canvas.ellipse(*spot, size, size * 0.6, scaled(soil, uni(rng, 0.7, 1.25)), shade=uni(rng, 0.7, 1.3))
    hole = [
        (wide * 0.36 * math.cos(a) * uni(rng, 0.92, 1), 0.5 + 0.3 * math.sin(a) * uni(rng, 0.9, 1)) for a in _turns(18)
    ]
    canvas.poly(hole, scaled(soil, 0.35), 0.8)
    canvas.poly([(x * 0.92, 0.56 + (y - 0.5) * 0.7) for x, y in hole], scaled(soil, 0.2), 0.7)
    return canvas


def _turns(steps: int) -> list[float]:
    return [math.tau * k / steps for k in range(steps)]
