"""The caller's trace goes along with each request, where there is one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from natix_cascade.client import AsyncClient, Client

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"
Make = Callable[..., dict[str, Any]]


class Recorder:
    """Answers with a verdict and remembers the headers."""

    def __init__(self, verdict: dict[str, Any]) -> None:
        self.verdict, self.headers = verdict, []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.headers.append({name: request.headers.get(name) for name in ("traceparent", "tracestate", "baggage")})
        return httpx.Response(200, json=self.verdict)

    @property
    def client(self) -> Client:
        return Client("http://service.test", transport=httpx.MockTransport(self))

    @property
    def parents(self) -> list[str | None]:
        return [each["traceparent"] for each in self.headers]


@pytest.fixture
def recorder(verdict: Make) -> Recorder:
    return Recorder(verdict())


def test_a_traceparent_that_is_given_is_sent(recorder: Recorder) -> None:
    with recorder.client as client:
        client.infer(b"x", traceparent=GIVEN)
        client.infer(b"x", traceparent=f" {GIVEN.upper()} ")
        assert len(list(client.infer_many([b"x", b"y"], traceparent=GIVEN))) == 2
        client.infer(b"x")
    assert recorder.parents == [GIVEN] * 4 + [None]


@pytest.mark.parametrize(
    "wrong", ["", "x", GIVEN[:-1], f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"{GIVEN}\r\nX-Evil: 1"]
)
def test_one_that_is_none_is_refused_before_anything_is_sent(recorder: Recorder, wrong: str) -> None:
    with recorder.client as client, pytest.raises(ValueError, match="wanted 00-<32 hex digits>"):
        client.infer(b"x", traceparent=wrong)
    assert recorder.headers == []


def test_the_active_span_of_opentelemetry_is_passed_on_by_both_clients(recorder: Recorder) -> None:
    otel = pytest.importorskip("opentelemetry.trace")
    state = otel.TraceState([("vendor", "1")])
    context = otel.SpanContext(int(TRACE, 16), int(SPAN, 16), False, otel.TraceFlags(1), state)

    async def ask() -> None:
        async with AsyncClient("http://service.test", transport=httpx.MockTransport(recorder)) as client:
            await client.infer(b"x")

    with otel.use_span(otel.NonRecordingSpan(context)):
        with recorder.client as client:
            client.infer(b"x")  # sent by another thread
            list(client.infer_many([b"x", b"y"]))
            client.infer(b"x", traceparent=GIVEN.replace(SPAN, "1" * 16))
        asyncio.run(ask())
    with recorder.client as client:
        client.infer(b"x")
    assert recorder.parents == [GIVEN, GIVEN, GIVEN, GIVEN.replace(SPAN, "1" * 16), GIVEN, None]
    assert recorder.headers[0]["tracestate"] == "vendor=1"
    assert {each["baggage"] for each in recorder.headers} == {None}


def test_opentelemetry_is_not_imported_for_it() -> None:
    code = (
        "import sys, httpx\n"
        "from natix_cascade.client.context import trace_headers\n"
        "assert trace_headers() == {}\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
