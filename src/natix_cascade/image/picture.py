"""What the rest of the house sees of a picture, and the bounds within which one is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]

Format: TypeAlias = Literal["jpeg", "png", "webp"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Decoded, upright RGB pixels and what is known of them.

    Two pictures are equal only when they are the same object; compare `sha256` to find equal files.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), uint8, C-contiguous, RGB, upright. Smaller than `height` x `width` below when the
        picture was decoded at a scale.
    id : str
        The caller's name for the picture, or the first 16 digits of `sha256`.
    sha256 : str
        64 hex digits, of the encoded bytes as they came in.
    format : {'jpeg', 'png', 'webp'}
        What the bytes are, whatever a name or a content type said.
    width : int
        Pixels of the upright original, before any scaled decoding.
    height : int
        The same, downwards.
    place : tuple of float, optional
        Latitude and longitude in degrees.
    time : str, optional
        When the picture was taken, as the source wrote it.
    """

    pixels: Pixels
    id: str
    sha256: str
    format: Format
    width: int
    height: int
    place: tuple[float, float] | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:  # noqa: PLR2004  # height, width, RGB
            raise ValueError(
                f"pixels are {pixels.dtype} of shape {pixels.shape}; a picture is uint8 (height, width, 3)"
            )
        if not pixels.flags.c_contiguous:
            raise ValueError("pixels are a strided view; pass numpy.ascontiguousarray(pixels)")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted; everything is checked against the header, before any pixel is decoded.

    Attributes
    ----------
    max_bytes : int
        Most encoded bytes; more answers 413.
    max_pixels : int
        Most pixels (width times height) by the header; more answers 413.
    min_side : int
        Fewest pixels on either side; fewer answers 422.
    max_aspect : float
        Most times that one side may be longer than the other; more answers 422.
    """

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    min_side: int = 8
    max_aspect: float = 50

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "min_side", "max_aspect"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a limit is at least 1")
