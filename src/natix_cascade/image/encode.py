"""Pixels to JPEG: for what is stored or sent on, and for the subnet's challenges.

Pillow encodes: bit for bit what the subnet's validators send. simplejpeg is a fifth faster, but only by a coarser
cosine transform, which changes almost half of all pixels by a level or more.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from natix_cascade.image.picture import Picture, Pixels

_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
_MAX_QUALITY = 100


def encode_jpeg(
    pixels: Pixels, *, quality: int = 90, subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"
) -> bytes:
    """Encode pixels as a baseline JPEG without metadata.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), uint8, RGB.
    quality : int
        1 to 100, on the scale of the Independent JPEG Group.
    subsampling : {'4:4:4', '4:2:2', '4:2:0'}
        Resolution of the colour channels: full, halved across, halved both ways.

    Returns
    -------
    bytes
    """
    if not 1 <= quality <= _MAX_QUALITY or subsampling not in _SUBSAMPLINGS:
        raise ValueError(
            f"quality is {quality} and subsampling {subsampling!r}; write 1 to 100 and one of {_SUBSAMPLINGS}"
        )
    from PIL import Image  # noqa: PLC0415  # start-up does not pay for Pillow

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def sanitize(picture: Picture) -> bytes:
    """Encode a picture anew, so that nothing but its pixels travels on.

    Trailing data, a second file behind or inside the first (a polyglot), metadata with a place or a name, and whatever
    was aimed at somebody else's decoder stay behind.

    Parameters
    ----------
    picture : Picture

    Returns
    -------
    bytes
        A baseline JPEG of quality 90, upright, in sRGB.
    """
    return encode_jpeg(picture.pixels)
