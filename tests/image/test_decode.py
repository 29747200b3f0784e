"""What a good picture becomes: upright RGB by rule, the same on every path."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from natix_cascade.errors import CorruptPictureError
from natix_cascade.image import Picture, decode, encode_jpeg, exif, fast, jpeg, png, safe, sanitize
from natix_cascade.image.safe import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

SCENE = files.scene()
CORNERS = ((20, 30), (20, 130), (76, 30), (76, 130))


@pytest.fixture(params=["fast", "safe"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "safe":
        monkeypatch.setattr(fast, "takes", lambda _: False)
    else:
        monkeypatch.setattr(safe, "decode", lambda *_: pytest.fail("the safe path was taken"))
    return request.param


def difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# The picture --------------------------------------------------------------------------------------------------------


def test_a_picture_says_what_it_is() -> None:
    data = files.save(SCENE, "PNG")
    picture = decode(data)
    assert (picture.format, picture.width, picture.height) == ("png", 160, 96)
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.id == picture.sha256[:16]
    assert picture.place is None
    assert picture.time is None
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    assert np.array_equal(picture.pixels, SCENE)
    assert decode(data, id="cam-7/0001").id == "cam-7/0001"


def test_a_picture_is_frozen_and_equal_to_itself_only() -> None:
    data = files.save(SCENE, "PNG")
    one, other = decode(data), decode(data)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.id = "x"
    assert one == one  # noqa: PLR0124  # that is the claim
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize("pixels", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), SCENE[:, ::2]])
def test_wrong_pixels_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels are"):
        Picture(pixels, "a", "b", "png", 8, 8)


def test_a_plain_jpeg_needs_neither_pillow_nor_an_import_at_start(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(files.save(SCENE, "JPEG", exif=files.exif_block(6), icc_profile=files.srgb()))
    code = (
        "import sys, natix_cascade.image as i;"
        "assert not {'PIL', 'simplejpeg', 'onnxruntime', 'pydantic'} & set(sys.modules);"
        "p = i.decode(sys.argv[1], short_side=40);"
        "assert p.pixels.shape == (80, 48, 3), p.pixels.shape;"
        "assert 'simplejpeg' in sys.modules and not [m for m in sys.modules if m.startswith('PIL')]"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)


# Two paths for JPEG -------------------------------------------------------------------------------------------------

JPEGS = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:4:4": {"subsampling": "4:4:4"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "rgb": {"keep_rgb": True},
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("size", [(96, 160), (97, 161), (8, 8), (225, 301)])
def test_both_paths_give_the_same_picture(kind: str, size: tuple[int, int]) -> None:
    data = files.save(files.noisy(*size), "JPEG", quality=90, **JPEGS[kind])
    header = jpeg.read_header(data)
    assert fast.takes(header)
    for factor in (1, 2, 4, 8):
        quick, slow = fast.decode(data, header, factor), safe.decode(data, header, factor)
        assert quick.shape == (-(-size[0] // factor), -(-size[1] // factor), 3)
        assert difference(quick, slow) <= 2


@pytest.mark.usefixtures("path")
def test_grey_jpeg_becomes_rgb() -> None:
    grey = SCENE[..., 1]
    picture = decode(files.save(grey, "JPEG", quality=95))
    assert mean_difference(picture.pixels, np.repeat(grey[..., None], 3, 2)) < 2


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.usefixtures("path")
def test_orientation_gives_the_same_upright_pixels_on_both_paths(value: int, order: str) -> None:
    data = files.save(files.stored(SCENE, value), "JPEG", quality=95, subsampling="4:4:4")
    data = files.insert_after_start(data, 0xE1, files.exif_block(value, order))
    picture = decode(data)
    assert (picture.width, picture.height) == (160, 96)
    assert picture.pixels.flags.c_contiguous
    assert mean_difference(picture.pixels, SCENE) < 2
    small = decode(data, short_side=40)
    assert small.pixels.shape == (48, 80, 3)
    assert (small.width, small.height) == (160, 96)
    assert mean_difference(small.pixels, SCENE[::2, ::2]) < 6


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_orientation_of_png_and_webp(value: int, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = files.save(files.stored(SCENE, value), kind, exif=files.exif_block(value)[6:], **options)
    picture = decode(data)
    assert np.array_equal(picture.pixels, SCENE)
    assert (picture.width, picture.height) == (160, 96)


def test_the_eight_orientations_are_told_apart() -> None:
    assert len({files.stored(SCENE, value).tobytes() for value in range(1, 9)}) == 8


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\x00\x00",
        b"II*\x00",
        b"XX*\x00" + bytes(40),
        files.exif_block(0),
        files.exif_block(9),
        files.exif_block(65535),
        b"II*\x00" + struct.pack("<I", 0xFFFFFFF0),
        b"II*\x00" + struct.pack("<IH", 8, 65535),
        b"MM\x00*" + struct.pack(">IHHHI4s", 8, 1, 0x0112, 2, 4, b"abcd"),
    ],
)
def test_broken_exif_means_upright(block: bytes) -> None:
    assert exif.orientation(block) == 1
    data = files.insert_after_start(files.save(SCENE, "JPEG"), 0xE1, b"Exif\x00\x00" + block.removeprefix(b"Exif\0\0"))
    assert decode(data).pixels.shape == SCENE.shape


def test_a_long_orientation_is_read_too() -> None:
    assert exif.orientation(b"MM\x00*" + struct.pack(">IHHHII", 8, 1, 0x0112, 4, 1, 6)) == 6


@pytest.mark.parametrize("short_side", [1, 27, 28, 29, 56, 57, 112, 113, 225, 1000])
@pytest.mark.usefixtures("path")
def test_scaled_decoding_keeps_the_side_asked_for(short_side: int) -> None:
    data = files.save(files.noisy(225, 301), "JPEG")
    picture = decode(data, short_side=short_side)
    assert min(picture.pixels.shape[:2]) >= min(short_side, 225)
    assert (picture.width, picture.height) == (301, 225)
    factor = round(225 / min(picture.pixels.shape[:2]))
    assert picture.pixels.shape == (-(-225 // factor), -(-301 // factor), 3)
    if factor < 8:
        assert -(-225 // (2 * factor)) < short_side  # the next step would have been too small


def test_other_formats_come_at_full_size() -> None:
    assert decode(files.save(SCENE, "PNG"), short_side=10).pixels.shape == SCENE.shape


def test_without_simplejpeg_the_safe_path_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = files.save(SCENE, "JPEG")
    want = decode(data).pixels
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert not fast.takes(jpeg.read_header(data))
    assert difference(decode(data).pixels, want) <= 2
    assert mean_difference(decode(encode_jpeg(SCENE)).pixels, SCENE) < 4


def test_harmless_oddities_take_the_safe_path() -> None:
    data = files.save(SCENE, "JPEG")
    odd = data[:-2] + b"extraneous" + data[-2:]
    header = jpeg.read_header(odd)
    assert fast.decode(odd, header) is None
    assert difference(decode(odd).pixels, decode(data).pixels) <= 2


def test_what_only_the_safe_path_can_do_is_left_to_it() -> None:
    header = jpeg.read_header(files.save(SCENE, "JPEG"))
    for change in ({"frame": 0xC9}, {"precision": 12}, {"components": 4}):
        assert not fast.takes(dataclasses.replace(header, **change))
    twelve = bytearray(files.save(SCENE, "JPEG"))
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(CorruptPictureError, match="kind that cannot be decoded"):
        decode(bytes(twelve))


@pytest.mark.parametrize("decoder", [fast, safe])
def test_a_header_that_the_decoder_contradicts_is_refused(decoder: ModuleType) -> None:
    data = files.save(SCENE, "JPEG")
    header = dataclasses.replace(jpeg.read_header(data), width=80)
    with pytest.raises(CorruptPictureError, match="header says"):
        decoder.decode(data, header)


# The JPEG marker reader ---------------------------------------------------------------------------------------------


def test_the_marker_reader_finds_what_is_there() -> None:
    data = files.save(files.noisy(), "JPEG", progressive=True, icc_profile=files.srgb(), exif=files.exif_block(8))
    header = jpeg.read_header(data)
    assert (header.width, header.height, header.components, header.precision) == (160, 96, 3, 8)
    assert header.frame == jpeg.PROGRESSIVE
    assert header.orientation == 8
    assert header.profile == files.srgb()
    assert header.adobe_transform is None
    assert jpeg.read_header(files.cmyk(SCENE)).adobe_transform == 0
    assert jpeg.read_header(files.ycck(SCENE)).adobe_transform == 2


def test_the_decoder_gets_no_metadata() -> None:
    data = files.save(SCENE, "JPEG", icc_profile=files.srgb(), exif=files.exif_block(8), comment=b"COMMENT")
    lean = jpeg.read_header(data).essential(data)
    assert len(lean) < len(data)
    assert not [word for word in (b"Exif", b"ICC_PROFILE", b"COMMENT") if word in lean]
    assert b"JFIF" in lean
    assert b"Adobe" in jpeg.read_header(files.cmyk(SCENE)).essential(files.cmyk(SCENE))


def test_padding_and_junk_between_segments_are_skipped() -> None:
    data = files.save(SCENE, "JPEG")
    at = data.index(b"\xff\xdb")
    for junk in (b"\xff\xff\xff", b"junk", b"\xff\x00", b"\xff\xd0", b"\xff\x01"):
        assert jpeg.read_header(data[:at] + junk + data[at:]).width == 160


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xd8\xff", "before its first scan"),
        (b"\xff\xd8" + b"\xff" * 1000, "before its first scan"),
        (b"\xff\xd8\xff\xd8", "second start"),
        (b"\xff\xd8\xff\xd9", "second start"),
        (b"\xff\xd8\xff\xe1\x00", "inside a segment"),
        (b"\xff\xd8\xff\xe1\x00\x01", "impossible length"),
        (b"\xff\xd8\xff\xc0\x00\x04\x08\x00", "too short"),
        (b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x03abc", "contradicts"),
        (b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x10\x01abc", "contradicts"),
        (b"\xff\xd8" + b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01abc" * 2, "two frames"),
        (b"\xff\xd8\xff\xda\x00\x02", "no frame header"),
        (b"\xff\xd8" + b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01abc" + b"\xff\xda\x00\x02abc", "no end-of-image"),
    ],
)
def test_broken_markers_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(CorruptPictureError, match=words):
        jpeg.read_header(data)


def test_a_profile_in_parts_is_joined_in_order_and_ignored_when_a_part_is_missing() -> None:
    data = files.save(SCENE, "JPEG")

    def add(*parts: tuple[int, int, bytes]) -> bytes | None:
        out = data
        for number, count, body in parts:
            out = files.insert_after_start(out, 0xE2, b"ICC_PROFILE\x00" + bytes((number, count)) + body)
        return jpeg.read_header(out).profile

    assert add((1, 2, b"ab"), (2, 2, b"cd")) == b"abcd"
    assert add((2, 2, b"cd"), (1, 2, b"ab")) == b"abcd"
    assert add((2, 2, b"cd")) is None
    assert add((1, 3, b"ab"), (2, 3, b"cd")) is None
    assert add((1, 2, b"ab"), (1, 2, b"cd")) is None
    assert add(*[(n, 80, bytes(65_000)) for n in range(1, 81)]) is None  # above the bound


# Colours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [files.cmyk, files.ycck])
def test_printing_colours_become_rgb(make: Callable[[np.ndarray], bytes]) -> None:
    assert mean_difference(decode(make(SCENE)).pixels, SCENE) < 4
    assert decode(make(SCENE), short_side=40).pixels.shape == (48, 80, 3)


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    values = np.linspace(0, 65535, 96 * 160).astype(np.uint16).reshape(96, 160)
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    picture = decode(files.png(160, 96, 16, 0, rows))
    assert np.array_equal(picture.pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colour_keeps_its_high_byte(colour: int, channels: int) -> None:
    deep = np.full((96, 160, channels), 65535, np.uint16)
    deep[..., : min(channels, 3)] = SCENE[..., : min(channels, 3)].astype(np.uint16) * 256 + 77
    if channels == 2:
        deep[..., 1] = 65535
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in deep)
    pixels = decode(files.png(160, 96, 16, colour, rows)).pixels
    assert np.array_equal(pixels, np.repeat(SCENE[..., :1], 3, 2) if channels == 2 else SCENE)


def test_a_transparent_colour_of_sixteen_bits_is_left_alone() -> None:
    deep = SCENE.astype(np.uint16) * 257
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in deep)
    key = files.chunk(b"tRNS", deep[0, 0].astype(">u2").tobytes())
    assert np.array_equal(decode(files.png(160, 96, 16, 2, rows, key)).pixels, SCENE)


def test_one_bit_and_grey_png() -> None:
    bits = np.zeros((96, 160), bool)
    bits[:48] = True
    want = np.repeat((bits * 255).astype(np.uint8)[..., None], 3, 2)
    assert np.array_equal(decode(files.save(Image.fromarray(bits), "PNG")).pixels, want)
    assert np.array_equal(decode(files.save(want[..., 0], "PNG")).pixels, want)


def test_palette() -> None:
    image = Image.fromarray(SCENE).quantize(32)
    assert np.array_equal(decode(files.save(image, "PNG")).pixels, np.asarray(image.convert("RGB")))


def test_palette_with_one_transparent_colour() -> None:
    image = Image.fromarray(SCENE).quantize(4)
    index = np.asarray(image)
    pixels = decode(files.save(image, "PNG", transparency=int(index[0, 0]))).pixels
    assert (pixels[index == index[0, 0]] == BACKGROUND).all()
    assert np.array_equal(pixels[index != index[0, 0]], np.asarray(image.convert("RGB"))[index != index[0, 0]])


def test_palette_with_alpha_for_each_colour() -> None:
    image = Image.fromarray(SCENE).quantize(4)
    index = np.asarray(image)
    pixels = decode(files.save(image, "PNG", transparency=bytes((0, 128, 255, 255)))).pixels
    rgb = np.asarray(image.convert("RGB"))
    assert (pixels[index == 0] == BACKGROUND).all()
    assert np.abs(pixels[index == 1].astype(int) - (rgb[index == 1] / 2 + 64)).max() <= 1
    assert np.array_equal(pixels[index > 1], rgb[index > 1])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_shows_mid_grey(kind: str, mode: str) -> None:
    alpha = np.zeros((96, 160), np.uint8)
    alpha[:, 40:80], alpha[:, 80:] = 128, 255
    image = Image.fromarray(SCENE).convert(mode)
    colours = np.asarray(image.convert("RGB"))
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode(files.save(image, kind, **options)).pixels
    assert (pixels[:, :40] == BACKGROUND).all()
    assert np.abs(pixels[:, 40:80] - (colours[:, 40:80] / 2 + 64)).max() <= 1.5
    assert np.array_equal(pixels[:, 80:], colours[:, 80:])


def test_a_transparent_grey_or_colour_key() -> None:
    grey = SCENE[..., 0].copy()
    grey[:10] = 7
    pixels = decode(files.save(grey, "PNG", transparency=7)).pixels
    assert (pixels[:10] == BACKGROUND).all()
    coloured = SCENE.copy()
    coloured[:10] = (1, 2, 3)
    pixels = decode(files.save(coloured, "PNG", transparency=(1, 2, 3))).pixels
    assert (pixels[:10] == BACKGROUND).all()
    assert np.array_equal(pixels[10:], SCENE[10:])


def _saved(kind: str, profile: bytes) -> bytes:
    options = {"quality": 95, "subsampling": "4:4:4"} if kind == "JPEG" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    return files.save(SCENE, kind, icc_profile=profile, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colour_profiles_become_srgb(kind: str) -> None:
    plain = decode(_saved(kind, files.srgb())).pixels
    assert mean_difference(plain, SCENE) < 2
    swapped = decode(_saved(kind, files.profile(files.SWAPPED))).pixels
    assert mean_difference(swapped, SCENE[..., [1, 0, 2]]) < 3
    wide = decode(_saved(kind, files.profile(files.DISPLAY_P3))).pixels.astype(int)
    for row, column in CORNERS[:2]:  # red and green of a wide gamut are stronger than sRGB's
        strongest = plain[row, column].argmax()
        assert wide[row, column, strongest] > plain[row, column, strongest]
        assert wide[row, column].min() < plain[row, column].min()


def test_both_paths_apply_a_profile_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _saved("JPEG", files.profile(files.SWAPPED))
    quick = decode(data).pixels
    monkeypatch.setattr(fast, "takes", lambda _: False)
    assert difference(quick, decode(data).pixels) <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "palette", "RGBA", "I;16"])
def test_strips_of_a_large_picture_make_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = files.profile(files.SWAPPED)
    noisy = Image.fromarray(files.noisy())
    noisy.putalpha(noisy.getchannel("R"))
    deep = Image.fromarray(np.arange(96 * 160, dtype=np.uint16).reshape(96, 160))
    data = {
        "JPEG": lambda: _saved("JPEG", profile),
        "PNG": lambda: _saved("PNG", profile),
        "palette": lambda: files.save(Image.fromarray(SCENE).quantize(32), "PNG", transparency=3),
        "RGBA": lambda: files.save(noisy, "PNG", icc_profile=profile),
        "I;16": lambda: files.save(deep, "PNG"),
    }[kind]()
    whole = decode(data).pixels
    monkeypatch.setattr(safe, "_STRIP_PIXELS", 1_000)
    assert len(list(safe.strips(96, 160))) == 16
    assert np.array_equal(decode(data).pixels, whole)


def test_a_profile_applies_to_palettes_and_under_alpha() -> None:
    profile = files.profile(files.SWAPPED)
    image = Image.fromarray(SCENE).quantize(32)
    want = np.asarray(image.convert("RGB"))[..., [1, 0, 2]]
    assert mean_difference(decode(files.save(image, "PNG", icc_profile=profile)).pixels, want) < 3
    clear = Image.fromarray(SCENE).convert("RGBA")
    clear.putpixel((0, 0), (9, 9, 9, 0))
    pixels = decode(files.save(clear, "PNG", icc_profile=profile)).pixels
    assert (pixels[0, 0] == BACKGROUND).all()
    assert mean_difference(pixels, SCENE[..., [1, 0, 2]]) < 3


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        files.profile(files.SWAPPED)[:200],
        files.profile(files.SWAPPED)[:40],
        files.profile(files.SWAPPED)[:16] + b"CMYK" + files.profile(files.SWAPPED)[20:],
        files.profile(files.SWAPPED)[:128] + b"\xff" * 500,
        files.profile(files.SWAPPED).replace(b"XYZ", b"ZZZ"),
    ],
)
def test_a_broken_or_unfit_profile_is_ignored(profile: bytes) -> None:
    assert mean_difference(decode(_saved("JPEG", profile)).pixels, SCENE) < 2
    assert np.array_equal(decode(_saved("PNG", profile)).pixels, SCENE)


def test_a_grey_profile_takes_the_safe_path() -> None:
    profile = files.profile(files.SWAPPED)
    grey = profile[:16] + b"GRAY" + profile[20:]
    data = files.save(SCENE[..., 0], "JPEG", icc_profile=grey)
    assert not fast.takes(jpeg.read_header(data))
    assert decode(data).pixels.shape == SCENE.shape


def test_a_broken_profile_chunk_of_a_png_is_ignored() -> None:
    data = files.save(SCENE, "PNG")
    for body in (b"", b"name", b"name\x00\x01abc", b"name\x00\x00abc", b"name\x00\x00" + zlib.compress(b"x" * 99)[:-5]):
        broken = data[:33] + files.chunk(b"iCCP", body) + data[33:]
        assert png.read_header(broken).profile is None
        assert np.array_equal(decode(broken).pixels, SCENE)


# Animations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.fromarray(np.roll(SCENE, 40 * i, axis=1)) for i in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = files.save(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    picture = decode(data)
    assert np.array_equal(picture.pixels, SCENE)


def test_a_broken_later_frame_of_a_png_does_no_harm() -> None:
    frames = [Image.fromarray(np.roll(SCENE, 40 * i, axis=1)) for i in range(2)]
    data = bytearray(files.save(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    data[data.index(b"fdAT") + 20] ^= 0xFF
    assert np.array_equal(decode(bytes(data)).pixels, SCENE)


# Encoding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))])
def test_encoding_obeys_quality_and_subsampling(subsampling: str, factors: tuple[int, int]) -> None:
    data = encode_jpeg(SCENE, quality=75, subsampling=subsampling)
    with Image.open(io.BytesIO(data)) as image:
        assert image.layer[0][1:3] == factors
        assert image.size == (160, 96)
        tables = image.quantization
    with Image.open(io.BytesIO(files.save(SCENE, "JPEG", quality=75))) as image:
        assert image.quantization == tables
    assert len(encode_jpeg(SCENE, quality=95)) > len(data)


def test_encoding_takes_views_and_refuses_nonsense() -> None:
    assert decode(encode_jpeg(SCENE[::-1, ::-1])).pixels.shape == SCENE.shape
    with pytest.raises(ValueError, match="quality is 0"):
        encode_jpeg(SCENE, quality=0)
    with pytest.raises(ValueError, match="4:1:1"):
        encode_jpeg(SCENE, subsampling="4:1:1")


def test_sanitize_keeps_the_upright_pixels() -> None:
    data = files.save(files.stored(SCENE, 6), "JPEG", quality=95, exif=files.exif_block(6))
    again = decode(sanitize(decode(data)))
    assert mean_difference(again.pixels, SCENE) < 4
