"""W3C Trace Context: what can be read is read, and what cannot is as if it were not there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.trace import TraceContext, made_at, new_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
HEADER = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
ID = "01990b0c1d2e7a3b9c4d5e6f708192a3"


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=count, max_size=count)


def begins_here(found: TraceContext) -> bool:
    return found.parent_id is None and found.trace_id == ID and found.state == ""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.upper(),
        f"  {GOOD}\t",
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-a-later-version-adds",
        f"00-{TRACE}-{SPAN}-ff",
    ],
)
def test_a_parent_is_read(text: str) -> None:
    found = TraceContext.of_request(ID, text, "vendor=1,other=2")
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, SPAN, True)
    assert found.state == "vendor=1,other=2"
    assert found.span_id not in (SPAN, "0" * 16)
    assert found.span_id == TraceContext.of_request(ID).span_id  # of the request alone
    assert found.headers() == {"traceparent": f"00-{TRACE}-{found.span_id}-01", "tracestate": "vendor=1,other=2"}


def test_who_does_not_sample_is_heard() -> None:
    found = TraceContext.of_request(ID, f"00-{TRACE}-{SPAN}-02", share=1.0)
    assert not found.sampled
    assert found.headers()["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "00",
        TRACE,
        GOOD[:-1],
        GOOD + "0",
        f"{GOOD}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"FF-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{GOOD},{GOOD}",
        f"{GOOD}\n{GOOD}",
        GOOD.replace("4", "\uff14"),
        "00-" + "a" * 100_000,
    ],
)
def test_what_is_none_begins_a_trace_here(text: str) -> None:
    found = TraceContext.of_request(ID, text, "vendor=1")
    assert begins_here(found)
    assert not found.sampled
    assert TraceContext.of_request(ID, text, share=1.0).sampled


@pytest.mark.parametrize("state", ["", " ", "x" * 513, "a=\x00", "a=1\r\nX-Evil: 1", "ä=1", None])
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str | None) -> None:
    found = TraceContext.of_request(ID, GOOD, state)
    assert found.state == ""
    assert set(found.headers()) == {"traceparent"}
    assert found.trace_id == TRACE


def test_a_state_of_the_longest_length_is_passed_on() -> None:
    state = "vendor=" + "x" * 505
    assert TraceContext.of_request(ID, GOOD, f" {state} ").headers()["tracestate"] == state


@settings(deadline=None)
@given(digits(32), digits(16), st.integers(0, 255), st.integers(0, 254))
def test_any_parent_that_is_written_well_is_read(trace: str, span: str, flags: int, version: int) -> None:
    found = TraceContext.of_request(ID, f"{version:02x}-{trace}-{span}-{flags:02x}")
    if trace == "0" * 32 or span == "0" * 16:
        assert begins_here(found)
    else:
        assert (found.trace_id, found.parent_id, found.sampled) == (trace, span, bool(flags & 1))


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[0-9a-fA-F]{1,3}-[0-9a-fA-Fg]{31,33}-[0-9a-f]{15,17}-..?")), st.text())
def test_whatever_comes_what_goes_out_is_well_formed(parent: str, state: str) -> None:
    found = TraceContext.of_request(ID, parent, state)
    for each in (found, found.child("level"), found.child("level").child(parent)):
        headers = each.headers()
        assert HEADER.fullmatch(headers["traceparent"])
        assert re.fullmatch(r"[ -~]{1,512}", headers.get("tracestate", "a=1"))
        assert each.trace_id == found.trace_id
    again = TraceContext.of_request(new_id(), found.headers()["traceparent"], found.headers().get("tracestate"))
    assert (again.trace_id, again.parent_id, again.sampled) == (found.trace_id, found.span_id, found.sampled)


@settings(deadline=None)
@given(digits(32), st.text(), st.text())
def test_children_differ_by_what_they_are_about(name: str, one: str, other: str) -> None:
    request = TraceContext.of_request(name)
    assert request.child(one) == request.child(one)
    assert (request.child(one) == request.child(other)) == (one == other)
    assert request.child(one).parent_id == request.span_id


def test_ids_sort_by_time_and_tell_it() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert made_at(ids[0]) == int(ids[0][:12], 16) / 1000
    assert made_at("no id") is None
