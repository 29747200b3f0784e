"""Many pictures in one request: what is bad spoils nothing, who is ready goes first, who leaves frees the places."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import picture_files as files
import pytest
from service_process import SCRIPTED, Gate, Make, ServiceProcess, eventually, kind, lines, received

from natix_cascade.run.cascade import Cascade

NDJSON = {"content-type": "application/x-ndjson"}
GIF = b"GIF89a" + bytes(40)


def line(picture: bytes, name: str = "") -> bytes:
    return json.dumps({"image": base64.b64encode(picture).decode(), "name": name}).encode() + b"\n"


def answers(client: httpx.Client, **request: Any) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """Lines by index, and the last line."""
    with client.stream("POST", "/v1/batch-infer", **request) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "application/x-ndjson"
        *found, last = lines(response)
    return {each["index"]: each for each in found}, last


@pytest.fixture(scope="module")
def small(make: Make, tmp_path_factory: pytest.TempPathFactory) -> ServiceProcess:
    """A service with narrow limits."""
    config = tmp_path_factory.mktemp("config") / "serve.toml"
    config.write_text("max_pictures = 3\nmax_batch_bytes = 100000\nmax_body_bytes = 20000\nbody_timeout_s = 0.5\n")
    return make(*SCRIPTED, "--cascade", "bright", "--config", str(config))


@pytest.fixture
def gated(make: Make, gate: Gate) -> Iterator[ServiceProcess]:
    """A service whose red pictures wait."""
    found = make(*SCRIPTED, "--cascade", "gated", "--max-in-flight", "8", env=gate.env)
    yield found
    gate.close()
    found.stop()


def test_bad_files_spoil_nothing(client: httpx.Client, cascade: Cascade, scenes: list[bytes]) -> None:
    pictures = [scenes[0], GIF, scenes[1], scenes[2][:500], b"", scenes[3]]
    form = [("file", (f"№ {index}.jpg", picture)) for index, picture in enumerate(pictures)]
    found, last = answers(client, files=form)
    assert last == {"done": True, "pictures": 6, "failed": 3}
    assert [found[index]["status"] for index in range(6)] == [200, 415, 200, 422, 422, 200]
    for index, answer in found.items():
        assert answer["name"] == f"№ {index}.jpg"
        if answer["status"] == 200:
            want = cascade.detect(pictures[index])
            assert answer["verdict"]["id"] == answer["name"]
            assert answer["verdict"]["probability"] == pytest.approx(want.probability, abs=1e-6)
            assert client.get(f"/v1/verdicts/{answer['verdict']['verdict_id']}").status_code == 200
        else:
            assert answer["problem"]["status"] == answer["status"]
            assert answer["problem"]["instance"] == "/v1/batch-infer"


def test_lines_of_json_do_the_same(client: httpx.Client, scenes: list[bytes]) -> None:
    body = b"".join(
        (
            line(scenes[0], "first"),
            b"\n  \n{\n",
            b'{"image": 5}\n',
            b'["x"]\n',
            b'{"image": "%%%", "name": "wrong"}\n',
            line(GIF, "gif"),
            line(scenes[1], "n" * 300).rstrip(),  # without an end
        )
    )
    found, last = answers(client, content=body, headers=NDJSON, params={"max_level": "gate"})
    assert last == {"done": True, "pictures": 7, "failed": 5}
    assert [found[index]["status"] for index in range(7)] == [200, 400, 400, 400, 422, 415, 200]
    assert found[0]["name"] == "first"
    assert found[4]["name"] == "wrong"
    assert found[6]["verdict"]["id"] == "n" * 200
    assert found[0]["verdict"]["levels_executed"] == ["gate"]


def test_an_empty_batch_is_done_at_once(client: httpx.Client) -> None:
    found, last = answers(client, content=b"", headers=NDJSON)
    assert (found, last) == ({}, {"done": True, "pictures": 0, "failed": 0})


def test_keep_holds_for_all(service: ServiceProcess, client: httpx.Client) -> None:
    pictures = [files.save(files.noisy(40, 40 + index), "PNG") for index in range(3)]
    found, _ = answers(client, content=b"".join(map(line, pictures)), headers=NDJSON, params={"keep": "true"})
    for answer in found.values():
        name = answer["verdict"]["sha256"]
        assert (service.state / "pictures" / name[:2] / f"{name}.jpg").is_file()


def test_wrong_options_and_types_are_refused(client: httpx.Client, photo: bytes) -> None:
    for options in ({"deadline_ms": "0"}, {"explain": "true"}, {"keep": "maybe"}):
        response = client.post("/v1/batch-infer", content=line(photo), headers=NDJSON, params=options)
        assert (response.status_code, kind(response)) == (422, "invalid")
    unknown, _ = answers(client, content=line(photo), headers=NDJSON, params={"max_level": "cellar"})
    assert unknown[0]["status"] == 422
    for headers in ({}, {"content-type": "image/jpeg"}):
        response = client.post("/v1/batch-infer", content=photo, headers=headers)
        assert (response.status_code, kind(response)) == (400, "bad-request")


def test_who_is_ready_goes_first(gated: ServiceProcess, gate: Gate, red: bytes, white: bytes) -> None:
    form = [("file", ("slow", red)), ("file", ("quick", GIF)), ("file", ("quick too", white[:50]))]
    with gated.client() as client, client.stream("POST", "/v1/batch-infer", files=form) as response:
        found = lines(response)
        assert {next(found)["name"], next(found)["name"]} == {"quick", "quick too"}
        gate.knocked()
        gate.open()
        assert next(found)["name"] == "slow"
        assert next(found)["done"]


def test_answers_come_while_the_body_is_still_being_sent(small: ServiceProcess, white: bytes) -> None:
    with small.connect() as connection:
        connection.sendall(
            b"POST /v1/batch-infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        answer = connection.makefile("rb")
        for name in ("a", "b", "c"):
            piece = line(white, name)
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            while f'"name":"{name}"'.encode() not in (got := answer.readline()):
                assert got
        connection.sendall(b"0\r\n\r\n")
        assert b'"pictures":3' in answer.read()
        answer.close()


@pytest.mark.slow
def test_a_client_that_sends_everything_before_it_reads_gets_everything(
    make: Make, tmp_path: Path, white: bytes
) -> None:
    count = 5000
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    body = line(white) * count
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # answers back up on the way soon
        connection.settimeout(60)
        connection.connect(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))
        connection.sendall(
            b"POST /v1/batch-infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(body)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        found = received(connection)
    assert b'{"done":true,"pictures":%d,"failed":0}' % count in found
    assert found.count(b'"status":200') == count
    service.stop()


def test_a_client_that_leaves_stops_its_work(gated: ServiceProcess, gate: Gate, red: bytes) -> None:
    with gated.client() as client:

        def in_flight() -> int:
            return int(client.get("/v1/status").json()["in_flight"])

        for turn in range(3):
            with gated.connect() as connection:
                connection.sendall(
                    b"POST /v1/batch-infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
                    b"transfer-encoding: chunked\r\n\r\n"
                )
                piece = line(red) * 10
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                eventually(lambda: in_flight() == 4)  # half of the places: a batch leaves room for single pictures
                if not turn:
                    gate.knocked()  # from here on the model hangs
            eventually(lambda: in_flight() == 0)
        gate.close()
        answer, last = answers(client, content=line(red) * 10, headers=NDJSON)
        assert last["failed"] == 0
        assert len(answer) == 10


def test_many_batches_leave_half_of_the_places_to_single_pictures(
    gated: ServiceProcess, gate: Gate, red: bytes
) -> None:
    with gated.client() as client, ThreadPoolExecutor(7) as pool:

        def in_flight() -> int:
            return int(client.get("/v1/status").json()["in_flight"])

        def batch(_: int) -> dict[str, Any]:
            with gated.client() as own:
                return answers(own, content=line(red) * 5, headers=NDJSON)[1]

        def single(_: int) -> int:
            with gated.client() as own:
                return own.post("/v1/infer", content=red).status_code

        batches = [pool.submit(batch, number) for number in range(3)]
        eventually(lambda: in_flight() == 4)
        time.sleep(0.5)  # one batch can take all four: the others must have come in too
        singles = [pool.submit(single, number) for number in range(4)]
        eventually(lambda: in_flight() == 8)
        assert client.post("/v1/infer", content=red).status_code == 503
        gate.close()
        assert [each.result() for each in batches] == [{"done": True, "pictures": 5, "failed": 0}] * 3
        assert [each.result() for each in singles] == [200] * 4


def test_who_waits_for_a_place_is_not_slow(make: Make, gate: Gate, tmp_path: Path, red: bytes, white: bytes) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("body_timeout_s = 0.3\nmax_in_flight = 2\n")
    service = make(*SCRIPTED, "--cascade", "gated", "--config", str(config), folder=tmp_path, env=gate.env)
    with service.connect() as connection:
        connection.sendall(
            b"POST /v1/batch-infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for piece in (line(red), line(red), line(white)):
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        gate.knocked()
        time.sleep(0.5)  # longer than a body may take
        gate.close()
        connection.sendall(b"0\r\n\r\n")
        assert b'"pictures":3,"failed":0' in received(connection)
    service.stop()


def test_more_pictures_than_allowed_do_not_spoil_the_first(small: ServiceProcess, white: bytes) -> None:
    with small.client() as client:
        found, last = answers(client, content=line(white) * 4, headers=NDJSON)
    assert found[None]["status"] == 413  # type: ignore[index]  # what is of no picture has no index
    assert [found[index]["status"] for index in range(3)] == [200] * 3
    assert last["done"]


@pytest.mark.parametrize(
    "body",
    [
        lambda white: b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n--x' % white,
        lambda white: b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n--xyz' % white,
    ],
)
def test_a_form_that_ends_in_the_middle_keeps_what_came_before(
    small: ServiceProcess, white: bytes, body: Callable[[bytes], bytes]
) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    with small.client() as client:
        found, last = answers(client, content=body(white), headers=headers)
    assert found[None]["status"] == 400  # type: ignore[index]
    assert found.get(0, {"status": 200})["status"] == 200
    assert last["failed"] == 1


def test_a_batch_within_its_limits_only(small: ServiceProcess, white: bytes) -> None:
    with small.client() as client:
        response = client.post("/v1/batch-infer", content=bytes(100_001), headers=NDJSON)
        assert (response.status_code, kind(response)) == (413, "too-large")
        pieces = iter([line(white) + b" "] + [b" " * 1000 + b"\n"] * 200)
        found, _ = answers(client, content=pieces, headers=NDJSON)
        assert found[0]["status"] == 200
        assert found[None]["status"] == 413  # type: ignore[index]
        found, _ = answers(client, content=line(bytes(30_000)), headers=NDJSON)
        assert [each["status"] for each in found.values()] == [413]
        found, _ = answers(client, files=[("file", ("a", white)), ("file", ("b", bytes(30_000)))])
        assert found[0]["status"] == 200
        assert found[None]["status"] == 413  # type: ignore[index]


def test_a_batch_that_stops_coming_ends_with_408(small: ServiceProcess, white: bytes) -> None:
    with small.connect() as connection:
        piece = line(white)
        connection.sendall(
            b"POST /v1/batch-infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
            + f"{len(piece):x}\r\n".encode()
            + piece
            + b"\r\n"
        )
        found = received(connection)
    assert b'"status":200' in found
    assert b"problems/slow-request" in found
    assert b'"done":true' in found
