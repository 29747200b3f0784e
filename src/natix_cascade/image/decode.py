"""Bytes to picture: the one door through which every picture comes in.

::

    bytes -> what are they? -> header within the limits? -> fast or safe decoder -> upright -> Picture
             415               413, 422                      422
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from natix_cascade.errors import CorruptPictureError, PictureError, UnsupportedFormatError
from natix_cascade.image import exif, fast, jpeg, png, safe, webp
from natix_cascade.image.jpeg import JpegHeader
from natix_cascade.image.picture import Limits, Picture
from natix_cascade.image.source import from_base64, read

if TYPE_CHECKING:
    from natix_cascade.image.header import Header
    from natix_cascade.image.picture import Pixels
    from natix_cascade.image.source import Source

_JPEG_MAGIC = b"\xff\xd8\xff"
_DEFAULT = Limits()
_ID_DIGITS = 16
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"8BPS": "a Photoshop file",
    b"SIMPLE": "a FITS file",
    b"<svg": "an SVG",
    b"<?xml": "an XML file",
    b"PK\x03\x04": "a ZIP archive",
}


def decode(
    source: Source,
    *,
    limits: Limits = _DEFAULT,
    short_side: int | None = None,
    id: str | None = None,  # noqa: A002  # the field of Picture that it fills
) -> Picture:
    """Decode a picture, whatever it claims to be, or say in one sentence why not.

    What a file is follows from its first bytes alone. The limits are checked against its header before a decoder is
    asked. EXIF orientation is applied, embedded colour profiles become sRGB, CMYK, grey, palettes and 16 bits become
    8-bit RGB, transparency shows mid-grey, and of an animation the first frame counts.

    Parameters
    ----------
    source : bytes, bytearray, memoryview, str, os.PathLike or binary file
        A str is a path. A file is read from where it stands, and never further than one byte above the limit.
    limits : Limits
        Bytes, pixels, sides and aspect that are accepted.
    short_side : int, optional
        Pixels that the shorter side must keep. A JPEG is then decoded at 1/2, 1/4 or 1/8 where that is enough, several
        times as fast; other formats, and a JPEG that is smaller already, come at full size. None asks for full size.
    id : str, optional
        The picture's name in verdicts and records; by default the first 16 digits of its SHA-256.

    Returns
    -------
    Picture

    Raises
    ------
    UnsupportedFormatError
        Neither JPEG, PNG nor WebP (415).
    PictureTooLargeError
        More bytes or pixels than the limits (413).
    PictureShapeError
        Too small or too narrow (422).
    CorruptPictureError
        Truncated or damaged (422).
    PictureError
        The file cannot be read (422).

    Examples
    --------
    >>> from natix_cascade.image import decode, encode_jpeg
    >>> import numpy as np
    >>> decode(encode_jpeg(np.zeros((360, 640, 3), np.uint8)), short_side=90).pixels.shape
    (90, 160, 3)
    """
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side is {short_side}; give the pixels that the shorter side needs, or None for all")
    data = read(source, limits)
    header = _read_header(data)
    header.check(limits)
    try:
        pixels = exif.upright(_decode(data, header, _factor(header, short_side)), header.orientation)
        pixels = np.require(pixels, requirements=("C", "W"))
    except PictureError:
        raise
    except MemoryError as error:
        raise CorruptPictureError(f"decoding the {header.format} needs more memory than there is") from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CorruptPictureError(f"the {header.format} cannot be decoded: {reason}") from error
    width, height = header.width, header.height
    if exif.swaps_sides(header.orientation):
        width, height = height, width
    digest = hashlib.sha256(data).hexdigest()
    return Picture(pixels, digest[:_ID_DIGITS] if id is None else id, digest, header.format, width, height)


def decode_base64(
    text: str | bytes,
    *,
    limits: Limits = _DEFAULT,
    short_side: int | None = None,
    id: str | None = None,  # noqa: A002  # the field of Picture that it fills
) -> Picture:
    """Decode a picture from base64 or a data URL.

    Parameters
    ----------
    text : str or bytes
        Standard base64, line breaks allowed, or ``data:...;base64,...``. Its length is checked before it is decoded.
    limits, short_side, id
        As for `decode`.

    Returns
    -------
    Picture

    Raises
    ------
    PictureError
        Not base64 (422); and everything that `decode` raises.
    """
    return decode(from_base64(text, limits), limits=limits, short_side=short_side, id=id)


def _read_header(data: bytes) -> Header:
    """Recognise the format by its first bytes and read the header."""
    if data.startswith(_JPEG_MAGIC):
        return jpeg.read_header(data)
    if data.startswith(png.SIGNATURE):
        return png.read_header(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return webp.read_header(data)
    if not data:
        raise CorruptPictureError("the picture is empty: it has no bytes")
    kind = next((name for magic, name in _OTHERS.items() if data.startswith(magic)), "something else")
    raise UnsupportedFormatError(f"pictures are JPEG, PNG or WebP; by its first bytes this is {kind}")


def _factor(header: Header, short_side: int | None) -> int:
    """Choose the strongest reduction, 1, 2, 4 or 8, that leaves the shorter side `short_side` pixels."""
    if header.format != "jpeg" or short_side is None:
        return 1
    shorter = min(header.width, header.height)
    return next((factor for factor in (8, 4, 2) if -(-shorter // factor) >= short_side), 1)


def _decode(data: bytes, header: Header, factor: int) -> Pixels:
    """Take the fast path where it goes, else the safe one."""
    if isinstance(header, JpegHeader) and fast.takes(header):
        pixels = fast.decode(data, header, factor)
        if pixels is not None:
            return pixels
    return safe.decode(data, header, factor)
