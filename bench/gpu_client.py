"""A quick client of the chat protocol, in processes of its own: so many questions in flight, every picture another one.

Requests are what the cascade sends: a system prompt, a JPEG as data URL, a question, one constrained answer token with
log-probabilities. A picture differs from all others by a comment in its JPEG, so that no cache can answer.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from gpu_configs import QUESTION, SYSTEM

_KINDS = 48
_POOL: dict[tuple[int, int], list[bytes]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one process of clients does.

    Attributes
    ----------
    port : int
        On this machine.
    model : str
        As it is served.
    height, width : int
        Of the pictures.
    tokens : tuple of int
        The answers allowed.
    inflight : int
        Questions at once.
    begin : float
        Wall-clock time at which all processes begin.
    warm : float
        Seconds before completions count.
    seconds : float
        That count; 0: every connection asks once, all at the same time.
    extra : mapping
        Further fields of the request.
    fresh : bool
        A new connection for every request.
    """

    port: int
    model: str
    height: int
    width: int
    tokens: tuple[int, int]
    inflight: int
    begin: float
    warm: float = 2.0
    seconds: float = 6.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False


def photo(rng: np.random.Generator, height: int, width: int) -> bytes:
    """A JPEG with a photograph's amount of detail: smooth colours and a little noise."""
    small = rng.integers(0, 255, (max(height // 16, 2), max(width // 16, 2), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    noisy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def pool(height: int, width: int) -> list[bytes]:
    """Pictures of a size, made once a process."""
    if (height, width) not in _POOL:
        rng = np.random.default_rng(os.getpid())
        _POOL[height, width] = [photo(rng, height, width) for _ in range(_KINDS)]
    return _POOL[height, width]


def unlike(jpeg: bytes) -> bytes:
    """The same picture in other bytes: a comment of 16 random ones."""
    return jpeg[:2] + b"\xff\xfe\x00\x12" + os.urandom(16) + jpeg[2:]


def body(job: Job, jpeg: bytes) -> bytes:
    """A request's JSON."""
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    return json.dumps(
        {
            "model": job.model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}],
                },
            ],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 2,
            "allowed_token_ids": list(job.tokens),
            **job.extra,
        }
    ).encode()


def drive(job: Job) -> dict[str, Any]:
    """Ask until the time is over; return counts, latencies in ms and when the last answer came."""
    pictures = pool(job.height, job.width)
    return asyncio.run(_drive(job, _endless(pictures)))


def _endless(pictures: list[bytes]) -> Iterator[bytes]:
    while True:
        for picture in pictures:
            yield unlike(picture)


@dataclass(slots=True)
class _Tally:
    done: list[tuple[float, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tokens: int = 0


async def _drive(job: Job, pictures: Iterator[bytes]) -> dict[str, Any]:
    tally = _Tally()
    first = [body(job, next(pictures)) for _ in range(job.inflight)]
    await asyncio.sleep(max(job.begin - time.time(), 0))
    began = time.time()
    until = began + job.warm + job.seconds
    await asyncio.gather(*(_ask(job, request, pictures, tally, until) for request in first))
    if job.seconds:
        counted = [took for end, took in tally.done if began + job.warm <= end < until]
        span = job.seconds
    else:
        counted = [took for _, took in tally.done]
        span = max((end for end, _ in tally.done), default=began) - began
    return {"counted": len(counted), "span": span, "ms": counted, "wrong": tally.wrong[:3], "tokens": tally.tokens}


async def _ask(job: Job, request: bytes, pictures: Iterator[bytes], tally: _Tally, until: float) -> None:
    link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while True:
        began = time.time()
        try:
            link = link or await asyncio.open_connection("127.0.0.1", job.port)
            answer = await _exchange(*link, request)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            tally.wrong.append(f"{type(error).__name__}: {str(error)[:200]}")
            return
        tally.done.append((time.time(), (time.time() - began) * 1000))
        tally.tokens = answer["usage"]["prompt_tokens"]
        if job.fresh:
            link[1].close()
            link = None
        if not job.seconds or time.time() >= until:
            break
        request = body(job, next(pictures))
    if link:
        link[1].close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> dict[str, Any]:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(request)}\r\n\r\n"
    )
    writer.write(head.encode() + request)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    text = await reader.readexactly(length)
    if lines[0].split()[1] != "200":
        raise ValueError(f"{lines[0]} {text[:200]!r}")
    answer: dict[str, Any] = json.loads(text)
    if not answer["choices"][0]["logprobs"]["content"]:
        raise ValueError("an answer without log-probabilities")
    return answer


def ask_once(job: Job, jpeg: bytes) -> dict[str, Any]:
    """One question about one given picture."""

    async def once() -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
        try:
            return await _exchange(reader, writer, body(job, jpeg))
        finally:
            writer.close()

    return asyncio.run(once())
