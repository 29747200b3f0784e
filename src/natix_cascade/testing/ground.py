"""The camera of a rendered scene, and the street that lies before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from natix_cascade.testing.parts.canvas import blotches
from natix_cascade.testing.parts.paint import chance, grey, pick, uni, varied

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Camera", "Street", "draw_ground", "some_camera", "some_street"]

FARTHEST = 400.0  # metres: where the ground ends in haze


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera behind a windscreen: level, looking down the road.

    Attributes
    ----------
    wide, high : int
        Size of the picture in pixels.
    horizon : float
        Row of the horizon.
    vanish : float
        Column of the vanishing point.
    tall : float
        Height of the camera above the road, in metres.
    focal : float
        Focal length in pixels.
    bend : float
        How far the road has drifted sideways at the horizon, in pixels.
    own : float
        Metres from the middle of the road to the camera, positive to the right.
    """

    wide: int
    high: int
    horizon: float
    vanish: float
    tall: float
    focal: float
    bend: float
    own: float

    def drift(self, row: float) -> float:
        """Sideways drift of the road at a row of the ground, in pixels."""
        near = min(1.0, max(0.0, (row - self.horizon) / (self.high - self.horizon)))
        return self.bend * (1 - near) ** 2

    def project(self, across: float, up: float, depth: float) -> tuple[float, float]:
        """Column and row of a point: metres from the road's middle, above the ground, and ahead."""
        scale = self.focal / depth
        foot = self.horizon + self.tall * scale
        return self.vanish + (across - self.own) * scale + self.drift(foot), foot - up * scale


@dataclass(frozen=True, slots=True)
class Street:
    """Cross-section of the street, in metres.

    Attributes
    ----------
    half : float
        From the middle of the road to the kerb.
    walk : float
        Width of the pavement.
    dashes : tuple of float
        Where the dashed lane lines are.
    solids : tuple of float
        Where the solid lines are.
    yellow : bool
        Whether the middle line is yellow.
    """

    half: float
    walk: float
    dashes: tuple[float, ...]
    solids: tuple[float, ...]
    yellow: bool


def some_street(rng: np.random.Generator) -> Street:
    """A two- to four-lane street."""
    lanes = pick(rng, (2, 2, 2, 4))
    half = lanes / 2 * uni(rng, 2.9, 3.6) + pick(rng, (0.0, 1.2, 2.2))
    inner: tuple[float, ...] = (half * 0.5, -half * 0.5) if lanes == 4 else ()  # noqa: PLR2004  # lanes
    middle = chance(rng, 0.6)
    edges: tuple[float, ...] = (half - 0.35, 0.35 - half) if chance(rng, 0.5) else ()
    solids = edges if middle else (*edges, -0.12, 0.12)
    return Street(half, uni(rng, 1.5, 4.0), (*inner, 0.0) if middle else inner, solids, chance(rng, 0.5))


def some_camera(rng: np.random.Generator, size: tuple[int, int], street: Street) -> Camera:
    """A dashcam for a picture of (width, height) pixels, in the right or the left half of the street."""
    wide, high = size
    lane = street.half / 2 if len(street.dashes) < 3 else street.half * pick(rng, (0.25, 0.72))  # noqa: PLR2004  # four lanes
    return Camera(
        wide=wide,
        high=high,
        horizon=high * uni(rng, 0.38, 0.54),
        vanish=wide * uni(rng, 0.4, 0.6),
        tall=uni(rng, 1.15, 1.7),
        focal=wide * uni(rng, 0.62, 1.0),
        bend=wide * uni(rng, -0.22, 0.22) if chance(rng, 0.45) else 0.0,
        own=lane * (1 if chance(rng, 0.75) else -1) + uni(rng, -0.3, 0.3),
    )


def _lines(street: Street, across: Floats, ahead: Floats, scale: Floats, phase: float) -> tuple[Floats, Floats]:
    """Coverage (0 to 1) of white and of yellow paint."""
    white, yellow = np.zeros_like(across), np.zeros_like(across)
    on = np.clip(np.abs(((ahead + phase) % 9.0) - 4.5) - 2.9, 0, 0.3) / 0.3
    for x in (*street.dashes, *street.solids):
        cover = np.clip((0.075 - np.abs(across - x)) * scale + 0.5, 0, 1)
        if x in street.dashes:
            cover = cover * on
        paint = yellow if street.yellow and abs(x) < 0.2 else white  # noqa: PLR2004  # metres: the middle line
        np.maximum(paint, cover, out=paint)
    return white, yellow


def draw_ground(pixels: Floats, camera: Camera, street: Street, rng: np.random.Generator, *, snow: float) -> None:
    """Paint road, kerbs, pavements and verges below the horizon.

    Parameters
    ----------
    pixels : numpy.ndarray
        Float32 of shape (H, W, 3), 0 to 255; changed in place.
    camera, street : Camera, Street
        Where one stands and on what.
    rng : numpy.random.Generator
        Source of wear and tint.
    snow : float
        How much snow lies, 0 to 1.
    """
    first = int(camera.horizon) + 1
    rows = np.arange(first, camera.high, dtype=np.float32)[:, None]
    below = np.maximum(rows - np.float32(camera.horizon), 0.5)
    scale = below / np.float32(camera.tall)
    ahead = np.minimum(np.float32(camera.focal * camera.tall) / below, FARTHEST)
    near = np.clip(below / np.float32(camera.high - camera.horizon), 0, 1)
    shift = camera.vanish + camera.bend * (1 - near) ** 2
    columns = np.arange(camera.wide, dtype=np.float32)[None, :]
    across = (columns - shift) / scale + np.float32(camera.own)
    side = np.abs(across)
    shape = across.shape

    tar = np.array(grey(rng, 66, 128), dtype=np.float32)
    wear = 0.9 + 0.2 * blotches(rng, shape, 7) + 0.08 * np.cos(across * np.float32(3.6 / max(1.0, street.half / 2)))
    wear += (blotches(rng, shape, 90) - 0.5) * 0.14 + (rng.random(shape, dtype=np.float32) - 0.5) * 0.1
    ground = tar * wear[..., None]
    white, yellow = _lines(street, across, np.broadcast_to(ahead, shape), scale, uni(rng, 0, 9))
    faded = uni(rng, 0.45, 0.95) * (1 - 0.7 * snow)
    for paint, tint in ((white, (226, 226, 220)), (yellow, (214, 170, 50))):
        ground += (np.array(tint, dtype=np.float32) - ground) * (paint * faded)[..., None]
    if chance(rng, 0.2):
        zebra = uni(rng, 9, 22)
        bars = (np.abs(ahead - zebra) < 1.4) & ((across % 1.0) < 0.5) & (side < street.half)  # noqa: PLR2004  # metres
        ground[bars] = ground[bars] * 0.4 + 130
    stone = np.array(grey(rng, 120, 176), dtype=np.float32)
    edge = np.clip((side - street.half) * scale + 0.5, 0, 1)[..., None]
    ground += (stone * 1.12 - ground) * edge
    inner = np.clip((side - street.half - 0.25) * scale + 0.5, 0, 1)[..., None]
    joints = 1 - 0.09 * (((ahead % 1.2) < 0.08) & (ahead < 25))  # noqa: PLR2004  # metres
    ground += (stone * (0.86 + 0.1 * blotches(rng, shape, 40) * joints)[..., None] - ground) * inner
    lawn = np.array(
        varied(rng, pick(rng, ((88, 112, 60), (110, 118, 74), (126, 112, 88), grey(rng, 100, 160)))), dtype=np.float32
    )
    outer = np.clip((side - street.half - street.walk) * scale + 0.5, 0, 1)[..., None]
    ground += (
        lawn * (0.8 + 0.2 * blotches(rng, shape, 50) + 0.2 * blotches(rng, shape, 200))[..., None] - ground
    ) * outer
    if snow:
        white_over = np.clip((blotches(rng, shape, 14) - 0.5) * 3 + snow, 0, 1) * np.where(
            side < street.half, 0.5, 0.95
        )
        tracks = np.clip(np.abs(np.abs(across - camera.own) - 0.8) * 2, 0.2, 1)
        ground += (np.float32(232) - ground) * (white_over * tracks * snow)[..., None]
    pixels[first:] = ground
