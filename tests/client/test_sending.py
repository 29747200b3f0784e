"""Tries, deadlines and errors over a transport that a test scripts."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from natix_cascade.client import (
    AsyncClient,
    Client,
    LateError,
    OverloadedError,
    RefusedPictureError,
    ServiceError,
    UnreachableError,
)

Make = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.usefixtures("at_once")


class Script:
    """Answers with one thing after the other; the last one stays."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options: Any) -> Client:
        return Client("http://service.test", transport=httpx.MockTransport(self), **options)

    @property
    def deadlines(self) -> list[float]:
        return [float(request.url.params["deadline_ms"]) for request in self.requests]


def refusal(status: int, kind: str, problem: Make, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=problem(status, kind), headers=headers)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(verdict: Make, problem: Make, status: int) -> None:
    script = Script(refusal(status, "overloaded", problem), httpx.Response(200, json=verdict()))
    with script.client() as client:
        assert client.infer(b"picture").detected
    assert len(script.requests) == 2
    assert {request.content for request in script.requests} == {b"picture"}


def test_a_service_that_stays_busy_is_left_alone(problem: Make) -> None:
    script = Script(refusal(503, "overloaded", problem, **{"Retry-After": "0"}))
    with script.client(attempts=3) as client, pytest.raises(OverloadedError, match="503 overloaded"):
        client.infer(b"picture")
    assert len(script.requests) == 3


def test_retry_after_beyond_the_deadline_ends_the_call_at_once(problem: Make) -> None:
    script = Script(refusal(429, "rate-limited", problem, **{"Retry-After": "5"}))
    with script.client() as client, pytest.raises(OverloadedError) as caught:
        client.infer(b"picture", deadline_ms=2000)
    assert caught.value.retry_after_s == 5
    assert len(script.requests) == 1


def test_each_try_tells_what_is_left(verdict: Make) -> None:
    async def main() -> None:
        async with AsyncClient("http://service.test", transport=httpx.MockTransport(slowly)) as client:
            await client.infer(b"picture", deadline_ms=5000)

    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return script(request)

    script = Script(httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.Response(200, json=verdict()))
    asyncio.run(main())
    first, second, third = script.deadlines
    assert 5000 >= first > second > third > 0


def test_a_connection_that_broke_off_is_tried_again_only_where_that_is_harmless(verdict: Make) -> None:
    broken = httpx.ReadError("reset by peer")
    script = Script(broken, httpx.Response(200, json=verdict()))
    with script.client() as client:
        assert client.infer(b"picture")
    assert len(script.requests) == 2
    for options in ({"label": True}, {"keep": True}):
        script = Script(broken)
        with script.client() as client, pytest.raises(UnreachableError) as caught:
            client.infer(b"picture", **options)
        assert caught.value.maybe_done
        assert len(script.requests) == 1


def test_feedback_is_not_given_twice() -> None:
    script = Script(httpx.RemoteProtocolError("disconnected without an answer"))
    with script.client() as client, pytest.raises(UnreachableError, match="broke off"):
        client.feedback("v1", True)
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [400, 408, 409, 422, 500, 502, 504])
def test_what_does_not_pass_by_itself_is_not_tried_again(problem: Make, status: int) -> None:
    script = Script(refusal(status, "corrupt-picture", problem))
    with script.client() as client, pytest.raises(ServiceError) as caught:
        client.infer(b"picture")
    assert caught.value.status == status
    assert len(script.requests) == 1


def test_a_service_that_never_answers_is_waited_for_no_longer_than_the_deadline() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with Client("http://service.test", transport=httpx.MockTransport(never)) as client:
        with pytest.raises(LateError, match=r"POST /v1/infer: no answer within 0\.28 s"):
            client.infer(b"picture", deadline_ms=30)
        with pytest.raises(LateError):
            list(client.stream(b"picture", deadline_ms=30))
    with (
        Client("http://service.test", timeout_s=0.05, transport=httpx.MockTransport(never)) as client,
        pytest.raises(LateError, match="GET /v1/status"),
    ):
        client.status()


@contextmanager
def dribbling() -> Iterator[str]:
    """Run a server that sends a header byte by byte for as long as someone reads: no single read ever takes long."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            try:
                while not done.wait(0.005):
                    connection.sendall(b"x")
            except OSError:
                return

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join()


def test_a_service_that_answers_byte_by_byte_is_bounded_too() -> None:
    with dribbling() as url, Client(url, timeout_s=0.2) as client, pytest.raises(LateError):
        client.infer(b"picture")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with Client(url, attempts=2) as client, pytest.raises(UnreachableError, match="is `natix-cascade serve` running"):
        client.health()


def test_a_stream_may_end_in_a_problem_or_too_early(problem: Make) -> None:
    started = json.dumps({"event": "level_started", "level": "gate", "models": ["road-gate"]})
    ended = json.dumps({"event": "problem", "problem": problem(422, "corrupt-picture")})
    with Script(httpx.Response(200, text=f"{started}\n{ended}\n")).client() as client:
        events = client.stream(b"picture")
        assert next(events).__class__.__name__ == "LevelStarted"
        with pytest.raises(RefusedPictureError, match="corrupt-picture"):
            next(events)
    with Script(httpx.Response(200, text=f"{started}\n")).client() as client:
        events = client.stream(b"picture")
        next(events)
        with pytest.raises(UnreachableError, match="before the verdict"):
            next(events)
    with (
        Script(httpx.Response(200, text="<html>\n")).client() as client,
        pytest.raises(ServiceError, match="cannot be understood"),
    ):
        list(client.stream(b"picture"))


def test_an_answer_of_another_server_is_an_error() -> None:
    with (
        Script(httpx.Response(200, text="<html>It works!</html>")).client() as client,
        pytest.raises(ServiceError, match="cannot be understood"),
    ):
        client.health()
    with (
        Script(httpx.Response(302, headers={"Location": "https://elsewhere.test"})).client() as client,
        pytest.raises(ServiceError, match="302"),
    ):
        client.health()


def test_the_key_is_sent_and_never_shown(problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "nc-very-secret"
    monkeypatch.setenv("NATIX_CASCADE_KEY", key)
    script = Script(httpx.Response(401, json=problem(401, "unauthorized", f"{key} is unknown")))
    with script.client() as client:
        assert key not in repr(client)
        with pytest.raises(ServiceError) as caught:
            client.status()
    assert script.requests[0].headers["authorization"] == f"Bearer {key}"
    assert key not in f"{caught.value!r} {caught.value}"
    with pytest.raises(ValueError, match="the key has characters") as wrong:
        Client(key=key + "\n")
    assert key not in str(wrong.value)
    with pytest.raises(ValueError, match="give the key as key=") as wrong:
        Client(f"http://user:{key}@service.test")
    assert key not in str(wrong.value)


@pytest.mark.parametrize(
    "options", [{"base_url": "service"}, {"base_url": "ftp://a"}, {"timeout_s": 0.0}, {"attempts": 0}]
)
def test_a_client_with_a_wrong_setting_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Client(**options)


def test_a_retry_that_would_come_too_late_is_not_sent(problem: Make) -> None:
    async def main() -> None:
        async with AsyncClient("http://service.test", transport=httpx.MockTransport(slowly)) as client:
            await client.infer(b"picture", deadline_ms=20)

    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return script(request)

    script = Script(refusal(503, "overloaded", problem))
    with pytest.raises(OverloadedError):
        asyncio.run(main())
    assert len(script.requests) == 1
