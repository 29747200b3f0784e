"""Every line of the table "Bad pictures" over HTTP: the status, the problem, and a service that goes on."""

from __future__ import annotations

import base64
import io
import json
import random
import select
import struct
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import picture_files as files
import psutil
import pytest
from mutate import mutate
from PIL import Image
from service_process import SCRIPTED, Make, ServiceProcess, eventually, kind, raw, received

from natix_cascade.run.cascade import Cascade

SCENE = files.scene()
MIB = 1024 * 1024
GOOD = {
    "jpeg": files.save(files.noisy(), "JPEG", quality=85),
    "progressive": files.save(files.noisy(), "JPEG", quality=85, progressive=True),
    "png": files.save(files.noisy(), "PNG"),
    "webp": files.save(files.noisy(), "WEBP", quality=85),
}
OTHERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(x) run\n",
    "fits": b"SIMPLE  =                    T" + bytes(2850),
    "psd": b"8BPS\x00\x01" + bytes(200),
    "pdf": b"%PDF-1.7\n" + bytes(200),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "gif": files.save(SCENE, "GIF"),
    "bmp": files.save(SCENE, "BMP"),
    "tiff": files.save(SCENE, "TIFF"),
    "zip": b"PK\x03\x04" + bytes(60),
    "wave": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
    "text": b"hello",
}


def sent(client: httpx.Client, picture: bytes) -> httpx.Response:
    return client.post("/v1/infer", content=picture, headers={"content-type": "image/jpeg"})


@pytest.fixture(autouse=True)
def goes_on(client: httpx.Client, photo: bytes) -> Iterator[None]:
    """After each of these tests the service judges a good picture and has nothing under way."""
    yield
    assert sent(client, photo).status_code == 200
    assert client.get("/v1/status").json()["in_flight"] == 0


@pytest.fixture(scope="module")
def strict(make: Make, tmp_path_factory: pytest.TempPathFactory) -> ServiceProcess:
    """A service with little patience and room for 1 MiB."""
    config = tmp_path_factory.mktemp("config") / "serve.toml"
    config.write_text(f"max_body_bytes = {MIB}\nbody_timeout_s = 0.4\nheader_timeout_s = 0.4\nidle_timeout_s = 600\n")
    return make(*SCRIPTED, "--cascade", "bright", "--config", str(config))


@pytest.mark.parametrize("other", OTHERS)
def test_another_format_dressed_up_as_jpeg_is_415(client: httpx.Client, other: str) -> None:
    encoded = base64.b64encode(OTHERS[other]).decode()
    for response in (
        sent(client, OTHERS[other]),
        client.post("/v1/infer", files={"file": ("photo.jpg", OTHERS[other], "image/jpeg")}),
        client.post("/v1/infer", json={"image": f"data:image/jpeg;base64,{encoded}"}),
    ):
        assert (response.status_code, kind(response)) == (415, "unsupported-format")
        assert "JPEG, PNG or WebP" in response.json()["detail"]


@pytest.mark.parametrize("good", GOOD)
def test_a_picture_cut_at_each_percent_is_refused(client: httpx.Client, good: str) -> None:
    data = GOOD[good]
    for percent in range(100):
        response = sent(client, data[: len(data) * percent // 100])
        assert (response.status_code, kind(response)) in ((422, "corrupt-picture"), (415, "unsupported-format"))


def test_mutated_pictures_are_judged_or_refused(client: httpx.Client) -> None:
    rng = random.Random(72)  # noqa: S311  # no secret
    statuses = {sent(client, mutate(rng.choice(list(GOOD.values())), rng)).status_code for _ in range(200)}
    assert statuses <= {200, 413, 415, 422}
    assert 200 in statuses
    assert 422 in statuses


def test_bombs_are_413_before_they_are_decoded(service: ServiceProcess, client: httpx.Client) -> None:
    bomb = files.png(20_000, 20_000, 1, 0, bytes(1 + 20_000 // 8) * 20_000)
    large = bytearray(GOOD["jpeg"])
    struct.pack_into(">HH", large, large.index(b"\xff\xc0") + 5, 8_000, 6_251)
    worker = psutil.Process(service.workers()[0])
    before = worker.memory_info().rss
    for picture in (bomb, bytes(large), files.png(8_000, 6_251, 8, 2, b"")):
        response = sent(client, picture)
        assert (response.status_code, kind(response)) == (413, "too-large")
        assert "megapixels" in response.json()["detail"]
    assert worker.memory_info().rss - before < 40 * MIB


@pytest.mark.parametrize(("height", "width"), [(7, 100), (100, 7), (10, 501), (501, 10)])
def test_too_small_or_too_narrow_is_422(client: httpx.Client, height: int, width: int) -> None:
    response = sent(client, files.save(files.scene(height, width), "PNG"))
    assert (response.status_code, kind(response)) == (422, "bad-shape")


def test_each_orientation_gives_the_same_verdict(client: httpx.Client) -> None:
    found = []
    for value in range(1, 9):
        stored = files.stored(files.noisy(), value)
        picture = files.save(stored, "PNG", exif=files.exif_block(value)[6:])
        found.append(sent(client, picture).json())
    for each in found:
        assert each["probability"] == pytest.approx(found[0]["probability"], abs=1e-6)
        assert each["exit_level"] == found[0]["exit_level"]
    turned = sent(client, files.save(files.stored(files.noisy(), 3), "PNG")).json()
    assert turned["probability"] != found[0]["probability"]


def rgb_by_rule() -> dict[str, bytes]:
    image = Image.fromarray(SCENE)
    return {
        "cmyk": files.cmyk(SCENE, quality=85),
        "ycck": files.ycck(SCENE),
        "grey": files.save(image.convert("L"), "JPEG"),
        "16 bit": files.save(Image.fromarray(SCENE[..., 0].astype("uint16") * 257), "PNG"),
        "palette": files.save(image.quantize(16), "PNG"),
        "alpha": files.save(image.convert("RGBA"), "PNG"),
        "profile": files.save(SCENE, "JPEG", icc_profile=files.profile(files.DISPLAY_P3)),
        "animated": files.save(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=100),
    }


def test_every_kind_of_pixels_is_judged_as_rgb_by_rule(client: httpx.Client, cascade: Cascade) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Pillow guesses the mode of 16-bit pixels
        pictures = rgb_by_rule()
    for name, picture in pictures.items():
        response = sent(client, picture)
        assert response.status_code == 200, f"{name}: {response.text}"
        assert response.json()["probability"] == pytest.approx(cascade.detect(picture).probability, abs=1e-6), name


def test_trailing_data_and_polyglots_are_judged_by_their_picture(client: httpx.Client) -> None:
    archive = io.BytesIO(GOOD["jpeg"])
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as writer:
        writer.writestr("evil.txt", "evil")
    want = sent(client, GOOD["jpeg"]).json()["probability"]
    for picture in (archive.getvalue(), GOOD["jpeg"] + b"<script>alert(1)</script>"):
        assert sent(client, picture).json()["probability"] == want


@pytest.mark.parametrize("text", ["!!!!", "abc", "ab=c", "data:image/jpeg;base64,%%%", "data:image/jpeg", "ü"])
def test_wrong_base64_is_422(client: httpx.Client, text: str) -> None:
    response = client.post("/v1/infer", json={"image": text})
    assert (response.status_code, kind(response)) == (422, "bad-picture")


def test_an_empty_body_is_422(client: httpx.Client) -> None:
    assert kind(sent(client, b"")) == "corrupt-picture"


def test_a_name_of_control_characters_is_only_text(client: httpx.Client, photo: bytes) -> None:
    for name in ("a\r\nset-cookie: x", "\x00", "<b>", "../../etc/passwd", "'; DROP TABLE verdicts; --"):
        response = client.post("/v1/infer", content=photo, params={"name": name, "keep": "true"})
        assert response.json()["id"] == name
        assert "set-cookie" not in response.headers


# Bodies that are too large or too slow ------------------------------------------------------------------------------


def head(service: ServiceProcess, *headers: str) -> bytes:
    return "\r\n".join(
        ["POST /v1/infer HTTP/1.1", f"host: {service.url.removeprefix('http://')}", *headers, "", ""]
    ).encode()


def problem(answer: bytes) -> dict[str, Any]:
    """The problem of a raw answer."""
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_a_body_above_the_limit_is_refused_by_its_header(client: httpx.Client, service: ServiceProcess) -> None:
    for more in ((), ("expect: 100-continue",)):
        with service.connect() as connection:
            connection.sendall(head(service, "content-length: 1073741824", "connection: close", *more))
            answer = received(connection)  # nothing of the body is sent
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer
        assert problem(answer)["type"].endswith("/too-large")
    assert client.post("/v1/feedback", content=bytes(40 * MIB)).status_code == 413


def test_a_length_that_is_no_number_is_400(service: ServiceProcess) -> None:
    for length in ("-1", "1e3", "0x10", "99999999999999999999999"):
        assert raw(service, head(service, f"content-length: {length}", "connection: close"))[:12] == b"HTTP/1.1 400"


def stream_for_ever(service: ServiceProcess, first: bytes, *headers: str, most: int) -> tuple[bytes, int]:
    """Send a chunked body until an answer comes; returns it and how much was sent."""
    piece = b"%x\r\n" % MIB + b"A" * MIB + b"\r\n"
    total = 0
    with service.connect() as connection:
        connection.sendall(head(service, "transfer-encoding: chunked", "connection: close", *headers))
        connection.sendall(b"%x\r\n" % len(first) + first + b"\r\n")
        try:
            while total < most and not select.select([connection], [], [], 0)[0]:
                connection.sendall(piece)
                total += MIB
        except (BrokenPipeError, ConnectionResetError):
            pass
        return received(connection), total


@pytest.mark.parametrize("content_type", ["application/json", "image/jpeg", "multipart/form-data; boundary=x"])
def test_a_data_url_of_a_gigabyte_costs_little(service: ServiceProcess, content_type: str) -> None:
    first = {
        "application/json": b'{"image": "data:image/jpeg;base64,',
        "image/jpeg": GOOD["jpeg"],
        "multipart/form-data; boundary=x": b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n',
    }[content_type]
    worker = psutil.Process(service.workers()[0])
    before = worker.memory_info().rss
    answer, total = stream_for_ever(service, first, f"content-type: {content_type}", most=1024 * MIB)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert total < 256 * MIB  # it was told long before the end
    assert worker.memory_info().rss - before < 100 * MIB


def test_a_slow_body_is_408(strict: ServiceProcess) -> None:
    for headers in (("content-length: 1000",), ("transfer-encoding: chunked",)):
        with strict.connect() as connection:
            connection.sendall(head(strict, *headers, "connection: close") + b"3\r\nabc\r\n")
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert problem(answer)["type"].endswith("/slow-request")


def test_who_goes_on_sending_after_the_answer_is_cut_off(strict: ServiceProcess) -> None:
    with strict.connect() as connection:
        connection.sendall(head(strict, f"content-length: {64 * MIB}"))  # kept alive, and never finished
        assert received(connection).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_in_the_middle_of_the_body_harms_nothing(
    service: ServiceProcess, client: httpx.Client
) -> None:
    before = client.get("/v1/status").json()["failed"]
    for _ in range(20):
        with service.connect() as connection:
            connection.sendall(head(service, "content-length: 1000") + b"abc")
    eventually(lambda: client.get("/v1/status").json()["in_flight"] == 0)
    assert client.get("/v1/status").json()["failed"] >= before
