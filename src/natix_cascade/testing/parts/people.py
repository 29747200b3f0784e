"""People: those in hi-vis and hard hats, and everyone else; and what people ride."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas, Point
from natix_cascade.testing.parts.paint import (
    BLACK,
    HI_VIS,
    RUBBER,
    SILVER,
    WHITE,
    Rgb,
    any_colour,
    chance,
    grey,
    pick,
    scaled,
    uni,
    varied,
    work_orange,
)

if TYPE_CHECKING:
    import numpy as np

SKIN: tuple[Rgb, ...] = ((232, 190, 160), (204, 156, 122), (150, 106, 76), (98, 66, 48), (220, 172, 140))


def _figure(canvas: Canvas, shirt: Rgb, trousers: Rgb, *, bend: float, sleeves: Rgb) -> tuple[Point, Point]:
    rng = canvas.rng
    skin = varied(rng, pick(rng, SKIN))
    way = pick(rng, (-1, 1))
    hip, neck = (0.0, 0.5), (way * bend * 0.5, 0.18 + bend * 0.35)
    stride = uni(rng, 0.02, 0.13)
    for side, shade in ((-1, 0.78), (1, 0.95)):
        knee = (side * stride * 0.7 + way * 0.02, 0.74)
        canvas.limb(((side * 0.045, 0.5), knee, (side * stride, 0.96)), trousers, 0.085, shade)
        canvas.panel(side * stride - 0.05, 0.955, side * stride + 0.05, 1.0, RUBBER, radius=0.015)
    shoulder = (neck[0], neck[1] + 0.03)
    for side, shade in ((-1, 0.8), (1, 1.02)):
        start = (shoulder[0] + side * 0.1, shoulder[1] + 0.01)
        if chance(rng, 0.25):
            elbow, hand = (
                (start[0] + side * 0.1, start[1] + 0.1),
                (start[0] + side * uni(rng, 0.05, 0.2), start[1] - uni(rng, -0.05, 0.12)),
            )
        else:
            elbow = (start[0] + side * uni(rng, 0, 0.07), start[1] + 0.15)
            hand = (elbow[0] + uni(rng, -0.08, 0.1) * way, elbow[1] + uni(rng, 0.05, 0.14))
        canvas.limb((start, elbow, hand), sleeves, 0.06, shade)
        canvas.ellipse(*hand, 0.028, 0.028, skin)
    half = uni(rng, 0.1, 0.135)
    body = (
        (shoulder[0] - half, shoulder[1]),
        (shoulder[0] + half, shoulder[1]),
        (hip[0] + half * 0.86, hip[1] + 0.03),
        (hip[0] - half * 0.86, hip[1] + 0.03),
    )
    canvas.poly(body, shirt, 1.0)
    lit = half * (0.5 if canvas.sun > 0 else -0.5)
    dark = [(x if (x - shoulder[0]) * lit < 0 else x - lit * 1.5, y) for x, y in body]
    canvas.poly(dark, shirt, 1 - 0.35 * canvas.hardness)
    head = (neck[0] + way * bend * 0.25, neck[1] - 0.06)
    canvas.rect(neck[0] - 0.03, head[1], neck[0] + 0.03, shoulder[1], skin, shade=0.8)
    canvas.ball(head[0], head[1], 0.056, 0.07, skin)
    return head, shoulder


def worker(rng: np.random.Generator, height: int) -> Canvas:
    """A road worker: hi-vis vest or jacket with reflective bands, most with a hard hat, in many poses."""
    canvas = Canvas(rng, height, 0.75)
    vest = varied(rng, pick(rng, HI_VIS))
    bend = uni(rng, 0.15, 0.4) if chance(rng, 0.25) else uni(rng, 0, 0.06)
    jacket = chance(rng, 0.5)
    trousers = pick(rng, (grey(rng, 30, 70), (40, 52, 84), vest, scaled(vest, 0.9), (90, 84, 70)))
    sleeves = vest if jacket else pick(rng, (grey(rng, 30, 200), (40, 52, 84), any_colour(rng, 0.5)))
    head, shoulder = _figure(canvas, vest, trousers, bend=bend, sleeves=sleeves)
    lean = -shoulder[0] / max(0.05, 0.5 - shoulder[1])
    for part in (0.5, 0.8):
        y = shoulder[1] + (0.53 - shoulder[1]) * part
        x = shoulder[0] + lean * (y - shoulder[1])
        canvas.rect(x - 0.115, y - 0.017, x + 0.115, y + 0.017, SILVER, shade=1.12)
    for side in (-1, 1):
        if chance(rng, 0.8):
            x0, x1 = shoulder[0] + side * 0.055, shoulder[0] + side * 0.05 + lean * 0.2
            canvas.line(((x0, shoulder[1]), (x1, shoulder[1] + (0.53 - shoulder[1]) * 0.55)), SILVER, 0.028, 1.1)
    if chance(rng, 0.5):
        for side in (-1, 1):
            canvas.rect(side * 0.08 - 0.05, 0.8, side * 0.08 + 0.05, 0.83, SILVER, shade=1.05)
    if chance(rng, 0.8):
        hat = varied(rng, pick(rng, ((244, 206, 40), WHITE, work_orange(rng), (40, 90, 180), (200, 40, 36))))
        canvas.ball(head[0], head[1] - 0.035, 0.066, 0.055, hat)
        canvas.line(((head[0] - 0.085, head[1] - 0.022), (head[0] + 0.085, head[1] - 0.022)), hat, 0.018, 0.95)
    _tool(canvas, shoulder)
    return canvas


def _tool(canvas: Canvas, shoulder: Point) -> None:
    rng = canvas.rng
    dice = rng.random()
    side = pick(rng, (-1, 1))
    if dice < 0.3:  # noqa: PLR2004  # a shovel
        canvas.line(((shoulder[0] + side * 0.1, 0.36), (side * 0.3, 0.94)), (140, 104, 66), 0.02)
        canvas.poly(
            ((side * 0.27, 0.88), (side * 0.33, 0.9), (side * 0.33, 1.0), (side * 0.28, 0.99)), grey(rng, 70, 130)
        )
    elif dice < 0.42:  # noqa: PLR2004  # a stop and slow paddle
        x = shoulder[0] + side * 0.26
        canvas.rect(x - 0.01, 0.1, x + 0.01, 0.9, (170, 150, 120))
        canvas.ellipse(x, 0.1, 0.1, 0.1, pick(rng, ((196, 28, 34), work_orange(rng))))
        canvas.text(x, 0.1, pick(rng, ("STOP", "SLOW")), WHITE, high=0.06, wide=0.15)


def pedestrian(rng: np.random.Generator, height: int) -> Canvas:
    """Someone in ordinary clothes, now and then in an orange or red jacket without bands."""
    canvas = Canvas(rng, height, 0.7)
    shirt = (
        any_colour(rng, 0.8)
        if chance(rng, 0.75)
        else varied(rng, pick(rng, ((220, 80, 40), (200, 40, 40), (236, 180, 50))))
    )
    trousers = pick(rng, (grey(rng, 25, 80), (46, 62, 104), (120, 104, 84), any_colour(rng, 0.4)))
    head, _ = _figure(
        canvas, shirt, trousers, bend=uni(rng, 0, 0.04), sleeves=shirt if chance(rng, 0.7) else pick(rng, SKIN)
    )
    hair = pick(rng, (BLACK, (70, 48, 34), (150, 116, 70), (170, 166, 160), any_colour(rng, 0.7)))
    canvas.ellipse(head[0], head[1] - 0.035, 0.06, 0.045, hair)
    if chance(rng, 0.3):
        canvas.panel(uni(rng, -0.16, 0.1), 0.34, uni(rng, 0.0, 0.18), 0.54, any_colour(rng), radius=0.02)
    return canvas


def _rider(canvas: Canvas, seat: Point, bars: Point) -> None:
    rng = canvas.rng
    shirt = any_colour(rng)
    way = 1 if bars[0] > seat[0] else -1
    neck = (seat[0] + way * 0.14, 0.2)
    canvas.limb((seat, (seat[0] + way * 0.15, 0.62), (seat[0] + way * 0.08, 0.86)), grey(rng, 25, 90), 0.07)
    canvas.limb((seat, neck), shirt, 0.15)
    canvas.limb((neck, (neck[0] + way * 0.1, 0.36), bars), shirt, 0.05)
    canvas.ball(neck[0] + way * 0.03, 0.1, 0.055, 0.07, pick(rng, SKIN))
    canvas.ellipse(neck[0] + way * 0.03, 0.055, 0.062, 0.05, any_colour(rng))


def bicycle(rng: np.random.Generator, height: int) -> Canvas:
    """A bicycle from the side, ridden or parked."""
    ridden = chance(rng, 0.65)
    canvas = Canvas(rng, height, 1.1 if ridden else 1.75)
    size = 0.25 if ridden else 0.36
    ground, way, tint = 1 - size, pick(rng, (-1, 1)), any_colour(rng)
    gap = size * 1.6
    for x in (-gap, gap):
        canvas.ellipse(x, ground, size, size, RUBBER)
        canvas.erase(_round((x, ground), size * 0.88))
        canvas.line(((x - size * 0.8, ground), (x + size * 0.8, ground)), (150, 150, 150), 0.006)
    seat, bars = (-way * gap * 0.45, ground - size * 1.25), (way * gap * 0.8, ground - size * 1.35)
    crank = (-way * gap * 0.1, ground)
    frame = ((-way * gap, ground), seat, (way * gap * 0.72, ground - size), crank, (-way * gap, ground))
    canvas.line(frame, tint, 0.035)
    canvas.line((crank, seat), tint, 0.03)
    canvas.line(((way * gap, ground), bars, (bars[0] + way * 0.05, bars[1])), tint, 0.03)
    if ridden:
        _rider(canvas, (seat[0], seat[1] - 0.06), bars)
    else:
        canvas.panel(seat[0] - 0.09, seat[1] - 0.05, seat[0] + 0.09, seat[1], BLACK, radius=0.02)
    return canvas


def _round(middle: Point, radius: float) -> list[Point]:
    return [(middle[0] + radius * math.cos(k * 0.262), middle[1] + radius * math.sin(k * 0.262)) for k in range(24)]


def scooter(rng: np.random.Generator, height: int) -> Canvas:
    """A motor scooter from the side, ridden or parked, often red or orange."""
    ridden = chance(rng, 0.6)
    canvas = Canvas(rng, height, 1.15)
    tint = any_colour(rng) if chance(rng, 0.6) else varied(rng, pick(rng, ((206, 40, 36), (240, 100, 40))))
    way = pick(rng, (-1, 1))
    for x in (-0.34, 0.36):
        canvas.ellipse(way * x, 0.86, 0.14, 0.14, RUBBER, shade=0.8)
        canvas.ellipse(way * x, 0.86, 0.06, 0.06, SILVER)
    canvas.poly(
        [(way * x, y) for x, y in ((-0.5, 0.62), (-0.12, 0.58), (0.0, 0.84), (-0.3, 0.84), (-0.52, 0.76))], tint, 1.0
    )
    canvas.poly([(way * x, y) for x, y in ((-0.1, 0.8), (0.22, 0.8), (0.22, 0.86), (-0.1, 0.86))], scaled(tint, 0.7))
    canvas.poly([(way * x, y) for x, y in ((0.18, 0.4), (0.28, 0.4), (0.36, 0.74), (0.2, 0.82))], tint, 1.1)
    canvas.line(((way * 0.24, 0.42), (way * 0.14, 0.36)), BLACK, 0.03)
    canvas.panel(way * -0.46, 0.55, way * -0.08, 0.61, BLACK, radius=0.02)
    if ridden:
        _rider(canvas, (-way * 0.22, 0.52), (way * 0.16, 0.38))
    else:
        canvas.rect(way * 0.24 - 0.01, 0.28, way * 0.24 + 0.01, 0.42, BLACK)
    return canvas
