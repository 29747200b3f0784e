"""Requests byte by byte: what no well-behaved HTTP library would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Reply", "connected", "exchange", "head", "read_reply"]

_MOST = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status None: the connection was closed without a word."""

    status: int | None
    headers: dict[str, str]
    body: bytes


def head(method: str, path: str, *, length: int | str | None = None, kind: str | None = None, **more: str) -> bytes:
    """Request line and headers, with the empty line; underscores in the names of `more` become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection of one's own; at the end it is cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MOST)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(port: int, pieces: Iterable[bytes], *, pause_s: float = 0.0) -> Reply:
    """Send pieces with pauses between them, as long as the service listens, and read its answer."""
    async with connected(port) as (reader, writer):
        answer = asyncio.ensure_future(read_reply(reader))
        try:
            with contextlib.suppress(OSError):  # it has heard enough; its answer says why
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if pause_s:
                        await asyncio.wait({answer}, timeout=pause_s)
                    if answer.done():
                        break
            return await answer
        finally:
            answer.cancel()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read an answer up to the end of the connection.

    Raises
    ------
    ConnectionError
        The connection was reset before an answer.
    """
    found = bytearray()
    try:
        while len(found) < _MOST and (piece := await reader.read(65_536)):
            found += piece
    except ConnectionError:
        if not found:
            raise
    top, _, body = bytes(found).partition(b"\r\n\r\n")
    if not top:
        return Reply(None, {}, b"")
    first, *lines = top.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None
    return Reply(status, headers, body)
