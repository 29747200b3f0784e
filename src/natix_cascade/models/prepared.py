"""A prepared picture that remembers what it was: its size and how light it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.models.base import Answers

__all__ = ["luminance", "only_dark", "pixels_of", "silence", "sizes_of", "with_memory"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SAMPLED = 512  # pixels a side that the mean is taken over, about


def luminance(pixels: NDArray[np.uint8]) -> float:
    """Mean luminance of a picture ``(H, W, 3)``, 0 to 1; of large ones every second or third pixel is looked at."""
    step = max(1, min(pixels.shape[:2]) // _SAMPLED)
    return float(pixels[::step, ::step].mean(axis=(0, 1), dtype=np.float64) @ _LUMA) / 255


def with_memory(prepared: NDArray[np.generic], pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
    """A structured array of no dimension: the model's input, the picture's height and width, and its luminance."""
    kind = np.dtype([("pixels", prepared.dtype, prepared.shape), ("size", np.int32, (2,)), ("light", np.float64)])
    whole = np.empty((), kind)
    whole["pixels"], whole["size"], whole["light"] = prepared, pixels.shape[:2], luminance(pixels)
    return whole


def pixels_of(batch: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """The models' inputs of a batch."""
    return [_part(item, "pixels") for item in batch]


def sizes_of(batch: Sequence[NDArray[np.generic]]) -> list[tuple[int, int]]:
    """Height and width of the pictures of a batch."""
    return [(int(rows), int(columns)) for rows, columns in (_part(item, "size") for item in batch)]


def silence(
    batch: Sequence[NDArray[np.generic]], dark_below: float
) -> tuple[NDArray[np.bool_], tuple[Evidence | None, ...]]:
    """Which pictures are too light for a night specialist, and the sentence that says so."""
    light = [float(_part(item, "light")) for item in batch]
    silent = np.array([value >= dark_below for value in light], np.bool_)
    said = tuple(
        Evidence(text=f"no opinion: mean luminance {value:.2f}, a night specialist speaks below {dark_below:g}")
        if value >= dark_below
        else None
        for value in light
    )
    return silent, said


def only_dark(
    batch: Sequence[NDArray[np.generic]],
    dark_below: float,
    classify: Callable[[Sequence[NDArray[np.generic]]], Answers],
) -> Answers:
    """Ask a night specialist about the dark pictures of a batch; of the others it is silent, and not asked.

    Parameters
    ----------
    batch : sequence of NDArray
        Made by `with_memory`.
    dark_below : float
        Mean luminance, 0 to 1.
    classify : callable
        Answers the models' inputs of the dark ones.
    """
    silent, said = silence(batch, dark_below)
    scores: NDArray[np.float64] = np.full(len(batch), 0.5)
    if silent.all():
        return Answers(scores, evidence=said, silent=silent)
    answers = classify([_part(item, "pixels") for item, light in zip(batch, silent, strict=True) if not light])
    scores[~silent] = answers.scores
    heat_maps: NDArray[np.float32] | None = None
    if answers.heat_maps is not None:
        heat_maps = np.zeros((len(batch), *answers.heat_maps.shape[1:]), np.float32)
        heat_maps[~silent] = answers.heat_maps
    return Answers(scores, heat_maps, evidence=said, silent=silent)


def _part(item: NDArray[np.generic], name: str) -> Any:
    return cast("Any", item)[name]
