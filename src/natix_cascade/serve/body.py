"""Reading a request's body within its limits of bytes and time, whatever form it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from natix_cascade.serve.problems import ProblemError

__all__ = ["BodyReader", "Memory", "Part", "media_type", "parts"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_MIB = 1024 * 1024
_FIELD_BYTES = 4096  # of a form's field that is no file
_MOST_FIELDS = 64


class Memory:
    """Bytes of bodies that are in memory at a time, over all requests of a worker.

    Parameters
    ----------
    most : int
        More are refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def take(self, size: int) -> None:
        """Count `size` bytes.

        Raises
        ------
        ProblemError
            503: there is no room.
        """
        if self.used + size > self.most:
            raise ProblemError("overloaded", "too many bytes are being uploaded at once; try again", retry_after_s=1.0)
        self.used += size

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        self.used -= size


@dataclass(slots=True)
class BodyReader:
    """One request's body.

    Attributes
    ----------
    receive : callable
        ASGI's.
    most : int
        Most bytes.
    until : float
        Of the loop's clock: it must have arrived by then.
    memory : Memory
        Shared by all.
    held : int
        Bytes counted in `memory`; give them back at the end.
    """

    receive: Receive
    most: int
    until: float
    memory: Memory
    held: int = 0
    seen: int = 0
    ended: bool = False

    def check_length(self, declared: str | None) -> None:
        """Refuse by the header, before a byte is read.

        Raises
        ------
        ProblemError
            413 or 400.
        """
        if declared is None:
            return
        if not declared.isdecimal():
            raise ProblemError("bad-request", "the header Content-Length is not a number")
        if int(declared) > self.most:
            raise self._too_large(f"{int(declared) / _MIB:.1f} MiB")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece.

        Raises
        ------
        ProblemError
            408: too slow; 413: too large; 503: no room.
        """
        while not self.ended:
            try:
                async with asyncio.timeout_at(self.until):
                    message = await self.receive()
            except TimeoutError:
                raise ProblemError(
                    "slow-request", f"only {self.seen} bytes of the body arrived in time; send faster"
                ) from None
            if message["type"] == "http.disconnect":
                raise ProblemError("bad-request", "the connection ended in the middle of the body")
            piece: bytes = message.get("body", b"")
            self.seen += len(piece)
            over = self.seen - self.most
            if over > 0:
                if over < len(piece):
                    yield piece[:-over]  # what is within the limit counts, however the network cut it
                raise self._too_large("more")
            self.ended = not message.get("more_body", False)
            yield piece

    async def whole(self) -> bytes:
        """The body in one; its bytes are counted in `memory`."""
        found: list[bytes] = []
        async for piece in self.pieces():
            self.hold(len(piece))
            found.append(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def hold(self, size: int) -> None:
        """Count bytes that stay in memory."""
        self.memory.take(size)
        self.held += size

    def release(self) -> None:
        """Give all bytes back."""
        self.memory.give(self.held)
        self.held = 0

    def _too_large(self, size: str) -> ProblemError:
        return ProblemError("too-large", f"the body may have {self.most / _MIB:g} MiB and has {size}: send less")


@dataclass(slots=True)
class Part:
    """One part of a form.

    Attributes
    ----------
    name : str
        Of the field.
    filename : str or None
        None: a field, not a file.
    content : bytes
        All of it.
    """

    name: str
    filename: str | None
    content: bytes


def media_type(header: str | None) -> str:
    """The media type of a Content-Type header, in lower case."""
    return (header or "").split(";", 1)[0].strip().lower()


@dataclass(slots=True)
class _Form:
    """Callbacks of the parser and what they have gathered."""

    most_part: int
    done: list[Part] = field(default_factory=list)
    header: bytes = b""
    value: bytes = b""
    disposition: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    is_file: bool = False
    fields: int = 0
    ended: bool = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.on_header,
            "on_header_value": self.on_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": self.data,
            "on_part_end": self.end,
            "on_end": self.finish,
        }

    def begin(self) -> None:
        self.disposition, self.pieces, self.size = b"", [], 0

    def on_header(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def on_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.disposition = self.value
        self.header = self.value = b""

    def headers_finished(self) -> None:
        self.is_file = b"filename" in parse_options_header(self.disposition)[1]
        self.fields += not self.is_file
        if self.fields > _MOST_FIELDS:
            raise ProblemError("bad-request", f"the form has more than {_MOST_FIELDS} fields")

    def data(self, data: bytes, start: int, end: int) -> None:
        self.size += end - start
        most = self.most_part if self.is_file else _FIELD_BYTES
        if self.size > most:
            what = f"{most / _MIB:g} MiB" if self.is_file else f"{most} bytes"
            raise ProblemError("too-large", f"a part of the form may have {what} and has more: send less")
        self.pieces.append(data[start:end])

    def end(self) -> None:
        options = parse_options_header(self.disposition)[1]
        filename = options.get(b"filename")
        self.done.append(
            Part(
                options.get(b"name", b"").decode("utf-8", "replace"),
                None if filename is None else filename.decode("utf-8", "replace"),
                b"".join(self.pieces),
            )
        )
        self.pieces = []

    def finish(self) -> None:
        self.ended = True


async def parts(reader: BodyReader, content_type: str, *, most_part: int) -> AsyncIterator[Part]:
    """The parts of a ``multipart/form-data`` body, each as soon as it is complete.

    Parameters
    ----------
    reader : BodyReader
        The body.
    content_type : str
        The header, which names the boundary.
    most_part : int
        Most bytes of one file.

    Raises
    ------
    ProblemError
        400: not a form; and what `BodyReader` raises.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise ProblemError(
            "bad-request", "multipart/form-data without a boundary; let your HTTP library set the header"
        )
    form = _Form(most_part)
    parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # a typed dict of the same names
    async for piece in reader.pieces():
        broken = _fed(parser.write, piece) if piece else None
        ready, form.done = form.done, []
        for part in ready:  # what was complete before it broke
            yield part
        if broken is not None:
            raise broken
    broken = _fed(parser.finalize)
    if broken is not None:
        raise broken
    if not form.ended:
        raise ProblemError("bad-request", "the form ends in the middle; its last boundary is missing")


def _fed(feed: Callable[..., object], *piece: bytes) -> ProblemError | None:
    """Hand a piece to the parser; returns what it finds wrong."""
    try:
        feed(*piece)
    except MultipartParseError as error:
        return ProblemError("bad-request", f"the form cannot be read: {error}")
    except ProblemError as error:
        return error
    return None
