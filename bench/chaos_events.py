"""What is done to the service while it is asked: each event, and what must be true after it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from chaos_ledger import Ledger
from chaos_traffic import Traffic
from chaos_world import Span, World

__all__ = ["Events"]

_BREAKER_CLOSES_S = 20.0
_WORKER_RETURNS_S = 30.0
_SETTLES_S = 15.0
MODELS = ("road-gate", "road-lite0", "road-lite1", "road-lite2")


@dataclass(slots=True)
class Events:
    """Disturbs a world and checks what it should do then.

    Attributes
    ----------
    world, traffic, ledger : World, Traffic, Ledger
        Who is disturbed, who asks meanwhile, who keeps the books.
    other_policy : Path
        A policy that was made for another cascade.
    own_policy : Path
        The policy at work, as a file of another name.
    done : list
        What was done and when, in seconds since the start.
    """

    world: World
    traffic: Traffic
    ledger: Ledger
    rng: random.Random
    other_policy: Path
    own_policy: Path
    began: float = field(default_factory=time.monotonic)
    done: list[tuple[float, str]] = field(default_factory=list)

    async def happen(self, what: str) -> None:
        """Let one event happen and check its outcome."""
        self.done.append((round(time.monotonic() - self.began, 1), what))
        name, _, detail = what.partition(" ")
        happening: dict[str, Callable[[str], Awaitable[None]]] = {
            "fault": self._fault,
            "restart": self._restart,
            "kill": self._kill,
            "redis": self._redis,
            "reload": self._reload,
            "mismatch": self._mismatch,
            "burst": self._burst,
            "metrics": self._metrics,
        }
        try:
            await happening[name](detail)
        except (httpx.HTTPError, OSError, RuntimeError, KeyError, ValueError) as error:
            self.ledger.wrong(
                9, f"event {what!r} failed", error=f"{type(error).__name__}: {error}", at=self.done[-1][0]
            )

    async def _fault(self, detail: str) -> None:
        """Break a model for a while; its breaker opens for hangs and lost connections, and closes afterwards."""
        model, mode = detail.split()
        counts = (
            mode in {"hang", "lost"} and model == "road-gate"
        )  # every picture asks the gate, so its breaker sees it
        self.world.set_mode(model, mode)
        opened = False
        until = time.monotonic() + (8.0 if counts else self.rng.uniform(3, 6))
        while time.monotonic() < until:
            await asyncio.sleep(0.3)
            opened = opened or (await self._breaker(model)) in {"open", "half_open"}
        self.world.set_mode(model, None)
        if counts:
            self.ledger.check(5, f"{mode}: the breaker opens", good=opened, model=model)
        closed = await self._until(_BREAKER_CLOSES_S, lambda: self._closed(model))
        self.ledger.check(5, "the breaker closes when the model is well again", good=closed, model=model, mode=mode)

    async def _restart(self, _: str) -> None:
        """Send the service away in the middle of it all, and start it again."""
        code, seconds = await self.world.stop()
        self.ledger.check(8, "exit code 0 within the limit", good=code == 0, code=code, seconds=round(seconds, 1))
        await self.world.start()
        self.ledger.ok(9, "ready after a start")

    async def _kill(self, _: str) -> None:
        """Kill a worker without warning: the others go on, and it comes back."""
        before = {process.pid for process in self.world.workers()}
        killed = self.world.kill_worker(self.rng.randrange(8))

        async def back() -> bool:
            now = {process.pid for process in self.world.workers()}
            ready = await asyncio.to_thread(self.world.ready_workers)
            return killed not in now and len(now) == len(before) and now <= ready

        good = await self._until(_WORKER_RETURNS_S, back)
        self.ledger.check(13, "a killed worker comes back", good=good)

    async def _redis(self, _: str) -> None:
        """Take Redis away for a while."""
        await asyncio.to_thread(self.world.stop_redis)
        await asyncio.sleep(self.rng.uniform(4, 7))
        self.world.start_redis()
        await asyncio.sleep(2)

    async def _reload(self, detail: str) -> None:
        """Swap the cascade under load; all workers follow."""
        policy = str(self.own_policy) if detail == "policy" else None
        span = Span(time.monotonic())
        self.world.reloads.append(span)
        async with self._client() as client:
            before = (await client.get("/v1/status")).json()["generation"]
            reply = await client.post("/v1/admin/reload", json={"policy": policy} if policy else {})
        good = reply.status_code == 200
        self.ledger.check(10, "a reload is done", good=good, status=reply.status_code, said=reply.text[:300])
        if good:
            number = reply.json()["generation"]
            self.ledger.check(10, "a reload is a new generation", good=number > before, before=before, after=number)

            async def followed() -> bool:
                return {await self._generation() for _ in range(8)} == {number}

            followed_all = await self._until(_SETTLES_S, followed)
            self.ledger.check(10, "all workers follow a reload", good=followed_all, generation=number)
        span.ended = time.monotonic()

    async def _mismatch(self, _: str) -> None:
        """Ask for a policy of another cascade: refused, and the old one stays."""
        async with self._client() as client:
            before = (await client.get("/v1/status")).json()
            reply = await client.post("/v1/admin/reload", json={"policy": str(self.other_policy)})
            after = (await client.get("/v1/status")).json()
        refused = reply.status_code == 409
        self.ledger.check(
            10, "a mismatch is refused with 409", good=refused, status=reply.status_code, said=reply.text[:300]
        )
        same = all(before[key] == after[key] for key in ("cascade", "policy"))
        self.ledger.check(
            10, "a refused reload changes nothing", good=same, before=before["policy"], after=after["policy"]
        )

    async def _burst(self, _: str) -> None:
        """Send many at once, far more than there are places for."""
        span = Span(time.monotonic())
        self.world.bursts.append(span)
        tasks = [self.traffic.begin("fresh") for _ in range(200)]
        await asyncio.wait(tasks)
        span.ended = time.monotonic()
        self.ledger.ok(3, "a burst is survived")

    async def _metrics(self, _: str) -> None:
        """Read the metrics as Prometheus does."""
        async with self._client() as client:
            reply = await client.get("/metrics")
        names = (
            {family.name for family in text_string_to_metric_families(reply.text)}
            if reply.status_code == 200
            else set()
        )
        self.ledger.check(11, "/metrics is readable", good=len(names) > 3, status=reply.status_code, names=len(names))

    async def settle(self) -> None:
        """At the end, without traffic: nothing is left under way, breakers are closed."""
        idle = await self._until(_SETTLES_S, self._idle)
        status = await self._status()
        self.ledger.check(2, "who left has left nothing behind", good=idle, in_flight=status["in_flight"])
        self.ledger.counts["service: degraded"] = int(str(status["degraded"]))

    async def verify(self) -> None:
        """Read back what was acknowledged."""
        async with self._client() as client:
            by_verdict: dict[str, dict[str, bool]] = {}
            for feedback_id, (verdict_id, label) in self.traffic.acknowledged.items():
                by_verdict.setdefault(verdict_id, {})[feedback_id] = label
            for verdict_id, wanted in by_verdict.items():
                reply = await client.get(f"/v1/verdicts/{verdict_id}")
                rows = reply.json().get("feedback", []) if reply.status_code == 200 else []
                found = {row["feedback_id"]: row["label"] for row in rows}
                good = all(found.get(key) == label for key, label in wanted.items())
                self.ledger.check(13, "acknowledged feedback is there", good=good, verdict=verdict_id, found=found)
            for verdict_id in self.rng.sample(sorted(self.traffic.stored), min(300, len(self.traffic.stored))):
                good = (await client.get(f"/v1/verdicts/{verdict_id}")).status_code == 200
                self.ledger.check(13, "a stored verdict is there", good=good, verdict=verdict_id)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.world.url, timeout=60)

    async def _status(self) -> dict[str, object]:
        async with self._client() as client:
            found: dict[str, object] = json.loads((await client.get("/v1/status")).content)
            return found

    async def _generation(self) -> int:
        async with self._client() as client:  # a connection of its own: any worker may answer
            return int((await client.get("/v1/cascade")).json()["generation"])

    async def _breaker(self, model: str) -> str | None:
        try:
            breakers: object = (await self._status())["breakers"]
        except (httpx.HTTPError, OSError, KeyError, ValueError):
            return None
        found = [each for each in breakers if each["model"] == model] if isinstance(breakers, list) else []
        return str(found[0]["state"]) if found else None

    async def _closed(self, model: str) -> bool:
        return await self._breaker(model) == "closed"

    async def _idle(self) -> bool:
        return (await self._status())["in_flight"] == 0

    async def _until(self, limit_s: float, true: Callable[[], Awaitable[bool]]) -> bool:
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            try:
                if await true():
                    return True
            except (httpx.HTTPError, OSError, KeyError, ValueError):
                pass
            await asyncio.sleep(0.3)
        return False
