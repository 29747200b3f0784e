"""Labelled pictures for training, on the device, with rendered roadwork composited onto real streets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from natix_cascade.image import decode
from natix_cascade.image.resize import resize
from natix_cascade.report.manifest import Row
from natix_cascade.testing import composite_objects

__all__ = ["CANVAS", "Pictures", "composites", "load_pictures", "sample_weights"]

CANVAS = 640
"""Side of the square in which each picture lies top left, in pixels."""
_SHORT_SIDE = 320
_BOXES = 24

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures as tensors.

    Attributes
    ----------
    canvas : Tensor
        ``(n, 3, CANVAS, CANVAS)`` uint8.
    sizes : Tensor
        ``(n, 2)`` height and width.
    labels : Tensor
        ``(n,)`` float, 1 = roadwork.
    boxes : Tensor
        ``(n, 24, 4)`` of rendered work objects, in pixels; NaN where there is none.
    known : Tensor
        ``(n,)`` bool: the boxes are all the roadwork there is, so the label of any crop is known.
    """

    canvas: Tensor
    sizes: Tensor
    labels: Tensor
    boxes: Tensor
    known: Tensor

    def to(self, device: str) -> Pictures:
        """Copy to a device."""
        return Pictures(*(getattr(self, name).to(device) for name in self.__slots__))


def load_pictures(rows: Sequence[Row], *, workers: int = 2) -> tuple[list[Pixels], Pictures]:
    """Decode the rows of a manifest; the shorter side becomes at most 320 pixels.

    Returns
    -------
    pixels : list of NDArray
        For `composites`.
    pictures : Pictures
        Without boxes.
    """
    with ProcessPoolExecutor(workers) as pool:
        pixels = list(pool.map(_read, [str(row.path) for row in rows], chunksize=16))
    labels = np.array([row.label for row in rows], np.float32)
    none = np.full((len(rows), _BOXES, 4), np.nan, np.float32)
    return pixels, _pack(pixels, labels, none, np.zeros(len(rows), bool))


def composites(
    pixels: Sequence[Pixels], labels: Sequence[bool], count: int, *, seed: int = 0, workers: int = 2
) -> Pictures:
    """Real streets with rendered objects: half with roadwork on pictures without, half with harmless things on any.

    Both halves are blended the same way, and every source of negatives now also holds positives, so neither blending
    nor the camera tells the label.
    """
    rng = np.random.default_rng(seed)
    negative = np.flatnonzero(~np.asarray(labels, bool))
    half = count // 2
    bases = np.concatenate([rng.choice(negative, half), rng.choice(len(pixels), count - half)])
    work = np.arange(count) < half
    jobs = [
        (pixels[base], bool(yes), seed * 1_000_003 + i) for i, (base, yes) in enumerate(zip(bases, work, strict=True))
    ]
    with ProcessPoolExecutor(workers) as pool:
        made = list(pool.map(_composite, jobs, chunksize=16))
    real = np.asarray(labels, bool)[bases]
    return _pack([item[0] for item in made], (work | real).astype(np.float32), np.stack([m[1] for m in made]), ~real)


def sample_weights(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Chance of each picture: both labels alike, large sources damped by the square root, real work zones favoured."""
    keys = [(row.source, row.label) for row in rows]
    sizes = Counter(keys)
    weights = np.array([sizes[key] ** -0.5 for key in keys])
    weights *= np.array([1.5 if row.quality in {"A", "S"} else 1.0 for row in rows])
    labels = np.array([row.label for row in rows])
    for label in (False, True):
        weights[labels == label] /= weights[labels == label].sum()
    return weights / weights.sum()


def _read(path: str) -> Pixels:
    pixels = decode(path).pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, _SHORT_SIDE / min(height, width))
    return resize(pixels, round(height * scale), round(width * scale)) if scale < 1 else pixels


def _composite(job: tuple[Pixels, bool, int]) -> tuple[Pixels, NDArray[np.float32]]:
    pixels, work, seed = job
    out, found = composite_objects(pixels, np.random.default_rng(seed), work=work)
    boxes = np.full((_BOXES, 4), np.nan, np.float32)
    for i, box in enumerate(found[:_BOXES]):
        boxes[i] = box.left, box.top, box.right, box.bottom
    return out, boxes


def _pack(
    pixels: Sequence[Pixels], labels: NDArray[np.float32], boxes: NDArray[np.float32], known: NDArray[np.bool_]
) -> Pictures:
    canvas = torch.zeros(len(pixels), 3, CANVAS, CANVAS, dtype=torch.uint8)
    sizes = torch.zeros(len(pixels), 2, dtype=torch.int32)
    for i, item in enumerate(pixels):
        part = np.ascontiguousarray(item[:CANVAS, :CANVAS].transpose(2, 0, 1))
        canvas[i, :, : part.shape[1], : part.shape[2]] = torch.tensor(part)
        sizes[i] = torch.tensor(part.shape[1:])
    return Pictures(canvas, sizes, torch.tensor(labels), torch.tensor(boxes), torch.tensor(known))
