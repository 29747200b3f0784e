from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from redis_server import RedisServer

from natix_cascade.errors import CascadeError
from natix_cascade.run.breaker import Breaker
from natix_cascade.run.options import BreakerOptions
from natix_cascade.serve.shared import SharedBreakers

LONG = 20.0  # seconds that only catch a hang
OFTEN = 0.05  # between looks
OPTIONS = BreakerOptions(window=4, calls=1, failure_rate=0.5, open_s=0.3, probes=2)

pytestmark = pytest.mark.servers


@dataclass(frozen=True, slots=True)
class Replica:
    breaker: Breaker
    shared: SharedBreakers

    def probes(self) -> int:
        """Permits that are out and stay out."""
        taken = 0
        while self.breaker.state == "half_open" and self.breaker.enter():
            taken += 1
        return taken


@asynccontextmanager
async def fleet_of(url: str, size: int = 3, *, options: BreakerOptions = OPTIONS) -> AsyncIterator[list[Replica]]:
    replicas = []
    for _ in range(size):
        breaker = Breaker(options)
        replicas.append(Replica(breaker, SharedBreakers(url, {"judge": breaker}, interval_s=OFTEN)))
    try:
        async with asyncio.timeout(LONG):
            for replica in replicas:
                await replica.shared.start()
            yield replicas
    finally:
        for replica in replicas:
            await replica.shared.stop()


async def until(met: Callable[[], bool]) -> None:
    while not met():  # noqa: ASYNC110  # what is waited for happens in other tasks, and in Redis
        await asyncio.sleep(OFTEN / 4)


def fail(replica: Replica) -> None:
    ticket = replica.breaker.enter()
    assert ticket
    replica.breaker.failure(ticket)
    assert replica.breaker.state == "open"


def test_an_opening_opens_all(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with fleet_of(redis_server.url, options=replace(OPTIONS, open_s=60.0)) as fleet:
            assert [item.breaker.state for item in fleet] == ["closed"] * 3
            fail(fleet[0])
            await until(lambda: all(item.breaker.state == "open" for item in fleet))
            assert [item.breaker.openings for item in fleet] == [1, 0, 0]
            assert all(item.breaker.retry_after_s() > 30 for item in fleet)
            assert not any(item.shared.degraded for item in fleet)

    asyncio.run(main())


def test_a_replica_that_starts_later_knows(redis_server: RedisServer) -> None:
    async def main() -> None:
        options = replace(OPTIONS, open_s=60.0)
        async with fleet_of(redis_server.url, 1, options=options) as old:
            fail(old[0])
            await until(lambda: old[0].shared._published["judge"] == 1)
            async with fleet_of(redis_server.url, 1, options=options) as new:
                assert new[0].breaker.state == "open"

    asyncio.run(main())


def test_the_fleet_sends_no_more_probes_than_one_breaker(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with fleet_of(redis_server.url, 5, options=replace(OPTIONS, open_s=2.0)) as fleet:
            fail(fleet[0])
            await until(lambda: all(item.breaker.state == "open" for item in fleet))
            await until(lambda: any(item.breaker.state == "half_open" for item in fleet))
            out = 0
            for _ in range(20):  # ten looks at least, and the lease is longer than all of them
                out += sum(item.probes() for item in fleet)
                await asyncio.sleep(OFTEN / 2)
            assert out == OPTIONS.probes

    asyncio.run(main())


def test_when_the_probes_succeed_all_close_again(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with fleet_of(redis_server.url, 4) as fleet:
            fail(fleet[0])
            await until(lambda: all(item.breaker.state == "open" for item in fleet))

            def traffic() -> bool:
                for item in fleet:
                    if ticket := item.breaker.enter():
                        item.breaker.success(ticket)
                return all(item.breaker.state == "closed" for item in fleet)

            await until(traffic)
            for _ in range(10):
                await asyncio.sleep(OFTEN)
                assert traffic()  # and they stay so

    asyncio.run(main())


def test_a_failed_probe_opens_all_again(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with fleet_of(redis_server.url) as fleet:
            fail(fleet[0])
            await until(lambda: all(item.breaker.state == "open" for item in fleet))
            calls = 0

            def traffic() -> bool:
                nonlocal calls
                for item in fleet:
                    if ticket := item.breaker.enter():
                        calls += 1
                        item.breaker.failure(ticket)
                return sum(item.breaker.openings for item in fleet) >= 4

            await until(traffic)
            assert calls == 3  # one failed probe for each further opening

    asyncio.run(main())


def test_a_dead_prober_holds_nobody_up(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with fleet_of(redis_server.url) as fleet:
            fail(fleet[0])
            await until(lambda: all(item.breaker.state == "open" for item in fleet))
            await until(lambda: any(item.breaker.state == "half_open" for item in fleet))
            prober = next(item for item in fleet if item.breaker.state == "half_open")
            await prober.shared.stop()
            others = [item for item in fleet if item is not prober]
            await until(lambda: any(item.breaker.state == "half_open" for item in others))

    asyncio.run(main())


@pytest.mark.parametrize("trouble", ["gone", "slow"])
def test_without_redis_breakers_go_on_by_themselves(
    redis_server: RedisServer, trouble: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "slow":
        monkeypatch.setattr("natix_cascade.serve.shared._TIMEOUT_S", 0.2)

    async def main() -> None:
        async with fleet_of(redis_server.url, 2) as (first, second):
            if trouble == "gone":
                redis_server.stop()
            else:
                redis_server.pause()
            await until(lambda: first.shared.degraded and second.shared.degraded)
            fail(first)
            await until(lambda: first.breaker.state == "half_open")
            assert second.breaker.state == "closed"
            assert first.probes() == OPTIONS.probes  # the bound of its own
            assert len(caplog.records) == 2  # one for each
            if trouble == "gone":
                redis_server.start()
            else:
                redis_server.go_on()
            await until(lambda: not first.shared.degraded and not second.shared.degraded)
            fail(second)
            await until(lambda: first.breaker.state == "open")
            assert [record.levelname for record in caplog.records] == ["WARNING"] * 4

    with caplog.at_level(logging.INFO, "natix_cascade.shared"):
        asyncio.run(main())
    assert "secret" not in caplog.text


def test_it_starts_while_redis_is_gone(redis_server: RedisServer) -> None:
    redis_server.stop()

    async def main() -> None:
        async with fleet_of(redis_server.url, 1) as (only,):
            assert only.shared.degraded
            fail(only)
            redis_server.start()
            await until(lambda: not only.shared.degraded)

    asyncio.run(main())


def test_a_wrong_address_is_told() -> None:
    with pytest.raises(CascadeError, match="redis://"):
        SharedBreakers("tcp://localhost", {})
