"""Requests of every kind, good and bad, whose right answers are known."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

import chaos_bad
import chaos_good
from chaos_ledger import Ledger
from chaos_world import World

__all__ = ["Expected", "Sample", "Traffic"]

_BUSY = frozenset({429, 503})
_MOST_OPEN = 400
KINDS = chaos_good.KINDS | chaos_bad.KINDS


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
    patience_s : float
        An answer comes by the deadline and this, or it is a hang.
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
    patience_s: float = 2.0
    began: float = field(default_factory=time.monotonic)
    client: httpx.AsyncClient = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
        self.client = httpx.AsyncClient(base_url=self.world.url, timeout=None, limits=limits)  # noqa: S113  # see _one

    @property
    def open(self) -> int:
        """Requests under way."""
        return len(self._tasks)

    async def run(self, until: float, rate: float) -> None:
        """Begin `rate` requests a second until then, by `time.monotonic`, whatever becomes of them."""
        kinds, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
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
        await self.client.aclose()

    async def _one(self, kind: str) -> None:
        _, send = KINDS[kind]
        usual = self.deadline_ms / 1000
        limit = {"slow_header": self.header_s, "slow_body": self.body_s, "batch": 3 * usual, "feedback": 2 * usual}
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit.get(kind, usual) + self.patience_s):
                await send(self, began)
        except TimeoutError:
            stalled = self.world.stalled(began, time.monotonic())
            self.ledger.counts[f"{kind}: no answer in time{', the machine stalled' if stalled else ''}"] += 1
            if not stalled:
                self.ledger.wrong(1, "no answer by the deadline and 2 s", kind=kind, at=self.at(began))
        except (OSError, httpx.TransportError, asyncio.IncompleteReadError) as error:
            now = time.monotonic()
            expected = self.world.reset_is_expected(began, now)
            self.ledger.counts[f"{kind}: no connection, {'expected' if expected else 'unexpected'}"] += 1
            if not expected:
                promise = 10 if any(span.meets(began, now) for span in self.world.reloads) else 8
                why = f"{type(error).__name__}: {error}"
                took = round(now - began, 2)
                self.ledger.wrong(promise, "connection lost", kind=kind, error=why, at=self.at(began), took=took)

    async def ask(
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
        response = await self.client.post("/v1/infer", content=body, params=query, headers=headers)
        return self.judged(kind, began, response, right, also=also)

    def judged(
        self, kind: str, began: float, response: httpx.Response, right: Expected, *, also: set[int] | None = None
    ) -> dict[str, Any] | None:
        """Judge the answer to a good picture; the verdict, or None where there was none."""
        if not self.status(kind, began, response.status_code, {200, *(also or ())}, response.headers):
            return None
        if response.status_code != 200:
            return None
        answer: dict[str, Any] = response.json()
        self.verdict(kind, began, answer, right)
        return answer

    async def refused(self, kind: str, began: float, content: bytes, statuses: set[int]) -> None:
        """Send a bad picture, which must be refused with one of these statuses."""
        response = await self.client.post("/v1/infer", content=content, headers={"Content-Type": "image/jpeg"})
        if self.status(kind, began, response.status_code, statuses, response.headers):
            good = response.headers.get("content-type", "").startswith("application/problem+json")
            self.ledger.check(14, "a refusal is a problem (RFC 9457)", good=good, kind=kind)

    def status(
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
            promise, "wrong status", kind=kind, status=status, wanted=sorted(map(str, right)), at=self.at(began)
        )
        return False

    def verdict(self, kind: str, began: float, answer: dict[str, Any], right: Expected) -> None:
        """Compare a verdict with the right one; a degraded one must say why."""
        now = time.monotonic()
        if answer.get("stored"):
            self.stored.add(answer["verdict_id"])
        self.ledger.check(12, "a verdict has reasons", good=bool(answer["reasons"]), kind=kind, at=self.at(began))
        if answer["degraded"]:
            self.ledger.counts[f"{kind}: degraded"] += 1
            failed = [name for name, said in answer["model_predictions"].items() if said["failure"]]
            said = " ".join(answer["reasons"])
            named = all(name in said for name in failed)
            self.ledger.check(12, "a degraded verdict says why", good=named, reasons=answer["reasons"], failed=failed)
            if kind != "tight" and self.world.quiet(began, now):
                self.ledger.counts["degraded in quiet"] += 1
                self.ledger.wrong(
                    1, "degraded without a disturbance", kind=kind, reasons=answer["reasons"], at=self.at(began)
                )
            if kind == "good" and right.exit_level == "gate" and not self._other_trouble(began, now):
                self.ledger.wrong(
                    7, "a late model's fault reached the gate", reasons=answer["reasons"], at=self.at(began)
                )
            return
        difference = abs(answer["probability"] - right.probability)
        same = answer["roadwork_detected"] == right.detected and answer["exit_level"] == right.exit_level
        if not same or difference > 1e-6:
            found = [answer["roadwork_detected"], answer["probability"], answer["exit_level"]]
            wanted = [right.detected, right.probability, right.exit_level]
            self.ledger.wrong(1, "wrong answer", kind=kind, found=found, wanted=wanted, at=self.at(began),
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

    def left(self, kind: str) -> None:
        """Count a request whose sender has left."""
        self.ledger.counts[f"{kind}: left"] += 1

    def sample(self) -> Sample:
        """Choose a good picture."""
        return self.rng.choice(self.samples)

    def at(self, began: float) -> float:
        """Seconds since the traffic began."""
        return round(began - self.began, 2)
