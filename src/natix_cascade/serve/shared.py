"""Circuit breakers that several replicas of a service share over Redis, without asking it on any request."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from natix_cascade.run.breaker import Breaker
from natix_cascade.serve.redis_client import connect, silent_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["SharedBreakers"]

_log = logging.getLogger("natix_cascade.shared")
_TIMEOUT_S: Final = 1.0  # nobody waits for this task
_DELETE_MINE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class SharedBreakers:
    """Tells the other replicas which breakers have opened, and lets one replica at a time probe.

    Every `interval_s` a task reads three keys for each model. ``natix:breaker:MODEL`` is there while a breaker is open
    somewhere, and opens all others for as long. Shortly before its end one replica gets ``natix:breaker:MODEL:probe``:
    its breaker becomes half-open and sends its probes, while those of the others are kept open. When the probes have
    succeeded, ``natix:breaker:MODEL:ok`` lets the others try for themselves. Every key ends by itself, so a replica
    that dies holds nobody up.

    With a Redis that is gone or slow the breakers of each replica go on by themselves.

    Parameters
    ----------
    redis_url : str
        ``redis://...``
    breakers : Mapping of str to Breaker
        By the name under which all replicas know the model.
    interval_s : float
        Seconds from one look to the next.

    Raises
    ------
    CascadeError
        The address cannot be read, or the redis extra is not installed.
    """

    def __init__(self, redis_url: str, breakers: Mapping[str, Breaker], *, interval_s: float = 0.5) -> None:
        self._redis: Redis = connect(redis_url, timeout_s=_TIMEOUT_S)
        self._errors = silent_errors()
        self._breakers = dict(breakers)
        self._interval_s = interval_s
        self._hold_s = 4 * interval_s  # a breaker that is kept open is kept from look to look, also when looks are late
        self._me = secrets.token_hex(8).encode()
        self._published = dict.fromkeys(self._breakers, 0)  # own openings that the others know of
        self._free: set[str] = set()  # may try for themselves: another's probes have succeeded
        self._degraded = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def degraded(self) -> bool:
        """Whether Redis does not answer: the breakers of this replica are on their own."""
        return self._degraded

    async def start(self) -> None:
        """Look for the first time, and from then on in the background."""
        await self._look()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """End the task and let go of Redis."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._redis.aclose(close_connection_pool=True)

    async def _go_on(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()
            except TimeoutError:
                await self._look()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._settle_all()
        except self._errors as error:
            if not self._degraded:
                why = str(error) or type(error).__name__
                _log.warning("Redis does not answer (%s): breakers are not shared", why)
            self._degraded = True
        except Exception:  # noqa: BLE001  # whatever it is, the next look may go well
            _log.exception("breakers could not be shared")
            self._degraded = True
        else:
            if self._degraded:
                _log.warning("Redis answers again: breakers are shared")
            self._degraded = False

    async def _settle_all(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for name in self._breakers:
            pipe.pttl(_open(name))
            pipe.get(_probe(name))
            pipe.exists(_ok(name))
        found = await pipe.execute()
        for index, name in enumerate(self._breakers):
            open_ms, prober, proven = found[3 * index : 3 * index + 3]
            await self._settle(name, max(0, open_ms) / 1000, prober, proven=bool(proven))

    async def _settle(self, name: str, open_s: float, prober: bytes | None, *, proven: bool) -> None:
        """One model: tell the others, or follow them.

        Parameters
        ----------
        open_s : float
            How long some replica's breaker is open yet; 0: none is.
        prober : bytes or None
            Who may probe.
        proven : bool
            Whether a replica's probes have succeeded just now.
        """
        breaker = self._breakers[name]
        if breaker.openings > self._published[name]:
            await self._publish(name, breaker, open_s)
            return
        if open_s > 0:
            self._free.discard(name)
            breaker.force_open(open_s)
        if breaker.state == "closed":
            self._free.discard(name)
            if prober == self._me:
                await self._redis.set(_ok(name), 1, px=_ms(breaker.options.open_s + self._hold_s))
                await self._give_up_probe(name)
        elif proven:
            self._free.add(name)
        elif name not in self._free and prober != self._me and breaker.retry_after_s() < self._hold_s:
            lease = _ms(breaker.options.open_s + self._hold_s)
            if prober is not None or not await self._redis.set(_probe(name), self._me, nx=True, px=lease):
                breaker.force_open(self._hold_s)

    async def _publish(self, name: str, breaker: Breaker, open_s: float) -> None:
        openings, left = breaker.openings, breaker.retry_after_s()
        self._free.discard(name)
        await self._redis.delete(_ok(name))
        if left > open_s:
            await self._redis.set(_open(name), 1, px=_ms(left))
        await self._give_up_probe(name)
        self._published[name] = openings

    async def _give_up_probe(self, name: str) -> None:
        await self._redis.eval(_DELETE_MINE, 1, _probe(name), self._me)


def _open(name: str) -> str:
    return f"natix:breaker:{name}"


def _probe(name: str) -> str:
    return f"natix:breaker:{name}:probe"


def _ok(name: str) -> str:
    return f"natix:breaker:{name}:ok"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
