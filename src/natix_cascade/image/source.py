"""Get the encoded bytes, never more than the limit: from memory, a path, an open file, base64 or a data URL."""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from natix_cascade.errors import CorruptPictureError, PictureError, PictureTooLargeError

if TYPE_CHECKING:
    from natix_cascade.image.picture import Limits

Source: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO"

_MIB = 1024 * 1024
_PIECE = 256 * 1024
_MAX_PREFIX = 256
_WHITESPACE = b" \t\r\n"


def read(source: Source, limits: Limits) -> bytes:
    """Read a source to its end, or to one byte above the limit.

    Parameters
    ----------
    source : bytes, bytearray, memoryview, str, os.PathLike or binary file
        A str is a path, never base64. A file is read from where it stands and not closed.
    limits : Limits
        `max_bytes` counts.

    Returns
    -------
    bytes

    Raises
    ------
    PictureTooLargeError
        There are more bytes than `limits.max_bytes`.
    PictureError
        The file cannot be read.
    TypeError
        The source is of another type.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        size = source.nbytes if isinstance(source, memoryview) else len(source)
        if size > limits.max_bytes:
            raise _too_large(limits, f"{size / _MIB:.1f} MiB")
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:  # noqa: PTH123  # any os.PathLike, not only a Path
                return _read_file(file, limits)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise PictureError(f"cannot read the picture {str(source)[:200]!r}: {_reason(error)}") from error
    if hasattr(source, "read"):
        try:
            return _read_file(source, limits)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            raise PictureError(f"cannot read the picture from the file given: {_reason(error)}") from error
    raise TypeError(f"a picture comes as bytes, a path or a binary file; this is {type(source).__name__}")


def from_base64(text: str | bytes, limits: Limits) -> bytes:
    """Decode base64, with or without the head of a data URL.

    The length is checked before anything is copied, so an endless text costs no memory.

    Parameters
    ----------
    text : str or bytes
        Standard base64 with padding, line breaks allowed; or ``data:...;base64,...``, whose media type is not believed.
    limits : Limits
        `max_bytes` counts, after decoding.

    Returns
    -------
    bytes

    Raises
    ------
    PictureTooLargeError
        The text is longer than the largest picture's.
    PictureError
        It is not base64.
    """
    longest = (limits.max_bytes + 2) // 3 * 4
    if len(text) > longest + longest // 32 + _MAX_PREFIX:  # a 32nd: a line break every 64 characters
        raise _too_large(limits, f"{len(text) / _MIB:.1f} Mi characters of base64")
    try:
        encoded = text.encode("ascii") if isinstance(text, str) else bytes(text)
        if encoded[:5].lower() == b"data:":
            head, comma, encoded = encoded.partition(b",")
            if not comma or len(head) > _MAX_PREFIX or not head.lower().endswith(b";base64"):
                raise PictureError("the data URL is not base64; write data:image/jpeg;base64,<base64>")
        return binascii.a2b_base64(encoded.translate(None, _WHITESPACE), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise PictureError(f"the picture is not valid base64: {_reason(error)}") from error


def _read_file(file: BinaryIO, limits: Limits) -> bytes:
    """Read an open file piece by piece; a short read is no end, an empty one is."""
    pieces: list[bytes] = []
    left = limits.max_bytes + 1
    while left > 0:
        piece = file.read(min(_PIECE, left))
        if piece is None:
            raise CorruptPictureError("the file has no bytes ready; open it in blocking mode")
        if not isinstance(piece, bytes):
            raise TypeError(f"the file reads {type(piece).__name__}, not bytes; open it in binary mode")
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
    raise _too_large(limits, "more")


def _too_large(limits: Limits, size: str) -> PictureTooLargeError:
    return PictureTooLargeError(
        f"a picture may have {limits.max_bytes / _MIB:g} MiB and this has {size}: send a smaller one"
    )


def _reason(error: Exception) -> str:
    """Say why in a few words: the system's own for a file, the first line otherwise."""
    return (isinstance(error, OSError) and error.strerror) or (str(error) or type(error).__name__).splitlines()[0][:200]
