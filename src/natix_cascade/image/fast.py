"""The path that most pictures take: libjpeg-turbo by way of simplejpeg, straight into a NumPy array.

Eight-bit Huffman JPEGs in grey, YCbCr or RGB. Whatever else comes goes the safe path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from natix_cascade.errors import CorruptPictureError
from natix_cascade.image.jpeg import BASELINE, EXTENDED, PROGRESSIVE
from natix_cascade.image.profile import to_srgb, wants_conversion
from natix_cascade.image.safe import strips

if TYPE_CHECKING:
    from natix_cascade.image.jpeg import JpegHeader
    from natix_cascade.image.picture import Pixels

_GREY, _COLOUR, _BITS = 1, 3, 8
_DAMAGE = ("premature end", "bad huffman code", "instead of rst")
"""libjpeg's words for coded data that is missing or wrong; its other warnings are about harmless oddities."""


def takes(header: JpegHeader) -> bool:
    """Say whether the fast path decodes such a file, and simplejpeg is installed."""
    plain = header.frame in (BASELINE, EXTENDED, PROGRESSIVE) and header.precision == _BITS
    grey_profile = header.components == _GREY and wants_conversion(header.profile)
    if not plain or header.components not in (_GREY, _COLOUR) or grey_profile:
        return False
    try:
        import simplejpeg  # noqa: F401, PLC0415  # start-up does not pay for it; without it the safe path decodes
    except ImportError:
        return False
    return True


def decode(data: bytes, header: JpegHeader, factor: int = 1) -> Pixels | None:
    """Decode with simplejpeg, strictly.

    Parameters
    ----------
    data : bytes
        The whole file.
    header : JpegHeader
        What its markers said; `takes` has approved it.
    factor : {1, 2, 4, 8}
        How much smaller each side shall be. libjpeg-turbo offers finer steps, but only these have vector code, and
        only these give the same size on both paths.

    Returns
    -------
    numpy.ndarray or None
        Shape (ceil(height / factor), ceil(width / factor), 3), uint8, RGB in sRGB colours, not yet upright. None when
        libjpeg-turbo warned of something other than damage: the safe path decides.

    Raises
    ------
    CorruptPictureError
        Coded data is missing or wrong, or the decoder found another size than the header says.
    """
    import simplejpeg  # noqa: PLC0415  # see `takes`

    height, width = -(-header.height // factor), -(-header.width // factor)
    scale = {"min_height": height, "min_width": width, "min_factor": 1}
    try:
        found = simplejpeg.decode_jpeg_header(data, **scale)[:2]
        if tuple(found) != (height, width):
            raise CorruptPictureError(f"the JPEG header says {height} x {width} rows and columns, the decoder {found}")
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", **scale)
    except ValueError as error:
        if any(word in str(error).lower() for word in _DAMAGE):
            raise CorruptPictureError(f"the JPEG is truncated or damaged: {error}") from error
        return None
    if wants_conversion(header.profile):
        from PIL import Image  # noqa: PLC0415  # only pictures with a profile need it

        for rows in strips(height, width):
            pixels[rows] = np.asarray(to_srgb(Image.fromarray(pixels[rows]), header.profile))
    return pixels
