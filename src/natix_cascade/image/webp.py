"""Read the chunks of a WebP file.

RFC 9649: a RIFF container that holds VP8 (lossy), VP8L (lossless) or VP8X (extended: alpha, animation, metadata).
"""

from __future__ import annotations

from natix_cascade.errors import CorruptPictureError
from natix_cascade.image.exif import orientation
from natix_cascade.image.header import MAX_PROFILE_BYTES, Header

_MAX_CHUNKS = 50_000
_FIRST_CHUNK = 12
_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F
_FOURTEEN_BITS = 0x3FFF


def read_header(data: bytes) -> Header:
    """Read the header of a WebP file.

    Parameters
    ----------
    data : bytes
        The whole file; it begins with ``RIFF....WEBP``.

    Returns
    -------
    Header

    Raises
    ------
    CorruptPictureError
        The chunks are broken, or the file ends before the length that it states.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise CorruptPictureError(f"the WebP is truncated: it states {end} bytes and has {len(data)}")
    size: tuple[int, int] | None = None
    exif, profile = b"", None
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            break
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        start = position + 8
        if start + length > end:
            raise CorruptPictureError("the WebP is truncated: a chunk is longer than the file")
        if size is None:
            size = _dimensions(kind, data[start : start + min(length, 10)])
        if kind == b"EXIF":
            exif = exif or data[start : start + length]
        elif kind == b"ICCP" and length <= MAX_PROFILE_BYTES:
            profile = profile or data[start : start + length]
        position = start + length + length % 2
    else:
        raise CorruptPictureError(f"the WebP has more than {_MAX_CHUNKS} chunks")
    if size is None:
        raise CorruptPictureError("the WebP has no picture in it")
    return Header(
        format="webp",
        width=size[0],
        height=size[1],
        orientation=orientation(exif),
        profile=profile,
        keep=((0, end),),
    )


def _dimensions(kind: bytes, head: bytes) -> tuple[int, int]:
    """Return (width, height) from the first chunk."""
    number = int.from_bytes
    if len(head) == 10:  # noqa: PLR2004  # the length of a VP8X chunk and of a VP8 frame header
        if kind == b"VP8X":
            return 1 + number(head[4:7], "little"), 1 + number(head[7:10], "little")
        if kind == b"VP8 " and head[3:6] == _VP8_START_CODE:
            size = number(head[6:8], "little") & _FOURTEEN_BITS, number(head[8:10], "little") & _FOURTEEN_BITS
            if all(size):
                return size
        if kind == b"VP8L" and head[0] == _VP8L_SIGNATURE:
            bits = number(head[1:5], "little")
            return 1 + (bits & _FOURTEEN_BITS), 1 + (bits >> 14 & _FOURTEEN_BITS)
    raise CorruptPictureError("the WebP does not begin with a picture that can be read")
