"""Questions to a model that waits for a server: many under way at a time, each on its own.

The counterpart of `Batcher` for models that compute elsewhere. One event loop in a thread of its own for each copy of
such a model is its bulkhead: a server that does not answer holds up nobody but those who ask it, and what takes long
there does not hold up what is quick.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError, QueueFullError, TransientModelError
from natix_cascade.models.base import Answers, AsyncModel, Model
from natix_cascade.models.loop import LoopThread
from natix_cascade.run.desk import NEARLY, Answer, HangError, check_answers, one_answer
from natix_cascade.run.mail import LoopReply, Reply
from natix_cascade.trace import TraceContext, current

__all__ = ["Flights"]

T = TypeVar("T")

_PREPARING = 2  # threads in which pictures are made ready to be sent


@dataclass(slots=True, eq=False)
class _Flight:
    pixels: NDArray[np.uint8]
    explain: bool
    reply: Reply[Answer]
    asked: float
    trace: TraceContext | None
    began: float | None = None
    task: asyncio.Task[Answer | BaseException] | None = None


class Flights:
    """Asks one model about up to `concurrency` pictures at a time; fulfils `natix_cascade.run.desk.Desk`.

    Parameters
    ----------
    load : callable
        Returns the model; called in a thread at the first question. One that is no `AsyncModel` is asked about one
        picture after the other. Whoever loaded it frees it.
    max_queue : int
        Most questions that wait for a place; more are refused at once.

    Attributes
    ----------
    renewals : int
        How often what was under way was given up.
    """

    def __init__(self, load: Callable[[], Model], *, max_queue: int = 100_000) -> None:
        self._load = load
        self._max_queue = max_queue
        self.renewals = 0
        self._lock = threading.Lock()
        self._waiting: dict[_Flight, None] = {}
        self._flying: dict[_Flight, None] = {}
        self._empty = threading.Condition(self._lock)
        self._loop = LoopThread("natix-flights")
        self._pool = ThreadPoolExecutor(_PREPARING, thread_name_prefix="natix-prepare")
        self._model: Model | None = None
        self._loading: asyncio.Task[None] | None = None
        self._loading_since: float | None = None
        self._places = 1
        self._closed = False

    @property
    def waiting(self) -> int:
        """Questions that have no place yet."""
        return len(self._waiting)

    @property
    def under_way(self) -> int:
        """Questions that are on their way."""
        return len(self._flying)

    def running_for(self) -> float:
        """Seconds that the longest question under way, or loading, has taken so far; 0 when there is neither."""
        with self._lock:
            began = min((flight.began for flight in self._flying if flight.began is not None), default=None)
        began = self._loading_since if began is None else began
        return 0.0 if began is None else time.perf_counter() - began

    def submit(self, pixels: NDArray[np.uint8], *, explain: bool = False) -> Future[Answer]:
        """Ask about one upright RGB picture ``(H, W, 3)``; a future that is cancelled closes its request.

        Raises
        ------
        QueueFullError
            `max_queue` questions wait already.
        ModelError
            It is closed.
        """
        future: Future[Answer] = Future()
        flight = self._put(pixels, explain, future)
        future.add_done_callback(lambda done: self._leave(flight) if done.cancelled() else None)
        return future

    async def ask(self, pixels: NDArray[np.uint8], *, explain: bool = False, timeout_s: float | None = None) -> Answer:
        """As `submit`, from a coroutine; one that is cancelled, or waits no longer, closes its request.

        Raises
        ------
        TimeoutError
            No answer within `timeout_s`.
        """
        reply: LoopReply[Answer] = LoopReply()
        flight = self._put(pixels, explain, reply)
        return await self._wait(flight, reply, timeout_s)

    async def ask_patiently(
        self, pixels: NDArray[np.uint8], *, explain: bool, until: float, patience_s: float
    ) -> Answer:
        """As `ask`; the time that `patience_s` limits begins when the question gets its place. See `Desk`."""
        reply: LoopReply[Answer] = LoopReply()
        flight = self._put(pixels, explain, reply)

        def spent() -> float:
            began = self._loading_since if flight.began is None else flight.began
            return 0.0 if began is None else time.perf_counter() - began

        def more() -> float:
            left = until - time.perf_counter()
            return 0.0 if spent() >= NEARLY * patience_s else min(left, patience_s - spent())

        try:
            return await self._wait(flight, reply, min(until - time.perf_counter(), patience_s), more)
        except TimeoutError as error:
            if spent() >= NEARLY * patience_s:
                raise HangError from error
            raise

    def renew(self) -> bool:
        """Give up all that is under way: those who asked hear that it may be tried again."""
        with self._lock:
            if self._closed:
                return False
            tasks = [flight.task for flight in self._flying if flight.task is not None]
            self.renewals += 1
        for task in tasks:
            self._loop.soon(task.cancel)
        return True

    def close(self, limit_s: float = 10.0) -> None:
        """Let what waits and what is under way be answered, at most so long; then give it up and end the threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._empty.wait_for(lambda: not self._waiting and not self._flying, limit_s)
            left = list(self._waiting)
            self._waiting.clear()
        for flight in left:
            _fail(flight.reply, ModelError("the cascade was closed before its turn came"))
        self._loop.close()
        self._pool.shutdown(wait=False)

    def _put(self, pixels: NDArray[np.uint8], explain: bool, reply: Reply[Answer]) -> _Flight:  # noqa: FBT001  # private
        flight = _Flight(pixels, explain, reply, time.perf_counter(), current.get())
        with self._lock:
            if self._closed:
                raise ModelError("the cascade is closed; load it again to ask more")
            if len(self._waiting) + len(self._flying) >= self._max_queue + self._places:  # free places are places too
                raise QueueFullError(f"{self._max_queue} pictures wait for it already; try again later")
            self._waiting[flight] = None
        self._loop.soon(self._launch)
        return flight

    async def _wait(
        self,
        flight: _Flight,
        reply: LoopReply[Answer],
        timeout_s: float | None,
        more: Callable[[], float] | None = None,
    ) -> Answer:
        try:
            return await reply.wait(timeout_s, more)
        except (TimeoutError, asyncio.CancelledError):
            self._leave(flight)
            raise

    def _leave(self, flight: _Flight) -> None:
        """Free the place of a question that nobody waits for any more."""
        with self._lock:
            if flight in self._waiting:
                del self._waiting[flight]
                self._empty.notify_all()
                return
            task = flight.task
        if task is not None:
            self._loop.soon(task.cancel)

    # Below: in the loop.

    def _launch(self) -> None:
        """Begin as many questions as there are places."""
        loop = asyncio.get_running_loop()
        model = self._model
        if model is None:
            if self._loading is None:
                self._loading_since = time.perf_counter()
                self._loading = loop.create_task(self._load_model())
            return
        with self._lock:
            while self._waiting and len(self._flying) < self._places:
                flight = next(iter(self._waiting))
                del self._waiting[flight]
                self._flying[flight] = None
                flight.began = time.perf_counter()
                flight.task = loop.create_task(self._fly(model, flight))
                flight.task.add_done_callback(functools.partial(self._land, flight))

    async def _load_model(self) -> None:
        """Load the model; where that fails, all who wait hear of it, and the next question tries again."""
        try:
            model = await _in_thread(self._load)
        except BaseException as error:
            with self._lock:
                left = list(self._waiting)
                self._waiting.clear()
                self._empty.notify_all()
            self._loading = self._loading_since = None
            for flight in left:
                _fail(flight.reply, error)
            if not isinstance(error, Exception):
                raise
            return
        self._places = max(1, model.concurrency) if isinstance(model, AsyncModel) else 1
        self._model, self._loading_since = model, None
        self._launch()

    async def _fly(self, model: Model, flight: _Flight) -> Answer | BaseException:
        """The answer to one question, or what went wrong; only being cancelled gets out of here as an exception."""
        current.set(flight.trace)
        try:
            answers = await self._answers(model, flight)
            check_answers(model, answers, 1)
            latency = (time.perf_counter() - flight.asked) * 1000
            queued = ((flight.began or flight.asked) - flight.asked) * 1000
            return one_answer(model, answers, 0, latency, explain=flight.explain, queue_ms=queued)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
            return error

    async def _answers(self, model: Model, flight: _Flight) -> Answers:
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._pool, model.prepare, flight.pixels)
        if isinstance(model, AsyncModel):
            return await model.answer(prepared, explain=flight.explain)
        return await _in_thread(lambda: model.predict([prepared], explain=flight.explain))

    def _land(self, flight: _Flight, task: asyncio.Task[Answer | BaseException]) -> None:
        """A place is free; who asked hears how it went."""
        with self._lock:
            self._flying.pop(flight, None)
            self._empty.notify_all()
        if task.cancelled():  # by whoever asked, or by `renew` or `close`: then somebody waits
            _fail(flight.reply, TransientModelError("its request was given up"))
        elif isinstance(answer := task.result(), BaseException):
            _fail(flight.reply, answer)
        elif flight.reply.set_running_or_notify_cancel():
            flight.reply.set_result(answer)
        self._launch()


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what may hang, in a thread that does not keep the process alive."""
    reply: LoopReply[T] = LoopReply()

    def run() -> None:
        try:
            reply.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
            reply.set_exception(error)

    threading.Thread(target=run, name="natix-flight", daemon=True).start()
    return await reply.wait(None)


def _fail(reply: Reply[Answer], error: BaseException) -> None:
    if reply.set_running_or_notify_cancel():
        reply.set_exception(error)
