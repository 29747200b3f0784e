"""W3C Trace Context at the service's door: ``traceparent`` in, ``traceresponse`` out."""

from __future__ import annotations

import re

import httpx
import pytest

from natix_cascade.trace import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def asked(client: httpx.Client, picture: bytes, headers: dict[str, str]) -> tuple[str, str]:
    """The verdict's id and the response's header."""
    response = client.post("/v1/infer", content=picture, headers=headers)
    assert response.status_code == 200
    told = response.headers["traceresponse"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", told)
    return response.json()["verdict_id"], told


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": GOOD},
        {"traceparent": GOOD.upper()},
        {"TraceParent": GOOD, "tracestate": "vendor=1"},
        {"traceparent": GOOD, "tracestate": "x" * 600},
        {"traceparent": f"cc-{TRACE}-{SPAN}-01-more"},
    ],
)
def test_a_client_s_trace_is_gone_on_with(client: httpx.Client, photo: bytes, headers: dict[str, str]) -> None:
    verdict_id, told = asked(client, photo, headers)
    assert verdict_id != TRACE
    assert told == f"00-{TRACE}-{TraceContext.of_request(verdict_id).span_id}-01"


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        GOOD[:-1],
        f"{GOOD}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "00-" + "a" * 8000,
    ],
)
def test_without_one_the_trace_is_called_like_the_verdict(
    client: httpx.Client, photo: bytes, parent: str | None
) -> None:
    verdict_id, told = asked(client, photo, {} if parent is None else {"traceparent": parent, "tracestate": "a=1"})
    assert told.startswith(f"00-{verdict_id}-{TraceContext.of_request(verdict_id).span_id}-")


def test_the_pictures_of_a_batch_are_spans_of_their_own(client: httpx.Client, photo: bytes) -> None:
    files = [("file", (f"{index}.jpg", photo, "image/jpeg")) for index in range(3)]
    response = client.post("/v1/batch-infer", files=files, headers={"traceparent": GOOD})
    lines = [line for line in response.iter_lines() if '"verdict_id"' in line]
    assert len(lines) == 3
    ids = {re.search(r'"verdict_id":"([0-9a-f]{32})"', line)[1] for line in lines}  # type: ignore[index]
    assert len(ids) == 3
    assert TRACE not in ids
