"""Requests of every kind, good and bad, whose right answers are known."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos_ledger import Ledger
from chaos_wire import Reply, connected, exchange, head
from chaos_world import World

__all__ = ["Expected", "Sample", "Traffic"]

_HANG_S = 2.0  # promise 1: an answer by the deadline and this
_BUSY = frozenset({429, 503})
_MOST_OPEN = 400


def _bomb(side: int = 20_000) -> bytes:
    """A small PNG of side times side one-bit pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side // 8 + 1) * 64)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


_BOMB = _bomb()


@dataclass(frozen=True, slots=True)
class Expected:
    """The right answer."""

    detected: bool
    probability: float
    exit_level: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its right answers: the whole cascade's, and those of the cascade up to a level."""

    content: bytes
    right: Expected
    right_up_to: dict[str, Expected]


@dataclass(slots=True)
class Traffic:
    """Sends requests at a bounded rate and judges the answers.

    Attributes
    ----------
    world, ledger : World, Ledger
        Who is asked, and who keeps the books.
    samples : list of Sample
        Good pictures.
    deadline_ms : float
        The service's own, for requests that name none.
    header_s, body_s : float
        The service's limits for slow senders, in seconds.
    max_body : int
        The service's limit, in bytes.
    damaged : list of bytes
        Pictures that no decoder takes.
    acknowledged : dict
        Feedback id to (verdict id, label) of every acknowledged feedback.
    stored : set
        Ids of verdicts that were said to be stored.
    largest_difference : float
        Between a probability and the right one.
    """

    world: World
    ledger: Ledger
    samples: list[Sample]
    deadline_ms: float
    header_s: float
    body_s: float
    max_body: int
    damaged: list[bytes]
    rng: random.Random
    acknowledged: dict[str, tuple[str, bool]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    largest_difference: float = 0.0
    began: float = field(default_factory=time.monotonic)
    _client: httpx.AsyncClient = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
        self._client = httpx.AsyncClient(base_url=self.world.url, timeout=None, limits=limits)  # noqa: S113  # see _one

    @property
    def open(self) -> int:
        """Requests under way."""
        return len(self._tasks)

    async def run(self, until: float, rate: float) -> None:
        """Begin `rate` requests a second until then, by `time.monotonic`, whatever becomes of them."""
        kinds, weights = zip(*((kind, weight) for kind, weight in _KINDS.items()), strict=True)
        due = time.monotonic()
        while (now := time.monotonic()) < until:
            if due > now:
                await asyncio.sleep(due - now)
            due = max(due + self.rng.expovariate(rate), now - 0.5)
            if len(self._tasks) >= _MOST_OPEN:
                self.ledger.counts["skipped: too many open"] += 1
                continue
            self.begin(self.rng.choices(kinds, weights)[0])

    def begin(self, kind: str) -> asyncio.Task[None]:
        """Begin one request."""
        task = asyncio.create_task(self._one(kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait for all that is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._client.aclose()

    async def _one(self, kind: str) -> None:
        send = getattr(self, f"_{kind}")
        usual = self.deadline_ms / 1000
        limit = {"slow_header": self.header_s, "slow_body": self.body_s, "batch": 3 * usual, "feedback": 2 * usual}
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit.get(kind, usual) + _HANG_S):
                await send(began)
        except TimeoutError:
            stalled = self.world.stalled(began, time.monotonic())
            self.ledger.counts[f"{kind}: no answer in time{', the machine stalled' if stalled else ''}"] += 1
            if not stalled:
                self.ledger.wrong(1, "no answer by the deadline and 2 s", kind=kind, at=self._at(began))
        except (OSError, httpx.TransportError, asyncio.IncompleteReadError) as error:
            now = time.monotonic()
            expected = self.world.reset_is_expected(began, now)
            self.ledger.counts[f"{kind}: no connection, {'expected' if expected else 'unexpected'}"] += 1
            if not expected:
                promise = 10 if any(span.meets(began, now) for span in self.world.reloads) else 8
                why = f"{type(error).__name__}: {error}"
                took = round(now - began, 2)
                self.ledger.wrong(promise, "connection lost", kind=kind, error=why, at=self._at(began), took=took)

    # good pictures

    async def _good(self, began: float) -> None:
        sample = self._sample()
        await self._ask("good", began, sample, sample.right)

    async def _fresh(self, began: float) -> None:
        sample = self._sample()
        headers = {"Connection": "close", "Content-Type": "image/jpeg"}
        await self._ask("fresh", began, sample, sample.right, headers=headers)

    async def _explain(self, began: float) -> None:
        sample = self._sample()
        answer = await self._ask("explain", began, sample, sample.right, query={"explain": "true"})
        if answer is not None:
            self.ledger.check(12, "an explanation", good="picture" in answer.get("explanation", {}))

    async def _odd_type(self, began: float) -> None:
        sample = self._sample()
        kind = self.rng.choice(["text/html", "application/pdf", "x/y; z=1", "application/x-www-form-urlencoded", "?"])
        await self._ask("odd_type", began, sample, sample.right, headers={"Content-Type": kind})

    async def _max_level(self, began: float) -> None:
        sample = self._sample()
        level = self.rng.choice(list(sample.right_up_to))
        await self._ask("max_level", began, sample, sample.right_up_to[level], query={"max_level": level})

    async def _tight(self, began: float) -> None:
        sample = self._sample()
        deadline = self.rng.choice([1, 5, 20, 60, 200])
        query = {"deadline_ms": str(deadline)}
        async with asyncio.timeout(deadline / 1000 + _HANG_S):
            await self._ask("tight", began, sample, sample.right, query=query, also={504})

    async def _json(self, began: float) -> None:
        sample = self._sample()
        text = base64.b64encode(sample.content).decode()
        body = json.dumps({"image": self.rng.choice(["", "data:image/jpeg;base64,"]) + text}).encode()
        headers = {"Content-Type": "application/json"}
        await self._ask("json", began, sample, sample.right, headers=headers, content=body)

    async def _form(self, began: float) -> None:
        sample = self._sample()
        response = await self._client.post("/v1/infer", files={"file": ("a.jpg", sample.content, "image/jpeg")})
        self._judged("form", began, response, sample.right)

    async def _feedback(self, began: float) -> None:
        sample = self._sample()
        answer = await self._ask("good", began, sample, sample.right)
        if answer is None:
            return
        label = self.rng.random() < 0.5
        body: dict[str, Any] = {"verdict_id": answer["verdict_id"], "label": label, "note": "chaos"}
        if self.rng.random() < 0.1:
            body["image"] = base64.b64encode(sample.content).decode()
        response = await self._client.post("/v1/feedback", json=body)
        self._status("feedback", began, response.status_code, {201}, response.headers)
        if response.status_code == 201:
            self.acknowledged[response.json()["feedback_id"]] = (answer["verdict_id"], label)

    async def _stream(self, began: float) -> None:
        sample = self._sample()
        query = {"stream": "true"}
        async with self._client.stream("POST", "/v1/infer", params=query, content=sample.content) as response:
            if not self._status("stream", began, response.status_code, {200}, response.headers):
                return
            lines = [json.loads(line) async for line in response.aiter_lines()]
        last = lines[-1] if lines else {"event": "nothing"}
        if last["event"] == "verdict":
            self._verdict("stream", began, last["verdict"], sample.right)
        elif last["event"] == "problem":
            self._status("stream's problem", began, last["problem"]["status"], {504}, {"retry-after": "1"})
        else:
            self.ledger.wrong(12, "a stream without an end", kind="stream", last=last["event"], at=self._at(began))

    async def _stream_left(self, _: float) -> None:
        content = self._sample().content
        async with connected(self.world.port) as (reader, writer):
            writer.write(head("POST", "/v1/infer?stream=true", length=len(content)) + content)
            await writer.drain()
            await reader.read(200)
        self._left("stream_left")

    async def _batch(self, began: float) -> None:
        chosen = [self._sample() for _ in range(self.rng.randint(2, 6))]
        whole = [sample.content for sample in chosen]
        bad = {len(whole): (415, b"no picture"), len(whole) + 1: (422, whole[0][:400])}
        everything = [*whole, *(content for _, content in bad.values())]
        if self.rng.random() < 0.5:
            files = [("file", (f"{n}.jpg", content, "image/jpeg")) for n, content in enumerate(everything)]
            response = await self._client.post("/v1/batch-infer", files=files)
        else:
            lines = [
                json.dumps({"image": base64.b64encode(each).decode(), "name": f"{n}"})
                for n, each in enumerate(everything)
            ]
            headers = {"Content-Type": "application/x-ndjson"}
            response = await self._client.post("/v1/batch-infer", content="\n".join(lines), headers=headers)
        if not self._status("batch", began, response.status_code, {200}, response.headers):
            return
        found = [json.loads(line) for line in response.text.splitlines()]
        done = found.pop() if found else {}
        by_index = {line["index"]: line for line in found}
        good = done.get("done") is True and done.get("pictures") == len(everything) == len(by_index)
        if not self.ledger.check(14, "a batch answers for each file", good=good, done=done, at=self._at(began)):
            return
        for index, sample in enumerate(chosen):
            line = by_index[index]
            if line["status"] == 200:
                self._verdict("batch", began, line["verdict"], sample.right)
            else:
                self._status("batch's picture", began, line["status"], {504}, {"retry-after": "1"})
        for index, (status, _) in bad.items():
            self._status("batch's bad file", began, by_index[index]["status"], {status}, {"retry-after": "1"})

    # bad ones

    async def _corrupt(self, began: float) -> None:
        await self._refused("corrupt", began, self.rng.choice(self.damaged), {422})

    async def _truncated(self, began: float) -> None:
        content = self._sample().content
        await self._refused("truncated", began, content[: self.rng.randrange(300, len(content) - 300)], {422})

    async def _no_picture(self, began: float) -> None:
        content = self.rng.choice(
            [b"GIF89a" + b"\0" * 50, b"%PDF-1.7 " * 9, b"<svg/>", self.rng.randbytes(500), b"\x89PNG"]
        )
        await self._refused("no_picture", began, content, {415, 422})

    async def _empty(self, began: float) -> None:
        await self._refused("empty", began, b"", {400, 415, 422})

    async def _bomb(self, began: float) -> None:
        await self._refused("bomb", began, _BOMB, {413})

    async def _too_long(self, began: float) -> None:
        reply = await exchange(self.world.port, [head("POST", "/v1/infer", length=self.max_body + 1)])
        self._status("too_long", began, reply.status, {413}, reply.headers)

    async def _too_long_chunked(self, began: float) -> None:
        piece = b"10000\r\n" + b"\xff" * 0x10000 + b"\r\n"
        pieces = [head("POST", "/v1/infer", Transfer_Encoding="chunked"), *[piece] * (self.max_body // 0x10000 + 8)]
        reply = await self._hardly_heard(pieces)
        self._status("too_long_chunked", began, reply.status, {413, None}, reply.headers)

    async def _hardly_heard(self, pieces: list[bytes]) -> Reply:
        """Send what is refused before its end: a service that closes meanwhile may lose its answer on the way."""
        try:
            return await exchange(self.world.port, pieces)
        except (ConnectionResetError, BrokenPipeError):
            return Reply(None, {}, b"")

    async def _wrong_base64(self, began: float) -> None:
        body = json.dumps({"image": self.rng.choice(["%%%", "data:image/png;base64,", "data:text/plain,hello"])})
        response = await self._client.post("/v1/infer", content=body, headers={"Content-Type": "application/json"})
        self._status("wrong_base64", began, response.status_code, {415, 422}, response.headers)

    async def _bad_json(self, began: float) -> None:
        body = self.rng.choice(
            [b"{", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"image": 3}', b'{"url": "http://127.0.0.1/"}']
        )
        response = await self._client.post("/v1/infer", content=body, headers={"Content-Type": "application/json"})
        self._status("bad_json", began, response.status_code, {400, 422}, response.headers)

    async def _bad_option(self, began: float) -> None:
        query = self.rng.choice(
            ["deadline_ms=-5", "deadline_ms=nan", "max_level=none", "place=1", "label=maybe", "what=1"]
        )
        response = await self._client.post(f"/v1/infer?{query}", content=self._sample().content)
        self._status("bad_option", began, response.status_code, {400, 422}, response.headers)

    async def _bad_form(self, began: float) -> None:
        kind, body = self.rng.choice([
            ("multipart/form-data", b"x"), ("multipart/form-data; boundary=b", b"--b\r\n\r\nx"),
            ("multipart/form-data; boundary=b", b"--b--\r\n"), ("multipart/form-data; boundary=b", b""),
        ])  # fmt: skip
        response = await self._client.post("/v1/infer", content=body, headers={"Content-Type": kind})
        self._status("bad_form", began, response.status_code, {400, 422}, response.headers)

    async def _garbage(self, began: float) -> None:
        data = self.rng.choice([
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"POST /v1/infer HTTP/9.9\r\n\r\n",
            b"\0" * 64, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", self.rng.randbytes(300) + b"\r\n\r\n",
        ])  # fmt: skip
        reply = await exchange(self.world.port, [data])
        self._status("garbage", began, reply.status, {400, 404, 405, 408, 505, None}, reply.headers)

    async def _long_header(self, began: float) -> None:
        lines = [f"X-{n}: {'a' * 500}\r\n".encode() for n in range(200)]
        reply = await self._hardly_heard([b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", *lines, b"\r\n"])
        self._status("long_header", began, reply.status, {400, 431, None}, reply.headers)

    async def _slow_header(self, began: float) -> None:
        pieces = [b"POST /v1/infer HTTP/1.1\r\n", *[f"X-{n}: 1\r\n".encode() for n in range(1000)]]
        reply = await exchange(self.world.port, pieces, pause_s=0.2)
        self._status("slow_header", began, reply.status, {408, None}, reply.headers)

    async def _slow_body(self, began: float) -> None:
        content = self._sample().content
        pieces = [head("POST", "/v1/infer", length=len(content)), *(bytes([byte]) for byte in content)]
        reply = await exchange(self.world.port, pieces, pause_s=0.1)
        self._status("slow_body", began, reply.status, {408}, reply.headers)

    async def _leave_body(self, _: float) -> None:
        content = self._sample().content
        async with connected(self.world.port) as (_, writer):
            writer.write(head("POST", "/v1/infer", length=len(content)) + content[: len(content) // 2])
            await writer.drain()
            await asyncio.sleep(self.rng.uniform(0, 0.05))
        self._left("leave_body")

    async def _leave_answer(self, _: float) -> None:
        content = self._sample().content
        async with connected(self.world.port) as (_, writer):
            writer.write(head("POST", "/v1/infer", length=len(content)) + content)
            await writer.drain()
            await asyncio.sleep(self.rng.uniform(0, 0.05))
        self._left("leave_answer")

    async def _look(self, began: float) -> None:
        paths = ["/v1/status", "/v1/cascade", "/v1/models", "/health", "/v1/verdicts?limit=3", "/v1/admin/breakers"]
        path = self.rng.choice(paths)
        response = await self._client.get(path)
        self._status(f"look {path.partition('?')[0]}", began, response.status_code, {200}, response.headers)

    async def _nowhere(self, began: float) -> None:
        path, status = self.rng.choice([("/nowhere", 404), ("/v1/infer", 405), ("/v1/verdicts/" + "0" * 32, 404)])
        response = await self._client.get(path)
        self._status("nowhere", began, response.status_code, {status}, response.headers)

    # judging

    async def _ask(
        self,
        kind: str,
        began: float,
        sample: Sample,
        right: Expected,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        also: set[int] | None = None,
    ) -> dict[str, Any] | None:
        """Send a good picture and judge the answer; the verdict, or None where there was none."""
        body = sample.content if content is None else content
        response = await self._client.post("/v1/infer", content=body, params=query, headers=headers)
        return self._judged(kind, began, response, right, also=also)

    def _judged(
        self, kind: str, began: float, response: httpx.Response, right: Expected, *, also: set[int] | None = None
    ) -> dict[str, Any] | None:
        if not self._status(kind, began, response.status_code, {200, *(also or ())}, response.headers):
            return None
        if response.status_code != 200:
            return None
        answer: dict[str, Any] = response.json()
        self._verdict(kind, began, answer, right)
        return answer

    async def _refused(self, kind: str, began: float, content: bytes, statuses: set[int]) -> None:
        response = await self._client.post("/v1/infer", content=content, headers={"Content-Type": "image/jpeg"})
        if self._status(kind, began, response.status_code, statuses, response.headers):
            good = response.headers.get("content-type", "").startswith("application/problem+json")
            self.ledger.check(14, "a refusal is a problem (RFC 9457)", good=good, kind=kind)

    def _status(
        self, kind: str, began: float, status: int | None, right: set[int] | set[int | None], headers: Any
    ) -> bool:
        """Whether the status is one of the right ones; being too busy, with Retry-After, is no wrong answer."""
        self.ledger.counts[f"{kind}: {status}"] += 1
        now = time.monotonic()
        if status in right:
            self.ledger.ok(1 if status == 200 else 14, f"{kind}: {status}")
            return True
        if status in _BUSY:
            self.ledger.check(3, "a refusal says when to come back", good="retry-after" in headers, kind=kind)
            if self.world.quiet(began, now):
                self.ledger.counts[f"{status} without a disturbance"] += 1
            return False
        if status == 504 and not self.world.quiet(began, now):
            self.ledger.ok(1, "504 under a disturbance")
            return False
        if status is None and self.world.reset_is_expected(began, now):
            return False
        promise = 1 if status == 504 else 14
        self.ledger.wrong(
            promise, "wrong status", kind=kind, status=status, wanted=sorted(map(str, right)), at=self._at(began)
        )
        return False

    def _verdict(self, kind: str, began: float, answer: dict[str, Any], right: Expected) -> None:
        now = time.monotonic()
        if answer.get("stored"):
            self.stored.add(answer["verdict_id"])
        self.ledger.check(12, "a verdict has reasons", good=bool(answer["reasons"]), kind=kind, at=self._at(began))
        if answer["degraded"]:
            self.ledger.counts[f"{kind}: degraded"] += 1
            failed = [name for name, said in answer["model_predictions"].items() if said["failure"]]
            said = " ".join(answer["reasons"])
            named = all(name in said for name in failed)
            self.ledger.check(12, "a degraded verdict says why", good=named, reasons=answer["reasons"], failed=failed)
            if kind != "tight" and self.world.quiet(began, now):
                self.ledger.counts["degraded in quiet"] += 1
                self.ledger.wrong(
                    1, "degraded without a disturbance", kind=kind, reasons=answer["reasons"], at=self._at(began)
                )
            if kind == "good" and right.exit_level == "gate" and not self._other_trouble(began, now):
                self.ledger.wrong(
                    7, "a late model's fault reached the gate", reasons=answer["reasons"], at=self._at(began)
                )
            return
        difference = abs(answer["probability"] - right.probability)
        same = answer["roadwork_detected"] == right.detected and answer["exit_level"] == right.exit_level
        if not same or difference > 1e-6:
            found = [answer["roadwork_detected"], answer["probability"], answer["exit_level"]]
            wanted = [right.detected, right.probability, right.exit_level]
            self.ledger.wrong(1, "wrong answer", kind=kind, found=found, wanted=wanted, at=self._at(began),
                              reasons=answer["reasons"])  # fmt: skip
            return
        self.largest_difference = max(self.largest_difference, difference)
        self.ledger.ok(1, "a right answer")
        if self.world.quiet(began, now):
            self.ledger.counts["right without a disturbance"] += 1
        if self.world.faulty(began, now):
            self.ledger.ok(7, "a right answer while a model was broken")
        if any(span.meets(began, now) for span in self.world.redis_gone):
            self.ledger.ok(11, "a right answer without Redis")
        if any(span.meets(began, now) for span in self.world.reloads):
            self.ledger.ok(10, "a right answer during a reload")

    def _other_trouble(self, began: float, ended: float) -> bool:
        """Whether something else than a late model was disturbed."""
        late = frozenset({"road-lite1", "road-lite2"})
        others = (*self.world.downs, *self.world.kills, *self.world.bursts, *self.world.reloads, *self.world.stalls)
        other = any(span.meets(began, ended, before=1, after=5) for span in others)
        return self.world.faulty(began, ended, but=late) or other or not self.world.faulty(began, ended)

    def _left(self, kind: str) -> None:
        self.ledger.counts[f"{kind}: left"] += 1

    def _sample(self) -> Sample:
        return self.rng.choice(self.samples)

    def _at(self, began: float) -> float:
        return round(began - self.began, 2)


_KINDS = {
    "good": 40, "fresh": 8, "explain": 2, "odd_type": 2, "max_level": 4, "tight": 6, "json": 4, "form": 4,
    "feedback": 8, "stream": 4, "stream_left": 2, "batch": 2, "corrupt": 2, "truncated": 3, "no_picture": 2,
    "empty": 1, "bomb": 2, "too_long": 1, "too_long_chunked": 0.5, "wrong_base64": 1, "bad_json": 1, "bad_option": 2,
    "bad_form": 1, "garbage": 2, "long_header": 0.5, "slow_header": 0.5, "slow_body": 0.5, "leave_body": 2,
    "leave_answer": 3, "look": 4, "nowhere": 1,
}  # fmt: skip
"""Kind of request to its share."""
