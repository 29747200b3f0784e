"""Rendered street objects as small RGBA pictures: the signs of roadwork, and what merely looks alike.

Every call draws a new individual: colours, proportions, stripes, dirt, light and lean come from the generator it is
given, and the same generator state gives the same bytes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natix_cascade.testing.parts import barriers, cars, cones, machines, people, signs, street
from natix_cascade.testing.parts.paint import chance, uni

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from natix_cascade.testing.parts.canvas import Canvas

__all__ = ["DISTRACTOR_KINDS", "MAX_HEIGHT", "METRES", "MIN_HEIGHT", "WORK_KINDS", "render_object"]

MIN_HEIGHT = 8
MAX_HEIGHT = 400


class _Kind(NamedTuple):
    draw: Callable[[np.random.Generator, int], Canvas]
    metres: tuple[float, float]
    tips: float = 0.0  # how often it lies on its side
    lean: float = 1.0  # typical lean in degrees
    grime: float = 0.6


_WORK: Mapping[str, _Kind] = MappingProxyType(
    {
        "cone": _Kind(cones.cone, (0.45, 1.0), tips=0.05, lean=2.5, grime=0.8),
        "drum": _Kind(cones.drum, (0.9, 1.2), tips=0.02, lean=1.5, grime=0.8),
        "tubular_marker": _Kind(cones.tubular_marker, (0.7, 1.2), tips=0.02, lean=3),
        "barricade": _Kind(barriers.barricade, (0.9, 1.7), tips=0.01, lean=1.5),
        "jersey_barrier": _Kind(barriers.jersey_barrier, (0.8, 1.1), lean=0.3, grime=0.9),
        "panel": _Kind(barriers.panel, (0.9, 1.4), lean=2.5),
        "fence": _Kind(barriers.fence, (1.0, 2.0), lean=1.0),
        "work_sign": _Kind(signs.work_sign, (1.2, 2.6), lean=2.0, grime=0.4),
        "arrow_board": _Kind(signs.arrow_board, (2.2, 3.2), lean=0.5),
        "excavator": _Kind(machines.excavator, (2.4, 3.6), lean=1.0, grime=0.8),
        "truck": _Kind(machines.truck, (2.3, 3.4), lean=0.3),
        "worker": _Kind(people.worker, (1.6, 1.95), lean=2.0, grime=0.4),
        "tape": _Kind(barriers.tape, (0.9, 1.2), lean=1.0, grime=0.3),
        "dirt_pile": _Kind(machines.dirt_pile, (0.5, 1.6), lean=0.0, grime=0.2),
        "trench": _Kind(machines.trench, (0.25, 0.5), lean=0.0, grime=0.2),
    }
)
_DISTRACTORS: Mapping[str, _Kind] = MappingProxyType(
    {
        "red_car": _Kind(cars.red_car, (1.4, 1.8), lean=0.0, grime=0.3),
        "car": _Kind(cars.car, (1.4, 1.9), lean=0.0, grime=0.3),
        "bus": _Kind(cars.bus, (2.2, 3.2), lean=0.0, grime=0.3),
        "pedestrian": _Kind(people.pedestrian, (1.5, 1.95), grime=0.2),
        "hydrant": _Kind(cones.hydrant, (0.6, 0.95), grime=0.8),
        "mailbox": _Kind(street.mailbox, (1.1, 1.5)),
        "traffic_light": _Kind(street.traffic_light, (2.6, 4.0), lean=0.4, grime=0.3),
        "stop_sign": _Kind(signs.stop_sign, (2.2, 3.0), lean=1.5),
        "yield_sign": _Kind(signs.yield_sign, (2.0, 2.8), lean=1.5),
        "speed_sign": _Kind(signs.speed_sign, (2.2, 3.0), lean=1.5),
        "parking_sign": _Kind(signs.parking_sign, (2.2, 3.0), lean=1.5),
        "warning_sign": _Kind(signs.warning_sign, (2.0, 2.8), lean=1.5),
        "bollard": _Kind(cones.bollard, (0.6, 1.1), lean=1.0),
        "trash_bin": _Kind(street.trash_bin, (0.8, 1.2), tips=0.02),
        "tree": _Kind(street.tree, (3.0, 6.0), grime=0.1),
        "bush": _Kind(street.bush, (0.7, 1.5), lean=0.0, grime=0.1),
        "flowers": _Kind(street.flowers, (0.6, 1.1), lean=0.0, grime=0.2),
        "billboard": _Kind(signs.billboard, (1.6, 4.0), lean=0.3, grime=0.3),
        "bicycle": _Kind(people.bicycle, (1.1, 1.7), grime=0.2),
        "awning": _Kind(street.awning, (2.4, 3.2), lean=0.0, grime=0.3),
        "umbrella": _Kind(street.umbrella, (2.2, 2.8), grime=0.3),
        "scooter": _Kind(people.scooter, (1.2, 1.7), grime=0.2),
        "lamp_post": _Kind(street.lamp_post, (4.0, 6.5), lean=0.3),
    }
)
_VIEWS: Mapping[str, _Kind] = MappingProxyType(
    {
        "car:rear": _Kind(cars.car_rear, (1.4, 1.9), lean=0.0, grime=0.3),
        "car:front": _Kind(cars.car_front, (1.4, 1.9), lean=0.0, grime=0.3),
        "car:side": _Kind(cars.car_side, (1.4, 1.9), lean=0.0, grime=0.3),
        "bus:end": _Kind(cars.bus_end, (2.4, 3.2), lean=0.0, grime=0.3),
    }
)
_KINDS: Mapping[str, _Kind] = MappingProxyType({**_WORK, **_DISTRACTORS, **_VIEWS})

WORK_KINDS: tuple[str, ...] = tuple(_WORK)
"""Kinds of objects that mean roadwork."""

DISTRACTOR_KINDS: tuple[str, ...] = tuple(_DISTRACTORS)
"""Kinds of objects that mean nothing, though many are orange, red or striped."""

METRES: Mapping[str, tuple[float, float]] = MappingProxyType({name: kind.metres for name, kind in _KINDS.items()})
"""Least and greatest true height of every kind, in metres."""


def render_object(kind: str, rng: np.random.Generator, height: int, *, style: int | None = None) -> NDArray[np.uint8]:
    """Render one new individual of a kind of street object.

    Parameters
    ----------
    kind : str
        One of :data:`WORK_KINDS` or :data:`DISTRACTOR_KINDS`; or "car:rear", "car:front", "car:side" or
        "bus:end" for one view alone.
    rng : numpy.random.Generator
        Source of every random choice; the same state gives the same bytes.
    height : int
        Height of the sprite in pixels, 8 to 400.
    style : int or None
        Seed, from 0, of make and paint: objects of one kind and style look alike, as those of one delivery do, and
        differ in dirt, lean and cover alone. None for a make of its own.

    Returns
    -------
    numpy.ndarray
        RGBA uint8 of shape (height, w, 4) with straight alpha, cropped tightly, anti-aliased; w follows from the
        object's shape.

    Raises
    ------
    ValueError
        If the kind is unknown or the height lies outside 8 to 400.
    """
    if kind not in _KINDS:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(_KINDS)}")
    if not MIN_HEIGHT <= height <= MAX_HEIGHT:
        raise ValueError(f"height is {height}, wanted {MIN_HEIGHT} to {MAX_HEIGHT} pixels")
    how = _KINDS[kind]
    lean = float(rng.normal(0, how.lean)) if how.lean else 0.0
    tipped = chance(rng, how.tips)
    canvas = how.draw(rng if style is None else np.random.default_rng(style), height)
    canvas.rng = rng
    return canvas.finish(lean=lean, grime=how.grime * uni(rng, 0, 1) ** 1.5, cut=chance(rng, 0.05), tipped=tipped)
