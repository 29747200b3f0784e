"""A supersampled canvas that keeps colour and light apart, so that flat fills come out shaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from natix_cascade.testing.parts.paint import Rgb, chance, clip8, mixed, uni

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Point = tuple[float, float]

NEUTRAL = 128  # the light value that leaves a colour as it is
MARGIN = 0.12  # room around the unit square, for lean and thick lines
LEAST_LEAN = 0.4  # degrees: less could not be seen
SLICES = 14  # vertical strips that shade a round body


class Canvas:
    """One object being drawn in units of its own height: y runs from 0 (top) to 1 (ground), x is 0 in the middle.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the direction and hardness of the light come from.
    height : int
        Height of the finished sprite in pixels; decides how far the canvas is supersampled.
    width : float
        Width of the drawing in units of the height.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: float) -> None:
        self.rng = rng
        self.height = height
        self.unit = height * float(np.interp(height, (16, 40, 90, 180), (5, 3.5, 2.5, 2)))
        self.width = width
        size = (math.ceil((width + 2 * MARGIN) * self.unit), math.ceil((1 + 2 * MARGIN) * self.unit))
        self.image = Image.new("RGBA", size, (0, 0, 0, 0))
        self.light = Image.new("L", size, NEUTRAL)
        self._ink = ImageDraw.Draw(self.image)
        self._glow = ImageDraw.Draw(self.light)
        self.sun = uni(rng, -1.3, 1.3)
        self.hardness = uni(rng, 0.12, 0.75)
        self.gloss = uni(rng, 0, 0.5) if chance(rng, 0.5) else 0.0
        self.shear = 0.0
        self.emits = False

    def at(self, x: float, y: float) -> Point:
        """Pixel position of a point given in units."""
        return (x + self.width / 2 + MARGIN) * self.unit, (y + MARGIN) * self.unit

    def _shade(self, shade: float) -> int:
        return clip8(NEUTRAL * shade)

    def poly(self, points: Iterable[Point], colour: Rgb, shade: float | None = 1.0, alpha: int = 255) -> None:
        """Fill a polygon; shade 1 is neutral, 2 twice as bright, None leaves the light as it was."""
        corners = [self.at(x, y) for x, y in points]
        self._ink.polygon(corners, fill=(*colour, alpha))
        if shade is not None:
            self._glow.polygon(corners, fill=self._shade(shade))

    def erase(self, points: Iterable[Point]) -> None:
        """Cut a polygon out: what was drawn there becomes transparent."""
        self._ink.polygon([self.at(x, y) for x, y in points], fill=(0, 0, 0, 0))

    def rect(
        self, left: float, top: float, right: float, bottom: float, colour: Rgb, *, shade: float | None = 1.0
    ) -> None:
        """Fill an upright rectangle."""
        self.poly(((left, top), (right, top), (right, bottom), (left, bottom)), colour, shade)

    def panel(self, left: float, top: float, right: float, bottom: float, colour: Rgb, *, radius: float = 0.0) -> None:
        """Fill a rectangle with round corners, lit a little brighter at the top than at the bottom."""
        (x0, y0), (x1, y1) = self.at(min(left, right), min(top, bottom)), self.at(max(left, right), max(top, bottom))
        self._ink.rounded_rectangle((x0, y0, x1, y1), radius=radius * self.unit, fill=(*colour, 255))
        for step in range(4):
            low, high = y0 + (y1 - y0) * step / 4, y0 + (y1 - y0) * (step + 1) / 4
            self._glow.rectangle((x0, low, x1, high), fill=self._shade(1.12 - 0.08 * step))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Rgb, *, shade: float | None = 1.0) -> None:
        """Fill an ellipse given by its centre and radii."""
        (x0, y0), (x1, y1) = self.at(x - rx, y - ry), self.at(x + rx, y + ry)
        self._ink.ellipse((x0, y0, x1, y1), fill=(*colour, 255))
        if shade is not None:
            self._glow.ellipse((x0, y0, x1, y1), fill=self._shade(shade))

    def ball(self, x: float, y: float, rx: float, ry: float, colour: Rgb) -> None:
        """Fill an ellipse shaded as a ball, brightest on the sunny side."""
        self.ellipse(x, y, rx, ry, colour, shade=1 - 0.45 * self.hardness)
        for step in range(1, 5):
            part = 1 - step / 5
            cx, cy = x + math.sin(self.sun) * rx * (1 - part) * 0.7, y - ry * (1 - part) * 0.5
            (x0, y0), (x1, y1) = self.at(cx - rx * part, cy - ry * part), self.at(cx + rx * part, cy + ry * part)
            shade = 1 + self.hardness * (0.18 * step - 0.4)
            self._glow.ellipse((x0, y0, x1, y1), fill=self._shade(shade))

    def line(self, points: Sequence[Point], colour: Rgb, thick: float, shade: float | None = 1.0) -> None:
        """Draw a polyline of the given thickness (in units), at least half a finished pixel wide."""
        corners = [self.at(x, y) for x, y in points]
        width = max(1, round(max(thick, 0.5 / self.height) * self.unit))
        self._ink.line(corners, fill=(*colour, 255), width=width, joint="curve")
        if shade is not None:
            self._glow.line(corners, fill=self._shade(shade), width=width, joint="curve")

    def limb(self, points: Sequence[Point], colour: Rgb, thick: float, shade: float = 1.0) -> None:
        """Draw a polyline with round ends."""
        self.line(points, colour, thick, shade)
        for x, y in (points[0], points[-1]):
            self.ellipse(x, y, thick / 2, thick / 2, colour, shade=shade)

    def round_light(self, u: float) -> float:
        """Brightness of a standing round body at u, -1 (left rim) to 1 (right rim)."""
        facing = math.cos(math.asin(max(-1.0, min(1.0, u))) - self.sun)
        shine = self.gloss * max(0.0, facing) ** 24
        return 1 - 0.62 * self.hardness + 0.85 * self.hardness * max(0.0, facing) + shine

    def turned(
        self, profile: Sequence[Point], bands: Sequence[tuple[float, float, Rgb]], tilt: float, x: float = 0.0
    ) -> None:
        """Draw a body of revolution.

        Parameters
        ----------
        profile : sequence of (float, float)
            Height y and half width of the body, from top to bottom.
        bands : sequence of (float, float, Rgb)
            From height, to height, colour; later ones cover earlier ones.
        tilt : float
            How far one looks down on it: minor over major axis of its circles.
        x : float
            Middle of the body.
        """
        ys = [y for y, _ in profile]
        levels = sorted({*ys, *(y for top, bottom, _ in bands for y in (top, bottom))})
        halves = np.interp(levels, ys, [half for _, half in profile])
        us = np.linspace(-1, 1, SLICES + 1)
        rims = np.empty((len(levels), SLICES + 1, 2))
        rims[..., 0] = x + halves[:, None] * us
        rims[..., 1] = np.array(levels)[:, None] + halves[:, None] * (np.sqrt(1 - us**2) * tilt)
        rims = (rims + np.array([self.width / 2 + MARGIN, MARGIN])) * self.unit
        for top, bottom, colour in bands:
            first, last = levels.index(top), levels.index(bottom)
            right, left = rims[first + 1 : last, -1], rims[first + 1 : last, 0]
            outline = np.concatenate((rims[first], right, rims[last, ::-1], left[::-1]))
            self._ink.polygon(outline.ravel().tolist(), fill=(*colour, 255))
        first, last = levels.index(ys[0]), levels.index(ys[-1])
        for index in range(SLICES):
            strip = np.concatenate((rims[first : last + 1, index], rims[first : last + 1, index + 1][::-1]))
            fill = self._shade(self.round_light(float(us[index] + us[index + 1]) / 2))
            self._glow.polygon(strip.ravel().tolist(), fill=fill)

    def slab(self, y: float, radius: float, tilt: float, thick: float, colour: Rgb, *, sides: int = 4) -> None:
        """Draw a flat foot with the given number of sides, its top face at y, turned at random."""
        turn = uni(self.rng, 0, math.tau)
        angles = [turn + math.tau * k / sides for k in range(sides)]
        face = [(radius * math.cos(a), y + radius * math.sin(a) * tilt) for a in angles]
        for (x0, y0), (x1, y1) in zip(face, face[1:] + face[:1], strict=True):
            shade = 0.55 + 0.25 * (1 + math.copysign(1, self.sun) * (x0 + x1) / (2 * radius)) / 2
            self.poly(((x0, y0), (x1, y1), (x1, y1 + thick), (x0, y0 + thick)), colour, shade)
        self.poly(face, colour, 1.1)

    def stripes(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colours: tuple[Rgb, Rgb],
        *,
        pitch: float,
        rise: float,
    ) -> None:
        """Fill a rectangle with slanted stripes.

        Parameters
        ----------
        left, top, right, bottom : float
            The rectangle, in units.
        colours : (Rgb, Rgb)
            The two colours that take turns.
        pitch : float
            Width of one stripe, along the horizontal.
        rise : float
            Horizontal run of a stripe per unit of height; its sign is the way it leans.
        """
        (x0, y0), (x1, y1) = self.at(left, top), self.at(right, bottom)
        wide, high = max(1, round(x1 - x0)), max(1, round(y1 - y0))
        board = Image.new("RGBA", (wide, high), (*colours[0], 255))
        ink = ImageDraw.Draw(board)
        run, step = rise * high, max(2.0, pitch * self.unit)
        begin = -abs(run) - step * uni(self.rng, 0, 2)
        while begin < wide + abs(run):
            ink.polygon(
                [(begin, high), (begin + step, high), (begin + step + run, 0), (begin + run, 0)], (*colours[1], 255)
            )
            begin += 2 * step
        self.image.paste(board, (round(x0), round(y0)))
        self._glow.rectangle((x0, y0, x1, y1), fill=self._shade(uni(self.rng, 0.88, 1.08)))

    def text(self, x: float, y: float, words: str, colour: Rgb, *, high: float, wide: float) -> None:
        """Write one line centred on (x, y), `high` units tall and at most `wide` units wide."""
        font = ImageFont.load_default(size=64)
        left, top, right, bottom = font.getbbox(words, stroke_width=2)
        stamp = Image.new("L", (int(right - left) + 1, int(bottom - top) + 1), 0)
        ImageDraw.Draw(stamp).text((-left, -top), words, fill=255, font=font, stroke_width=2)
        width = min(wide, high * stamp.width / stamp.height)
        stamp = stamp.resize(
            (max(1, round(width * self.unit)), max(1, round(high * self.unit))), Image.Resampling.BILINEAR
        )
        px, py = self.at(x, y)
        spot = (round(px - stamp.width / 2), round(py - stamp.height / 2))
        self.image.paste(colour, (*spot, spot[0] + stamp.width, spot[1] + stamp.height), stamp)

    def finish(
        self, *, lean: float = 0.0, grime: float = 0.5, cut: bool = False, tipped: bool = False
    ) -> NDArray[np.uint8]:
        """Turn the drawing into a sprite.

        Parameters
        ----------
        lean : float
            Degrees by which the object leans to the side.
        grime : float
            How dirty and worn it is, 0 to 1.
        cut : bool
            Hide a part, as something in front of it would.
        tipped : bool
            Lay it on its side.

        Returns
        -------
        numpy.ndarray
            RGBA uint8 of shape (height, w, 4), straight alpha, cropped to what is visible.
        """
        image, light = self._trimmed(lean)
        if abs(lean) > LEAST_LEAN or self.shear:
            spin = math.radians(lean)
            a, b, d, e = math.cos(spin), math.sin(spin), self.shear - math.sin(spin), math.cos(spin)
            cx, cy = image.width / 2, float(image.height)
            matrix = (a, b, cx - a * cx - b * cy, d, e, cy - d * cx - e * cy)
            image = image.transform(image.size, Image.Transform.AFFINE, matrix)
            light = light.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=NEUTRAL)
        if tipped:
            turn = uni(self.rng, 72, 100) * (1 if self.sun > 0 else -1)
            image = image.rotate(turn, expand=True)
            light = light.rotate(turn, expand=True, fillcolor=NEUTRAL)
        if cut:
            self._hide_part(image)
        box = image.getbbox() or (0, 0, *image.size)
        high = self.height
        size = (max(1, round((box[2] - box[0]) * high / (box[3] - box[1]))), high)
        method = Image.Resampling.BOX if box[3] - box[1] >= 2 * high else Image.Resampling.HAMMING
        small = np.asarray(image.resize(size, method, box=box), dtype=np.float32)
        shade = np.asarray(light.resize(size, method, box=box), dtype=np.float32) / NEUTRAL
        rgb = worn(small[..., :3], self.rng, 0.0 if self.emits else grime) * np.minimum(shade, 1.3)[..., None]
        rgb += np.maximum(shade - 1.3, 0)[..., None] * 200
        out = np.empty(small.shape, dtype=np.uint8)
        out[..., :3] = np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
        out[..., 3] = small[..., 3].astype(np.uint8)
        out[..., :3][out[..., 3] == 0] = 0
        return out

    def _trimmed(self, lean: float) -> tuple[Image.Image, Image.Image]:
        """Colour and light without the empty borders, but with room to lean and shear."""
        left, top, right, bottom = self.image.getbbox() or (0, 0, *self.image.size)
        sway = math.sin(math.radians(abs(lean)))
        dx = int(sway * (bottom - top)) + 1
        dy = int((sway + abs(self.shear)) * (right - left) / 2) + 1
        box = (
            max(0, left - dx),
            max(0, top - dy),
            min(self.image.width, right + dx),
            min(self.image.height, bottom + dy),
        )
        return self.image.crop(box), self.light.crop(box)

    def _hide_part(self, image: Image.Image) -> None:
        box = image.getbbox() or (0, 0, *image.size)
        wide, high = box[2] - box[0], box[3] - box[1]
        part, side = uni(self.rng, 0.1, 0.4), self.rng.random()
        if side < 0.5:  # noqa: PLR2004  # one half: something low stands in front
            gone = (box[0], round(box[3] - part * high), box[2], box[3])
        elif side < 0.75:  # noqa: PLR2004  # a quarter each: left or right
            gone = (box[0], box[1], round(box[0] + part * wide), box[3])
        else:
            gone = (round(box[2] - part * wide), box[1], box[2], box[3])
        image.paste((0, 0, 0, 0), gone)


def worn(rgb: NDArray[np.float32], rng: np.random.Generator, grime: float) -> NDArray[np.float32]:
    """Fade, stain and grain a picture of an object.

    Parameters
    ----------
    rgb : numpy.ndarray
        Float32 of shape (h, w, 3), 0 to 255.
    rng : numpy.random.Generator
        Where the stains come from.
    grime : float
        How much of it, 0 (new) to 1 (filthy).

    Returns
    -------
    numpy.ndarray
        Float32 of the same shape, not yet clipped.
    """
    high, wide = rgb.shape[:2]
    spots = blotches(rng, (high, wide), count=max(2, round(uni(rng, 3, 9))))
    depth = np.linspace(0, 1, high, dtype=np.float32)[:, None]
    dirt = np.clip((spots - 0.45) * 1.6 + (depth - 0.6) * 0.8, 0, 1) * grime * 0.75
    soil = np.array(mixed((92, 84, 74), (60, 58, 56), float(rng.random())), dtype=np.float32)
    out = (rgb + (soil - rgb) * dirt[..., None]).astype(np.float32)
    fade = grime * uni(rng, 0, 0.2)
    out += (out.mean(axis=2, keepdims=True) * 0.6 + 70 - out) * fade
    grain = rng.standard_normal((high, wide), dtype=np.float32) * uni(rng, 0, 4)
    out[high - high // 16 :] *= np.float32(0.9)  # the foot is in shadow
    out += grain[..., None]
    return out


def blotches(rng: np.random.Generator, shape: tuple[int, int], count: int) -> NDArray[np.float32]:
    """Smooth random spots, 0 to 1, of the given (h, w), about `count` along each side."""
    seed = Image.fromarray(rng.random((count, count), dtype=np.float32))
    spots: NDArray[np.float32] = np.asarray(
        seed.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32
    )
    return np.clip(spots, 0, 1)
