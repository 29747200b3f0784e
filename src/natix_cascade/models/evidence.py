"""What was seen, turned into P(positive): pure arithmetic on arrays and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.models.boxes import Found
from natix_cascade.spec.task import Tell

__all__ = [
    "MASK_SIDE",
    "judge_boxes",
    "judge_text",
    "noisy_or",
    "read_regions",
    "small_mask",
    "terms_in",
    "to_boxes",
    "within",
]

MASK_SIDE = 256
"""Most pixels of a mask's longer side: evidence is for looking at, not for measuring."""
_MOST_SHOWN = 50
_CORNERS = 8  # x and y of a quadrilateral
_PIECES = re.compile(r"((?:<loc_\d+>)+)")
_LEAST_PLACES = 4  # two corners
_PLACE = re.compile(r"<loc_(\d+)>")
_BINS = 1000  # Florence-2 counts places in thousandths of the picture


def noisy_or(chances: Iterable[float]) -> float:
    """1 - product of (1 - p): the probability that at least one of several independent causes is at work.

    Parameters
    ----------
    chances : iterable of float
        Each in 0 to 1; none at all gives 0.
    """
    nothing = 1.0
    for chance in chances:
        nothing *= 1.0 - chance
    return min(1.0, max(0.0, 1.0 - nothing))


def within(seen: float, low: float, high: float) -> float:
    """P from what was seen (0 nothing, 1 something certain): no evidence need not be evidence of absence."""
    return low + (high - low) * seen


def to_boxes(found: Found, labels: Sequence[str]) -> tuple[Box, ...]:
    """Boxes whose corners are shares of the picture, clipped to it."""
    clipped = np.clip(found.corners, 0.0, 1.0).tolist()
    return tuple(
        Box(labels[label], min(1.0, max(0.0, score)), *box)
        for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), clipped, strict=True)
    )


def judge_boxes(
    found: Found,
    labels: Sequence[str],
    weights: Mapping[str, float],
    *,
    low: float = 0.0,
    high: float = 1.0,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[float, Evidence]:
    """P(positive) of one picture from its boxes, and those that speak for it.

    Parameters
    ----------
    found : Found
        Corners as shares of the picture; the strongest first.
    labels : sequence of str
        Names of the columns.
    weights : mapping
        Label to how strongly one certain box of it speaks for the positive class; others are no evidence.
    low, high : float
        P when nothing is seen, and when something certain is.
    mask : NDArray or None
        ``(h, w)``, to be shown.
    """
    boxes = [box for box in to_boxes(found, labels) if box.label in weights]
    seen = noisy_or(weights[box.label] * box.score for box in boxes)
    return within(seen, low, high), Evidence(boxes=tuple(boxes[:_MOST_SHOWN]), mask=mask)


def terms_in(text: str, terms: Iterable[str]) -> list[str]:
    """Terms that occur in a text as whole words; letter case and the width of gaps do not matter."""
    flat = " ".join(text.casefold().split())
    return [term for term in terms if re.search(rf"(?<!\w){re.escape(term.casefold())}(?!\w)", flat)]


def judge_text(task: Tell, text: str, boxes: tuple[Box, ...] = ()) -> tuple[float, Evidence]:
    """P(positive) of one picture from what a model wrote about it."""
    found = terms_in(text, task.terms)
    seen = noisy_or(task.terms[term] for term in found)
    return within(seen, task.low, task.high), Evidence(boxes=boxes[:_MOST_SHOWN], text=text or None)


def read_regions(answer: str) -> tuple[str, tuple[Box, ...]]:
    """Text and places out of Florence-2's answer to ``<OCR_WITH_REGION>``.

    Each line of text is followed by its corners as ``<loc_0>`` to ``<loc_999>``: x and y of a quadrilateral (or of
    two corners), in thousandths of the picture.

    Returns
    -------
    text : str
        The lines, joined by newlines.
    boxes : tuple of Box
        One for each line that has a place; its label is the line. Score 1: the model gives none.
    """
    lines: list[str] = []
    boxes: list[Box] = []
    words = ""
    for piece in _PIECES.split(answer):
        places = [int(each) for each in _PLACE.findall(piece)]
        if len(places) < _LEAST_PLACES:  # words, or a place that belongs to nothing
            words += " " if places else piece
            continue
        line, words = _plain(words), ""
        if line:
            lines.append(line)
            boxes.append(_region(line, places))
    rest = _plain(words)
    return "\n".join([*lines, *([rest] if rest else [])]), tuple(boxes)


def _region(line: str, places: list[int]) -> Box:
    """The upright box around the corners."""
    pairs = (np.array(places[: min(_CORNERS, len(places) // 2 * 2)]) + 0.5).reshape(-1, 2) / _BINS
    (x0, y0), (x1, y1) = pairs.min(axis=0).clip(0, 1).tolist(), pairs.max(axis=0).clip(0, 1).tolist()
    return Box(line, 1.0, x0, y0, x1, y1)


def _plain(words: str) -> str:
    """One line without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())


def small_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask of at most `MASK_SIDE` pixels a side: a cell is on where any of its pixels is."""
    step = -(-max(mask.shape) // MASK_SIDE)
    if step <= 1:
        return mask
    rows, columns = (-(-side // step) * step for side in mask.shape)
    padded = np.zeros((rows, columns), np.bool_)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(rows // step, step, columns // step, step).any(axis=(1, 3)), np.bool_)
