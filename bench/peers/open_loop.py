"""Offers requests at a rate of its own, whatever the service answers: arrivals are Poisson, latency counts from them.

A pool of open connections takes turns, so that every worker of the service gets its share. A request for which no
connection is free is not sent and counts as `unsent`. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

_REJECTED = (429, 503)
_DEGRADED = (b'"degraded":true', b'"degraded": true')
LAST_S = 15.0
"""How long the last answers are waited for."""


class Connection(asyncio.Protocol):
    """One request at a time; says when it has the whole answer."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.buffer = bytearray()
        self.due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a request."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is none by inheritance
        self.offer.idle.append(self)

    def send(self, due: float, request: bytes) -> None:
        """Send what should have been sent at `due`."""
        assert self.transport is not None
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect the answer; its head names its length."""
        self.buffer += data
        head, mark, body = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        assert length is not None, "an answer without a length"
        if len(body) < length:
            return
        degraded = any(mark in body for mark in _DEGRADED)
        self.buffer.clear()
        due, self.due = self.due, 0.0
        self.offer.answered(due, int(head[9:12]), degraded=degraded)
        if b"connection: close" not in lines:
            self.offer.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Another one takes its place; a request without an answer is lost."""
        if self in self.offer.idle:
            self.offer.idle.remove(self)
        if self.due:
            self.offer.answered(self.due, 0)
        self.offer.reopen()


class Offer:
    """One run.

    Parameters
    ----------
    port : int
        On loopback.
    requests : list of bytes
        Whole requests, taken in turn.
    rate, seconds, skip : float
        Requests a second, how long, and how much of the beginning does not count.
    """

    def __init__(self, port: int, requests: list[bytes], *, rate: float, seconds: float, skip: float) -> None:
        self.port, self.requests, self.rate, self.seconds, self.skip = port, requests, rate, seconds, skip
        self.idle: deque[Connection] = deque()
        self.counts: Counter[str] = Counter()
        self.accepted: list[float] = []
        self.rejected: list[float] = []
        self.late: list[float] = []
        self.counted_from = 0.0
        self.open = True
        self.all_in = asyncio.Event()
        self.tasks: set[asyncio.Task[object]] = set()

    def answered(self, due: float, status: int, *, degraded: bool = False) -> None:
        """Take note; 0 is a lost connection."""
        self.counts["under_way"] -= 1
        if not self.open and not self.counts["under_way"]:
            self.all_in.set()
        if due < self.counted_from:
            return
        ms = (time.perf_counter() - due) * 1000
        if 200 <= status < 300:
            self.counts["ok"] += 1
            self.counts["degraded"] += degraded
            self.accepted.append(ms)
        elif status in _REJECTED:
            self.counts["rejected"] += 1
            self.rejected.append(ms)
        else:
            self.counts["lost" if status == 0 else "other"] += 1

    def reopen(self) -> None:
        """Open a connection in place of one that was closed."""
        if self.open:
            task = asyncio.ensure_future(self._connect())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def run(self, connections: int) -> dict[str, object]:
        """Offer, wait for what is under way, count."""
        for _ in range(connections):
            await self._connect()
        assert self.idle, "no connection was kept open"
        random.Random(0).shuffle(self.idle)  # noqa: S311  # an order, not a secret
        gaps = np.random.default_rng(0).exponential(1 / self.rate, int(self.rate * self.seconds * 1.2) + 100)
        began = time.perf_counter()
        self.counted_from = began + self.skip
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = -(usage.ru_utime + usage.ru_stime)
        for sent, due in enumerate((began + np.cumsum(gaps)).tolist()):
            if due > began + self.seconds:
                break
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            elif sent % 8 == 0:
                await asyncio.sleep(0)  # answers must be read though we are late
            self._send(due, self.requests[sent % len(self.requests)])
        took = time.perf_counter() - began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu += usage.ru_utime + usage.ru_stime
        self.open = False
        if self.counts["under_way"]:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.all_in.wait(), LAST_S)
        counted = self.seconds - self.skip
        return {
            "offered_per_s": (sum(self.counts[k] for k in ("ok", "rejected", "other", "lost", "unsent"))) / counted,
            "ok_per_s": self.counts["ok"] / counted,
            **{key: self.counts[key] for key in ("ok", "degraded", "rejected", "other", "lost", "unsent", "under_way")},
            "accepted_ms": _percentiles(self.accepted),
            "rejected_ms": _percentiles(self.rejected),
            "late_ms": _percentiles(self.late),
            "cpu_cores": cpu / took,
        }

    def _send(self, due: float, request: bytes) -> None:
        counts = due >= self.counted_from
        if not self.idle:
            self.counts["unsent"] += counts
            return
        if counts:
            self.late.append((time.perf_counter() - due) * 1000)
        self.counts["under_way"] += 1
        self.idle.popleft().send(due, request)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self.port)


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


def main() -> None:
    """Offer and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path", help="such as /v1/infer")
    parser.add_argument("list", type=Path, help="file with the path of a picture a line")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--skip", type=float, default=2.0, help="seconds at the beginning that do not count")
    parser.add_argument("--connections", type=int, default=384)
    given = parser.parse_args()
    requests = []
    for file in given.list.read_text("utf-8").splitlines():
        body = Path(file).read_bytes()
        head = f"POST {given.path} HTTP/1.1\r\nHost: 127.0.0.1:{given.port}\r\nContent-Type: image/jpeg\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    offer = Offer(given.port, requests, rate=given.rate, seconds=given.seconds, skip=given.skip)
    found = uvloop.run(offer.run(given.connections))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
