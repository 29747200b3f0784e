"""One verdict as a picture: where the evidence lies, what was decided, and which way through the cascade."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from natix_cascade.decide.evidence import Box
from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole
from natix_cascade.report.chips import CARD_GAP, draw_path, path_height
from natix_cascade.report.ink import INK, MARGIN, NO, PAPER, SOFT, WIDTH, YES, font, shorten
from natix_cascade.report.seen import draw_seen
from natix_cascade.spec.cascade import Question
from natix_cascade.spec.resolved import ResolvedCascade

if TYPE_CHECKING:
    from natix_cascade.image.picture import Pixels

__all__ = ["HasBox", "explain", "heat_overlay", "mark_evidence", "write_explanation"]

_BANNER, _LEGEND = 92, 30
_MOST_HEIGHT = 720
_FULL = 4.0  # log-odds at which the colour is full: odds of 55 to 1
_OPACITY = 0.62
_QUALITY = 90
# Plasma (Smith and van der Walt, 2015): its lightness rises all the way, so that it can be read without colours.
_PLASMA = np.array(
    [(60, 10, 140), (126, 3, 168), (188, 55, 130), (226, 100, 98), (252, 166, 54), (240, 249, 33)], float
)


class HasBox(Protocol):
    """A rectangle in pixels of the picture: first column and row, and first ones behind it."""

    @property
    def left(self) -> float:
        """First column."""

    @property
    def top(self) -> float:
        """First row."""

    @property
    def right(self) -> float:
        """First column behind it."""

    @property
    def bottom(self) -> float:
        """First row below it."""


AnyBox: TypeAlias = HasBox | tuple[float, float, float, float]


def explain(
    pixels: Pixels, verdict: Verdict, *, boxes: Iterable[AnyBox] = (), cascade: ResolvedCascade | None = None
) -> Pixels:
    """Draw a verdict over its picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        The picture, (height, width, 3), uint8, RGB; any size.
    verdict : Verdict
        Its heat map, where there is one, is laid over the whole picture.
    boxes : iterable
        Rectangles to be drawn, in pixels of the picture: (left, top, right, bottom), or objects with these names.
    cascade : ResolvedCascade, optional
        Names the two answers, and the levels that were not needed; without it only what the verdict itself holds is
        shown.

    Returns
    -------
    numpy.ndarray
        (height, 960, 3), uint8, RGB.

    Raises
    ------
    CascadeError
        The pixels are not a picture.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:  # noqa: PLR2004  # RGB
        raise CascadeError(f"pixels are {pixels.dtype} of shape {pixels.shape}; a picture is uint8 (height, width, 3)")
    height, width = pixels.shape[:2]
    factor = min(WIDTH / width, _MOST_HEIGHT / height)
    shown = (max(1, round(width * factor)), max(1, round(height * factor)))
    filters = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    picture = Image.fromarray(np.ascontiguousarray(pixels)).resize(shown, filters)
    heat = verdict.heat_map
    picture = Image.fromarray(mark_evidence(np.asarray(picture), verdict))
    _draw_boxes(picture, boxes, shown[0] / width, shown[1] / height)

    legend = _LEGEND if heat is not None else 0
    below = _BANNER + shown[1] + legend
    canvas = Image.new("RGB", (WIDTH, below + path_height(verdict, cascade) + CARD_GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, _BANNER, WIDTH, _BANNER + shown[1] - 1), fill=(24, 27, 31))
    canvas.paste(picture, ((WIDTH - shown[0]) // 2, _BANNER))
    question = cascade.question if cascade else Question(id=verdict.question, positive=verdict.question)
    _draw_banner(draw, verdict, question)
    if heat is not None:
        _draw_legend(canvas, draw, _BANNER + shown[1], question, float(np.nanmax(heat, initial=0.0)))
    draw_path(draw, verdict, cascade, below)
    return np.array(canvas)


def mark_evidence(pixels: Pixels, verdict: Verdict, boxes: tuple[Box, ...] | None = None) -> Pixels:
    """Lay heat map, masks and boxes of a verdict over its picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        (H, W, 3), uint8, upright, at any size.
    verdict : Verdict
        Whose evidence is shown.
    boxes : tuple of Box, optional
        What `natix_cascade.report.seen.seen_boxes` returned, where it was asked before.

    Returns
    -------
    numpy.ndarray
        (H, W, 3), uint8; the same array where there is nothing to show.
    """
    heat = verdict.heat_map
    return draw_seen(pixels if heat is None else heat_overlay(pixels, heat), verdict, boxes)


def heat_overlay(pixels: Pixels, heat: NDArray[np.floating]) -> Pixels:
    """Colour the evidence for yes; evidence against it stays clear.

    Parameters
    ----------
    pixels : numpy.ndarray
        (H, W, 3), uint8.
    heat : numpy.ndarray
        (h, w), log-odds, over the whole of the picture.

    Returns
    -------
    numpy.ndarray
        (H, W, 3), uint8.
    """
    evidence = np.nan_to_num(np.asarray(heat, np.float32), nan=0.0, posinf=_FULL, neginf=0.0)
    evidence = np.clip(evidence, 0.0, _FULL)
    size = (pixels.shape[1], pixels.shape[0])
    smooth = np.asarray(Image.fromarray(evidence).resize(size, Image.Resampling.BICUBIC))
    part = np.clip(smooth / _FULL, 0.0, 1.0)
    alpha = (_OPACITY * np.sqrt(part) * np.minimum(part * 8, 1.0))[..., None]
    mixed = pixels * (1 - alpha) + _colour(part) * alpha
    return np.rint(mixed).astype(np.uint8)


def write_explanation(
    path: str | Path,
    pixels: Pixels,
    verdict: Verdict,
    *,
    boxes: Iterable[AnyBox] = (),
    cascade: ResolvedCascade | None = None,
) -> Path:
    """Write the drawing as PNG or JPEG, by the file's ending, whole or not at all; see `explain`.

    Raises
    ------
    CascadeError
        The ending is neither .png nor .jpg nor .jpeg.
    OSError
        The folder cannot be written.
    """
    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(Path(path).suffix.lower())
    if kind is None:
        raise CascadeError(f"{path}: explanations are written as .png, .jpg or .jpeg")
    out = io.BytesIO()
    options = {"quality": _QUALITY} if kind == "JPEG" else {}
    Image.fromarray(explain(pixels, verdict, boxes=boxes, cascade=cascade)).save(out, kind, **options)
    return write_whole(path, out.getvalue())


def _colour(part: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colours (..., 3) of parts in [0, 1]."""
    at = np.linspace(0.0, 1.0, len(_PLASMA))
    return np.stack([np.interp(part, at, _PLASMA[:, channel]) for channel in range(3)], axis=-1)


def _draw_boxes(picture: Image.Image, boxes: Iterable[AnyBox], across: float, down: float) -> None:
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        left, top, right, bottom = box if isinstance(box, tuple) else (box.left, box.top, box.right, box.bottom)
        corners = [
            left * across,
            top * down,
            max(right * across - 1, left * across),
            max(bottom * down - 1, top * down),
        ]
        draw.rectangle(corners, outline=(0, 0, 0), width=4)
        inside = [corners[0] + 1, corners[1] + 1, corners[2] - 1, corners[3] - 1]
        if inside[2] > inside[0] and inside[3] > inside[1]:
            draw.rectangle(inside, outline=(255, 255, 255), width=2)


def _draw_banner(draw: ImageDraw.ImageDraw, verdict: Verdict, question: Question) -> None:
    colour = YES if verdict.detected else NO
    draw.rectangle((0, 0, 10, _BANNER - 1), fill=colour)
    draw.text((MARGIN, 14), _answer(verdict, question), font=font(38), fill=colour)
    figures = (
        ("confidence", f"{100 * verdict.confidence:.1f} %"),
        ("consensus", f"{100 * verdict.consensus_ratio:.0f} %"),
        ("left at", verdict.exit_level),
        ("time", f"{verdict.latency_ms:.0f} ms" if verdict.latency_ms >= 10 else f"{verdict.latency_ms:.1f} ms"),  # noqa: PLR2004
    )
    x = float(WIDTH - MARGIN)
    for name, value in reversed(figures):
        wide = max(draw.textlength(name, font=font(14)), draw.textlength(value, font=font(22)))
        x -= wide
        draw.text((x, 18), name, font=font(14), fill=SOFT)
        draw.text((x, 36), value, font=font(22), fill=INK)
        x -= 30
    note = f"{question.text}   {verdict.id}" if not verdict.degraded else f"{question.text}   {verdict.id}   (degraded)"
    draw.text((MARGIN, 64), shorten(draw, note, 500, 14), font=font(14), fill=SOFT)


def _answer(verdict: Verdict, question: Question) -> str:
    if verdict.detected:
        return question.positive.upper()
    return f"no {question.positive}" if question.negative.lower() in ("none", "no") else question.negative


def _draw_legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, y: int, question: Question, most: float) -> None:
    """Say what the colours mean."""
    bar = np.repeat(_colour(np.linspace(0.0, 1.0, 140))[None], 10, axis=0)
    canvas.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (MARGIN, y + 11))
    text = f"evidence for {question.positive} by place, log-odds 0 to {_FULL:.0f} and more; "
    text += f"highest here {most:.1f}" if most > 0 else "none here"
    draw.text((MARGIN + 152, y + 7), text, font=font(14), fill=SOFT)
