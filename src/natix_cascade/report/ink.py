"""Colours and type of drawn explanations."""

from __future__ import annotations

from functools import cache

from PIL import ImageDraw, ImageFont

__all__ = ["FAINT", "INK", "MARGIN", "NO", "PAPER", "RULE", "SOFT", "WIDTH", "YES", "font", "shorten"]

WIDTH, MARGIN = 960, 24

PAPER, INK, SOFT, FAINT, RULE = (255, 255, 255), (27, 31, 36), (87, 96, 106), (150, 158, 167), (216, 221, 227)
YES, NO = (194, 80, 10), (11, 106, 168)  # vermillion and blue: told apart by everyone (Okabe and Ito, 2008)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Font:
    """Pillow's own typeface, so that drawings look the same on every machine."""
    return ImageFont.load_default(size=size)


def shorten(draw: ImageDraw.ImageDraw, text: str, width: float, size: int) -> str:
    """Cut a text to so many pixels, with three dots where something is missing."""
    if draw.textlength(text, font=font(size)) <= width:
        return text
    while text and draw.textlength(text + "...", font=font(size)) > width:
        text = text[:-1]
    return text + "..."
