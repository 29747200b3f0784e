"""Every line of the table "Bad pictures" in the design, with the answer that it promises."""

from __future__ import annotations

import base64
import io
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import picture_files as files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutate import mutate
from PIL import Image, ImageFile

from natix_cascade.errors import (
    CorruptPictureError,
    PictureError,
    PictureShapeError,
    PictureTooLargeError,
    UnsupportedFormatError,
)
from natix_cascade.image import Limits, Picture, decode, decode_base64, fast, safe, sanitize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCENE = files.scene()
GOOD = {
    "jpeg": files.save(files.noisy(), "JPEG", quality=85),
    "progressive": files.save(files.noisy(), "JPEG", quality=85, progressive=True),
    "cmyk": files.cmyk(SCENE, quality=85),
    "png": files.save(files.noisy(), "PNG"),
    "webp": files.save(files.noisy(), "WEBP", quality=85),
    "lossless webp": files.save(files.noisy(), "WEBP", lossless=True, exif=files.exif_block(1)[6:]),
}


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(Image, "open", asked)
    monkeypatch.setattr(fast, "decode", asked)
    monkeypatch.setattr(safe, "decode", asked)


@pytest.fixture(params=["fast", "safe"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "safe":
        monkeypatch.setattr(fast, "takes", lambda _: False)
    return request.param


# Not JPEG, PNG or WebP, whatever the name says ----------------------------------------------------------------------

OTHERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(x) run\n",
    "fits": b"SIMPLE  =                    T" + bytes(2850),
    "psd": b"8BPS\x00\x01" + bytes(200),
    "pdf": b"%PDF-1.7\n" + bytes(200),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "svg with a declaration": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "gif": files.save(SCENE, "GIF"),
    "bmp": files.save(SCENE, "BMP"),
    "tiff": files.save(SCENE, "TIFF"),
    "zip": b"PK\x03\x04" + bytes(60),
    "text": b"hello",
    "wave": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.usefixtures("no_decoder")
def test_another_format_dressed_up_is_refused_before_any_decoder(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(OTHERS[kind])
    with pytest.raises(UnsupportedFormatError, match="JPEG, PNG or WebP") as caught:
        decode(file)
    assert caught.value.status == 415


def test_the_message_names_what_came() -> None:
    with pytest.raises(UnsupportedFormatError, match="this is a GIF"):
        decode(OTHERS["gif"])


# Truncated or corrupt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.usefixtures("path")
def test_a_file_cut_at_each_percent_is_refused(kind: str) -> None:
    data = GOOD[kind]
    for percent in range(100):
        with pytest.raises(PictureError) as caught:
            decode(data[: len(data) * percent // 100])
        assert caught.value.status in (415, 422)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.usefixtures("path")
def test_a_file_that_lacks_its_last_bytes_is_refused(kind: str) -> None:
    data = GOOD[kind]
    for missing in range(1, 16):
        with pytest.raises(CorruptPictureError):
            decode(data[:-missing])


def test_a_truncated_jpeg_with_an_end_put_behind_is_refused() -> None:
    with pytest.raises(CorruptPictureError, match="truncated or damaged"):
        decode(GOOD["jpeg"][: len(GOOD["jpeg"]) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("kind", ["jpeg", "cmyk", "png"])
@pytest.mark.usefixtures("path")
def test_lenient_pillow_elsewhere_in_the_process_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = GOOD[kind]
    assert decode(data).pixels.shape == (96, 160, 3)
    with pytest.raises(CorruptPictureError):
        decode(data[: len(data) // 2])
    if kind == "png":  # a file whose end is there, whose pixels are not
        stream = zlib.compress(bytes(100))
        header = data[:33]
        with pytest.raises(CorruptPictureError):
            decode(header + files.chunk(b"IDAT", stream) + files.chunk(b"IEND", b""))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_strictness_holds_while_several_threads_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    cut = GOOD["cmyk"][: len(GOOD["cmyk"]) // 2] + b"\x00" * 8 + GOOD["png"]  # no end, so Pillow would make one up
    files_in = [GOOD["png"], cut, GOOD["cmyk"], GOOD["webp"]] * 20
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(_outcome, files_in))
    assert [isinstance(outcome, Picture) for outcome in outcomes] == [True, False, True, True] * 20
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_wrong_checksums_of_a_png_are_found() -> None:
    data = bytearray(GOOD["png"])
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptPictureError, match="wrong checksum"):
        decode(bytes(data))


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(CorruptPictureError, match="empty"):
        decode(b"")


def test_a_decoder_that_fails_or_has_no_memory_gives_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError(), RuntimeError("first line\nsecond"), KeyError("x"), OSError("disk")):

        def fail(*_: object, error: Exception = error) -> NoReturn:
            raise error

        monkeypatch.setattr(fast, "decode", fail)
        with pytest.raises(CorruptPictureError, match=r"jpeg") as caught:
            decode(GOOD["jpeg"])
        assert "\n" not in str(caught.value)


# Bombs --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_decoder")
def test_a_one_bit_png_of_400_megapixels_is_refused_before_decoding() -> None:
    row = bytes(1 + 20_000 // 8)
    data = files.png(20_000, 20_000, 1, 0, row * 20_000)
    assert len(data) < 1_000_000
    tracemalloc.start()
    with pytest.raises(PictureTooLargeError, match=r"400\.0 megapixels") as caught:
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 4_000_000


def _huge_jpeg(height: int, width: int) -> bytes:
    data = bytearray(GOOD["jpeg"])
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def _huge_webp(height: int, width: int) -> bytes:
    body = b"\x10\x00\x00\x00" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


SHAPED = {
    "jpeg": _huge_jpeg,
    "webp": _huge_webp,
    "png": lambda height, width: files.png(width, height, 8, 2, b""),
}


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.usefixtures("no_decoder")
def test_more_than_fifty_megapixels_by_the_header_are_refused(kind: str) -> None:
    with pytest.raises(PictureTooLargeError, match="megapixels"):
        decode(SHAPED[kind](8_000, 6_251))


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.parametrize(("height", "width"), [(7, 100), (100, 7), (10, 501), (501, 10)])
@pytest.mark.usefixtures("no_decoder")
def test_too_small_or_too_narrow_is_refused(kind: str, height: int, width: int) -> None:
    with pytest.raises(PictureShapeError) as caught:
        decode(SHAPED[kind](height, width))
    assert caught.value.status == 422


@pytest.mark.parametrize(("height", "width"), [(8, 8), (10, 500), (400, 8)])
def test_the_limits_themselves_are_accepted(height: int, width: int) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(files.save(files.scene(height, width), kind)).pixels.shape == (height, width, 3)


def test_limits_are_the_callers() -> None:
    limits = Limits(max_pixels=1000, min_side=1, max_aspect=1000)
    assert decode(files.save(np.zeros((1, 900, 3), np.uint8), "PNG"), limits=limits).width == 900
    with pytest.raises(PictureTooLargeError):
        decode(GOOD["png"], limits=limits)


def test_limits_below_one_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="min_side is 0"):
        Limits(min_side=0)


def test_pillows_own_limit_neither_warns_nor_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(PictureTooLargeError, match="MAX_IMAGE_PIXELS"):
        decode(GOOD["png"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(PictureTooLargeError, match="MAX_IMAGE_PIXELS"):
        decode(GOOD["webp"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(GOOD["png"]).width == 160


def _with_chunks(*chunks: bytes) -> bytes:
    return GOOD["png"][:33] + b"".join(chunks) + GOOD["png"][33:]


PNG_BOMBS = {
    "text": _with_chunks(*[files.chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(60_000_000), 9))] * 3),
    "international text": _with_chunks(files.chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(60_000_000), 9))),
    "profile": _with_chunks(files.chunk(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(60_000_000), 9))),
    "pixels": files.png(160, 96, 8, 2, bytes(60_000_000)),
}


@pytest.mark.parametrize("kind", PNG_BOMBS)
def test_what_inflates_inside_a_png_is_bounded(kind: str) -> None:
    decode(GOOD["png"])
    tracemalloc.start()
    assert decode(PNG_BOMBS[kind]).pixels.shape == (96, 160, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000


def test_floods_of_segments_chunks_and_scans_are_refused() -> None:
    jpeg = GOOD["progressive"]
    with pytest.raises(CorruptPictureError, match="segments"):
        decode(jpeg[:2] + b"\xff\xfe\x00\x02" * 6_000 + jpeg[2:])
    scan = jpeg.rindex(b"\xff\xda")
    with pytest.raises(CorruptPictureError, match="scans"):
        decode(jpeg[:scan] + jpeg[scan:-2] * 120 + b"\xff\xd9")
    with pytest.raises(CorruptPictureError, match="chunks"):
        decode(_with_chunks(files.chunk(b"tEXt", b"") * 60_000))
    webp = _huge_webp(96, 160) + b"JUNK\x00\x00\x00\x00" * 60_000
    with pytest.raises(CorruptPictureError, match="chunks"):
        decode(webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:])


# Trailing data, polyglots -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.usefixtures("path")
def test_trailing_data_decodes_and_does_not_travel_on(kind: str) -> None:
    secret = b"SECRET" * 50
    picture = decode(GOOD[kind] + secret)
    assert np.array_equal(picture.pixels, decode(GOOD[kind]).pixels)
    clean = sanitize(picture)
    assert secret not in clean
    assert clean.endswith(b"\xff\xd9")
    assert decode(clean).format == "jpeg"


def test_a_picture_that_is_a_zip_archive_too_loses_the_archive() -> None:
    archive = io.BytesIO(GOOD["jpeg"])
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as writer:
        writer.writestr("evil.txt", "evil")
    assert zipfile.is_zipfile(archive)
    picture = decode(archive.getvalue())
    assert not zipfile.is_zipfile(io.BytesIO(sanitize(picture)))


def test_metadata_does_not_travel_on() -> None:
    data = files.save(SCENE, "JPEG", exif=files.exif_block(6), comment=b"Berlin, Unter den Linden 1")
    assert b"Berlin" in data
    assert not {b"Berlin", b"Exif"} & {word for word in (b"Berlin", b"Exif") if word in sanitize(decode(data))}


# Sources ------------------------------------------------------------------------------------------------------------


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time and counts them; endless when asked to be."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.data, self.endless, self.given = io.BytesIO(data), endless, 0

    def readable(self) -> bool:
        return True

    def read(self, size: tuple[int, int] = -1) -> bytes | None:
        piece = self.data.read(min(size, 1000)) or (b"\x00" * size if self.endless else b"")
        self.given += len(piece)
        return piece


def test_every_kind_of_source_gives_the_same_picture(tmp_path: Path) -> None:
    data = GOOD["jpeg"]
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    want = decode(data)
    with file.open("rb") as stream:
        sources = [bytearray(data), memoryview(data), str(file), file, io.BytesIO(data), Trickle(data), stream]
        for source in sources:
            picture = decode(source)
            assert np.array_equal(picture.pixels, want.pixels)
            assert picture.sha256 == want.sha256


def test_a_strided_memoryview_is_read_right() -> None:
    data = GOOD["png"]
    twice = bytes(byte for byte in data for _ in range(2))
    assert decode(memoryview(twice)[::2]).sha256 == decode(data).sha256


def test_no_more_is_read_than_the_limit() -> None:
    limits = Limits(max_bytes=5_000)
    endless = Trickle(GOOD["jpeg"], endless=True)
    with pytest.raises(PictureTooLargeError):
        decode(endless, limits=limits)
    assert endless.given == 5_001


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_a_body_above_the_limit_is_413_and_one_at_the_limit_is_fine(kind: Callable[[bytes], object]) -> None:
    data = GOOD["png"]
    assert decode(kind(data), limits=Limits(max_bytes=len(data))).width == 160
    with pytest.raises(PictureTooLargeError) as caught:
        decode(kind(data), limits=Limits(max_bytes=len(data) - 1))
    assert caught.value.status == 413


def test_a_path_that_cannot_be_read_is_a_picture_error(tmp_path: Path) -> None:
    for source in (tmp_path / "missing.jpg", tmp_path, "null\x00byte.jpg"):
        with pytest.raises(PictureError, match="cannot read the picture") as caught:
            decode(source)
        assert caught.value.status == 422


def test_a_path_without_permission_is_a_picture_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PictureError, match="Permission denied"):
        decode(str(tmp_path / "a.jpg"))


class Broken(io.RawIOBase):
    def __init__(self, answer: bytes | Exception | None) -> None:
        self.answer = answer

    def read(self, _: int = -1) -> bytes | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_files_that_break_are_picture_errors() -> None:
    closed = io.BytesIO(GOOD["jpeg"])
    closed.close()
    for source in (Broken(OSError("gone")), Broken(TimeoutError("slow")), Broken(None), closed):
        with pytest.raises(PictureError):
            decode(source)


def test_other_types_are_the_callers_mistake() -> None:
    for source in (io.StringIO("text"), 5, None):
        with pytest.raises(TypeError):
            decode(source)
    with pytest.raises(ValueError, match="short_side is 0"):
        decode(GOOD["jpeg"], short_side=0)


# Base64 -------------------------------------------------------------------------------------------------------------


def test_base64_and_data_urls_are_decoded() -> None:
    data = GOOD["jpeg"]
    plain = base64.b64encode(data)
    for text in (
        plain,
        plain.decode(),
        base64.encodebytes(data).decode(),
        "data:image/jpeg;base64," + plain.decode(),
        "DATA:text/html;charset=utf-8;BASE64," + plain.decode(),
    ):
        picture = decode_base64(text, short_side=48, id="mine")
        assert picture.sha256 == decode(data).sha256
        assert picture.id == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!!!",
        "abc",
        "ab=c",
        "data:image/jpeg;base64,%%%",
        "data:image/jpeg,abcd",
        "data:image/jpeg",
        "ü",
        b"\xff\xfe",
    ],
)
def test_wrong_base64_is_422(text: str | bytes) -> None:
    with pytest.raises(PictureError) as caught:
        decode_base64(text)
    assert caught.value.status == 422


class Endless(str):
    """A text that says it has a gigabyte, and breaks when anybody touches it."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1 << 30

    def encode(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("the text was touched")


def test_a_data_url_of_a_gigabyte_costs_nothing() -> None:
    with pytest.raises(PictureTooLargeError) as caught:
        decode_base64(Endless("data:image/jpeg;base64,"))
    assert caught.value.status == 413
    with pytest.raises(PictureTooLargeError):
        decode_base64("A" * 15_000, limits=Limits(max_bytes=10_000))
    with pytest.raises(PictureTooLargeError):  # within the slack for line breaks, above the limit once decoded
        decode_base64(base64.b64encode(bytes(10_001)), limits=Limits(max_bytes=10_000))


# Fuzzing ------------------------------------------------------------------------------------------------------------

FUZZED = [
    *GOOD.values(),
    files.save(SCENE, "JPEG", exif=files.exif_block(6), icc_profile=files.profile(files.DISPLAY_P3)),
    files.save(Image.fromarray(SCENE).quantize(16), "PNG", transparency=0, icc_profile=files.srgb()),
    files.save(Image.fromarray(SCENE).convert("RGBA"), "WEBP", exif=files.exif_block(3)[6:]),
    files.save(Image.fromarray(SCENE).convert("L"), "JPEG"),
]


def _outcome(data: bytes) -> Picture | str:
    """Return the picture or the error's text; anything else that happens passes through."""
    try:
        return decode(data, short_side=64)
    except PictureError as error:
        return str(error)


def _survives(data: bytes) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = _outcome(data)
    assert not caught
    if isinstance(outcome, str):
        assert outcome
        assert "\n" not in outcome
    else:
        assert outcome.pixels.flags.c_contiguous
        assert min(outcome.pixels.shape[:2]) >= 8


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(index=st.integers(0, len(FUZZED) - 1), seed=st.integers(0, 2**32))
def test_a_mutated_file_gives_a_picture_or_a_picture_error_and_no_warning(index: int, seed: int) -> None:
    _survives(mutate(FUZZED[index], random.Random(seed)))  # noqa: S311  # no secret


@settings(max_examples=100, deadline=None)
@given(
    magic=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\x00\x00\x00WEBP", b""]),
    rest=st.binary(max_size=200),
)
def test_noise_behind_any_magic_gives_a_picture_error(magic: bytes, rest: bytes) -> None:
    with pytest.raises(PictureError):
        decode(magic + rest)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_fast_path_accepts_nothing_that_the_safe_path_refuses(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    data = mutate(rng.choice((GOOD["jpeg"], GOOD["progressive"])), rng)
    try:
        quick = decode(data)
    except PictureError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "takes", lambda _: False)
        slow = decode(data)
    assert quick.pixels.shape == slow.pixels.shape
    assert quick.sha256 == slow.sha256
