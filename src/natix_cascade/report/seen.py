"""What the models saw, drawn into the picture: masks, boxes and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import MissingExtraError
from natix_cascade.models.fusion import fuse_boxes
from natix_cascade.report.ink import font

if TYPE_CHECKING:
    from natix_cascade.image.picture import Pixels

__all__ = ["draw_seen", "seen_boxes"]

_MOST = 12  # more boxes hide the picture
_TINT, _OPACITY = np.array((240, 228, 66), np.float32), 0.45  # yellow (Okabe and Ito, 2008)
_LINE, _TEXT = (240, 228, 66), (20, 20, 20)
_SIZE = 13


def seen_boxes(verdict: Verdict, most: int = _MOST) -> tuple[Box, ...]:
    """The boxes to show, the surest first.

    Where several members of a level give boxes, theirs are fused into one set (weighted boxes fusion), as far as
    ensemble-boxes is installed.
    """
    levels: dict[str, dict[str, Evidence]] = {}
    for opinion in verdict.opinions:
        if opinion.evidence is not None:
            levels.setdefault(opinion.level, {})[opinion.model] = opinion.evidence
    boxes = [box for seen in levels.values() for box in _of_level(seen)]
    return tuple(sorted(boxes, key=lambda box: -box.score)[:most])


def _of_level(seen: dict[str, Evidence]) -> tuple[Box, ...]:
    if sum(bool(evidence.boxes) for evidence in seen.values()) > 1:
        try:
            return fuse_boxes(seen)
        except MissingExtraError:  # then each model's own are shown
            pass
    return tuple(box for evidence in seen.values() for box in evidence.boxes)


def draw_seen(pixels: Pixels, verdict: Verdict, boxes: tuple[Box, ...] | None = None) -> Pixels:
    """Draw masks and boxes.

    Parameters
    ----------
    pixels : numpy.ndarray
        (H, W, 3), uint8, the upright picture at any size.
    verdict : Verdict
        Whose opinions' evidence is drawn.
    boxes : tuple of Box, optional
        What `seen_boxes` returned, where it was asked before.

    Returns
    -------
    numpy.ndarray
        (H, W, 3), uint8; the same array where there is nothing to draw.
    """
    masks = [o.evidence.mask for o in verdict.opinions if o.evidence is not None and o.evidence.mask is not None]
    chosen = seen_boxes(verdict) if boxes is None else boxes
    if not masks and not chosen:
        return pixels
    height, width = pixels.shape[:2]
    shown = pixels
    for mask in masks:
        whole = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))[..., None]
        shown = np.where(whole, shown * (1 - _OPACITY) + _TINT * _OPACITY, shown).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(shown))
    draw = ImageDraw.Draw(picture)
    for box in reversed(chosen):  # the surest on top
        _draw_box(draw, box, width, height)
    return np.asarray(picture)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, width: int, height: int) -> None:
    left, right = sorted((box.x0 * width, box.x1 * width))
    top, bottom = sorted((box.y0 * height, box.y1 * height))
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_TEXT, width=1)
    draw.rectangle((left, top, right, bottom), outline=_LINE, width=2)
    words = f"{box.label} {box.score:.2f}"
    wide = draw.textlength(words, font=font(_SIZE)) + 8
    x, y = min(left, max(width - wide, 0)), top - _SIZE - 6 if top >= _SIZE + 6 else top
    draw.rectangle((x, y, x + wide, y + _SIZE + 5), fill=_LINE)
    draw.text((x + 4, y + 1), words, font=font(_SIZE), fill=_TEXT)
