"""Signs: those that announce roadwork, and the ordinary ones that do not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.paint import (
    AMBER,
    BLACK,
    RUBBER,
    WHITE,
    Rgb,
    any_colour,
    chance,
    count,
    grey,
    mixed,
    pick,
    scaled,
    uni,
    varied,
    work_orange,
)

if TYPE_CHECKING:
    import numpy as np

    from natix_cascade.testing.parts.canvas import Point

WORK_TEXTS = (
    ("ROAD", "WORK", "AHEAD"),
    ("ROAD", "WORK"),
    ("LANE", "CLOSED", "AHEAD"),
    ("UTILITY", "WORK", "AHEAD"),
    ("ONE LANE", "ROAD", "AHEAD"),
    ("BE", "PREPARED", "TO STOP"),
    ("DETOUR", "AHEAD"),
    ("SHOULDER", "WORK"),
)
BOARD_TEXTS = (
    ("DETOUR",),
    ("ROAD", "CLOSED"),
    ("END", "ROAD WORK"),
    ("SIDEWALK", "CLOSED"),
    ("ROAD WORK", "NEXT 2 MI"),
)
RED: Rgb = (196, 28, 34)


def _regular(x: float, y: float, radius: float, sides: int, *, turn: float = 0.0, squeeze: float = 1.0) -> list[Point]:
    angles = (turn + math.tau * k / sides for k in range(sides))
    return [(x + radius * math.cos(a) * squeeze, y + radius * math.sin(a)) for a in angles]


def digger(canvas: Canvas, x: float, y: float, size: float, colour: Rgb) -> None:
    """Draw the figure with a shovel and its heap, `size` units tall, centred on (x, y)."""

    def spot(u: float, v: float) -> Point:
        return x + u * size, y + v * size

    canvas.ellipse(*spot(-0.05, -0.4), 0.1 * size, 0.1 * size, colour)
    canvas.line((spot(-0.1, -0.26), spot(-0.24, 0.06)), colour, 0.17 * size)
    canvas.line((spot(-0.24, 0.06), spot(-0.06, 0.26), spot(-0.1, 0.5)), colour, 0.1 * size)
    canvas.line((spot(-0.24, 0.06), spot(-0.32, 0.28), spot(-0.42, 0.5)), colour, 0.1 * size)
    canvas.line((spot(-0.08, -0.24), spot(0.14, 0.02)), colour, 0.08 * size)
    canvas.line((spot(-0.12, -0.1), spot(0.26, 0.36)), colour, 0.05 * size)
    canvas.poly((spot(0.08, 0.5), spot(0.3, 0.2), spot(0.54, 0.5)), colour, None)


def _stand(canvas: Canvas, top: float) -> None:
    rng = canvas.rng
    steel = grey(rng, 50, 170)
    style = count(rng, 0, 3)
    if style == 0:
        canvas.rect(-0.02, top, 0.02, 1.0, steel, shade=0.9)
    elif style == 1:
        for side in (-1, 1):
            canvas.line(((side * 0.1, top), (side * 0.14, 1.0)), steel, 0.03, 0.9)
        canvas.line(((-0.14, 0.93), (0.14, 0.93)), steel, 0.025, 0.8)
    else:
        canvas.rect(-0.025, top, 0.025, 0.93, steel, shade=0.9)
        for foot in (-0.26, 0.26, -0.13, 0.16):
            canvas.line(((0, 0.84), (foot, 1.0)), steel, 0.026, 0.85)
        if style == 3 and chance(rng, 0.6):  # noqa: PLR2004  # the last of four styles holds sandbags
            canvas.ball(0.08, 0.96, 0.1, 0.04, pick(rng, (RUBBER, work_orange(rng), (190, 176, 140))))


def _lines(canvas: Canvas, y: float, texts: tuple[str, ...], step: float, widths: tuple[float, float]) -> None:
    for row, words in enumerate(texts):
        wide = widths[0] if len(texts) > 1 and row in {0, len(texts) - 1} else widths[1]
        canvas.text(0, y + (row - (len(texts) - 1) / 2) * step, words, BLACK, high=step * 0.62, wide=wide)


def work_sign(rng: np.random.Generator, height: int) -> Canvas:
    """A roadwork sign: an orange diamond, a red-bordered triangle with a digger, or an orange board."""
    draw = pick(rng, (_diamond, _diamond, _diamond, _triangle, _triangle, _board))
    return draw(rng, height)


def _diamond(rng: np.random.Generator, height: int) -> Canvas:
    size = uni(rng, 0.27, 0.47)
    squeeze = uni(rng, 0.72, 1.0)
    canvas = Canvas(rng, height, max(0.6, size * 2.1))
    canvas.shear = uni(rng, -0.1, 0.1)
    face = work_orange(rng) if chance(rng, 0.85) else varied(rng, (246, 150, 30))
    middle = size + 0.005
    _stand(canvas, middle)
    if chance(rng, 0.3):
        for side in (-1, 1):
            flag = work_orange(rng)
            canvas.poly(((side * 0.01, 0.05), (side * 0.09, -0.06), (side * 0.19, -0.01), (side * 0.08, 0.07)), flag)
    canvas.poly(_regular(0, middle, size, 4, squeeze=squeeze), face, uni(rng, 0.9, 1.1))
    canvas.poly(_regular(0, middle, size * 0.93, 4, squeeze=squeeze), BLACK, None)
    canvas.poly(_regular(0, middle, size * 0.88, 4, squeeze=squeeze), face, None)
    if chance(rng, 0.5):
        digger(canvas, 0, middle + size * 0.02, size * 0.85 * squeeze, BLACK)
    else:
        texts = pick(rng, WORK_TEXTS)
        step = size * min(0.42, 1.08 / len(texts))
        _lines(canvas, middle, texts, step, (size * 0.75 * squeeze, size * 1.2 * squeeze))
    return canvas


def _triangle(rng: np.random.Generator, height: int) -> Canvas:
    wide = uni(rng, 0.5, 0.95)
    canvas = Canvas(rng, height, wide * 1.05)
    canvas.shear = uni(rng, -0.1, 0.1)
    high = wide * 0.87
    if high < 0.9:  # noqa: PLR2004  # else it stands on the ground
        _stand(canvas, high * 0.8)
    back = None if chance(rng, 0.7) else pick(rng, ((244, 200, 30), work_orange(rng)))
    if back is not None:
        canvas.panel(-wide / 2, -0.01, wide / 2, high + 0.03, back, radius=0.02)
    _warning(canvas, wide, high, pick(rng, (WHITE, WHITE, (248, 206, 40))))
    digger(canvas, 0, high * 0.64, high * 0.46, BLACK)
    return canvas


def _warning(canvas: Canvas, wide: float, high: float, face: Rgb) -> None:
    canvas.poly(((0, 0), (wide / 2, high), (-wide / 2, high)), varied(canvas.rng, RED), uni(canvas.rng, 0.9, 1.1))
    rim = uni(canvas.rng, 0.66, 0.76)
    middle = high * 2 / 3
    inner = [(x * rim, middle + (y - middle) * rim) for x, y in ((0, 0), (wide / 2, high), (-wide / 2, high))]
    canvas.poly(inner, face, None)


def _board(rng: np.random.Generator, height: int) -> Canvas:
    high = uni(rng, 0.3, 0.55)
    wide = high * uni(rng, 1.0, 1.9)
    canvas = Canvas(rng, height, max(0.5, wide * 1.05))
    canvas.shear = uni(rng, -0.12, 0.12)
    _stand(canvas, high)
    face = work_orange(rng) if chance(rng, 0.85) else varied(rng, (240, 238, 232))
    canvas.rect(-wide / 2, 0, wide / 2, high, BLACK, shade=uni(rng, 0.9, 1.1))
    canvas.rect(-wide / 2 + 0.012, 0.012, wide / 2 - 0.012, high - 0.012, face, shade=None)
    texts = pick(rng, BOARD_TEXTS)
    arrow = chance(rng, 0.4)
    middle = high * (0.36 if arrow else 0.5)
    _lines(
        canvas, middle, texts, high * (0.3 if arrow else 0.42) / max(1.0, len(texts) * 0.6), (wide * 0.85, wide * 0.85)
    )
    if arrow:
        way, y = pick(rng, (-1, 1)), high * 0.78
        canvas.line(((-way * wide * 0.3, y), (way * wide * 0.2, y)), BLACK, high * 0.09, None)
        tip = ((way * wide * 0.36, y), (way * wide * 0.15, y - high * 0.14), (way * wide * 0.15, y + high * 0.14))
        canvas.poly(tip, BLACK, None)
    return canvas


def arrow_board(rng: np.random.Generator, height: int) -> Canvas:
    """A trailer with a dark panel whose amber lamps form an arrow, a chevron or a bar."""
    wide = uni(rng, 0.9, 1.35)
    canvas = Canvas(rng, height, wide * 1.1)
    canvas.shear = uni(rng, -0.08, 0.08)
    canvas.emits = True
    steel = pick(rng, (work_orange(rng), grey(rng, 70, 130), (236, 180, 30)))
    low = uni(rng, 0.46, 0.58)
    for x in (-0.14, 0.14):
        canvas.rect(x - 0.022, low, x + 0.022, 0.86, steel, shade=0.8)
    canvas.rect(-wide * 0.34, 0.78, wide * 0.34, 0.88, steel, shade=0.95)
    for x in (-wide * 0.27, wide * 0.27):
        canvas.ellipse(x, 0.9, 0.095, 0.1, RUBBER)
        canvas.ellipse(x, 0.9, 0.045, 0.05, grey(rng, 110, 170))
    canvas.panel(-wide / 2, 0, wide / 2, low, grey(rng, 16, 52), radius=0.02)
    lit = varied(rng, pick(rng, (AMBER, (255, 200, 60), (255, 150, 20))))
    dim = mixed(BLACK, lit, uni(rng, 0.1, 0.3))
    _lamps(canvas, wide, low, lit, dim)
    return canvas


def _lamps(canvas: Canvas, wide: float, low: float, lit: Rgb, dim: Rgb) -> None:
    rng = canvas.rng
    columns, rows = 11, 5
    way, style = pick(rng, (-1, 1)), count(rng, 0, 3)
    radius = min(wide / columns, low / rows) * uni(rng, 0.24, 0.38)
    for column in range(columns):
        for row in range(rows):
            across, down = column - columns // 2, abs(row - rows // 2)
            ahead = way * across
            shaft = down == 0 and (style != 2)  # noqa: PLR2004  # style 2 is chevrons alone
            head = ahead + down in ({5} if style < 2 else {5, 1, -3})  # noqa: PLR2004  # lamps from the middle
            both = style == 1 and -ahead + down == 5  # noqa: PLR2004  # the other arrow head
            on = shaft or head or both
            if on or chance(rng, 0.2):
                x, y = across * wide * 0.9 / columns, low * (0.12 + 0.76 * row / (rows - 1))
                canvas.ellipse(x, y, radius, radius, lit if on else dim, shade=1.45 if on else 1)


def stop_sign(rng: np.random.Generator, height: int) -> Canvas:
    """A red octagon with STOP on a pole."""
    canvas = Canvas(rng, height, 0.5)
    size = uni(rng, 0.13, 0.22)
    canvas.shear = uni(rng, -0.08, 0.08)
    canvas.rect(-0.014, size, 0.014, 1.0, grey(rng, 90, 170), shade=0.9)
    squeeze, turn = uni(rng, 0.75, 1), math.pi / 8
    canvas.poly(_regular(0, size, size, 8, turn=turn, squeeze=squeeze), WHITE)
    canvas.poly(_regular(0, size, size * 0.92, 8, turn=turn, squeeze=squeeze), varied(rng, RED), uni(rng, 0.9, 1.1))
    canvas.text(0, size, "STOP", WHITE, high=size * 0.6, wide=size * 1.5 * squeeze)
    return canvas


def yield_sign(rng: np.random.Generator, height: int) -> Canvas:
    """A triangle on its tip with a red border on a pole."""
    canvas = Canvas(rng, height, 0.55)
    size = uni(rng, 0.2, 0.42)
    canvas.rect(-0.014, size * 0.5, 0.014, 1.0, grey(rng, 90, 170), shade=0.9)
    canvas.poly(((-size / 2, 0), (size / 2, 0), (0, size * 0.87)), varied(rng, RED))
    face = pick(rng, (WHITE, WHITE, (248, 206, 40)))
    canvas.poly(((-size * 0.3, size * 0.115), (size * 0.3, size * 0.115), (0, size * 0.63)), face, None)
    return canvas


def speed_sign(rng: np.random.Generator, height: int) -> Canvas:
    """A speed limit: a white board, or a round sign with a red ring."""
    canvas = Canvas(rng, height, 0.5)
    size = uni(rng, 0.14, 0.22)
    canvas.rect(-0.014, size, 0.014, 1.0, grey(rng, 90, 170), shade=0.9)
    number = str(5 * count(rng, 4, 16))
    if chance(rng, 0.5):
        canvas.ellipse(0, size, size, size, varied(rng, RED))
        canvas.ellipse(0, size, size * 0.76, size * 0.76, WHITE)
        canvas.text(0, size, number, BLACK, high=size * 0.75, wide=size * 1.2)
    else:
        canvas.panel(-size * 0.8, 0, size * 0.8, size * 2, WHITE, radius=0.01)
        canvas.text(0, size * 0.3, "SPEED", BLACK, high=size * 0.25, wide=size * 1.3)
        canvas.text(0, size * 0.7, "LIMIT", BLACK, high=size * 0.25, wide=size * 1.2)
        canvas.text(0, size * 1.4, number, BLACK, high=size * 0.75, wide=size * 1.2)
    return canvas


def parking_sign(rng: np.random.Generator, height: int) -> Canvas:
    """A blue P, a street name, or a white board with red letters."""
    canvas = Canvas(rng, height, 0.5)
    size = uni(rng, 0.12, 0.2)
    canvas.rect(-0.014, size, 0.014, 1.0, grey(rng, 90, 170), shade=0.9)
    style = count(rng, 0, 2)
    if style == 0:
        canvas.panel(-size, 0, size, size * 2, varied(rng, (30, 80, 170)), radius=0.01)
        canvas.text(0, size, "P", WHITE, high=size * 1.3, wide=size * 1.4)
    elif style == 1:
        canvas.panel(-size * 0.75, 0, size * 0.75, size * 2.1, WHITE, radius=0.01)
        canvas.text(0, size * 0.5, "NO", RED, high=size * 0.4, wide=size)
        canvas.text(0, size * 1.2, "PARKING", RED, high=size * 0.4, wide=size * 1.3)
    else:
        canvas.panel(-0.22, 0, 0.22, size * 0.9, varied(rng, (20, 110, 70)), radius=0.01)
        canvas.text(
            0, size * 0.45, pick(rng, ("Main St", "Oak Ave", "5th St", "Park Rd")), WHITE, high=size * 0.45, wide=0.4
        )
    return canvas


def warning_sign(rng: np.random.Generator, height: int) -> Canvas:
    """An ordinary warning: a yellow diamond or red-bordered triangle with a curve, a deer's place or a mark."""
    canvas = Canvas(rng, height, 0.6)
    size = uni(rng, 0.18, 0.27)
    canvas.rect(-0.014, size, 0.014, 1.0, grey(rng, 90, 170), shade=0.9)
    if chance(rng, 0.65):
        face = varied(rng, pick(rng, ((246, 200, 26), (250, 212, 40), (206, 236, 50))))
        canvas.poly(_regular(0, size, size, 4), BLACK)
        canvas.poly(_regular(0, size, size * 0.94, 4), face, uni(rng, 0.9, 1.1))
        middle = size
    else:
        _warning(canvas, size * 2, size * 1.75, WHITE)
        middle = size * 1.15
    part = size * 0.36
    if chance(rng, 0.6):
        way = pick(rng, (-1, 1))
        canvas.line(
            ((-way * part * 0.6, middle + part), (-way * part * 0.5, middle), (way * part * 0.3, middle - part)),
            BLACK,
            size * 0.13,
        )
    else:
        canvas.line(((0, middle - part), (0, middle + part * 0.4)), BLACK, size * 0.14)
        canvas.ellipse(0, middle + part * 0.85, size * 0.08, size * 0.08, BLACK)
    return canvas


def billboard(rng: np.random.Generator, height: int) -> Canvas:
    """An advertisement of any colour, orange too, on one or two legs or as a shop sign."""
    wide = uni(rng, 0.5, 1.9)
    canvas = Canvas(rng, height, wide)
    canvas.shear = uni(rng, -0.12, 0.12) / max(1.0, wide)
    low = uni(rng, 0.4, 0.75)
    for x in pick(rng, ((0.0,), (-wide * 0.3, wide * 0.3))):
        canvas.rect(x - 0.03, low, x + 0.03, 1.0, grey(rng, 60, 150), shade=0.9)
    face = any_colour(rng) if chance(rng, 0.7) else work_orange(rng)
    canvas.panel(-wide / 2, 0, wide / 2, low, face, radius=0.02)
    ink = WHITE if sum(face) < 400 or chance(rng, 0.3) else BLACK  # noqa: PLR2004  # dark boards carry white letters
    if chance(rng, 0.5):
        canvas.ball(uni(rng, -0.3, 0.3) * wide, low * uni(rng, 0.3, 0.7), low * 0.25, low * 0.25, any_colour(rng))
    words = pick(rng, ("SALE", "BURGERS", "CAR WASH", "OPEN 24H", "HOTEL", "PIZZA", "FOR RENT", "BANK", "WELCOME"))
    canvas.text(0, low * uni(rng, 0.35, 0.65), words, ink, high=low * uni(rng, 0.2, 0.36), wide=wide * 0.9)
    if chance(rng, 0.3):
        canvas.rect(-wide / 2, low * 0.86, wide / 2, low, scaled(face, 0.6))
    return canvas
