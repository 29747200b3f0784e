"""The path that decodes everything: Pillow, kept strict and fed only what it needs."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from natix_cascade.errors import CorruptPictureError, PictureTooLargeError
from natix_cascade.image.profile import to_srgb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from natix_cascade.image.header import Header
    from natix_cascade.image.picture import Pixels

BACKGROUND = (128, 128, 128)
"""What shows through transparency: mid-grey, close to the mean that models subtract, so it carries no signal."""
_STRIP_PIXELS = 4_000_000


def decode(data: bytes, header: Header, factor: int = 1) -> Pixels:
    """Decode with Pillow.

    Parameters
    ----------
    data : bytes
        The whole file.
    header : Header
        What its markers or chunks said.
    factor : {1, 2, 4, 8}
        How much smaller each side of a JPEG shall be; other formats need 1.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), uint8, RGB in sRGB colours, not yet upright.

    Raises
    ------
    CorruptPictureError
        The decoder found another size than the header says.
    PictureTooLargeError
        Pillow's own process-wide limit is below the picture's size.
    """
    from PIL import Image  # noqa: PLC0415  # most pictures are plain JPEGs: start-up does not pay for Pillow

    pixels, most = header.width * header.height, Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > most:  # Pillow would warn here, and raise above twice the number
        raise PictureTooLargeError(
            f"the picture has {pixels / 1e6:.1f} megapixels and PIL.Image.MAX_IMAGE_PIXELS allows {most / 1e6:.1f}: "
            "raise that as well as the limits"
        )
    with _strict(), _open(header, data) as image:
        if image.size != (header.width, header.height):
            raise CorruptPictureError(
                f"the {header.format} header says {header.width} x {header.height} pixels, the decoder {image.size}"
            )
        if factor > 1:
            image.draft(None, (header.width // factor, header.height // factor))
        image.load()
        return _to_pixels(image, header.profile)


def to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn any mode that JPEG, PNG and WebP decode to into RGB.

    16-bit grey keeps its high byte (as Pillow does for 16-bit colour), grey is repeated, a palette is looked up,
    CMYK is converted, a colour profile is applied, and what is transparent shows `BACKGROUND`.

    Parameters
    ----------
    image : PIL.Image.Image
    profile : bytes, optional
        The embedded ICC profile.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.
    """
    from PIL import Image  # noqa: PLC0415  # see `decode`

    if image.mode.startswith("I"):
        return to_srgb(Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), profile)
    if not image.has_transparency_data:
        colour = {"1": "L", "P": "RGB"}.get(image.mode)
        return to_srgb(image.convert(colour) if colour else image, profile)
    image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    alpha = image.getchannel("A")
    colours = to_srgb(image.convert("L" if image.mode == "LA" else "RGB"), profile)
    if alpha.getextrema()[0] == 255:  # noqa: PLR2004  # opaque everywhere
        return colours
    out = Image.new("RGB", image.size, BACKGROUND)
    out.paste(colours, mask=alpha)
    return out


def _open(header: Header, data: bytes) -> Image.Image:
    """Open with the one decoder that the first bytes name."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # see `decode`

    try:
        return Image.open(io.BytesIO(header.essential(data)), formats=(header.format.upper(),))
    except UnidentifiedImageError as error:
        raise CorruptPictureError(
            f"the {header.format} is of a kind that cannot be decoded, or its header is damaged"
        ) from error


def _to_pixels(image: Image.Image, profile: bytes | None) -> Pixels:
    """Convert strip by strip, so that a large picture is never held in three modes at once."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        part = image if rows.stop - rows.start == height else image.crop((0, rows.start, width, rows.stop))
        pixels[rows] = np.asarray(to_rgb(part, profile))
    return pixels


def strips(height: int, width: int) -> Iterator[slice]:
    """Cut `height` rows into strips of a few megapixels; one strip for most pictures."""
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


_lock = threading.Lock()
_strict_users = 0
_was_lenient = False


@contextmanager
def _strict() -> Iterator[None]:
    """Hold Pillow's process-wide leniency towards truncated files off, and give it back when the last user leaves."""
    global _strict_users, _was_lenient  # noqa: PLW0603  # the setting is global, so is the count of who needs it off
    from PIL import ImageFile  # noqa: PLC0415  # see `decode`

    with _lock:
        if not _strict_users:
            _was_lenient = ImageFile.LOAD_TRUNCATED_IMAGES
        _strict_users += 1
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _lock:
            _strict_users -= 1
            if not _strict_users and _was_lenient:
                ImageFile.LOAD_TRUNCATED_IMAGES = True
