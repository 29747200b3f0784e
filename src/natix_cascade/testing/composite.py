"""Paste rendered objects onto a real photograph, so that a model may learn from places nobody dug up."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from natix_cascade.testing.blend import blend, look_of
from natix_cascade.testing.boxes import Box
from natix_cascade.testing.parts.paint import chance, count, pick, uni
from natix_cascade.testing.sprites import DISTRACTOR_KINDS, MAX_HEIGHT, METRES, MIN_HEIGHT, WORK_KINDS, render_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["composite_objects"]

COMMON_WORK = (
    "cone",
    "cone",
    "cone",
    "drum",
    "drum",
    "tubular_marker",
    "barricade",
    "jersey_barrier",
    "panel",
    "fence",
    "work_sign",
)
LINED = {
    "cone": 9,
    "drum": 8,
    "tubular_marker": 9,
    "panel": 7,
    "barricade": 4,
    "jersey_barrier": 4,
    "bollard": 7,
    "tree": 4,
    "fence": 3,
}
BIG = 0.62  # no object covers more than this part of the picture's height
NEAR, FAR = 0.45, 0.03  # height of the nearest and the farthest objects, as parts of the picture's height
CLEAR = 0.08  # the first object of all is at least this tall


class _Plan(NamedTuple):
    kind: str
    x: float  # middle, in pixels
    ground: float  # row of its foot, in pixels
    height: int
    style: int | None


class _Ground(NamedTuple):
    high: int
    wide: int
    horizon: float
    lens: float  # pixels per metre and per pixel below the horizon

    def height(self, row: float, metres: float) -> float:
        return (row - self.horizon) * self.lens * metres

    def row(self, height: float, metres: float) -> float:
        return self.horizon + height / (self.lens * metres)


def composite_objects(
    pixels: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    work: bool,
    max_objects: int = 12,
    jpeg_chance: float = 0.25,
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Paste rendered street objects onto a photograph of a street.

    Objects stand on a guessed ground plane, singly, in lines and in tapers; light, colour, sharpness and noise follow
    the picture's own. Distractors (``work=False``) are blended the very same way, so that the traces of pasting tell
    nothing about the label.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB uint8 of shape (H, W, 3); not changed.
    rng : numpy.random.Generator
        Source of every random choice; the same state gives the same bytes.
    work : bool
        Paste signs of roadwork (with a distractor now and then), else distractors alone.
    max_objects : int
        At most this many objects, at least 1.
    jpeg_chance : float
        How often (0 to 1) the result goes through JPEG once more, whatever `work` is.

    Returns
    -------
    picture : numpy.ndarray
        RGB uint8 of shape (H, W, 3).
    boxes : tuple of Box
        Where the roadwork objects are, clipped to the picture; empty when `work` is False.

    Raises
    ------
    ValueError
        If the picture is not uint8 of shape (H, W, 3) with sides of at least 64 pixels, or `max_objects` is below 1.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < 64:  # noqa: PLR2004  # (H, W, 3), 64 px
        raise ValueError(
            f"picture is {pixels.dtype} {pixels.shape}, wanted uint8 (H, W, 3) with sides of 64 pixels or more"
        )
    if max_objects < 1:
        raise ValueError(f"max_objects is {max_objects}, wanted 1 or more")
    out = pixels.copy()
    look = look_of(pixels)
    high, wide = pixels.shape[:2]
    ground = _Ground(high, wide, high * uni(rng, 0.4, 0.58), 1 / uni(rng, 1.1, 2.2))
    plans = _plans(ground, rng, work=work, most=max_objects)
    boxes: list[Box] = []
    for plan in sorted(plans, key=lambda p: p.ground):
        sprite = render_object(plan.kind, rng, plan.height, style=plan.style)
        nearness = min(1.0, (plan.ground - ground.horizon) / (high - ground.horizon))
        spot = round(plan.x - sprite.shape[1] / 2), round(plan.ground)
        box = blend(out, sprite, spot, look, rng, far=1 - nearness)
        if box is not None and plan.kind in WORK_KINDS:
            boxes.append(Box(plan.kind, *box))
    if chance(rng, jpeg_chance):
        out = _again(out, count(rng, 45, 92))
    return out, tuple(boxes)


def _again(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=np.uint8).copy()


def _plans(ground: _Ground, rng: np.random.Generator, *, work: bool, most: int) -> list[_Plan]:
    plans: list[_Plan] = []
    groups = pick(rng, (1, 1, 2, 2, 3, 4))
    for group in range(groups):
        room = most - len(plans)
        if room < 1:
            break
        harmless = not work or (group > 0 and chance(rng, 0.2))
        if harmless:
            kind = pick(rng, DISTRACTOR_KINDS)
        else:
            kind = pick(rng, COMMON_WORK) if chance(rng, 0.7) else pick(rng, WORK_KINDS)
        longest = min(room, LINED.get(kind, 2))
        amount = count(rng, 1, longest) if chance(rng, 0.65) else 1
        plans += _group(ground, rng, kind, amount, clear=group == 0)
    return plans


def _group(ground: _Ground, rng: np.random.Generator, kind: str, amount: int, *, clear: bool) -> list[_Plan]:
    """One object, or a line of them that runs along the road, across it or as a taper."""
    metres = uni(rng, *METRES[kind])
    largest = NEAR if metres < 1.4 else BIG  # noqa: PLR2004  # metres: what stands higher than a man's chest may fill more
    least = CLEAR if clear else FAR + 0.01
    part = least + (largest - least) * rng.random() ** 2.4
    begin = ground.row(part * ground.high, metres)
    begin = min(begin, ground.high * uni(rng, 0.86, 1.02))
    smallest = ground.row(max(MIN_HEIGHT + 0.5, FAR * ground.high), metres)
    begin = max(begin, smallest)
    middle = ground.wide * uni(rng, 0.1, 0.9)
    if amount == 1:
        return [_placed(ground, rng, kind, (middle, begin), metres)]
    end = max(smallest, ground.horizon + (begin - ground.horizon) * uni(rng, 0.2, 1.0))
    aim = ground.wide * uni(rng, 0.2, 0.8)
    across = (middle + uni(rng, -0.6, 0.6) * ground.wide) if chance(rng, 0.35) else aim
    plans = []
    alike = chance(rng, 0.85)
    style = count(rng, 0, 2**31) if alike else None
    for k in range(amount):
        # equal steps in depth: what is seen shrinks as one over the distance
        share = k / (amount - 1)
        depth = (1 - share) / (begin - ground.horizon) + share / (end - ground.horizon)
        row = ground.horizon + 1 / depth
        toward = share if abs(begin - end) < 1 else (begin - row) / (begin - end)
        x = middle + (across - middle) * toward + uni(rng, -0.01, 0.01) * ground.wide
        plans.append(_placed(ground, rng, kind, (x, row), metres)._replace(style=style))
    return plans


def _placed(ground: _Ground, rng: np.random.Generator, kind: str, spot: tuple[float, float], metres: float) -> _Plan:
    x, row = spot
    height = ground.height(row, metres) * uni(rng, 0.95, 1.05)
    limit = min(MAX_HEIGHT, BIG * ground.high)
    return _Plan(kind, x, row, round(min(limit, max(MIN_HEIGHT, height))), None)
