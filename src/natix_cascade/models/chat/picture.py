"""Pictures for vision-language models: sized to a budget of pixels, encoded anew."""

from __future__ import annotations

import base64
import math

import numpy as np
from numpy.typing import NDArray

from natix_cascade.image.encode import encode_jpeg
from natix_cascade.image.resize import resize
from natix_cascade.spec.card import ModelCard

__all__ = ["as_jpeg", "data_url", "sized", "step_of"]

_STEP, _STEP_QWEN2 = 32, 28


def step_of(card: ModelCard) -> int:
    """What both sides are made multiples of: the side of a visual token, so that the server need not scale again.

    28 pixels for Qwen2-VL and Qwen2.5-VL (patches of 14, merged two by two), 32 for Qwen3-VL (patches of 16) and all
    others.
    """
    family = f"{card.family} {card.name}".lower().replace(" ", "").replace("-", "").replace(".", "")
    return _STEP_QWEN2 if any(name in family for name in ("qwen2vl", "qwen25vl")) else _STEP


def sized(height: int, width: int, max_pixels: int, step: int) -> tuple[int, int]:
    """The size in which a picture is sent: its aspect, at most `max_pixels`, sides multiples of `step`.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    max_pixels : int
        Budget; a budget below one `step` squared makes the step smaller.
    step : int
        See `step_of`.

    Returns
    -------
    height, width : int
        Never more than the nearest multiple above the picture's own size: small pictures are not blown up.
    """
    step = min(step, math.isqrt(max_pixels))
    most = max_pixels // (step * step)
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    rows, columns = (_whole(side * scale / step) for side in (height, width))
    fitting = [(r, c) for r in rows for c in columns if r * c <= most]
    if not fitting:  # so long that its shorter side is one token
        fitting = [(min(rows[0], most), 1), (1, min(columns[0], most))]
    aspect = math.log(height / width)
    best = min(fitting, key=lambda size: (round(abs(math.log(size[0] / size[1]) - aspect), 9), -size[0] * size[1]))
    return best[0] * step, best[1] * step


def _whole(tokens: float) -> tuple[int, int]:
    """The two nearest whole numbers of tokens, at least one."""
    return max(1, math.floor(tokens)), max(1, math.ceil(tokens))


def as_jpeg(pixels: NDArray[np.uint8], max_pixels: int, step: int) -> NDArray[np.uint8]:
    """A picture ``(H, W, 3)`` RGB as the bytes of a JPEG file (1-d uint8): sized, without metadata.

    Encoded from pixels, never passed on: what was hidden in the file that came in stays behind.
    """
    height, width = sized(pixels.shape[0], pixels.shape[1], max_pixels, step)
    return np.frombuffer(encode_jpeg(resize(pixels, height, width)), np.uint8)


def data_url(jpeg: NDArray[np.generic]) -> str:
    """The bytes of a JPEG file as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
