"""Whole rendered street scenes, with or without roadwork, in any weather and at any time of day."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from natix_cascade.testing import atmosphere
from natix_cascade.testing.backdrop import draw_backdrop, draw_sky
from natix_cascade.testing.blend import Look, blend
from natix_cascade.testing.boxes import Box
from natix_cascade.testing.ground import Camera, draw_ground, some_camera, some_street
from natix_cascade.testing.parts.paint import AMBER, chance, count, pick, uni
from natix_cascade.testing.placing import Item, everyday, roadwork
from natix_cascade.testing.sprites import MAX_HEIGHT, MIN_HEIGHT, WORK_KINDS, render_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["TIMES", "WEATHERS", "Scene", "render_scene"]

WEATHERS = ("clear", "overcast", "rain", "fog", "snow")
"""Every weather that a scene can have."""

TIMES = ("day", "dusk", "night")
"""Every time of day that a scene can have."""

LEAST_SIDE = 64
ALIKE = frozenset(
    (
        "cone",
        "drum",
        "tubular_marker",
        "panel",
        "barricade",
        "jersey_barrier",
        "fence",
        "bollard",
        "lamp_post",
        "stop_sign",
    )
)
COVERED = 0.6  # a box of which this share is hidden counts as unseen
LEAST_PART = 0.04  # the tallest sign of roadwork takes at least this part of the picture's height


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One rendered picture and what is known of it.

    Attributes
    ----------
    pixels : numpy.ndarray
        RGB uint8 of shape (H, W, 3).
    label : bool
        Whether there is roadwork in it.
    boxes : tuple of Box
        Where the signs of roadwork are, in pixels; empty if and only if `label` is False.
    seed : int
        What it was rendered from.
    weather, time_of_day : str
        One of :data:`WEATHERS`, one of :data:`TIMES`.
    """

    pixels: NDArray[np.uint8]
    label: bool
    boxes: tuple[Box, ...]
    seed: int
    weather: str
    time_of_day: str

    def jpeg(self, quality: int = 90) -> bytes:
        """Encode the picture.

        Parameters
        ----------
        quality : int
            JPEG quality, 1 to 95.

        Returns
        -------
        bytes
            A baseline JPEG file; the same scene gives the same bytes.
        """
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()


def render_scene(
    seed: int,
    *,
    roadwork: bool | None = None,
    size: tuple[int, int] = (640, 360),
    weather: str | None = None,
    time_of_day: str | None = None,
) -> Scene:
    """Render a street as a dashcam sees it.

    Parameters
    ----------
    seed : int
        Any number from 0; the same arguments give the same pixels.
    roadwork : bool or None
        Whether there is roadwork; None lets the seed decide.
    size : (int, int)
        Width and height in pixels, each at least 64.
    weather : str or None
        One of :data:`WEATHERS`; None lets the seed decide.
    time_of_day : str or None
        One of :data:`TIMES`; None lets the seed decide.

    Returns
    -------
    Scene
        The picture with its label and boxes.

    Raises
    ------
    ValueError
        If weather or time of day are unknown, the size is too small, or the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, wanted 0 or more")
    if min(size) < LEAST_SIDE:
        raise ValueError(f"size is {size[0]}x{size[1]}, wanted {LEAST_SIDE} pixels or more on each side")
    if weather is not None and weather not in WEATHERS:
        raise ValueError(f"unknown weather {weather!r}; known are {', '.join(WEATHERS)}")
    if time_of_day is not None and time_of_day not in TIMES:
        raise ValueError(f"unknown time of day {time_of_day!r}; known are {', '.join(TIMES)}")
    rng = np.random.default_rng(seed)
    sky = pick(rng, ("clear", "clear", "clear", "overcast", "overcast", "rain", "fog", "snow"))
    hour = pick(rng, ("day", "day", "day", "day", "dusk", "night"))
    label = chance(rng, 0.5)
    label = label if roadwork is None else roadwork
    sky, hour = weather or sky, time_of_day or hour
    pixels, boxes = _paint(rng, size, sky, hour, label=label)
    return Scene(pixels, label, boxes, seed, sky, hour)


def _paint(
    rng: np.random.Generator, size: tuple[int, int], weather: str, hour: str, *, label: bool
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    street = some_street(rng)
    camera = some_camera(rng, size, street)
    pixels = draw_sky(size, rng, weather, hour)
    light = draw_backdrop(pixels, camera, street, rng, lit={"day": 0.0, "dusk": 0.12, "night": 0.3}[hour])
    draw_ground(pixels, camera, street, rng, snow=uni(rng, 0.4, 1) if weather == "snow" else 0.0)
    if weather == "rain":
        atmosphere.wet_road(pixels, camera, rng)
    reach = {"fog": uni(rng, 14, 40), "snow": 90.0, "rain": 110.0}.get(weather, uni(rng, 200, 600))
    atmosphere.mist(pixels, camera, reach)
    items = everyday(rng, street, camera, open_road=not label)
    if label:
        items += roadwork(rng, street, camera)
    canvas = np.clip(pixels, 0, 255).astype(np.uint8)
    boxes = _stand(canvas, light, camera, items, rng, reach=reach)
    if label and max((box.bottom - box.top for box in boxes), default=0) < LEAST_PART * camera.high:
        near = Item("cone", camera.own + pick(rng, (-1.3, 1.3)), uni(rng, 7, 10), 0.8)
        boxes += _stand(canvas, light, camera, [near], rng, reach=reach)
    pixels = canvas.astype(np.float32)
    if hour != "day":
        atmosphere.darken(pixels, camera, rng, hour)
        _lamps(light, camera, items, hour)
        pixels += light
    if weather in {"rain", "snow"}:
        atmosphere.falling(pixels, rng, weather)
    if chance(rng, 0.3):
        atmosphere.bonnet(pixels, camera, rng)
    return atmosphere.expose(pixels, rng, hour), tuple(boxes)


def _stand(
    canvas: NDArray[np.uint8],
    light: Floats,
    camera: Camera,
    items: list[Item],
    rng: np.random.Generator,
    *,
    reach: float,
) -> list[Box]:
    """Draw the items from far to near; where the signs of roadwork are that stay in sight."""
    one = np.ones(3, dtype=np.float32)
    middle = float(canvas[::8, ::8].mean())
    look = Look(black=14, white=236, cast=one, colour=1.0, blur=0.3 * camera.wide / 640, noise=1.5, mean=middle)
    tint = canvas[: max(2, camera.high // 12)].reshape(-1, 3).mean(axis=0).astype(np.float32)
    seen: list[Box] = []
    styles: dict[str, int] = {}
    for item in sorted(items, key=lambda entry: -entry.depth):
        height = round(item.metres * camera.focal / item.depth)
        if not MIN_HEIGHT <= height <= min(MAX_HEIGHT, camera.high * 1.3):
            continue
        x, y = camera.project(item.across, 0, item.depth)
        style = styles.setdefault(item.kind, count(rng, 0, 2**31)) if item.kind in ALIKE else None
        sprite = render_object(item.kind, rng, height, style=style)
        veil = np.float32(1 - 0.5 ** (item.depth / reach))
        colours = sprite[..., :3]
        sprite[..., :3] = colours + (tint - colours) * veil
        spot = round(x - sprite.shape[1] / 2), round(y)
        box = blend(canvas, sprite, spot, look, rng, far=0)
        if box is not None:
            left, top, right, bottom = box
            above = spot[1] - height
            cover = sprite[top - above : bottom - above, left - spot[0] : right - spot[0], 3:]
            light[top:bottom, left:right] *= 1 - cover.astype(np.float32) / 255
            seen = [other for other in seen if _hidden(other, box) < COVERED]
            if item.kind in WORK_KINDS and box[2] - box[0] > 1 and box[3] - box[1] > MIN_HEIGHT // 2:
                seen.append(Box(item.kind, *box))
    return seen


def _hidden(box: Box, cover: tuple[int, int, int, int]) -> float:
    """The share of a box (0 to 1) that a later rectangle covers."""
    wide = min(box.right, cover[2]) - max(box.left, cover[0])
    high = min(box.bottom, cover[3]) - max(box.top, cover[1])
    return max(0, wide) * max(0, high) / ((box.right - box.left) * (box.bottom - box.top))


def _lamps(light: Floats, camera: Camera, items: list[Item], hour: str) -> None:
    """Add the light of street lamps, cars, beacons and arrow boards."""
    strength = 1.0 if hour == "night" else 0.5
    for item in items:
        if item.depth < 4:  # noqa: PLR2004  # metres: beside or behind the camera
            continue
        scale = camera.focal / item.depth
        if item.kind == "lamp_post":
            side = -0.8 if item.across > 0 else 0.8
            add = camera.project(item.across + side, item.metres * 0.97, item.depth)
            atmosphere.add_glow(light, add, 0.35 * scale + 2, (255, 210, 140), strength)
        elif item.kind in {"car:rear", "car:front", "bus:end"}:
            ours = item.kind == "car:rear" or item.across * camera.own > 0
            for offset in (-0.65, 0.65):
                spot = camera.project(item.across + offset, 0.75, item.depth)
                colour = (230, 30, 24) if ours else (255, 244, 220)
                atmosphere.add_glow(light, spot, (0.12 if ours else 0.3) * scale + 1, colour, strength)
        elif item.kind in {"arrow_board", "truck"}:
            spot = camera.project(item.across, item.metres * 0.8, item.depth)
            atmosphere.add_glow(light, spot, 0.3 * scale + 1, AMBER, strength * 0.8)
