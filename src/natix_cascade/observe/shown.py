"""The picture that is sent on to those who look at it: its pixels, made smaller and encoded anew, and nothing else."""

from __future__ import annotations

from natix_cascade.image import Limits, Picture, decode, encode_jpeg, shrink
from natix_cascade.image.source import Source

__all__ = ["as_shown"]

_LONGEST_SIDE = 768
_SHORT_SIDE = 512  # decoders may stop at about so many pixels
_QUALITY = 80


def as_shown(source: Source | Picture, limits: Limits) -> bytes:
    """A picture as a JPEG whose sides are at most 768 pixels long.

    Raises
    ------
    PictureError
        It cannot be decoded.
    """
    picture = source if isinstance(source, Picture) else decode(source, limits=limits, short_side=_SHORT_SIDE)
    return encode_jpeg(shrink(picture.pixels, _LONGEST_SIDE), quality=_QUALITY)
