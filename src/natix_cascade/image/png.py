"""Read the chunks of a PNG file and choose those that a decoder needs.

PNG, third edition (W3C, 2025). Text, animation, time and unknown chunks are left out, so a text bomb or a broken
frame of an animation never reaches Pillow. The colour profile is inflated here, within a bound.
"""

from __future__ import annotations

import struct
import zlib

from natix_cascade.errors import CorruptPictureError
from natix_cascade.image.exif import orientation
from natix_cascade.image.header import MAX_PROFILE_BYTES, Header

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ESSENTIAL = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_METADATA = frozenset((b"eXIf", b"iCCP"))
_MAX_CHUNKS = 50_000
_IHDR_LENGTH = 13
_DEEP = 16


def read_header(data: bytes) -> Header:
    """Read the header of a PNG file.

    Parameters
    ----------
    data : bytes
        The whole file; it begins with the PNG signature.

    Returns
    -------
    Header

    Raises
    ------
    CorruptPictureError
        The chunks are broken, a checksum is wrong, or the file ends before its IEND chunk.
    """
    keep = [(0, len(SIGNATURE))]
    metadata: dict[bytes, bytes] = {}
    size, depth = None, 0
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        kind, body, end = _chunk(data, position)
        if size is None:
            size, depth = _dimensions(data, kind, body)
        if kind in _METADATA:
            if kind not in metadata and _sound(data, position, end):
                metadata[kind] = data[slice(*body)]
        # Pillow scales 16-bit samples to 8 but not the transparent colour, so it would match the wrong pixels.
        elif kind in _ESSENTIAL and not (kind == b"tRNS" and depth == _DEEP):
            if not _sound(data, position, end):
                raise CorruptPictureError(f"the PNG is damaged: wrong checksum in its {kind.decode()} chunk")
            if keep[-1][1] == position:
                keep[-1] = (keep[-1][0], end)
            else:
                keep.append((position, end))
        position = end
        if kind == b"IEND":
            break
    else:
        raise CorruptPictureError(f"the PNG has more than {_MAX_CHUNKS} chunks")
    return Header(
        format="png",
        width=size[0],
        height=size[1],
        orientation=orientation(metadata.get(b"eXIf", b"")),
        profile=_inflate(metadata.get(b"iCCP")),
        keep=tuple(keep),
    )


def _chunk(data: bytes, position: int) -> tuple[bytes, tuple[int, int], int]:
    """Return kind, body range and end of the chunk at `position`."""
    length = int.from_bytes(data[position : position + 4], "big")
    end = position + 12 + length
    if position + 12 > len(data) or end > len(data):
        raise CorruptPictureError("the PNG is truncated: it ends before its IEND chunk")
    return data[position + 4 : position + 8], (position + 8, end - 4), end


def _sound(data: bytes, position: int, end: int) -> bool:
    """Say whether the checksum of the chunk is right."""
    return zlib.crc32(memoryview(data)[position + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def _dimensions(data: bytes, kind: bytes, body: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Return (width, height) and bit depth from the first chunk."""
    if kind != b"IHDR" or body[1] - body[0] != _IHDR_LENGTH:
        raise CorruptPictureError("the PNG does not begin with an IHDR chunk")
    width, height, depth = struct.unpack_from(">IIB", data, body[0])
    if not width or not height:
        raise CorruptPictureError("the PNG says that it has no pixels")
    return (width, height), depth


def _inflate(body: bytes | None) -> bytes | None:
    """Inflate a colour profile; None when there is none, it is broken or too large."""
    name, _, rest = (body or b"").partition(b"\x00")
    if not name or not rest.startswith(b"\x00"):
        return None
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(rest[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return None
    return profile if stream.eof and len(profile) <= MAX_PROFILE_BYTES else None
