"""EXIF orientation: read it from hostile bytes, and turn pixels upright.

Only the one tag is read, by hand: Pillow's reader parses every directory, warns of broken ones and must be imported.
CIPA DC-008 (Exif 2.32), section 4.6.4; TIFF 6.0, section 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natix_cascade.image.picture import Pixels

EXIF_PREFIX = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_MAX_ENTRIES = 512
_UPRIGHT, _LAST = 1, 8
_FIRST_TRANSPOSED = 5


def orientation(exif: bytes) -> int:
    """Find the orientation in an EXIF block.

    Parameters
    ----------
    exif : bytes
        A TIFF header and its directories, with or without the leading ``Exif`` and two zeros.

    Returns
    -------
    int
        1 to 8; 1 (upright) when there is none, or the block is broken.
    """
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return _UPRIGHT
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(min(count, _MAX_ENTRIES)):
            at = start + 2 + 12 * entry
            tag, kind, _ = struct.unpack_from(order + "HHI", tiff, at)
            if tag == _ORIENTATION and kind in (_SHORT, _LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, at + 8)
                return int(value) if _UPRIGHT <= value <= _LAST else _UPRIGHT
    except struct.error:  # a directory that points outside its block
        pass
    return _UPRIGHT


def swaps_sides(value: int) -> bool:
    """Say whether orientation `value` exchanges width and height (5 to 8 do)."""
    return value >= _FIRST_TRANSPOSED


def upright(pixels: Pixels, value: int) -> Pixels:
    """Turn stored pixels upright.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (height, width, 3), as stored.
    value : int
        EXIF orientation, 1 to 8.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), or (width, height, 3) for 5 to 8: a view, except for 1 where it is `pixels`.
    """
    if swaps_sides(value):
        pixels = pixels.transpose(1, 0, 2)
    rows = slice(None, None, -1 if value in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if value in (2, 3, 6, 7) else 1)
    return pixels if value in (1, 5) else pixels[rows, columns]
