"""Boxes out of the raw outputs of detectors: pure arithmetic on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Found",
    "corners",
    "decode_detr",
    "decode_end_to_end",
    "decode_yolo",
    "iou",
    "sigmoid",
    "suppress",
    "undo_padding",
]

_OVERLAP = 0.7  # as the YOLO programs suppress by default
_MOST = 300  # boxes a picture that YOLO programs keep at most
_MOST_COMPARED = 3000  # candidates that are compared with each other at most: the strongest


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Boxes of one picture, the strongest first.

    Attributes
    ----------
    corners : NDArray
        ``(k, 4)`` float64: x0, y0, x1, y1.
    scores : NDArray
        ``(k,)`` float64, 0 to 1.
    labels : NDArray
        ``(k,)`` int64: column of the label.
    """

    corners: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) that does not overflow."""
    clipped = np.clip(np.asarray(values, np.float64), -60.0, 60.0)
    return np.asarray(1.0 / (1.0 + np.exp(-clipped)), np.float64)


def corners(boxes: ArrayLike) -> NDArray[np.float64]:
    """``(..., 4)`` centre x, centre y, width, height as x0, y0, x1, y1."""
    given = np.asarray(boxes, np.float64)
    centre, half = given[..., :2], given[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def iou(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box ``(4,)`` with others ``(k, 4)``, all as corners."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    total = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    return np.asarray(np.divide(shared, total, out=np.zeros(len(others)), where=total > 0), np.float64)


def suppress(found: Found, *, overlap: float = _OVERLAP, most: int = _MOST) -> Found:
    """Greedy non-maximum suppression within each label.

    A box goes when a stronger one of the same label that stays overlaps it by more than `overlap`.

    Parameters
    ----------
    found : Found
        In any order.
    overlap : float
        Intersection over union.
    most : int
        Boxes that stay at most.

    Returns
    -------
    Found
        What stays, the strongest first.
    """
    order = np.argsort(-found.scores, kind="stable")[:_MOST_COMPARED]
    kept: list[int] = []
    while len(order) and len(kept) < most:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        twins = (found.labels[rest] == found.labels[first]) & (iou(found.corners[first], found.corners[rest]) > overlap)
        order = rest[~twins]
    return _take(found, np.array(kept, np.int64))


def decode_detr(
    logits: NDArray[np.floating], boxes: NDArray[np.floating], *, min_score: float, most: int | None = None
) -> Found:
    """Boxes of one picture from a DETR with sigmoid scores.

    Every pair of a query and a label is a candidate, as in Deformable DETR (https://arxiv.org/abs/2010.04159) and what
    came after it.

    Parameters
    ----------
    logits : NDArray
        ``(queries, labels)``.
    boxes : NDArray
        ``(queries, 4)`` centre and size in 0 to 1.
    min_score : float
        Weaker ones go.
    most : int or None
        Pairs at most; default: as many as there are queries.

    Returns
    -------
    Found
        Corners in 0 to 1, not clipped.
    """
    scores = sigmoid(logits)
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")[: most or len(scores)]
    order = order[flat[order] >= min_score]
    queries, labels = np.divmod(order, scores.shape[1])
    return Found(corners(boxes)[queries], flat[order], labels.astype(np.int64))


def decode_yolo(raw: NDArray[np.floating], *, min_score: float, overlap: float = _OVERLAP) -> Found:
    """Boxes of one picture from a YOLO (versions 8 to 12) without its own suppression.

    Parameters
    ----------
    raw : NDArray
        ``(4 + labels, anchors)``: centre and size in input pixels, then a probability for each label.
    min_score : float
        Weaker ones go before the suppression.
    overlap : float
        See `suppress`.

    Returns
    -------
    Found
        Corners in input pixels.
    """
    table = np.asarray(raw, np.float64).T
    labels = table[:, 4:].argmax(axis=1)
    scores = table[np.arange(len(table)), 4 + labels]
    keep = scores >= min_score
    return suppress(Found(corners(table[keep, :4]), scores[keep], labels[keep].astype(np.int64)), overlap=overlap)


def decode_end_to_end(rows: NDArray[np.floating], *, min_score: float) -> Found:
    """Boxes of one picture from a YOLO that suppresses by itself (versions 10 and 26).

    Parameters
    ----------
    rows : NDArray
        ``(boxes, 6)``: corners in input pixels, score, label.
    min_score : float
        Weaker ones go.

    Returns
    -------
    Found
        Corners in input pixels.
    """
    table = np.asarray(rows, np.float64)
    order = np.argsort(-table[:, 4], kind="stable")
    order = order[table[order, 4] >= min_score]
    return Found(table[order, :4], table[order, 4], np.rint(table[order, 5]).astype(np.int64))


def undo_padding(boxes: NDArray[np.float64], size: tuple[int, int], picture: tuple[int, int]) -> NDArray[np.float64]:
    """Corners in the pixels of a padded input as shares of the picture in it; see ``natix_cascade.image.resize.fit``.

    Parameters
    ----------
    boxes : NDArray
        ``(k, 4)`` corners in input pixels.
    size : tuple of int
        Height and width of the input.
    picture : tuple of int
        Height and width of the picture before it was fitted.

    Returns
    -------
    NDArray
        ``(k, 4)`` corners in shares of the picture's width and height, not clipped.
    """
    (height, width), (rows, columns) = size, picture
    grow = min(height / rows, width / columns)
    inner = max(1, round(rows * grow)), max(1, round(columns * grow))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    return (boxes - [left, top, left, top]) / [inner[1], inner[0], inner[1], inner[0]]


def _take(found: Found, index: NDArray[np.int64]) -> Found:
    return Found(found.corners[index], found.scores[index], found.labels[index])
