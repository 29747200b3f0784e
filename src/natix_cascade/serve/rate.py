"""How many requests each key may make: counted in memory, or in Redis for all replicas of the service together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from natix_cascade.errors import CascadeError
from natix_cascade.serve.redis_client import TIMEOUT_S, connect, silent_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Rates", "check_rate"]

_log = logging.getLogger("natix_cascade.rates")
_AGAIN_S: Final = 1.0
_MARGIN_S: Final = 0.001  # just after the moment at which a place is free


class Rates:
    """Rate limits by key, with sliding windows of two counters.

    The count of the window before is weighted with the share of it that the sliding window still covers: two numbers
    for a key whatever its rate, no burst of twice the rate at the border of a window, and one atomic script in Redis.

    Without Redis each of the workers of a service allows its share of the rate, rounded down. With a Redis that is
    gone or slow they do the same until it is back; an answer waits 50 ms for it at most, and only when it goes.
    """

    def __init__(self, redis: Redis | None, *, workers: int = 1) -> None:
        self._redis = redis
        self._workers = workers
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._errors: tuple[type[Exception], ...] = ()
        self._degraded = False
        self._return: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        if redis is not None:
            self._errors = silent_errors()
            self._shared = SlidingWindowCounterRateLimiter(
                RedisStorage(
                    "async+redis://",
                    implementation="redispy",
                    key_prefix="natix:rate",
                    connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # passed on as it is
                )
            )

    @classmethod
    async def open(cls, redis_url: str | None, *, workers: int = 1) -> Rates:
        """Begin to count; a Redis that does not answer is waited for in the background.

        Parameters
        ----------
        redis_url : str or None
            ``redis://...``; None: in memory.
        workers : int
            Processes that share the work of this replica.

        Raises
        ------
        CascadeError
            The address cannot be read, or the redis extra is not installed.
        """
        rates = cls(None if redis_url is None else connect(redis_url, timeout_s=TIMEOUT_S), workers=workers)
        if rates._redis is not None:
            try:
                await rates._ping()
            except rates._errors as error:
                rates._lost(error)
        return rates

    @property
    def degraded(self) -> bool:
        """Whether Redis was asked for and does not answer: each worker counts by itself."""
        return self._degraded

    async def hit(self, key_id: str, rate: str) -> float | None:
        """Count one request.

        Parameters
        ----------
        key_id : str
            Whose request it is.
        rate : str
            What is allowed, as ``100/second``, ``5000 per hour``, or several: ``100/second; 5000/hour``.

        Returns
        -------
        float or None
            None: it is allowed. Else seconds until the next may be.

        Raises
        ------
        CascadeError
            The rate cannot be read.
        """
        if self._shared is not None and not self._degraded:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await _hit(self._shared, _parse(rate), key_id)
            except self._errors as error:
                self._lost(error)
        return await _hit(self._local, _share(rate, self._workers), key_id)

    async def close(self) -> None:
        """Let go of Redis."""
        self._closing.set()
        if self._return is not None:
            await self._return
        if self._redis is not None:
            await self._redis.aclose(close_connection_pool=True)

    def _lost(self, error: Exception) -> None:
        if not self._degraded:
            self._degraded = True
            _log.warning(
                "Redis does not answer (%s): each worker counts the rates by itself", str(error) or type(error).__name__
            )
            self._return = asyncio.create_task(self._wait_for_it())

    async def _wait_for_it(self) -> None:
        while self._degraded and not self._closing.is_set():
            try:
                async with asyncio.timeout(_AGAIN_S):
                    await self._closing.wait()
            except TimeoutError:
                await self._try_again()

    async def _try_again(self) -> None:
        try:
            await self._ping()
        except self._errors:
            return
        self._degraded = False
        _log.warning("Redis answers again: it counts the rates")

    async def _ping(self) -> None:
        if self._redis is not None:
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.ping()


def check_rate(rate: str) -> None:
    """See that a rate can be read.

    Raises
    ------
    CascadeError
        It cannot.
    """
    _parse(rate)


@lru_cache(maxsize=1024)
def _parse(rate: str) -> tuple[RateLimitItem, ...]:
    try:
        items = tuple(parse_many(rate))
    except ValueError:
        items = ()
    if not items or any(item.amount < 1 for item in items):
        raise CascadeError(f"rate {rate!r} cannot be read; write 100/second, 5000/hour, or both with a semicolon")
    return items


@lru_cache(maxsize=1024)
def _share(rate: str, workers: int) -> tuple[RateLimitItem, ...]:
    """One worker's part: an equal part of the amount, or one request in as much more time if there are too few."""
    return tuple(
        type(item)(item.amount // workers, item.multiples)
        if item.amount >= workers
        else type(item)(1, -(-item.multiples * workers // item.amount))
        for item in _parse(rate)
    )


async def _hit(limiter: SlidingWindowCounterRateLimiter, items: Sequence[RateLimitItem], key_id: str) -> float | None:
    for item in items:
        if not await limiter.hit(item, key_id):
            stats = await limiter.get_window_stats(item, key_id)
            return max(0.0, stats.reset_time - time.time()) + _MARGIN_S
    return None
