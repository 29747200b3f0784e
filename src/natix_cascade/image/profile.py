"""Colour profiles: what is embedded becomes sRGB, the colours that every model was trained on.

ICC.1:2022. A profile that is broken, too large or made for other channels than the picture's is ignored: its pixels
are taken as sRGB, as browsers do.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_HEADER_BYTES = 128
_SPACE = slice(16, 20)
_SIGNATURE = slice(36, 40)
_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_MAX_TAGS = 100


def wants_conversion(profile: bytes | None) -> bool:
    """Say whether `profile` may change a picture: it is there, looks like a profile and does not call itself sRGB."""
    return profile is not None and profile[_SIGNATURE] == b"acsp" and not _is_srgb(profile)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image to RGB, in sRGB colours.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode L, RGB or CMYK.
    profile : bytes, optional
        The ICC profile that its colours are in; None for sRGB.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.
    """
    if profile is not None and wants_conversion(profile) and profile[_SPACE] == _SPACES.get(image.mode):
        from PIL import ImageCms  # noqa: PLC0415  # few pictures have a profile: start-up does not pay for it

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # whatever Little CMS dislikes: a broken profile is ignored
            converted = None
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_srgb(profile: bytes) -> bool:
    """Say whether the profile's description names sRGB (in ASCII, as in version 2, or UTF-16, as in version 4)."""
    try:
        (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
        for tag in range(min(count, _MAX_TAGS)):
            name, start, length = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * tag)
            if name == b"desc":
                return b"sRGB" in profile[start : start + length].replace(b"\x00", b"")
    except struct.error:  # a tag table longer than the profile
        pass
    return False
