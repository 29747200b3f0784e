from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis_server import RedisServer

from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.serve.rate import Rates, check_rate

LONG = 20.0  # seconds that only catch a hang


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no slow Redis."""
    monkeypatch.setattr("natix_cascade.serve.rate.TIMEOUT_S", LONG)


@asynccontextmanager
async def rates_of(url: str | None = None, *, workers: int = 1) -> AsyncIterator[Rates]:
    rates = await Rates.open(url, workers=workers)
    try:
        async with asyncio.timeout(LONG):
            yield rates
    finally:
        await rates.close()


async def allowed(rates: Rates, rate: str, calls: int, key: str = "key") -> int:
    return sum([await rates.hit(key, rate) is None for _ in range(calls)])


async def back(rates: Rates) -> None:
    """Wait until Redis has been found again."""
    assert rates._return is not None
    await rates._return


def test_each_key_has_its_rate() -> None:
    async def main() -> None:
        async with rates_of() as rates:
            assert await allowed(rates, "5/hour", 8) == 5
            assert await allowed(rates, "5/hour", 8, "other") == 5
            assert await allowed(rates, "7 per hour", 8, "third") == 7
            assert not rates.degraded

    asyncio.run(main())


def test_who_waits_as_told_is_let_through() -> None:
    async def main() -> None:
        async with rates_of() as rates:
            for _ in range(3):
                while (wait := await rates.hit("key", "10/second")) is None:
                    pass
                assert 0 < wait <= 2
                await asyncio.sleep(wait)
                assert await rates.hit("key", "10/second") is None

    asyncio.run(main())


def test_of_several_limits_the_tightest_counts() -> None:
    async def main() -> None:
        async with rates_of() as rates:
            assert await allowed(rates, "100/day; 3/hour", 10) == 3
            wait = await rates.hit("key", "100/day; 3/hour")
            assert wait is not None
            assert wait <= 3600.1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("rate", "workers", "each"), [("8/hour", 4, 2), ("9/hour", 4, 2), ("4/hour", 4, 1), ("3/hour", 4, 1)]
)
def test_workers_share_a_rate(rate: str, workers: int, each: int) -> None:
    async def main() -> None:
        async with rates_of(workers=workers) as rates:
            assert await allowed(rates, rate, 10) == each

    asyncio.run(main())


def test_fewer_requests_than_workers_are_spread_over_more_time() -> None:
    async def main() -> None:
        async with rates_of(workers=8) as rates:
            assert await rates.hit("key", "3/minute") is None
            wait = await rates.hit("key", "3/minute")
            assert wait is not None
            assert wait <= 3 * 60.1  # one in three minutes: eight workers allow 2.7 a minute

    asyncio.run(main())


@pytest.mark.parametrize(
    "rate", ["", "many", "5", "5/fortnight", "-1/second", "0/second", "1/second and more", "1.5/s"]
)
def test_a_wrong_notation_is_told(rate: str) -> None:
    with pytest.raises(CascadeError, match="write 100/second"):
        check_rate(rate)


@pytest.mark.parametrize("rate", ["100/second", "5000/hour", "1 per 5 minutes", "10/second; 100/minute"])
def test_right_notations(rate: str) -> None:
    check_rate(rate)


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://:hush@localhost:port/0"])
def test_a_wrong_address_is_told_without_its_password(url: str) -> None:
    with pytest.raises(CascadeError, match="redis://") as caught:
        asyncio.run(Rates.open(url))
    assert "hush" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtraError, match=r"natix-cascade\[redis\]"):
        asyncio.run(Rates.open("redis://localhost"))


@pytest.mark.servers
def test_replicas_share_one_count(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with rates_of(redis_server.url) as first, rates_of(redis_server.url, workers=4) as second:
            assert await allowed(first, "10/hour", 6) == 6
            assert await allowed(second, "10/hour", 6) == 4
            wait = await first.hit("key", "10/hour")
            assert wait is not None
            assert 0 < wait <= 2 * 3600.1
            assert not first.degraded
            assert not second.degraded

    asyncio.run(main())


@pytest.mark.servers
def test_many_at_once_get_no_more_than_the_rate(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with rates_of(redis_server.url) as first, rates_of(redis_server.url) as second:
            await asyncio.gather(*(first.hit("warm", "1000/hour") for _ in range(10)))
            answers = await asyncio.gather(
                *(rates.hit("key", "20/hour") for _ in range(20) for rates in (first, second))
            )
            assert (first.degraded, second.degraded) == (False, False)
            assert sum(answer is None for answer in answers) == 20

    asyncio.run(main())


@pytest.mark.servers
@pytest.mark.parametrize("trouble", ["gone", "slow"])
def test_without_redis_it_counts_in_memory_until_it_is_back(
    redis_server: RedisServer, trouble: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with rates_of(redis_server.url, workers=2) as rates:
            assert await allowed(rates, "10/hour", 4) == 4
            if trouble == "gone":
                redis_server.stop()
            else:
                monkeypatch.setattr("natix_cascade.serve.rate.TIMEOUT_S", 0.2)
                redis_server.pause()
            assert await allowed(rates, "10/hour", 20) == 5  # half of it: there are two workers
            assert rates.degraded
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            if trouble == "gone":
                redis_server.start()  # and it has forgotten all
            else:
                redis_server.go_on()
            await back(rates)
            assert not rates.degraded
            left = await allowed(rates, "10/hour", 20)
            assert left == 10 if trouble == "gone" else left in {5, 6}  # the call that got no answer may have counted
            assert len(caplog.records) == 2

    with caplog.at_level(logging.INFO, "natix_cascade.rates"):
        asyncio.run(main())
    assert "secret" not in caplog.text


@pytest.mark.servers
def test_it_starts_without_redis_and_finds_it_later(redis_server: RedisServer) -> None:
    redis_server.stop()

    async def main() -> None:
        async with rates_of(redis_server.url) as rates:
            assert rates.degraded
            assert await allowed(rates, "3/hour", 5) == 3
            redis_server.start()
            await back(rates)
            assert await allowed(rates, "3/hour", 5) == 3

    asyncio.run(main())


@pytest.mark.servers
def test_it_can_be_closed_while_redis_is_gone(redis_server: RedisServer) -> None:
    async def main() -> Rates:
        async with rates_of(redis_server.url) as rates:
            redis_server.stop()
            await rates.hit("key", "1/hour")
            return rates

    rates = asyncio.run(main())
    assert rates._return is not None
    assert rates._return.done()
