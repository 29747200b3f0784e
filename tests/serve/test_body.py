"""Reading bodies: limits of bytes and time, and forms that mean the same however they are cut into pieces."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.serve.body import BodyReader, Memory, Part, media_type, parts
from natix_cascade.serve.problems import ProblemError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\\\x00'), min_size=1, max_size=12)


def reader(*pieces: bytes, most: int = 1 << 20, memory: Memory | None = None, end: bool = True) -> BodyReader:
    """A reader of these pieces; without an end it waits for more."""
    coming: Iterator[bytes] = iter(pieces)
    left = len(pieces)

    async def receive() -> MutableMapping[str, Any]:
        nonlocal left
        left -= 1
        if left < 0 and not end:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": next(coming, b""), "more_body": left > 0 or not end}

    return BodyReader(receive, most, float("inf"), memory or Memory(1 << 30))


def whole(found: BodyReader) -> bytes:
    return asyncio.run(found.whole())


def parsed(found: BodyReader, boundary: str = "x", *, most_part: int = 1 << 20) -> list[Part]:
    async def gather() -> list[Part]:
        return [part async for part in parts(found, f"multipart/form-data; boundary={boundary}", most_part=most_part)]

    return asyncio.run(gather())


def form(given: list[Part], boundary: str = "x") -> bytes:
    out = bytearray()
    for part in given:
        name = f'; filename="{part.filename}"' if part.filename is not None else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{part.name}"{name}\r\n\r\n'.encode()
        out += part.content + b"\r\n"
    return bytes(out) + f"--{boundary}--\r\n".encode()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(marks)]


@given(
    wanted=st.lists(
        st.builds(Part, name=NAMES, filename=st.none() | NAMES, content=st.binary(max_size=200)), max_size=5
    ),
    places=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_a_form_means_the_same_however_it_is_cut(wanted: list[Part], places: list[int]) -> None:
    data = form(wanted, "----boundary")
    assert parsed(reader(*cut(data, places)), "----boundary") == wanted


@given(content=st.binary(max_size=100))
def test_each_single_byte_may_come_by_itself(content: bytes) -> None:
    wanted = [Part("file", "a.jpg", content), Part("name", None, b"mine")]
    assert parsed(reader(*(bytes((byte,)) for byte in form(wanted)))) == wanted


@given(at=st.integers(0, 10_000), wanted=st.binary(max_size=50))
def test_a_form_that_is_cut_off_is_a_problem(at: int, wanted: bytes) -> None:
    data = form([Part("file", "a", wanted), Part("more", None, b"1")])
    with pytest.raises(ProblemError) as caught:
        parsed(reader(data[: at % (len(data) - 4)]))
    assert caught.value.problem.kind == "bad-request"


@given(st.binary(max_size=300))
def test_noise_is_no_form_or_no_parts(noise: bytes) -> None:
    try:
        assert parsed(reader(noise)) == []
    except ProblemError as error:
        assert error.problem.kind == "bad-request"  # noqa: PT017  # either is right


def test_what_was_complete_is_given_before_a_form_breaks() -> None:
    data = form([Part("file", "a", b"first"), Part("file", "b", bytes(101))])
    found: list[Part] = []

    async def gather() -> None:
        async for part in parts(reader(data), "multipart/form-data; boundary=x", most_part=100):
            found.append(part)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ProblemError) as caught:
        asyncio.run(gather())
    assert caught.value.problem.kind == "too-large"
    assert [part.content for part in found] == [b"first"]


def test_fields_are_small_and_few() -> None:
    assert parsed(reader(form([Part("a", None, bytes(4096))])))[0].content == bytes(4096)
    with pytest.raises(ProblemError, match="4096 bytes"):
        parsed(reader(form([Part("a", None, bytes(4097))])))
    parsed(reader(form([Part("a", None, b"")] * 64)))
    with pytest.raises(ProblemError, match="64 fields"):
        parsed(reader(form([Part("a", None, b"")] * 65)))


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/x; y=z"])
def test_a_form_needs_its_boundary(content_type: str) -> None:
    async def gather() -> None:
        async for _ in parts(reader(b""), content_type, most_part=1):
            raise AssertionError

    with pytest.raises(ProblemError, match="boundary"):
        asyncio.run(gather())


@given(pieces=st.lists(st.binary(max_size=20), min_size=1, max_size=10), most=st.integers(0, 100))
def test_a_body_is_its_pieces_up_to_the_limit(pieces: list[bytes], most: int) -> None:
    memory = Memory(1 << 20)
    found = reader(*pieces, most=most, memory=memory)
    data = b"".join(pieces)
    if len(data) > most:
        with pytest.raises(ProblemError) as caught:
            whole(found)
        assert caught.value.problem.kind == "too-large"
        assert memory.used <= most
    else:
        assert whole(found) == data
        assert memory.used == len(data)
    found.release()
    found.release()  # a second time gives nothing more
    assert memory.used == 0


def test_memory_is_shared_by_all() -> None:
    memory = Memory(10)
    first = reader(bytes(6), memory=memory)
    whole(first)
    with pytest.raises(ProblemError) as caught:
        whole(reader(bytes(5), memory=memory))
    assert caught.value.problem.kind == "overloaded"
    assert caught.value.problem.retry_after_s
    first.release()
    assert whole(reader(bytes(5), memory=memory)) == bytes(5)


def test_a_body_that_stops_coming_is_slow() -> None:
    async def wait() -> bytes:
        found = reader(b"abc", end=False)
        found.until = asyncio.get_running_loop().time() + 0.01
        return await found.whole()

    with pytest.raises(ProblemError, match="3 bytes") as caught:
        asyncio.run(wait())
    assert caught.value.problem.kind == "slow-request"


def test_a_client_that_leaves_is_a_bad_request() -> None:
    async def gone() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ProblemError) as caught:
        whole(BodyReader(gone, 10, float("inf"), Memory(10)))
    assert caught.value.problem.kind == "bad-request"


def test_the_declared_length_is_checked_first() -> None:
    found = reader(most=100)
    found.check_length(None)
    found.check_length("100")
    for length, kind in (("101", "too-large"), ("-1", "bad-request"), ("ten", "bad-request"), ("", "bad-request")):
        with pytest.raises(ProblemError) as caught:
            found.check_length(length)
        assert caught.value.problem.kind == kind


def test_media_types() -> None:
    assert media_type("Image/JPEG; q=1") == "image/jpeg"
    assert media_type(" text/plain ") == "text/plain"
    assert media_type(None) == media_type("") == ""


def test_what_came_within_the_limit_counts_however_the_network_cut_it() -> None:
    found: list[bytes] = []

    async def gather() -> None:
        async for piece in reader(b"abcdefgh", most=5).pieces():
            found.append(piece)  # noqa: PERF401  # what came before the refusal is wanted

    with pytest.raises(ProblemError, match="the body may have"):
        asyncio.run(gather())
    assert found == [b"abcde"]
