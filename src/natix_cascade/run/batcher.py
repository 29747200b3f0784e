"""One worker thread for each model: micro-batches across requests, and a bulkhead between models."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError, QueueFullError, TransientModelError
from natix_cascade.models.base import Model
from natix_cascade.run.desk import NEARLY, Answer, HangError, check_answers, one_answer
from natix_cascade.run.mail import LoopReply, Reply

__all__ = ["Batcher"]

_LOOK_S = 0.01
_MOST_LEFT_BEHIND = 3  # workers whose call never returned; each holds a thread and what it was asked about


@dataclass(slots=True)
class _Question:
    pixels: NDArray[np.uint8]
    explain: bool
    future: Reply[Answer]
    asked: float


class Batcher:
    """Asks one model in batches.

    While the model works, questions gather; when it is free, all that wait (up to `max_batch`) go as one batch, so a
    lone picture never waits and a crowd is batched. With `max_delay_ms` a batch that is not full waits for company.

    Parameters
    ----------
    load : callable
        Returns the model; called in the worker's thread at the first question.
    max_batch : int
        Most pictures in a batch.
    max_delay_ms : float
        How long the first picture of a batch may wait for company.
    max_queue : int
        Most questions that wait; more are refused at once.

    Attributes
    ----------
    renewals : int
        How many workers were left behind so far.
    """

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        max_batch: int = 16,
        max_delay_ms: float = 0.0,
        max_queue: int = 100_000,
    ) -> None:
        self._load = load
        self.max_batch = max_batch
        self._max_delay = max_delay_ms / 1000
        self._max_queue = max_queue
        self.renewals = 0
        self._somebody_left = False
        self._began: float | None = None
        self._left_behind: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Questions that no call has taken up yet."""
        return self._queue.qsize()

    def running_for(self) -> float:
        """Seconds that the present call of the model has taken so far; 0 when it is idle."""
        began = self._began
        return 0.0 if began is None else time.perf_counter() - began

    @property
    def under_way(self) -> int:
        """Calls that the model is working on: one or none."""
        return int(self._began is not None)

    def submit(self, pixels: NDArray[np.uint8], *, explain: bool = False) -> Future[Answer]:
        """Ask about one upright RGB picture ``(H, W, 3)``; a future that is cancelled leaves its batch.

        Raises
        ------
        QueueFullError
            `max_queue` questions wait already.
        ModelError
            The batcher is closed.
        """
        future: Future[Answer] = Future()
        self._put(pixels, explain, future)
        return future

    async def ask(
        self,
        pixels: NDArray[np.uint8],
        *,
        explain: bool = False,
        timeout_s: float | None = None,
        more: Callable[[], float] | None = None,
    ) -> Answer:
        """As `submit`, from a coroutine; one that is cancelled, or waits no longer, leaves its batch.

        Raises
        ------
        TimeoutError
            No answer within `timeout_s`, or what `more` adds to it; see `LoopReply.wait`.
        """
        reply: LoopReply[Answer] = LoopReply()
        self._put(pixels, explain, reply)
        try:
            return await reply.wait(timeout_s, more)
        except (TimeoutError, asyncio.CancelledError):
            self._somebody_left = True
            raise

    async def ask_patiently(
        self, pixels: NDArray[np.uint8], *, explain: bool, until: float, patience_s: float
    ) -> Answer:
        """Ask, and tell a model that hangs from a picture that has too little time; see `Desk`.

        A worker that works is not taken for hung, however long its queue: only the deadline ends the wait for it.
        """
        renewals = self.renewals
        if self.running_for() > patience_s:
            self.renew()  # the worker hangs: this question goes to a new one

        def hangs() -> bool:
            return self.running_for() >= NEARLY * patience_s or self.renewals != renewals

        def more() -> float:
            left = until - time.perf_counter()
            return 0.0 if hangs() else min(left, max(patience_s - self.running_for(), _LOOK_S))

        wait = min(until - time.perf_counter(), patience_s)
        try:
            return await self.ask(pixels, explain=explain, timeout_s=wait, more=more)
        except TimeoutError as error:
            if hangs():
                raise HangError from error
            raise

    def _put(self, pixels: NDArray[np.uint8], explain: bool, reply: Reply[Answer]) -> None:  # noqa: FBT001  # private
        with self._lock:
            if self._closed:
                raise ModelError("the cascade is closed; load it again to ask more")
            if self._queue.qsize() >= self._max_queue and not self._make_room():
                raise QueueFullError(f"{self._max_queue} pictures wait for it already; try again later")
            if self._thread is None:
                self._start()
            self._queue.put(_Question(pixels, explain, reply, time.perf_counter()))

    def _make_room(self) -> bool:
        """With the lock held: free the places of those who have left; whether there is one now."""
        if not self._somebody_left:
            return False
        self._somebody_left = False
        stay: list[_Question | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if item is None or not item.future.cancelled():
                    stay.append(item)
        for item in stay:
            self._queue.put(item)
        return len(stay) < self._max_queue

    def renew(self) -> bool:
        """Leave a worker that hangs behind and start another; False when too many have been left behind already.

        What the old one still answers is ignored; it ends when its call returns.
        """
        with self._lock:
            self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
            if self._closed or self._thread is None or len(self._left_behind) >= _MOST_LEFT_BEHIND:
                return False
            self._left_behind.append(self._thread)
            self.renewals += 1
            self._model = None
            self._began = None
            self._start()
            return True

    def close(self, limit_s: float = 10.0) -> None:
        """Answer what waits, then end the worker and free the model.

        A model that hangs is left behind after `limit_s` seconds; its thread does not keep the process alive.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join(limit_s)
            if thread.is_alive():
                return
        if self._model is not None:
            self._model.close()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="natix-model", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while self._thread is me:  # else it was left behind
            batch, last = self._gather()
            if batch:
                self._began = time.perf_counter()
                self._answer(batch)
                if self._thread is me:
                    self._began = None
            if last:
                return

    def _gather(self) -> tuple[list[_Question], bool]:
        """The next batch, and whether it is the last."""
        batch: list[_Question] = []
        while len(batch) < self.max_batch:
            wait = batch[0].asked + self._max_delay - time.perf_counter() if batch else None
            try:
                item = self._queue.get(timeout=wait) if wait is None or wait > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            if item.future.cancelled():  # it takes nobody's place
                item.future.set_running_or_notify_cancel()
            else:
                batch.append(item)
        return batch, False

    def _answer(self, batch: list[_Question]) -> None:
        batch = [item for item in batch if item.future.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            if self._model is None:
                self._model = self._load()
            model = self._model
        except BaseException as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            for item in batch:
                item.future.set_exception(error)
            return
        self._predict(model, batch)

    def _predict(self, model: Model, batch: list[_Question]) -> None:
        began = time.perf_counter()
        try:
            inputs = [model.prepare(item.pixels) for item in batch]
            answers = model.predict(inputs, explain=any(item.explain for item in batch))
            check_answers(model, answers, len(batch))
        except BaseException as error:  # noqa: BLE001  # a failing engine must not end the worker
            if len(batch) == 1 or isinstance(error, TransientModelError):  # no picture's fault: no call without budget
                for item in batch:
                    item.future.set_exception(error)
            else:  # one bad picture must not spoil the others
                for item in batch:
                    self._predict(model, [item])
            return
        for index, item in enumerate(batch):
            latency = (time.perf_counter() - item.asked) * 1000
            queued = (began - item.asked) * 1000
            answer = one_answer(model, answers, index, latency, explain=item.explain, queue_ms=queued)
            if isinstance(answer, ModelError):
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)
