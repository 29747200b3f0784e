"""Round things that stand on the road: cones, drums, marker posts; and bollards, which mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natix_cascade.testing.parts.canvas import Canvas
from natix_cascade.testing.parts.paint import (
    AMBER,
    BLACK,
    RUBBER,
    SILVER,
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

Band = tuple[float, float, Rgb]


def _sheet(rng: np.random.Generator) -> Rgb:
    return varied(rng, pick(rng, (WHITE, WHITE, SILVER, (226, 226, 214))), light=0.08)


def cone(rng: np.random.Generator, height: int) -> Canvas:
    """A traffic cone: slim, common or squat, with none to three reflective bands and a square foot."""
    wide = pick(rng, (uni(rng, 0.28, 0.4), uni(rng, 0.38, 0.52), uni(rng, 0.38, 0.52), uni(rng, 0.52, 0.8)))
    foot = wide * uni(rng, 1.15, 1.55)
    canvas = Canvas(rng, height, foot * 1.2)
    body = work_orange(rng) if chance(rng, 0.88) else varied(rng, pick(rng, ((190, 226, 50), (244, 206, 30))))
    tilt = uni(rng, 0.05, 0.32)
    thick = uni(rng, 0.02, 0.06)
    ground = 1 - thick - foot * tilt * 0.5
    base = varied(rng, body) if chance(rng, 0.4) else grey(rng, 18, 70)
    if chance(rng, 0.93):
        canvas.slab(ground, foot * 0.6, tilt, thick, base, sides=pick(rng, (4, 4, 4, 8, 6)))
    tip = wide * uni(rng, 0.07, 0.13)
    profile = [(0.0, tip), (ground - 0.06, wide * 0.47), (ground, wide * uni(rng, 0.48, 0.58))]
    canvas.turned(profile, _cone_bands(rng, body, ground), tilt)
    if chance(rng, 0.7):
        canvas.ellipse(0, 0.004, tip, tip * max(tilt, 0.1), scaled(body, 0.45))
    if chance(rng, 0.03):
        canvas.ball(0, -0.03, tip * 1.6, tip * 1.6, AMBER)
    return canvas


def _cone_bands(rng: np.random.Generator, body: Rgb, ground: float) -> list[Band]:
    bands: list[Band] = [(0.0, ground, body)]
    sheet = _sheet(rng)
    layout = pick(rng, (0, 1, 1, 2, 2, 2, 2, 3))
    if layout == 1:
        top = uni(rng, 0.18, 0.5)
        bands.append((top, top + uni(rng, 0.12, 0.34), sheet))
    elif layout == 2:  # noqa: PLR2004  # two bands, the wider one on top
        top = uni(rng, 0.1, 0.24)
        first, gap, second = uni(rng, 0.13, 0.24), uni(rng, 0.06, 0.14), uni(rng, 0.09, 0.2)
        bands += [(top, top + first, sheet), (top + first + gap, min(ground - 0.06, top + first + gap + second), sheet)]
    elif layout:
        pitch = ground / uni(rng, 6.2, 7.2)
        bands += [(pitch * (2 * k + 0.8), pitch * (2 * k + 1.8), sheet) for k in range(3)]
    if layout and chance(rng, 0.15):
        bands.append((0.0, uni(rng, 0.04, 0.09), scaled(body, 0.5)))
    return bands


def drum(rng: np.random.Generator, height: int) -> Canvas:
    """A channelizer drum: orange and white rings, stepped sides, a rubber foot and a handle on top."""
    half = uni(rng, 0.22, 0.33)
    canvas = Canvas(rng, height, half * 3.2)
    tilt = uni(rng, 0.06, 0.3)
    body, sheet = work_orange(rng), _sheet(rng)
    handle = uni(rng, 0.05, 0.11)
    ground = 0.97 - half * tilt
    if chance(rng, 0.92):
        foot = half * uni(rng, 1.12, 1.4)
        canvas.slab(ground + 0.01, foot, tilt, uni(rng, 0.02, 0.05), grey(rng, 16, 60), sides=pick(rng, (8, 12, 14)))
    taper = uni(rng, 0.72, 0.95)
    rings = count(rng, 4, 7)
    edges = [handle + (ground - handle) * k / rings for k in range(rings + 1)]
    stepped = uni(rng, 0, 0.05)
    profile: list[tuple[float, float]] = []
    for k in range(rings):
        wide = half * (taper + (1 - taper) * k / rings)
        profile += [
            (edges[k] + 0.002, wide * (1 - stepped * (k % 2))),
            (edges[k + 1] - 0.004, wide * (1.02 - stepped * (k % 2))),
        ]
    first = count(rng, 0, 1)
    bands: list[Band] = [(edges[0], ground, body)]
    bands += [(edges[k] + 0.008, edges[k + 1] - 0.008, sheet) for k in range(1, rings) if (k + first) % 2]
    canvas.turned(profile, bands, tilt)
    top = half * taper
    canvas.ellipse(0, handle + 0.004, top, max(0.012, top * tilt), scaled(body, 1.04), shade=1.12)
    canvas.ellipse(0, handle + 0.006, top * 0.8, max(0.006, top * tilt * 0.75), scaled(body, 0.85), shade=1.0)
    grip = uni(rng, 0.25, 0.6) * top
    canvas.line(((-grip, handle), (-grip * 0.9, 0.015), (grip * 0.9, 0.015), (grip, handle)), scaled(body, 0.8), 0.035)
    if chance(rng, 0.12):
        canvas.rect(-0.02, -0.01, 0.02, 0.05, BLACK)
        canvas.ball(0, -0.05, 0.06, 0.06, varied(rng, AMBER))
    return canvas


def tubular_marker(rng: np.random.Generator, height: int) -> Canvas:
    """A slim marker post: tube or looped top, two or three bands, a round or square rubber foot."""
    half = uni(rng, 0.03, 0.075)
    foot = half * uni(rng, 1.9, 3.8)
    canvas = Canvas(rng, height, foot * 2.3)
    tilt = uni(rng, 0.08, 0.32)
    body = (
        work_orange(rng)
        if chance(rng, 0.82)
        else varied(rng, pick(rng, ((236, 236, 232), (240, 200, 30), (196, 230, 50))))
    )
    ground = 0.965 - foot * tilt
    canvas.slab(ground, foot, tilt, uni(rng, 0.02, 0.05), grey(rng, 18, 62), sides=pick(rng, (4, 8, 12)))
    top = uni(rng, 0.0, 0.08)
    flare = uni(rng, 1.0, 1.5)
    profile = [(top, half * uni(rng, 0.85, 1.1)), (ground - 0.1, half), (ground, half * flare)]
    pale = sum(body) > 600  # noqa: PLR2004  # a white post carries orange bands
    sheet = work_orange(rng) if pale else _sheet(rng)
    bands: list[Band] = [(top, ground, body)]
    begin = top + uni(rng, 0.05, 0.14)
    for _ in range(pick(rng, (1, 2, 2, 3))):
        end = begin + uni(rng, 0.07, 0.16)
        bands.append((begin, end, sheet))
        begin = end + uni(rng, 0.04, 0.12)
    canvas.turned(profile, bands, tilt)
    if top > 0.03 and chance(rng, 0.7):  # noqa: PLR2004  # room for a loop above the tube
        canvas.line(((-half * 0.7, top), (-half * 0.6, 0.01), (half * 0.6, 0.01), (half * 0.7, top)), body, 0.03)
    else:
        canvas.ellipse(0, top, half * 0.95, half * max(0.25, tilt), scaled(body, 0.7))
    return canvas


def bollard(rng: np.random.Generator, height: int) -> Canvas:
    """A permanent post in grey, black, stone or rust, domed or flat, at times with a pale ring."""
    half = uni(rng, 0.05, 0.16)
    canvas = Canvas(rng, height, half * 3.2)
    tilt = uni(rng, 0.05, 0.25)
    body = pick(
        rng, (grey(rng, 20, 60), grey(rng, 100, 170), (120, 90, 70), (36, 60, 44), (204, 196, 180), (206, 172, 40))
    )
    top = half * uni(rng, 0.2, 0.9)
    ground = 1 - half * tilt
    bands: list[Band] = [(top, ground, body)]
    if chance(rng, 0.45):
        ring = uni(rng, 0.1, 0.3)
        bands.append((ring, ring + uni(rng, 0.03, 0.1), mixed(body, WHITE, uni(rng, 0.4, 1))))
    canvas.turned([(top, half), (0.9, half), (ground, half * uni(rng, 1, 1.3))], bands, tilt)
    canvas.ball(0, top + half * 0.1, half, top, body)
    return canvas


def hydrant(rng: np.random.Generator, height: int) -> Canvas:
    """A fire hydrant: bonnet, two nozzles and a flange, in red, yellow, blue or silver."""
    canvas = Canvas(rng, height, 0.85)
    body = varied(rng, pick(rng, ((196, 36, 30), (220, 60, 36), (236, 190, 40), (50, 90, 170), SILVER, (224, 110, 40))))
    cap = pick(rng, (body, WHITE, SILVER, scaled(body, 0.8)))
    half, tilt = uni(rng, 0.15, 0.2), uni(rng, 0.08, 0.2)
    canvas.turned(
        [(0.16, half), (0.82, half * 1.02), (0.83, half * 1.45), (0.94, half * 1.45)], [(0.16, 0.94, body)], tilt
    )
    for side in (-1, 1):
        canvas.panel(side * half * 0.8, 0.36, side * (half + 0.11), 0.52, cap, radius=0.02)
    canvas.ball(0, 0.44, 0.1, 0.1, cap)
    canvas.turned([(0.17, half * 1.25), (0.23, half * 1.25)], [(0.17, 0.23, scaled(body, 0.85))], tilt)
    canvas.ball(0, 0.16, half, 0.13, cap)
    canvas.rect(-0.035, 0.0, 0.035, 0.06, RUBBER if chance(rng, 0.3) else cap)
    return canvas
