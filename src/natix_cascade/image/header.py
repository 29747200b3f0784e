"""What a picture file says of itself before any decoder is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from natix_cascade.errors import PictureShapeError, PictureTooLargeError

if TYPE_CHECKING:
    from natix_cascade.image.picture import Format, Limits

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Colour profiles above this are ignored; the largest printing profiles in use have about 3 MB."""


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that JPEG, PNG and WebP share.

    Attributes
    ----------
    format : {'jpeg', 'png', 'webp'}
    width, height : int
        As stored, before the orientation is applied.
    orientation : int
        1 to 8, EXIF tag 0x0112; 1 where there is none.
    profile : bytes, optional
        The embedded ICC profile.
    keep : tuple of (int, int)
        Byte ranges that a decoder needs. What is left out (text, thumbnails, metadata, further frames, trailing
        data) never reaches Pillow, so it can neither fill the memory nor raise a warning there.
    """

    format: Format
    width: int
    height: int
    orientation: int
    profile: bytes | None
    keep: tuple[tuple[int, int], ...]

    def essential(self, data: bytes) -> bytes:
        """Return the parts of `data` that a decoder needs."""
        if self.keep == ((0, len(data)),):
            return data
        return b"".join([data[start:end] for start, end in self.keep])

    def check(self, limits: Limits) -> None:
        """Refuse a picture outside `limits`.

        Raises
        ------
        PictureTooLargeError
            More pixels than `limits.max_pixels`.
        PictureShapeError
            A side below `limits.min_side`, or an aspect above `limits.max_aspect`.
        """
        width, height = self.width, self.height
        if width * height > limits.max_pixels:
            raise PictureTooLargeError(
                f"the picture has {width} x {height} = {width * height / 1e6:.1f} megapixels by its header; "
                f"at most {limits.max_pixels / 1e6:g} are accepted: send a smaller one"
            )
        if min(width, height) < limits.min_side:
            raise PictureShapeError(
                f"the picture has {width} x {height} pixels; each side needs at least {limits.min_side}"
            )
        if max(width, height) > limits.max_aspect * min(width, height):
            raise PictureShapeError(
                f"the picture has {width} x {height} pixels; at most {limits.max_aspect:g} to 1 is accepted"
            )
