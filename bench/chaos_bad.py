"""Bad requests: damaged, too large, too slow, cut off, or not even HTTP; and what each must be answered with."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from chaos_wire import Reply, connected, exchange, head

if TYPE_CHECKING:
    from chaos_traffic import Traffic

__all__ = ["KINDS"]

Kind: TypeAlias = "Callable[[Traffic, float], Awaitable[None]]"


def _png_bomb(side: int = 20_000) -> bytes:
    """A small PNG of side times side one-bit pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side // 8 + 1) * 64)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


_BOMB = _png_bomb()


async def _corrupt(traffic: Traffic, began: float) -> None:
    await traffic.refused("corrupt", began, traffic.rng.choice(traffic.damaged), {422})


async def _truncated(traffic: Traffic, began: float) -> None:
    content = traffic.sample().content
    await traffic.refused("truncated", began, content[: traffic.rng.randrange(300, len(content) - 300)], {422})


async def _no_picture(traffic: Traffic, began: float) -> None:
    content = traffic.rng.choice(
        [b"GIF89a" + b"\0" * 50, b"%PDF-1.7 " * 9, b"<svg/>", traffic.rng.randbytes(500), b"\x89PNG"]
    )
    await traffic.refused("no_picture", began, content, {415, 422})


async def _empty(traffic: Traffic, began: float) -> None:
    await traffic.refused("empty", began, b"", {400, 415, 422})


async def _bomb(traffic: Traffic, began: float) -> None:
    await traffic.refused("bomb", began, _BOMB, {413})


async def _too_long(traffic: Traffic, began: float) -> None:
    reply = await exchange(traffic.world.port, [head("POST", "/v1/infer", length=traffic.max_body + 1)])
    traffic.status("too_long", began, reply.status, {413}, reply.headers)


async def _too_long_chunked(traffic: Traffic, began: float) -> None:
    piece = b"10000\r\n" + b"\xff" * 0x10000 + b"\r\n"
    pieces = [head("POST", "/v1/infer", Transfer_Encoding="chunked"), *[piece] * (traffic.max_body // 0x10000 + 8)]
    reply = await _hardly_heard(traffic, pieces)
    traffic.status("too_long_chunked", began, reply.status, {413, None}, reply.headers)


async def _hardly_heard(traffic: Traffic, pieces: list[bytes]) -> Reply:
    """Send what is refused before its end: a service that closes meanwhile may lose its answer on the way."""
    try:
        return await exchange(traffic.world.port, pieces)
    except (ConnectionResetError, BrokenPipeError):
        return Reply(None, {}, b"")


async def _wrong_base64(traffic: Traffic, began: float) -> None:
    body = json.dumps({"image": traffic.rng.choice(["%%%", "data:image/png;base64,", "data:text/plain,hello"])})
    response = await traffic.client.post("/v1/infer", content=body, headers={"Content-Type": "application/json"})
    traffic.status("wrong_base64", began, response.status_code, {415, 422}, response.headers)


async def _bad_json(traffic: Traffic, began: float) -> None:
    body = traffic.rng.choice(
        [b"{", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"image": 3}', b'{"url": "http://127.0.0.1/"}']
    )
    response = await traffic.client.post("/v1/infer", content=body, headers={"Content-Type": "application/json"})
    traffic.status("bad_json", began, response.status_code, {400, 422}, response.headers)


async def _bad_option(traffic: Traffic, began: float) -> None:
    query = traffic.rng.choice(
        ["deadline_ms=-5", "deadline_ms=nan", "max_level=none", "place=1", "label=maybe", "what=1"]
    )
    response = await traffic.client.post(f"/v1/infer?{query}", content=traffic.sample().content)
    traffic.status("bad_option", began, response.status_code, {400, 422}, response.headers)


async def _bad_form(traffic: Traffic, began: float) -> None:
    kind, body = traffic.rng.choice([
        ("multipart/form-data", b"x"), ("multipart/form-data; boundary=b", b"--b\r\n\r\nx"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"), ("multipart/form-data; boundary=b", b""),
    ])  # fmt: skip
    response = await traffic.client.post("/v1/infer", content=body, headers={"Content-Type": kind})
    traffic.status("bad_form", began, response.status_code, {400, 422}, response.headers)


async def _garbage(traffic: Traffic, began: float) -> None:
    data = traffic.rng.choice([
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"POST /v1/infer HTTP/9.9\r\n\r\n",
        b"\0" * 64, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        traffic.rng.randbytes(300) + b"\r\n\r\n",
    ])  # fmt: skip
    reply = await exchange(traffic.world.port, [data])
    traffic.status("garbage", began, reply.status, {400, 404, 405, 408, 505, None}, reply.headers)


async def _long_header(traffic: Traffic, began: float) -> None:
    lines = [f"X-{n}: {'a' * 500}\r\n".encode() for n in range(200)]
    reply = await _hardly_heard(traffic, [b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", *lines, b"\r\n"])
    traffic.status("long_header", began, reply.status, {400, 431, None}, reply.headers)


async def _slow_header(traffic: Traffic, began: float) -> None:
    pieces = [b"POST /v1/infer HTTP/1.1\r\n", *[f"X-{n}: 1\r\n".encode() for n in range(1000)]]
    reply = await exchange(traffic.world.port, pieces, pause_s=0.2)
    traffic.status("slow_header", began, reply.status, {408, None}, reply.headers)


async def _slow_body(traffic: Traffic, began: float) -> None:
    content = traffic.sample().content
    pieces = [head("POST", "/v1/infer", length=len(content)), *(bytes([byte]) for byte in content)]
    reply = await exchange(traffic.world.port, pieces, pause_s=0.1)
    traffic.status("slow_body", began, reply.status, {408}, reply.headers)


async def _leave_body(traffic: Traffic, _: float) -> None:
    content = traffic.sample().content
    async with connected(traffic.world.port) as (_reader, writer):
        writer.write(head("POST", "/v1/infer", length=len(content)) + content[: len(content) // 2])
        await writer.drain()
        await asyncio.sleep(traffic.rng.uniform(0, 0.05))
    traffic.left("leave_body")


async def _leave_answer(traffic: Traffic, _: float) -> None:
    content = traffic.sample().content
    async with connected(traffic.world.port) as (_reader, writer):
        writer.write(head("POST", "/v1/infer", length=len(content)) + content)
        await writer.drain()
        await asyncio.sleep(traffic.rng.uniform(0, 0.05))
    traffic.left("leave_answer")


async def _look(traffic: Traffic, began: float) -> None:
    paths = ["/v1/status", "/v1/cascade", "/v1/models", "/health", "/v1/verdicts?limit=3", "/v1/admin/breakers"]
    path = traffic.rng.choice(paths)
    response = await traffic.client.get(path)
    traffic.status(f"look {path.partition('?')[0]}", began, response.status_code, {200}, response.headers)


async def _nowhere(traffic: Traffic, began: float) -> None:
    path, status = traffic.rng.choice([("/nowhere", 404), ("/v1/infer", 405), ("/v1/verdicts/" + "0" * 32, 404)])
    response = await traffic.client.get(path)
    traffic.status("nowhere", began, response.status_code, {status}, response.headers)


KINDS: dict[str, tuple[float, Kind]] = {
    "corrupt": (2, _corrupt),
    "truncated": (3, _truncated),
    "no_picture": (2, _no_picture),
    "empty": (1, _empty),
    "bomb": (2, _bomb),
    "too_long": (1, _too_long),
    "too_long_chunked": (0.5, _too_long_chunked),
    "wrong_base64": (1, _wrong_base64),
    "bad_json": (1, _bad_json),
    "bad_option": (2, _bad_option),
    "bad_form": (1, _bad_form),
    "garbage": (2, _garbage),
    "long_header": (0.5, _long_header),
    "slow_header": (0.5, _slow_header),
    "slow_body": (0.5, _slow_body),
    "leave_body": (2, _leave_body),
    "leave_answer": (3, _leave_answer),
    "look": (4, _look),
    "nowhere": (1, _nowhere),
}
"""Name to its share of the traffic, and the function that sends one."""
