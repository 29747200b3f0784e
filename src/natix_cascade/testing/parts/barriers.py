"""Things that close a road: barricades, barriers, panels, fences, tape."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.paint import (
    AMBER,
    BLACK,
    RUBBER,
    STEEL,
    WHITE,
    Rgb,
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


def stripe_pair(rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """Two colours for warning stripes: mostly orange or red with white."""
    pale = varied(rng, WHITE, light=0.1)
    red = varied(rng, (208, 36, 34))
    loud = work_orange(rng)
    return pick(rng, ((loud, pale), (loud, pale), (loud, pale), (red, pale), (red, pale), ((238, 196, 30), BLACK)))


def _lamp(canvas: Canvas, x: float, y: float) -> None:
    colour = varied(canvas.rng, AMBER)
    canvas.rect(x - 0.035, y + 0.02, x + 0.035, y + 0.1, scaled(colour, 0.45))
    canvas.ball(x, y, 0.055, 0.055, colour)


def barricade(rng: np.random.Generator, height: int) -> Canvas:
    """A barricade: an A-frame with one or two boards, or three boards between uprights."""
    return _type_three(rng, height) if chance(rng, 0.5) else _a_frame(rng, height)


def _type_three(rng: np.random.Generator, height: int) -> Canvas:
    wide = uni(rng, 0.7, 1.9)
    canvas = Canvas(rng, height, wide * 1.05)
    canvas.shear = uni(rng, -0.12, 0.12)
    pair = stripe_pair(rng)
    frame = pick(rng, (grey(rng, 90, 170), WHITE, grey(rng, 40, 70)))
    posts = [wide * part for part in pick(rng, ((-0.36, 0.36), (-0.45, 0.45), (-0.4, 0.0, 0.4)))]
    for x in posts:
        canvas.line(((x - 0.12, 0.99), (x + 0.14, 0.965)), scaled(frame, 0.7), 0.035)
        canvas.rect(x - 0.022, 0.03, x + 0.022, 0.985, frame, shade=0.9)
    boards = pick(rng, (2, 3, 3, 3))
    room = 0.78 / boards
    thick = room * uni(rng, 0.45, 0.72)
    lean = pick(rng, (-1, 1)) * uni(rng, 0.6, 1.1)
    for k in range(boards):
        top = 0.04 + k * room
        pitch, rise = thick * uni(rng, 0.7, 1.0), lean
        if wide > 1.1 and chance(rng, 0.3):  # noqa: PLR2004  # long boards often point both ways
            canvas.stripes(-wide / 2, top, 0, top + thick, pair, pitch=pitch, rise=rise)
            canvas.stripes(0, top, wide / 2, top + thick, pair, pitch=pitch, rise=-rise)
        else:
            canvas.stripes(-wide / 2, top, wide / 2, top + thick, pair, pitch=pitch, rise=rise)
    if chance(rng, 0.25):
        sign = pick(rng, ("ROAD CLOSED", "CLOSED", "DETOUR", "STREET CLOSED"))
        face = WHITE if chance(rng, 0.6) else work_orange(rng)
        canvas.rect(-wide * 0.3, 0.06, wide * 0.3, 0.5, face)
        for row, word in enumerate(sign.split()):
            canvas.text(0, 0.18 + 0.2 * row, word, BLACK, high=0.14, wide=wide * 0.52)
    for x in posts:
        if chance(rng, 0.25):
            _lamp(canvas, x, -0.02)
    return canvas


def _a_frame(rng: np.random.Generator, height: int) -> Canvas:
    wide = uni(rng, 0.55, 1.5)
    canvas = Canvas(rng, height, wide * 1.15)
    canvas.shear = uni(rng, -0.14, 0.14)
    pair = stripe_pair(rng)
    legs = pick(rng, (pair[0], WHITE, grey(rng, 90, 170), (190, 150, 100)))
    for side in (-1, 1):
        x = side * wide * 0.42
        canvas.line(((x, 0.03), (x + 0.1, 0.97)), scaled(legs, 0.6), 0.045)
        canvas.line(((x, 0.03), (x - 0.08, 1.0)), legs, 0.055)
    if chance(rng, 0.5):
        canvas.line(((-wide * 0.42, 0.8), (wide * 0.42, 0.8)), scaled(legs, 0.8), 0.03)
    thick = uni(rng, 0.14, 0.26)
    lean = pick(rng, (-1, 1)) * uni(rng, 0.6, 1.1)
    top = uni(rng, 0.0, 0.06)
    for k in range(pick(rng, (1, 2, 2))):
        low = top + k * uni(rng, 0.34, 0.42)
        canvas.stripes(-wide / 2, low, wide / 2, low + thick, pair, pitch=thick * uni(rng, 0.7, 1.1), rise=lean)
    for side in (-1, 1):
        if chance(rng, 0.2):
            _lamp(canvas, side * wide * 0.36, -0.03)
    return canvas


def jersey_barrier(rng: np.random.Generator, height: int) -> Canvas:
    """A jersey barrier: a run of concrete blocks, or plastic ones in red, white and orange."""
    plastic = chance(rng, 0.55)
    blocks = count(rng, 1, 3)
    each = uni(rng, 0.9, 1.8) if plastic else uni(rng, 1.3, 2.6)
    wide = blocks * each
    canvas = Canvas(rng, height, wide)
    canvas.shear = uni(rng, -0.12, 0.12) / max(1.0, wide / 2)
    if plastic:
        loud = pick(rng, (varied(rng, (206, 44, 40)), work_orange(rng)))
        plain = chance(rng, 0.25)
        tints = [loud if plain or k % 2 else varied(rng, WHITE, light=0.06) for k in range(blocks + 1)]
        tints = tints[count(rng, 0, 1) :]
    else:
        tints = [grey(rng, 130, 205)] * blocks
    slope, waist = uni(rng, 0.3, 0.55), uni(rng, 0.72, 0.86)
    for k in range(blocks):
        left, right = -wide / 2 + k * each, -wide / 2 + (k + 1) * each
        _block(canvas, left, right, tints[k], slope=slope, waist=waist, plastic=plastic)
    if not plastic and chance(rng, 0.4):
        for k in range(blocks * 2):
            canvas.rect(-wide / 2 + (k + 0.4) * each / 2, 0.12, -wide / 2 + (k + 0.55) * each / 2, 0.2, AMBER)
    return canvas


def _block(canvas: Canvas, left: float, right: float, tint: Rgb, *, slope: float, waist: float, plastic: bool) -> None:
    rng = canvas.rng
    flat = 1 - 0.2 * canvas.hardness
    canvas.rect(left, 0.0, right, 0.05, tint, shade=1.25)
    canvas.rect(left, 0.05, right, slope, tint, shade=flat)
    canvas.rect(left, slope, right, waist, tint, shade=flat * 1.12)
    canvas.rect(left, waist, right, 1.0, tint, shade=flat * 0.82)
    edge = scaled(tint, 0.35)
    canvas.line(((right, 0.02), (right, 1.0)), edge, uni(rng, 0.015, 0.04), 0.6)
    if plastic:
        for part in (0.2, 0.5, 0.8):
            x = left + (right - left) * part
            canvas.rect(x - 0.015, 0.08, x + 0.015, waist, scaled(tint, 0.8), shade=None)
            canvas.rect(x + 0.015, 0.08, x + 0.035, waist, scaled(tint, 1.12), shade=None)
        for part in (0.3, 0.7):
            x = left + (right - left) * part
            canvas.rect(x - 0.09, 0.9, x + 0.09, 1.0, scaled(tint, 0.3), shade=0.6)
    else:
        for _ in range(4):
            x = uni(rng, left, right)
            stain = mixed(tint, (70, 66, 62), uni(rng, 0.1, 0.45))
            canvas.rect(x, 0.05, min(right, x + uni(rng, 0.02, 0.2)), uni(rng, 0.4, 0.95), stain, shade=None)
        for part in (0.25, 0.75):
            x = left + (right - left) * part
            canvas.rect(x - 0.12, 0.93, x + 0.12, 1.0, scaled(tint, 0.4), shade=0.7)


def panel(rng: np.random.Generator, height: int) -> Canvas:
    """A vertical panel or guide beacon: a tall striped board on a rubber foot."""
    wide = uni(rng, 0.16, 0.36)
    canvas = Canvas(rng, height, wide * 2.6)
    canvas.shear = uni(rng, -0.15, 0.15)
    pair = stripe_pair(rng)
    foot = wide * uni(rng, 0.7, 1.15)
    canvas.slab(0.94, foot, uni(rng, 0.1, 0.25), 0.035, RUBBER, sides=4)
    stem = uni(rng, 0.6, 0.9)
    canvas.rect(-0.03, stem, 0.03, 0.95, grey(rng, 40, 150), shade=0.9)
    canvas.rect(-wide / 2 - 0.012, 0.0, wide / 2 + 0.012, stem, scaled(pair[1], 0.75))
    rise = pick(rng, (-1, 1)) * uni(rng, 0.5, 1.1)
    canvas.stripes(-wide / 2, 0.012, wide / 2, stem - 0.012, pair, pitch=uni(rng, 0.1, 0.2), rise=rise)
    if chance(rng, 0.25):
        _lamp(canvas, 0, -0.04)
    return canvas


def fence(rng: np.random.Generator, height: int) -> Canvas:
    """A site fence: orange plastic mesh between posts, or grey wire panels on feet."""
    wide = uni(rng, 1.0, 3.6)
    canvas = Canvas(rng, height, wide)
    canvas.shear = uni(rng, -0.14, 0.14) / max(1.0, wide / 1.5)
    if chance(rng, 0.6):
        _mesh(canvas, wide)
    else:
        _wire(canvas, wide)
    return canvas


def _mesh(canvas: Canvas, wide: float) -> None:
    rng = canvas.rng
    tint = work_orange(rng) if chance(rng, 0.9) else varied(rng, (60, 140, 70))
    posts = max(2, round(wide / uni(rng, 0.6, 1.4)) + 1)
    xs = [-wide / 2 + wide * k / (posts - 1) for k in range(posts)]
    sag, top, low = uni(rng, 0.0, 0.16), uni(rng, 0.04, 0.14), uni(rng, 0.86, 0.97)

    def hang(x: float) -> float:
        part = ((x + wide / 2) / wide * (posts - 1)) % 1
        return sag * 4 * part * (1 - part)

    rows, columns = count(rng, 9, 16), max(8, round(wide * uni(rng, 9, 16)))
    thick = uni(rng, 0.018, 0.036)
    trail = [-wide / 2 + wide * k / 24 for k in range(25)]
    for k in range(rows + 1):
        level = top + (low - top) * k / rows
        strong = 1.8 if k in {0, rows, rows // 2} else 1.0
        shade = 1 + uni(rng, -0.15, 0.15)
        canvas.line([(x, level + hang(x) * (1 - 0.7 * k / rows)) for x in trail], tint, thick * strong, shade)
    for k in range(columns + 1):
        x = -wide / 2 + wide * k / columns
        canvas.line(
            ((x, top + hang(x)), (x, low + hang(x) * 0.3)), tint, thick, 0.9 + 0.3 * math.sin(x * 7) * canvas.hardness
        )
    wood = pick(rng, ((150, 120, 84), grey(rng, 40, 90), (110, 150, 110), grey(rng, 130, 170)))
    for x in xs:
        canvas.rect(x - 0.02, 0.0, x + 0.02, 1.0, wood, shade=0.95)


def _wire(canvas: Canvas, wide: float) -> None:
    rng = canvas.rng
    tint = grey(rng, 120, 190)
    panels = max(1, round(wide / 1.7))
    each = wide / panels
    sheet = pick(rng, (None, None, (40, 90, 60), (220, 222, 220), (40, 80, 150)))
    for k in range(panels):
        left, right = -wide / 2 + k * each + 0.015, -wide / 2 + (k + 1) * each - 0.015
        if sheet is not None:
            canvas.rect(left, 0.03, right, 0.9, varied(rng, sheet), shade=uni(rng, 0.85, 1.1))
        else:
            for j in range(1, 24):
                x = left + (right - left) * j / 24
                canvas.line(((x, 0.03), (x, 0.92)), tint, 0.007, 0.9)
            for j in range(1, 7):
                canvas.line(((left, j * 0.13), (right, j * 0.13)), tint, 0.007, 0.9)
        outline = ((left, 0.02), (right, 0.02), (right, 0.93), (left, 0.93), (left, 0.02))
        canvas.line(outline, tint, 0.025, 1.05)
        for x in (left, right):
            canvas.line(((x, 0.02), (x, 0.96)), tint, 0.03)
            canvas.panel(
                x - 0.12, 0.93, x + 0.12, 1.0, pick(rng, (grey(rng, 90, 150), RUBBER, work_orange(rng))), radius=0.01
            )
    if chance(rng, 0.35):
        board = pick(rng, (WHITE, (238, 196, 30), work_orange(rng)))
        canvas.rect(-0.2, 0.3, 0.2, 0.56, board)
        canvas.text(0, 0.43, pick(rng, ("DANGER", "KEEP OUT", "SITE")), BLACK, high=0.09, wide=0.36)


def tape(rng: np.random.Generator, height: int) -> Canvas:
    """Barrier tape that sags between thin posts, red and white or yellow and black."""
    wide = uni(rng, 1.2, 3.4)
    canvas = Canvas(rng, height, wide)
    pair = pick(
        rng, (((210, 40, 40), WHITE), ((210, 40, 40), WHITE), ((244, 204, 30), BLACK), (work_orange(rng), WHITE))
    )
    posts = count(rng, 2, 4)
    xs = [-wide / 2 + wide * k / (posts - 1) for k in range(posts)]
    stick = pick(rng, (STEEL, (150, 120, 84), work_orange(rng), RUBBER))
    for x in xs:
        canvas.rect(x - 0.022, 0.0, x + 0.022, 1.0, stick)
        canvas.ellipse(x, 0.98, 0.08, 0.02, scaled(stick, 0.6))
    for row in range(pick(rng, (1, 2, 2))):
        level, thick, sag = 0.08 + 0.32 * row, uni(rng, 0.05, 0.09), uni(rng, 0.01, 0.14)
        for left, right in pairwise(xs):
            pieces = max(4, round((right - left) / 0.09))
            for k in range(pieces):
                a, b = k / pieces, (k + 1) / pieces
                xa, xb = left + (right - left) * a, left + (right - left) * b
                ya, yb = level + sag * 4 * a * (1 - a), level + sag * 4 * b * (1 - b)
                quad = ((xa, ya), (xb, yb), (xb - 0.02, yb + thick), (xa - 0.02, ya + thick))
                canvas.poly(quad, pair[k % 2], 1 + 0.2 * math.sin(9 * a))
    return canvas
