"""Asking one model so that its faults stay its own: replicas, breakers, time, retries and hedges."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import BreakerOpenError, TransientModelError
from natix_cascade.models.base import Model
from natix_cascade.run.batcher import Answer, Batcher
from natix_cascade.run.breaker import Breaker
from natix_cascade.run.latency import Latencies
from natix_cascade.run.options import ModelOptions
from natix_cascade.run.retry import RetryBudget, backoff_s
from natix_cascade.run.tuning import tuned

__all__ = ["Asker", "Replica"]

_USUAL = 10.0  # a call that takes ten times as long as 95 % of them is taken for lost ...
_PATIENCE_S = 1.0  # ... but never before this
_MEASURING = 4  # measuring which batches pay takes at most as long as this many calls may
_LOOK_S = 0.01
_NEARLY = 0.9  # a picture's own clock runs a little ahead of its call's


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of a model: its worker and its breaker."""

    number: int
    batcher: Batcher
    breaker: Breaker


class Asker:
    """Asks one model, over its replicas.

    Parameters
    ----------
    name : str
        The model's name, for messages.
    load : callable
        Returns the model of a replica's number.
    options : ModelOptions
        See there.
    budget : RetryBudget
        Shared by all models of a runner.
    on_change : callable or None
        Told of the name, the replica and the new state when a breaker changes.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[int], Model],
        options: ModelOptions,
        budget: RetryBudget,
        *,
        on_change: Callable[[str, int, str], None] | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.replicas = tuple(self._replica(number, load, on_change) for number in range(options.replicas))
        self._load = load
        self._budget = budget
        self._latencies = Latencies()
        self._rng = random.Random()  # noqa: S311  # jitter, no secret

    def _replica(
        self, number: int, load: Callable[[int], Model], on_change: Callable[[str, int, str], None] | None
    ) -> Replica:
        options = self.options
        batcher = Batcher(
            functools.partial(load, number),
            max_batch=options.max_batch,
            max_delay_ms=options.max_delay_ms,
            max_queue=options.max_queue,
        )
        told = functools.partial(on_change, self.name, number) if on_change else None
        return Replica(number, batcher, Breaker(options.breaker, on_change=told))

    @property
    def timeout_s(self) -> float:
        """Seconds after which a call is given up: ten times what is usual, at most what the options say."""
        longest = self.options.timeout_ms / 1000
        usual = self._latencies.quantile(0.95)
        return longest if usual is None else min(longest, max(_PATIENCE_S, _USUAL * usual))

    async def ask(self, pixels: NDArray[np.uint8], *, explain: bool, until: float) -> Answer:
        """Ask about one picture.

        Parameters
        ----------
        pixels : NDArray
            ``(H, W, 3)`` uint8, RGB.
        explain : bool
            Ask for a heat map too.
        until : float
            Of `time.perf_counter`: give up then.

        Raises
        ------
        TimeoutError
            No answer in time.
        BreakerOpenError
            Every replica's breaker is open.
        ModelError
            The model failed.
        """
        self._budget.request()
        attempt = 1
        while True:
            try:
                return await self._try(pixels, explain=explain, until=until)
            except TransientModelError:
                pause = backoff_s(attempt, self._rng)
                late = time.perf_counter() + pause >= until
                if attempt >= self.options.attempts or late or not self._budget.take():
                    raise
                await asyncio.sleep(pause)
                attempt += 1

    async def warm_up(self, pixels: NDArray[np.uint8], *, tune: bool) -> None:
        """Load the model and ask each replica once, past the breakers; with `tune`, measure too which batches pay.

        Raises
        ------
        TimeoutError
            A replica does not answer.
        ModelError
            The model cannot be loaded, or fails.
        """
        timeout_s = self.options.timeout_ms / 1000
        for replica in self.replicas:
            if replica.batcher.running_for() > timeout_s:
                replica.batcher.renew()  # it hangs since an earlier try
            await replica.batcher.ask(pixels, timeout_s=timeout_s)
        if not tune:
            return
        load = functools.partial(self._load, 0)
        useful = await tuned(load, pixels, self.options.max_batch, _MEASURING * timeout_s)
        for replica in self.replicas:
            replica.batcher.max_batch = useful

    def close(self, limit_s: float) -> None:
        """Answer what waits, then end the workers; one that hangs longer is left behind."""
        until = time.monotonic() + limit_s
        for replica in self.replicas:
            replica.batcher.close(max(until - time.monotonic(), 0.0))

    async def _try(self, pixels: NDArray[np.uint8], *, explain: bool, until: float) -> Answer:
        first, ticket = self._choose()
        if self.options.hedge_ms is None or len(self.replicas) == 1:
            return await self._ask(first, ticket, pixels, explain=explain, until=until)
        task = asyncio.ensure_future(self._ask(first, ticket, pixels, explain=explain, until=until))
        task.add_done_callback(_nobody_missed)
        try:
            done, _ = await asyncio.wait({task}, timeout=self.options.hedge_ms / 1000)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        return await self._hedge(task, first, pixels, explain=explain, until=until)

    async def _hedge(
        self,
        task: asyncio.Future[Answer],
        first: Replica,
        pixels: NDArray[np.uint8],
        *,
        explain: bool,
        until: float,
    ) -> Answer:
        """Ask another replica too; the first answer counts and the other question leaves its batch."""
        tasks = {task}
        try:
            if any(each.breaker.state != "open" for each in self._others(first)) and self._budget.take():
                try:
                    second, ticket = self._choose(but=first)
                except BreakerOpenError:
                    pass
                else:
                    other = asyncio.ensure_future(self._ask(second, ticket, pixels, explain=explain, until=until))
                    other.add_done_callback(_nobody_missed)
                    tasks.add(other)
            open_tasks = set(tasks)
            while True:
                done, open_tasks = await asyncio.wait(open_tasks, return_when=asyncio.FIRST_COMPLETED)
                good = next((each for each in done if not each.exception()), None)
                if good is not None or not open_tasks:
                    return (good or done.pop()).result()
        finally:
            for each in tasks:
                each.cancel()

    def _others(self, but: Replica | None) -> list[Replica]:
        """Replicas, the least busy first, among equals the one at work for the longest last; `but` is left out."""
        if len(self.replicas) == 1:
            return list(self.replicas)
        others = [each for each in self.replicas if each is not but]
        return sorted(others, key=_load)

    def _choose(self, but: Replica | None = None) -> tuple[Replica, int]:
        """The least busy replica whose breaker lets a call through, and the breaker's ticket; `but` is left out.

        Raises
        ------
        BreakerOpenError
            There is none.
        """
        for replica in self._others(but):
            ticket = replica.breaker.enter()
            if ticket:
                return replica, ticket
        again = min(each.breaker.retry_after_s() for each in self.replicas)
        raise BreakerOpenError(f"its breaker is open: it did not answer lately and is asked again in {again:.0f} s")

    async def _ask(
        self, replica: Replica, ticket: int, pixels: NDArray[np.uint8], *, explain: bool, until: float
    ) -> Answer:
        """Ask one replica, whose breaker has let the call through, and tell the breaker how it went."""
        batcher, breaker = replica.batcher, replica.breaker
        patience, renewals = self.timeout_s, batcher.renewals
        if batcher.running_for() > patience:
            batcher.renew()  # the worker hangs: this question goes to a new one

        def hangs() -> bool:
            return batcher.running_for() >= _NEARLY * patience or batcher.renewals != renewals

        def more() -> float:
            # A worker that works is not taken for hung, however long its queue: only the deadline ends the wait for it.
            left = until - time.perf_counter()
            return 0.0 if hangs() else min(left, max(patience - batcher.running_for(), _LOOK_S))

        report = breaker.release
        try:
            wait = min(until - time.perf_counter(), patience)
            answer = await batcher.ask(pixels, explain=explain, timeout_s=wait, more=more)
            report = breaker.success
        except TransientModelError:
            report = breaker.failure
            raise
        except TimeoutError:
            if hangs():  # else the picture had too little time: not the model's fault
                report = breaker.failure
            raise
        finally:
            report(ticket)
        self._latencies.add(answer.latency_ms / 1000)
        return answer


def _load(replica: Replica) -> tuple[int, float]:
    """How busy a replica is: questions, and seconds that its present call has taken so far."""
    spent = replica.batcher.running_for()
    return replica.batcher.waiting + (spent > 0), spent


def _nobody_missed(task: asyncio.Future[Answer]) -> None:
    """The failure of a question that lost the race is nobody's news."""
    if not task.cancelled():
        task.exception()
