"""Street furniture and plants that mean nothing, many of them orange or red on purpose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.paint import (
    BLACK,
    RUBBER,
    STEEL,
    WHITE,
    Rgb,
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

LEAVES: tuple[Rgb, ...] = ((62, 94, 44), (80, 112, 52), (50, 78, 46), (104, 124, 60), (70, 90, 50))
AUTUMN: tuple[Rgb, ...] = ((206, 110, 36), (220, 140, 40), (186, 66, 34), (200, 160, 50))
PETALS: tuple[Rgb, ...] = (
    (226, 60, 50),
    (244, 130, 40),
    (240, 200, 60),
    (220, 110, 170),
    (240, 240, 236),
    (130, 90, 190),
)


def mailbox(rng: np.random.Generator, height: int) -> Canvas:
    """A letter box: a domed box on legs or a pillar, in blue, red or yellow."""
    canvas = Canvas(rng, height, 0.7)
    tint = varied(rng, pick(rng, ((30, 70, 140), (196, 30, 34), (240, 190, 30), (60, 110, 70))))
    half = uni(rng, 0.18, 0.26)
    if chance(rng, 0.5):
        for x in (-half * 0.8, half * 0.8):
            canvas.rect(x - 0.03, 0.8, x + 0.03, 1.0, scaled(tint, 0.5))
        canvas.ball(0, 0.18, half, 0.18, tint)
        canvas.panel(-half, 0.17, half, 0.86, tint)
        canvas.rect(-half * 0.8, 0.2, half * 0.8, 0.27, BLACK)
        canvas.rect(-half * 0.6, 0.4, half * 0.6, 0.58, WHITE)
    else:
        canvas.turned([(0.1, half * 0.85), (1 - half * 0.1, half * 0.85)], [(0.1, 1 - half * 0.1, tint)], 0.1)
        canvas.ball(0, 0.1, half, 0.09, tint)
        canvas.rect(-half * 0.5, 0.24, half * 0.5, 0.28, BLACK)
    return canvas


def traffic_light(rng: np.random.Generator, height: int) -> Canvas:
    """A traffic light on its pole, in black, yellow or green housing."""
    canvas = Canvas(rng, height, 0.45)
    box = pick(rng, (grey(rng, 16, 44), grey(rng, 16, 44), (226, 180, 40), (40, 70, 54)))
    wide, low = uni(rng, 0.07, 0.1), uni(rng, 0.3, 0.42)
    canvas.rect(-0.02, low, 0.02, 1.0, grey(rng, 50, 150), shade=0.9)
    if chance(rng, 0.3):
        canvas.rect(-wide * 1.4, -0.02, wide * 1.4, low + 0.02, BLACK)
    canvas.panel(-wide, 0, wide, low, box, radius=0.02)
    on = count(rng, 0, 2)
    for k, colour in enumerate(((255, 50, 40), (255, 180, 40), (60, 240, 140))):
        tint: Rgb = colour if k == on else scaled(colour, 0.25)
        canvas.ellipse(0, low * (0.19 + 0.31 * k), wide * 0.62, low * 0.125, tint, shade=1.35 if k == on else 0.9)
    return canvas


def trash_bin(rng: np.random.Generator, height: int) -> Canvas:
    """A wheelie bin or a round litter bin, of any common colour, orange too."""
    canvas = Canvas(rng, height, 0.8)
    tint = varied(
        rng, pick(rng, ((50, 90, 56), (40, 42, 46), (40, 70, 130), (226, 110, 36), (110, 80, 56), (210, 180, 50)))
    )
    half = uni(rng, 0.22, 0.32)
    if chance(rng, 0.5):
        for x in (-half * 0.7, half * 0.7):
            canvas.ellipse(x, 0.93, 0.07, 0.07, RUBBER)
        canvas.poly(((-half, 0.12), (half, 0.12), (half * 0.85, 0.97), (-half * 0.85, 0.97)), tint, 0.92)
        canvas.panel(-half * 1.08, 0.03, half * 1.08, 0.14, scaled(tint, pick(rng, (0.8, 1.15))), radius=0.03)
        canvas.rect(-half * 0.5, 0.3, half * 0.5, 0.34, scaled(tint, 0.7), shade=None)
    else:
        tilt = uni(rng, 0.08, 0.2)
        canvas.turned([(0.1, half), (0.9, half * 0.92)], [(0.1, 0.9, tint)], tilt)
        canvas.turned([(0.04, half * 1.06), (0.12, half * 1.06)], [(0.04, 0.12, scaled(tint, 0.7))], tilt)
        canvas.ellipse(0, 0.045, half, half * tilt, BLACK, shade=0.6)
    return canvas


def _crown(canvas: Canvas, x: float, y: float, rx: float, ry: float, *, tint: Rgb, clumps: int) -> None:
    rng = canvas.rng
    for k in range(clumps):
        a, r = uni(rng, 0, math.tau), math.sqrt(rng.random())
        cx, cy = x + rx * 0.78 * r * math.cos(a), y + ry * 0.78 * r * math.sin(a)
        size = uni(rng, 0.09, 0.2) * min(rx, ry) * (2.4 if k < clumps // 4 else 1)
        up = (y - cy) / ry + 0.5 * math.sin(canvas.sun) * (cx - x) / rx
        shade = 0.86 + 0.4 * canvas.hardness * up + uni(rng, -0.18, 0.18)
        canvas.ellipse(cx, cy, size * uni(rng, 0.8, 1.3), size, varied(rng, tint, light=0.16), shade=max(0.3, shade))


def tree(rng: np.random.Generator, height: int) -> Canvas:
    """A street tree, green, in autumn colours or bare and thin."""
    wide = uni(rng, 0.45, 0.85)
    canvas = Canvas(rng, height, wide * 1.1)
    tint = pick(rng, LEAVES) if chance(rng, 0.65) else pick(rng, AUTUMN)
    bark = grey(rng, 46, 90)
    low = uni(rng, 0.55, 0.75)
    canvas.poly(((-0.02, 0.3), (0.02, 0.3), (0.04, 1.0), (-0.04, 1.0)), bark, 0.85)
    _crown(canvas, 0, low / 2 + 0.02, wide / 2, low / 2, tint=varied(rng, tint), clumps=90)
    return canvas


def bush(rng: np.random.Generator, height: int) -> Canvas:
    """A bush or hedge."""
    wide = uni(rng, 1.0, 2.6)
    canvas = Canvas(rng, height, wide * 1.05)
    tint = varied(rng, pick(rng, LEAVES) if chance(rng, 0.7) else pick(rng, AUTUMN))
    for k in range(max(2, round(wide * 1.6))):
        _crown(
            canvas,
            -wide / 2 + 0.4 + k * (wide - 0.8) / max(1, round(wide * 1.6) - 1),
            0.55,
            0.42,
            0.5,
            tint=tint,
            clumps=34,
        )
    return canvas


def flowers(rng: np.random.Generator, height: int) -> Canvas:
    """A pot or bed of flowers."""
    canvas = Canvas(rng, height, 1.3)
    pot = varied(rng, pick(rng, ((176, 92, 62), (120, 120, 118), (90, 66, 48), (200, 190, 170))))
    half = uni(rng, 0.3, 0.55)
    canvas.poly(((-half, 0.56), (half, 0.56), (half * 0.8, 1.0), (-half * 0.8, 1.0)), pot, 0.9)
    canvas.rect(-half * 1.06, 0.54, half * 1.06, 0.63, pot, shade=1.1)
    _crown(canvas, 0, 0.38, half * 1.15, 0.3, tint=pick(rng, LEAVES), clumps=40)
    tint = pick(rng, PETALS)
    for _ in range(count(rng, 14, 40)):
        a, r = uni(rng, 0, math.tau), math.sqrt(rng.random())
        size = uni(rng, 0.025, 0.05)
        canvas.ellipse(
            half * 1.1 * r * math.cos(a),
            0.34 + 0.3 * r * math.sin(a),
            size,
            size,
            varied(rng, tint),
            shade=uni(rng, 0.85, 1.2),
        )
    return canvas


def awning(rng: np.random.Generator, height: int) -> Canvas:
    """A shop awning with upright stripes over a window, often red or orange."""
    wide = uni(rng, 1.0, 2.0)
    canvas = Canvas(rng, height, wide)
    tint = varied(rng, pick(rng, ((206, 44, 40), (240, 110, 40), (50, 100, 70), (40, 70, 130), (230, 190, 60))))
    pale = tint if chance(rng, 0.35) else WHITE
    half, low = wide / 2, uni(rng, 0.3, 0.42)
    canvas.rect(-half * 0.9, low - 0.05, half * 0.9, 1.0, grey(rng, 110, 200), shade=0.8)
    canvas.rect(-half * 0.8, low, half * 0.8, 0.9, (50, 58, 66), shade=uni(rng, 0.8, 1.5))
    strips = count(rng, 6, 14)
    for k in range(strips):
        a, b = -half + wide * k / strips, -half + wide * (k + 1) / strips
        colour = (tint, pale)[k % 2]
        canvas.poly(((a * 0.86, 0), (b * 0.86, 0), (b, low), (a, low)), colour, 1.1)
        canvas.rect(a, low, b, low + 0.07, colour, shade=0.8)
    return canvas


def umbrella(rng: np.random.Generator, height: int) -> Canvas:
    """A café parasol, red, orange, cream or green."""
    wide = uni(rng, 0.8, 1.2)
    canvas = Canvas(rng, height, wide)
    tint = varied(rng, pick(rng, ((206, 44, 40), (240, 110, 40), (230, 220, 196), (50, 100, 70), (240, 200, 60))))
    pale = pick(rng, (tint, tint, WHITE))
    half, low = wide / 2, uni(rng, 0.2, 0.34)
    canvas.rect(-0.02, 0.02, 0.02, 0.97, STEEL, shade=0.9)
    canvas.panel(-0.14, 0.95, 0.14, 1.0, grey(rng, 60, 120), radius=0.01)
    edges = [half * x for x in (-1, -0.72, -0.25, 0.25, 0.72, 1)]
    for k in range(5):
        shade = canvas.round_light((edges[k] + edges[k + 1]) / wide)
        canvas.poly(((0, 0), (edges[k], low), (edges[k + 1], low)), (tint, pale)[k % 2], shade)
        canvas.rect(edges[k], low - 0.005, edges[k + 1], low + 0.04, (tint, pale)[k % 2], shade=shade * 0.85)
    return canvas


def lamp_post(rng: np.random.Generator, height: int) -> Canvas:
    """A street lamp, with an arm or a lantern."""
    canvas = Canvas(rng, height, 0.45)
    steel = grey(rng, 40, 150)
    side = pick(rng, (-1, 1))
    canvas.poly(((-0.008, 0.03), (0.008, 0.03), (0.016, 1.0), (-0.016, 1.0)), steel, 0.9)
    if chance(rng, 0.7):
        canvas.line(((0, 0.05), (side * 0.08, 0.012), (side * 0.18, 0.012)), steel, 0.012)
        canvas.panel(side * 0.13, 0.006, side * 0.22, 0.03, grey(rng, 120, 200), radius=0.005)
    else:
        canvas.ball(0, 0.04, 0.035, 0.045, WHITE)
    return canvas
