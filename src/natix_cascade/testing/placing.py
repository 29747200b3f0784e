"""Who stands where on a street: the traffic and furniture of every day, and the ways a road is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from natix_cascade.testing.parts.paint import chance, count, pick, uni
from natix_cascade.testing.sprites import METRES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from natix_cascade.testing.ground import Camera, Street

__all__ = ["Item", "everyday", "roadwork"]

POSTS = ("cone", "cone", "cone", "drum", "drum", "tubular_marker", "panel")
CLUTTER = (
    "hydrant",
    "mailbox",
    "trash_bin",
    "flowers",
    "bollard",
    "umbrella",
    "bicycle",
    "scooter",
    "billboard",
    "bush",
)
PLATES = ("stop_sign", "yield_sign", "speed_sign", "parking_sign", "warning_sign", "traffic_light")
FAR_PIXELS = 10.0  # no sign of roadwork is placed where it would be less tall than this


class Item(NamedTuple):
    """One object on the ground plane.

    Attributes
    ----------
    kind : str
        What :func:`natix_cascade.testing.render_object` is asked for.
    across, depth : float
        Metres from the middle of the road (right is positive), and metres ahead.
    metres : float
        Its true height.
    """

    kind: str
    across: float
    depth: float
    metres: float


def _item(rng: np.random.Generator, kind: str, across: float, depth: float) -> Item:
    return Item(kind, across, depth, uni(rng, *METRES[kind.partition(":")[0]]))


def everyday(rng: np.random.Generator, street: Street, camera: Camera, *, open_road: bool = True) -> list[Item]:
    """Traffic, parked cars, people, signs, trees and what else a street holds; fewer cars ahead on a closed road."""
    items: list[Item] = []
    for side in (-1, 1):
        walk = side * (street.half + street.walk * 0.5)
        kerb = side * (street.half + 0.5)
        if chance(rng, 0.75):
            gap = uni(rng, 12, 28)
            start = uni(rng, 7, 18)
            kind = pick(rng, ("tree", "lamp_post", "lamp_post", "tree"))
            items += [
                _item(rng, kind, kerb + side * uni(rng, 0, 0.5), start + gap * k) for k in range(count(rng, 1, 5))
            ]
        items += [
            _item(rng, pick(rng, CLUTTER), walk + uni(rng, -0.5, 0.5), 1 / uni(rng, 1 / 45, 1 / 6))
            for _ in range(count(rng, 0, 3))
        ]
        items += [
            _item(rng, pick(rng, PLATES), kerb, 1 / uni(rng, 1 / 50, 1 / 7)) for _ in range(pick(rng, (0, 1, 1, 2)))
        ]
        items += [
            _item(rng, "pedestrian", walk + uni(rng, -0.8, 0.8), 1 / uni(rng, 1 / 40, 1 / 6))
            for _ in range(count(rng, 0, 3))
        ]
        if street.half > 4 and chance(rng, 0.55):  # noqa: PLR2004  # metres: room to park
            start, ahead = uni(rng, 8, 22), "car:rear" if side * camera.own > 0 else "car:front"
            items += [
                _item(rng, ahead, side * (street.half - 1.0), start + 6.2 * k)
                for k in range(count(rng, 1, 6))
                if chance(rng, 0.8)
            ]
        if chance(rng, 0.15):
            items.append(_item(rng, "billboard", side * (street.half + street.walk + uni(rng, 2, 5)), uni(rng, 13, 40)))
        if chance(rng, 0.12):
            items.append(_item(rng, "awning", side * (street.half + street.walk + 0.6), uni(rng, 10, 25)))
    return items + _traffic(rng, camera, open_road=open_road)


def _traffic(rng: np.random.Generator, camera: Camera, *, open_road: bool) -> list[Item]:
    items: list[Item] = []
    if chance(rng, 0.6 if open_road else 0.25):
        kind = pick(rng, ("car:rear", "car:rear", "car:rear", "car:rear", "bus:end", "bicycle"))
        items.append(_item(rng, kind, camera.own + uni(rng, -0.3, 0.3), 1 / uni(rng, 1 / 70, 1 / 10)))
    for _ in range(count(rng, 0, 3)):
        across = -camera.own * uni(rng, 0.8, 1.2)
        items.append(
            _item(
                rng, pick(rng, ("car:front", "car:front", "car:front", "bus:end")), across, 1 / uni(rng, 1 / 80, 1 / 8)
            )
        )
    if chance(rng, 0.15):
        items.append(_item(rng, pick(rng, ("car:side", "bus", "red_car")), uni(rng, -6, 6), uni(rng, 25, 60)))
    return items


def roadwork(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    """One site: a tapered lane closure, a pit, works on the pavement, a closed road, or a few far markers."""
    site: Callable[[np.random.Generator, Street, Camera], list[Item]] = pick(
        rng, (_taper, _taper, _taper, _pit, _pavement, _closed, _distant, _signed)
    )
    items = site(rng, street, camera)
    nearest = [item for item in items if item.metres * camera.focal / item.depth >= FAR_PIXELS]
    return nearest or [Item("cone", camera.own + 1.6, uni(rng, 8, 14), 0.75)]


def _limit(camera: Camera, metres: float, wish: float) -> float:
    """The wish, or the greatest depth at which so tall an object can still be seen."""
    return min(wish, metres * camera.focal / (FAR_PIXELS + 2))


def _side(camera: Camera, rng: np.random.Generator) -> int:
    own = 1 if camera.own > 0 else -1
    return own if chance(rng, 0.7) else -own


def _taper(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    side, kind = _side(camera, rng), pick(rng, POSTS)
    metres = uni(rng, *METRES[kind])
    start = uni(rng, 6, 16)
    end = _limit(camera, metres, start + uni(rng, 12, 40))
    inside = side * street.half * uni(rng, 0.1, 0.5)
    steps = count(rng, 4, 9)
    bend = uni(rng, 0.3, 0.8)
    items: list[Item] = []
    for k in range(steps):
        share = k / (steps - 1)
        across = side * street.half * 0.97 + (inside - side * street.half * 0.97) * min(1.0, share / bend)
        items.append(Item(kind, across + uni(rng, -0.12, 0.12), start + (end - start) * share, metres))
    middle = (inside + side * street.half) / 2
    for other, share in (
        ("worker", 0.6),
        ("excavator", 0.3),
        ("truck", 0.4),
        ("arrow_board", 0.35),
        ("dirt_pile", 0.25),
    ):
        if chance(rng, share):
            items += [
                _item(rng, other, middle + uni(rng, -0.8, 0.8), start + (end - start) * uni(rng, 0.6, 1.3))
                for _ in range(count(rng, 1, 3) if other == "worker" else 1)
            ]
    if chance(rng, 0.6):
        items.append(_item(rng, "work_sign", side * (street.half + 0.6), max(5.0, start + uni(rng, -2, 4))))
    return items


def _pit(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    depth = _limit(camera, 0.7, uni(rng, 9, 18))
    across = uni(rng, -0.6, 0.8) * street.half
    kind = pick(rng, ("cone", "drum", "panel", "barricade", "tubular_marker"))
    items = [_item(rng, pick(rng, ("trench", "dirt_pile", "trench")), across, depth)]
    around = range(count(rng, 2, 5))
    items += [_item(rng, kind, across + uni(rng, -2.2, 2.2), depth + pick(rng, (-1.5, 1.6)) + 0.1 * k) for k in around]
    if chance(rng, 0.5):
        items.append(_item(rng, "worker", across + uni(rng, -2, 2), depth + uni(rng, 0.5, 3)))
    if chance(rng, 0.4):
        items.append(_item(rng, "tape", across, depth - 1.8))
    if chance(rng, 0.3):
        items.append(_item(rng, "excavator", across + uni(rng, 2, 4), depth + uni(rng, 2, 8)))
    return items


def _pavement(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    side, kind = _side(camera, rng), pick(rng, ("fence", "fence", "jersey_barrier", "barricade", "tape"))
    start, metres = uni(rng, 7, 16), uni(rng, *METRES[kind])
    across = side * (street.half + uni(rng, -0.6, 0.8))
    steps = count(rng, 2, 6)
    end = _limit(camera, metres, start + 4.0 * steps)
    items = [Item(kind, across, start + (end - start) * k / steps, metres) for k in range(steps)]
    for other, share in (("dirt_pile", 0.5), ("worker", 0.5), ("excavator", 0.35), ("work_sign", 0.5), ("cone", 0.5)):
        if chance(rng, share):
            items.append(_item(rng, other, across + side * uni(rng, 0.2, 1.6), uni(rng, start - 1, end)))
    return items


def _closed(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    kind = pick(rng, ("barricade", "jersey_barrier", "fence", "drum", "panel"))
    metres = uni(rng, *METRES[kind])
    depth = _limit(camera, metres, uni(rng, 10, 28))
    steps = count(rng, 3, 6)
    items = [
        Item(
            kind,
            street.half * (-0.9 + 1.8 * (k + uni(rng, -0.1, 0.1)) / (steps - 1)),
            depth + uni(rng, -0.3, 0.3),
            metres,
        )
        for k in range(steps)
    ]
    items.append(_item(rng, "work_sign", uni(rng, -2, 2), depth - 0.6))
    if chance(rng, 0.6):
        items.append(_item(rng, pick(rng, ("excavator", "truck")), uni(rng, -3, 3), depth + uni(rng, 5, 14)))
    return items


def _distant(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    kind = pick(rng, POSTS)
    metres = uni(rng, *METRES[kind])
    depth = _limit(camera, metres, uni(rng, 22, 45))
    side = _side(camera, rng)
    items = [
        Item(kind, side * street.half * uni(rng, 0.3, 1.0), depth * uni(rng, 0.8, 1.0), metres)
        for _ in range(count(rng, 2, 5))
    ]
    if chance(rng, 0.4):
        items.append(
            _item(rng, pick(rng, ("work_sign", "truck", "worker")), side * street.half, _limit(camera, 1.7, depth))
        )
    return items


def _signed(rng: np.random.Generator, street: Street, camera: Camera) -> list[Item]:
    items = [_item(rng, "work_sign", _side(camera, rng) * (street.half + uni(rng, -0.4, 0.8)), uni(rng, 6, 14))]
    return items + (_distant(rng, street, camera) if chance(rng, 0.7) else [])
