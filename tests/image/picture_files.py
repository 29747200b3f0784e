"""Pictures made in code: no photographs, no binary files."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (40, 40, 220), (230, 220, 40)


@lru_cache(maxsize=8)
def scene(height: int = 96, width: int = 160) -> np.ndarray:
    """Four coloured quarters over a soft gradient: each of the eight orientations looks different."""
    out = np.zeros((height, width, 3), np.uint8)
    half, middle = height // 2, width // 2
    out[:half, :middle], out[:half, middle:], out[half:, :middle], out[half:, middle:] = RED, GREEN, BLUE, YELLOW
    shade = np.linspace(0.75, 1, width)[None, :, None] * np.linspace(0.8, 1, height)[:, None, None]
    return (out * shade).astype(np.uint8)


@lru_cache(maxsize=8)
def noisy(height: int = 96, width: int = 160) -> np.ndarray:
    """The scene with texture, so that every part of the file matters."""
    grain = np.random.default_rng(7).normal(0, 12, (height, width, 3))
    return np.clip(scene(height, width) + grain, 0, 255).astype(np.uint8)


def save(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, kind, **options)
    return out.getvalue()


def exif_block(value: int, order: str = "<") -> bytes:
    """A smallest EXIF block with nothing but the orientation."""
    magic = b"II*\x00" if order == "<" else b"MM\x00*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, value, 0)
    return b"Exif\x00\x00" + magic + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def stored(upright: np.ndarray, value: int) -> np.ndarray:
    """How a camera stores `upright` when it writes orientation `value`; by Pillow's names, not by the code's."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(upright)
    return np.asarray(image.transpose(undo[value]) if value in undo else image)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *extra: bytes) -> bytes:
    """A PNG by hand: `raw` are its filtered rows, `extra` whole chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(raw, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + body + chunk(b"IEND", b"")


def insert_after_start(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Put a segment right behind the start of a JPEG."""
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def with_profile(jpeg: bytes, profile: bytes) -> bytes:
    return insert_after_start(jpeg, 0xE2, b"ICC_PROFILE\x00\x01\x01" + profile)


def inks(pixels: np.ndarray) -> np.ndarray:
    """Cyan, magenta, yellow and black such that (255 - ink)(255 - black) / 255 gives the pixels back."""
    pixels = pixels.astype(np.float64)
    light = np.maximum(pixels.max(axis=2, keepdims=True), 1)
    return np.rint(np.dstack([255 - 255 * pixels / light, 255 - light])).astype(np.uint8)


def cmyk(pixels: np.ndarray, **options: Any) -> bytes:
    return _save_cmyk(inks(pixels), **options)


def ycck(pixels: np.ndarray) -> bytes:
    """A YCCK JPEG: a CMYK one of Pillow's (which stores channels inverted) whose Adobe segment says YCCK."""
    ink = inks(pixels)
    coded = np.asarray(Image.fromarray(np.ascontiguousarray(ink[..., :3])).convert("YCbCr"))
    data = _save_cmyk(np.dstack([255 - coded, ink[..., 3]]), quality=95)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\x02" + data[transform + 1 :]


def _save_cmyk(channels: np.ndarray, **options: Any) -> bytes:
    height, width = channels.shape[:2]
    return save(Image.frombytes("CMYK", (width, height), np.ascontiguousarray(channels).tobytes()), "JPEG", **options)


DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
SWAPPED = ((0.3851, 0.7169, 0.0971), (0.4361, 0.2225, 0.0139), (0.1431, 0.0606, 0.7141))
"""sRGB's own primaries with red and green exchanged: its effect is unmistakable."""


@lru_cache(maxsize=4)
def profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    """An RGB profile with other primaries (XYZ under D50) and sRGB's curve, which does not call itself sRGB."""
    out = bytearray(srgb())
    (count,) = struct.unpack_from(">I", out, 128)
    tags = {bytes(out[at : at + 4]): struct.unpack_from(">II", out, at + 4) for at in range(132, 132 + 12 * count, 12)}
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        struct.pack_into(">iii", out, tags[name][0] + 8, *(round(value * 65536) for value in xyz))
    start, length = tags[b"desc"]
    out[start : start + length] = out[start : start + length].replace(b"s\x00R\x00G\x00B", b"w\x00i\x00d\x00e")
    return bytes(out)


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
