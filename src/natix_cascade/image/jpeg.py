"""Read the markers of a JPEG file, without decoding it and without Pillow.

ITU-T T.81, annex B. The reader follows libjpeg where files break the standard (bytes between segments are skipped,
padding is allowed) and refuses what no decoder gets through. Its work is bounded: at most `_MAX_SEGMENTS` steps, each
a search in C, so a hostile file costs milliseconds.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from natix_cascade.errors import CorruptPictureError
from natix_cascade.image.exif import EXIF_PREFIX, orientation
from natix_cascade.image.header import MAX_PROFILE_BYTES, Header

BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_STANDALONE: Final = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))  # an escaped FF, TEM and the restarts: no length
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # without DHT, JPG and DAC
_APP1, _APP2, _APP14 = 0xE1, 0xE2, 0xEE
_DISPENSABLE: Final = frozenset((*range(0xE1, 0xF0), 0xFE)) - {
    _APP14
}  # metadata and comments; Adobe's and JFIF's count
_ICC_PREFIX = b"ICC_PROFILE\x00"
_ADOBE_LENGTH = 12
_PADDING = re.compile(rb"\xff+")
_SCAN_OR_END = re.compile(rb"\xff[\xd9\xda]")
_MAX_SEGMENTS = 5_000
_MAX_SCANS = 40
"""A progressive file of libjpeg has 10 scans, of mozjpeg up to 20; many more are a way to burn a server's time."""


@dataclass(frozen=True, slots=True)
class JpegHeader(Header):
    """What the segments before the first scan say.

    Attributes
    ----------
    frame : int
        The start-of-frame marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive, others are rare.
    precision : int
        Bits a sample.
    components : int
        1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK.
    adobe_transform : int, optional
        0 none (RGB, CMYK), 1 YCbCr, 2 YCCK; None without an Adobe segment.
    """

    frame: int
    precision: int
    components: int
    adobe_transform: int | None


def read_header(data: bytes) -> JpegHeader:
    """Read the header of a JPEG file.

    Parameters
    ----------
    data : bytes
        The whole file; it begins with FF D8.

    Returns
    -------
    JpegHeader

    Raises
    ------
    CorruptPictureError
        The markers are broken, the file ends before its end-of-image marker, or has too many scans or segments.
    """
    found = _Found()
    keep = [(0, 2)]
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, start = _next_marker(data, position)
        if marker in _STANDALONE:
            position = start
            continue
        if marker in (_SOI, _EOI):
            raise CorruptPictureError("the JPEG has a second start, or its end, before its first scan")
        position = start + _length(data, start)
        if marker == _SOS:
            keep.append((start - 2, len(data)))
            break
        found.take(marker, data[start + 2 : position])
        if marker not in _DISPENSABLE:
            keep.append((start - 2, position))
    else:
        raise CorruptPictureError(f"the JPEG has more than {_MAX_SEGMENTS} segments before its first scan")
    if found.frame is None:
        raise CorruptPictureError("the JPEG has a scan but no frame header before it")
    _check_scans(data, keep[-1][0])
    marker, precision, height, width, components = found.frame
    return JpegHeader(
        format="jpeg",
        width=width,
        height=height,
        orientation=orientation(found.exif),
        profile=_join(found.profile),
        keep=tuple(keep),
        frame=marker,
        precision=precision,
        components=components,
        adobe_transform=found.adobe_transform,
    )


@dataclass(slots=True)
class _Found:
    """What the segments have said so far."""

    frame: tuple[int, int, int, int, int] | None = None
    exif: bytes = b""
    profile: list[bytes] = field(default_factory=list)
    adobe_transform: int | None = None

    def take(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            if self.frame is not None:
                raise CorruptPictureError("the JPEG declares two frames")
            self.frame = marker, *_frame(body)
        elif marker == _APP1 and body.startswith(EXIF_PREFIX):
            self.exif = self.exif or body
        elif marker == _APP2 and body.startswith(_ICC_PREFIX):
            self.profile.append(body[len(_ICC_PREFIX) :])
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= _ADOBE_LENGTH:
            self.adobe_transform = body[_ADOBE_LENGTH - 1]


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Return the next marker at or after `position` and the offset that follows it."""
    start = data.find(b"\xff", position)
    padding = _PADDING.match(data, start) if start >= 0 else None
    if padding is None or padding.end() == len(data):
        raise CorruptPictureError("the JPEG ends before its first scan")
    return data[padding.end()], padding.end() + 1


def _length(data: bytes, start: int) -> int:
    """Return the length of the segment at `start`, its own two bytes included."""
    length = int.from_bytes(data[start : start + 2], "big")
    if length < 2 or start + length > len(data):  # noqa: PLR2004  # the length counts its own two bytes
        raise CorruptPictureError("the JPEG ends inside a segment, or a segment has an impossible length")
    return length


def _frame(body: bytes) -> tuple[int, int, int, int]:
    """Return precision, height, width and components of a frame header."""
    try:
        precision, height, width, components = struct.unpack_from(">BHHB", body)
    except struct.error:
        raise CorruptPictureError("the JPEG's frame header is too short") from None
    if len(body) != 6 + 3 * components or not width or not height:
        raise CorruptPictureError("the JPEG's frame header contradicts itself")
    return precision, height, width, components


def _check_scans(data: bytes, scan: int) -> None:
    """Refuse a file without an end, or with too many scans.

    Inside a scan FF is always followed by 00 or a restart marker, so a plain search finds only true markers.
    """
    for before, found in enumerate(_SCAN_OR_END.finditer(data, scan)):
        if data[found.end() - 1] == _EOI:
            return
        if before >= _MAX_SCANS:
            raise CorruptPictureError(f"the JPEG has more than {_MAX_SCANS} scans")
    raise CorruptPictureError("the JPEG is truncated: it has no end-of-image marker")


def _join(parts: list[bytes]) -> bytes | None:
    """Join an ICC profile from its numbered parts; None when there is none, one is missing or it is too large."""
    if not parts or any(len(part) < 2 for part in parts):  # noqa: PLR2004  # number and count
        return None
    parts = sorted(parts, key=lambda part: part[0])
    whole = [part[0] for part in parts] == list(range(1, len(parts) + 1)) and parts[0][1] == len(parts)
    if not whole or sum(map(len, parts)) > MAX_PROFILE_BYTES:
        return None
    return b"".join(part[2:] for part in parts)
