"""What all endpoints of one worker share, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from natix_cascade.observe.history import History
from natix_cascade.observe.keeper import Keeper
from natix_cascade.observe.logs import VerdictLines
from natix_cascade.observe.metrics import Metrics
from natix_cascade.observe.post import Post
from natix_cascade.run.events import Listener
from natix_cascade.serve.body import Memory
from natix_cascade.serve.engine import Engine
from natix_cascade.serve.keys import Keys
from natix_cascade.serve.meters import Meters, merged
from natix_cascade.serve.options import ServeOptions
from natix_cascade.serve.problems import ProblemError
from natix_cascade.serve.rate import Rates
from natix_cascade.serve.store import Store
from natix_cascade.trace import made_at

if TYPE_CHECKING:
    from natix_cascade.serve.shared import SharedBreakers

__all__ = ["Service", "is_recent"]

_log = logging.getLogger("natix_cascade.serve")
_TICK_S = 0.5
_RECENT_S = 5.0
_LONGEST_PAUSE_S = 30.0
_FRESH_S = 5.0  # a worker that has not said how it is for so long is not counted
_BODIES_BYTES = 512 * 1024 * 1024  # of uploads in memory at a time, for each worker


def is_recent(id: str) -> bool:  # noqa: A002  # the column's name
    """Whether an id was made within the last seconds."""
    made = made_at(id)
    return made is not None and abs(time.time() - made) < _RECENT_S


@dataclass(slots=True, eq=False)
class Service:
    """One worker of the service.

    Attributes
    ----------
    options : ServeOptions
        As given.
    run : str
        Names all workers that were started together.
    worker : int
        Which of them this is.
    leave : callable
        Asks for the whole service to be drained and to end.
    observer : Path or None
        Where observations are sent to.
    """

    options: ServeOptions
    run: str
    worker: int
    leave: Callable[[], None]
    observer: Path | None = None
    metrics: Metrics = field(default_factory=Metrics)
    meters: Meters = field(default_factory=Meters)
    history: History = field(init=False)
    memory: Memory = field(default_factory=lambda: Memory(_BODIES_BYTES))
    in_flight: int = 0
    draining: bool = False
    behind: str = ""
    engine: Engine = field(init=False)
    store: Store = field(init=False)
    keys: Keys = field(init=False)
    rates: Rates = field(init=False)
    _shared: SharedBreakers | None = None
    _shared_of: int = 0
    _keeper: Keeper | None = None
    _post: Post | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _batches: asyncio.Semaphore = field(init=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        options = self.options
        self._batches = asyncio.Semaphore(max(1, options.max_in_flight // 2))
        self.engine = Engine(options, self._listeners())
        self.history = History(self.metrics.together)
        self.store = Store(Path(options.state), keep=options.keep_verdicts)
        self.keys = Keys(Path(options.keys) if options.keys else None)

    def _listeners(self) -> Iterator[Listener]:
        """Who hears of verdicts in this process."""
        if self.options.observe.metrics:
            yield self.metrics
        if self.options.observe.log.verdicts_per_s:
            yield VerdictLines(self.options.observe.log)
        if self.observer is not None:
            workers = self.options.workers or 1
            self._post = Post(self.observer, functools.partial(self.metrics.dropped, "post"))
            self._keeper = Keeper(self.options.observe, self._post, dropped=self.metrics.dropped, workers=workers)
            yield self._keeper

    @property
    def full(self) -> bool:
        """Whether no further picture may come in."""
        return self.in_flight >= self.options.max_in_flight

    @property
    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        leaving = ["the service is leaving"] if self.draining else []
        return leaving + ([self.behind] if self.behind else []) + self.engine.reasons

    async def start(self, *, wait: bool) -> None:
        """Begin to load; with `wait`, return when it is ready."""
        self.rates = await Rates.open(self.options.redis, workers=self.options.workers or 1)
        first = self.store.generation(self.run) or (1, None, None)
        loading = asyncio.create_task(self.engine.start(*first))
        self._tasks = [
            loading,
            *(asyncio.create_task(self._again(each)) for each in (self._tell, self._obey, self._share)),
        ]
        if wait:
            await loading

    async def stop(self) -> None:
        """Finish what is under way, within the limit."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        if self._shared is not None:
            await self._shared.stop()
        await self.engine.stop(self.options.drain_s)
        self.metrics.flush()
        if self._keeper is not None and self._post is not None:
            await asyncio.to_thread(self._keeper.close)
            self._post.close()
        await self.rates.close()
        await asyncio.to_thread(self.store.close)

    async def reload(self, cascade: str | None, policy: str | None) -> int:
        """Load another cascade or policy here, then tell the other workers; returns the generation's number.

        Raises
        ------
        CascadeError
            It cannot be loaded or does not fit; what is at work stays.
        """
        async with self.engine.changing:
            now = self.engine.now
            chosen, rule = cascade or now.cascade, policy if policy is not None or cascade is not None else now.policy
            new = await self.engine.prepare(chosen, rule)
            try:
                number = await self.store.add_generation(self.run, chosen, rule)
            except BaseException:
                await asyncio.to_thread(new.runner.close, 1.0)
                raise
            self.engine.adopt(new, number)
        return number

    def snapshot(self) -> dict[str, Any]:
        """How this worker is, as plain data for the others."""
        now = self.engine.present
        breakers = [] if now is None else self.breakers()
        return {
            **self.meters.snapshot(),
            "worker": self.worker,
            "pid": os.getpid(),
            "ready": not self.reasons,
            "reasons": self.reasons,
            "draining": self.draining,
            "in_flight": self.in_flight,
            "generation": 0 if now is None else now.number,
            "cascade": "" if now is None else now.runner.loaded.resolved.name,
            "policy": "" if now is None else now.runner.loaded.resolved.policy,
            "breakers": breakers,
        }

    def breakers(self) -> list[dict[str, Any]]:
        """State of each breaker in this worker."""
        return [
            {"model": model, "replica": replica, "state": each.state, "failures": each.failures}
            for (model, replica), each in self.engine.now.runner.breakers.items()
        ]

    def status(self) -> dict[str, Any]:
        """How all workers are together."""
        mine = self.snapshot()
        told = (orjson.loads(body) for body in self.store.workers(self.run, younger_than_s=_FRESH_S))
        all_of = [mine, *(each for each in told if each["worker"] != self.worker)]
        return {
            **merged(all_of, time.time()),
            "workers": len(all_of),
            "cascade": mine["cascade"],
            "policy": mine["policy"],
            "generation": mine["generation"],
            "ready": mine["ready"],
            "draining": mine["draining"],
            "in_flight": sum(each["in_flight"] for each in all_of),
            "max_in_flight": self.options.max_in_flight * len(all_of),
            "breakers": _worst(all_of),
        }

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something every half second; what goes wrong is said once and tried again later and later."""
        pause = _TICK_S
        while True:
            try:
                await work()
                pause = _TICK_S
            except Exception as error:  # noqa: BLE001  # a background task must not end in silence
                if pause == _TICK_S:
                    _log.error("%s: %s", work.__name__.strip("_"), error or type(error).__name__)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _tell(self) -> None:
        """Say how this worker is."""
        self.metrics.active(self.in_flight)
        if self.engine.present is not None:
            self.metrics.breakers(self.breakers())
        if self.options.observe.metrics:
            self.metrics.flush()
            await asyncio.to_thread(self.history.tick)
        await self.store.set_worker(self.run, self.worker, os.getpid(), orjson.dumps(self.snapshot()))

    async def _obey(self) -> None:
        """Hear what this worker is told by another."""
        if "drain" in await asyncio.to_thread(self.store.control, self.run):
            self.draining = True
        wanted = await asyncio.to_thread(self.store.generation, self.run)
        if wanted is None or self.engine.present is None or wanted[0] <= self.engine.present.number:
            self.behind = ""
            return
        async with self.engine.changing:
            if wanted[0] > self.engine.now.number:
                try:
                    self.engine.adopt(await self.engine.prepare(*wanted[1:]), wanted[0])
                except Exception as error:
                    self.behind = f"generation {wanted[0]} cannot be loaded here: {error or type(error).__name__}"
                    raise
            self.behind = ""

    async def _share(self) -> None:
        """Share the present generation's breakers over Redis."""
        now = self.engine.present
        if self.options.redis is None or now is None or now.number == self._shared_of:
            return
        from natix_cascade.serve.shared import SharedBreakers  # noqa: PLC0415  # needs the redis extra

        if self._shared is not None:
            await self._shared.stop()
        breakers = {f"{model}#{replica}": each for (model, replica), each in now.runner.breakers.items()}
        self._shared = SharedBreakers(self.options.redis, breakers)
        await self._shared.start()
        self._shared_of = now.number

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for one picture.

        Raises
        ------
        ProblemError
            503: there is none.
        """
        if self.full:
            raise self.overloaded()
        self.in_flight += 1
        try:
            yield
        finally:
            self._leave_place()

    async def take_batch_place(self) -> None:
        """Wait for a place for one picture of a batch; all batches together take half of the places at most."""
        await self._batches.acquire()
        try:
            while self.full:
                self._freed.clear()
                await self._freed.wait()
        except BaseException:
            self._batches.release()
            raise
        self.in_flight += 1

    def give_batch_place(self) -> None:
        """Give it back."""
        self._leave_place()
        self._batches.release()

    def _leave_place(self) -> None:
        self.in_flight -= 1
        self._freed.set()

    def overloaded(self) -> ProblemError:
        """What is answered when there is no place."""
        self.metrics.rejected("full")
        return ProblemError("overloaded", f"{self.in_flight} pictures are under way; try again", retry_after_s=1.0)


def _worst(snapshots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each breaker as the worker sees it that sees it worst."""
    rank = {"closed": 0, "half_open": 1, "open": 2}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for snapshot in snapshots:
        for each in snapshot["breakers"]:
            key = each["model"], each["replica"]
            if key not in found or rank[each["state"]] > rank[found[key]["state"]]:
                found[key] = each
    return list(found.values())
