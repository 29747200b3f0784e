"""Bytes to upright RGB pictures, and the subnet's augmentations.

>>> from natix_cascade.image import decode
>>> picture = decode("street.jpg", short_side=224)  # doctest: +SKIP

Importing this package imports NumPy and the standard library only; decoders come in with the first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natix_cascade.image.decode import decode, decode_base64
from natix_cascade.image.encode import encode_jpeg, sanitize
from natix_cascade.image.picture import Limits, Picture
from natix_cascade.image.resize import center_crop_square, fit, resize, shrink

if TYPE_CHECKING:
    from natix_cascade.image.augment import Level, challenge, challenge_jpeg

__all__ = [
    "Level",
    "Limits",
    "Picture",
    "center_crop_square",
    "challenge",
    "challenge_jpeg",
    "decode",
    "decode_base64",
    "encode_jpeg",
    "fit",
    "resize",
    "sanitize",
    "shrink",
]


def __getattr__(name: str) -> Any:
    """Import the augmentations when they are first used: judging a picture does not need them."""
    if name in {"Level", "challenge", "challenge_jpeg"}:
        from natix_cascade.image import augment  # noqa: PLC0415

        return getattr(augment, name)
    raise AttributeError(f"module 'natix_cascade.image' has no attribute {name!r}")
