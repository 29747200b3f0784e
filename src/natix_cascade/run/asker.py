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
from natix_cascade.run.batcher import Batcher
from natix_cascade.run.breaker import Breaker
from natix_cascade.run.desk import Answer, Desk, HangError
from natix_cascade.run.flights import Flights
from natix_cascade.run.latency import Latencies
from natix_cascade.run.options import ModelOptions
from natix_cascade.run.retry import RetryBudget, backoff_s
from natix_cascade.run.tuning import tuned

__all__ = ["Asker", "Replica"]

_USUAL = 10.0  # a call that takes ten times as long as 95 % of them is taken for lost ...
_PATIENCE_S = 1.0  # ... but never before this
_MEASURING = 4  # measuring which batches pay takes at most as long as this many calls may
_MOST_PAUSE_S = 60.0  # a server that wants to be left alone for longer is not waited for


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of a model: who takes its questions, and its breaker."""

    number: int
    desk: Desk
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
    remote : bool
        A server answers: many pictures are under way at a time, and no batches are measured.
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
        remote: bool = False,
        on_change: Callable[[str, int, str], None] | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self._remote = remote
        self.replicas = tuple(self._replica(number, load, on_change) for number in range(options.replicas or 1))
        self._load = load
        self._budget = budget
        self._latencies, self._explained = Latencies(), Latencies()
        self._rng = random.Random()  # noqa: S311  # jitter, no secret

    def _replica(
        self, number: int, load: Callable[[int], Model], on_change: Callable[[str, int, str], None] | None
    ) -> Replica:
        options, one = self.options, functools.partial(load, number)
        desk: Desk
        if self._remote:
            desk = Flights(one, max_queue=options.max_queue)
        else:
            desk = Batcher(
                one, max_batch=options.max_batch, max_delay_ms=options.max_delay_ms, max_queue=options.max_queue
            )
        told = functools.partial(on_change, self.name, number) if on_change else None
        return Replica(number, desk, Breaker(options.breaker, on_change=told))

    @property
    def timeout_s(self) -> float:
        """Seconds after which a call is given up: ten times what is usual, at most what the options say."""
        return self._patience(explain=False)

    def _patience(self, *, explain: bool) -> float:
        longest = self.options.timeout_ms / 1000
        usual = (self._explained if explain else self._latencies).quantile(0.95)
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
            except TransientModelError as error:
                asked = error.retry_after_s or 0.0
                pause = max(backoff_s(attempt, self._rng), asked)
                late = time.perf_counter() + pause >= until or asked > _MOST_PAUSE_S
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
            if replica.desk.running_for() > timeout_s:
                replica.desk.renew()  # it hangs since an earlier try
            await replica.desk.ask(pixels, timeout_s=timeout_s)
        batchers = [each.desk for each in self.replicas if isinstance(each.desk, Batcher)]
        if not tune or not batchers:
            return
        load = functools.partial(self._load, 0)
        useful = await tuned(load, pixels, self.options.max_batch, _MEASURING * timeout_s)
        for batcher in batchers:
            batcher.max_batch = useful

    def close(self, limit_s: float) -> None:
        """Answer what waits, then end the workers; one that hangs longer is left behind."""
        until = time.monotonic() + limit_s
        for replica in self.replicas:
            replica.desk.close(max(until - time.monotonic(), 0.0))

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
        breaker, patience = replica.breaker, self._patience(explain=explain)
        report = breaker.release
        try:
            answer = await replica.desk.ask_patiently(pixels, explain=explain, until=until, patience_s=patience)
            report = breaker.success
        except (TransientModelError, HangError):
            report = breaker.failure
            raise
        finally:
            report(ticket)
        (self._explained if explain else self._latencies).add(answer.latency_ms / 1000)
        return answer


def _load(replica: Replica) -> tuple[int, float]:
    """How busy a replica is: questions, and seconds that its present call has taken so far."""
    desk = replica.desk
    return desk.waiting + desk.under_way, desk.running_for()


def _nobody_missed(task: asyncio.Future[Answer]) -> None:
    """The failure of a question that lost the race is nobody's news."""
    if not task.cancelled():
        task.exception()
