"""Hands observations to observers, each with a queue and a thread of its own: none of them waits for another."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable

from natix_cascade.observe.observation import Observation, Observer

__all__ = ["Hub"]

_log = logging.getLogger("natix_cascade.observe")
_SAID_S = 60.0  # between two lines about the same observer
_MOST_WITH_PICTURES = 256  # some 25 MB


class Hub:
    """Observers and their queues.

    Parameters
    ----------
    observers : iterable of Observer
        Who is handed everything.
    most : int
        Observations that wait for one observer; when there are more, new ones are dropped.
    dropped, failed : callable
        Told the name of an observer that has dropped an observation, or raised.
    """

    def __init__(
        self,
        observers: Iterable[Observer] = (),
        *,
        most: int = 4096,
        dropped: Callable[[str], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._most, self._dropped, self._failed = most, dropped, failed
        self._lines: list[_Line] = []
        for observer in observers:
            self.add(observer)

    def add(self, observer: Observer) -> None:
        """One more."""
        self._lines.append(_Line(observer, self._most, self._dropped, self._failed))

    def __call__(self, observation: Observation) -> None:
        """Put it into every queue; never waits."""
        for line in self._lines:
            line.put(observation)

    def close(self, limit_s: float = 5.0) -> bool:
        """Let the observers send what they have, at most so long; whether all did.

        Those that hang are left behind; their threads do not keep the process alive.
        """
        until = time.monotonic() + limit_s
        for line in self._lines:
            line.end()
        done = [line.join(max(0.0, until - time.monotonic())) for line in self._lines]
        return all(done)


class _Line:
    """One observer's queue and thread."""

    def __init__(
        self, observer: Observer, most: int, dropped: Callable[[str], None], failed: Callable[[str], None]
    ) -> None:
        self._observer, self._dropped, self._failed = observer, dropped, failed
        self._queue: queue.Queue[Observation | None] = queue.Queue(most)
        self._said = float("-inf")
        self._pictures = threading.Semaphore(_MOST_WITH_PICTURES)
        self._thread = threading.Thread(target=self._work, name=f"natix-{observer.name}", daemon=True)
        self._thread.start()

    def put(self, observation: Observation) -> None:
        if observation.picture is not None and not self._pictures.acquire(blocking=False):
            self._dropped(self._observer.name)
            return
        try:
            self._queue.put_nowait(observation)
        except queue.Full:
            if observation.picture is not None:
                self._pictures.release()
            self._dropped(self._observer.name)

    def end(self) -> None:
        while not self._ended():  # it hangs, or has more than it can send in time: the oldest makes room for the end
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
                self._dropped(self._observer.name)

    def _ended(self) -> bool:
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return False
        return True

    def join(self, limit_s: float) -> bool:
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (observation := self._queue.get()) is not None:
            if observation.picture is not None:
                self._pictures.release()
            self._guarded(lambda one=observation: self._observer(one))  # type: ignore[misc]
        self._guarded(self._observer.close)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # an observer may fail in any way, and goes on with the next one
            self._failed(self._observer.name)
            if time.monotonic() - self._said >= _SAID_S:
                self._said = time.monotonic()
                _log.warning("%s: %s: %s", self._observer.name, type(error).__name__, error)
