"""A circuit breaker: leave a model alone that does not answer, and try it again with care."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from natix_cascade.run.options import BreakerOptions

__all__ = ["Breaker"]

_State = Literal["closed", "open", "half_open"]

_log = logging.getLogger("natix_cascade.breaker")
_REFUSED: Final = 0


class Breaker:
    """Counts what became of the last calls, and refuses calls while too many fail (Nygard, Release It!, 2nd ed. 2018).

    Closed, every call goes through. When the share of failures among the last `window` calls reaches `failure_rate`,
    and at least `calls` were seen (or as many as the window holds), it opens and refuses all for `open_s` seconds.
    Then it is half-open: `probes` calls in all go through. When all of them have succeeded it closes with an empty
    window; when one fails it is open again. A probe that has said nothing after `open_s` counts as failed, so that a
    lost call cannot lock the breaker.

    Every call that was let through must report once: `success`, `failure`, or `release` when it ended as neither.
    Give the report the ticket of `enter`: a call of long ago is then told apart from a probe and counts no more.

    Safe for many threads. There is no background thread: the state moves when it is looked at.

    Parameters
    ----------
    options : BreakerOptions
        When it opens, for how long, and how many probes.
    clock : callable
        Seconds that never run backwards.
    on_change : callable or None
        Called with the new state after each change, outside the lock. It may ask the breaker; an error in it is logged.
    """

    __slots__ = (
        "_changes",
        "_clock",
        "_epoch",
        "_failed",
        "_least",
        "_lock",
        "_on_change",
        "_openings",
        "_options",
        "_probes",
        "_state",
        "_succeeded",
        "_tickets",
        "_until",
        "_window",
    )

    def __init__(
        self,
        options: BreakerOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._on_change = on_change
        self._least = min(options.calls, options.window)
        self._lock = threading.Lock()
        self._changes: deque[_State] = deque()
        self._state: _State = "closed"
        self._window: deque[bool] = deque(maxlen=options.window)  # True: the call failed
        self._failed = 0
        self._until = 0.0  # when an open breaker becomes half-open
        self._probes: dict[int, float] = {}  # ticket to when the probe counts as lost; the oldest first
        self._succeeded = 0
        self._tickets = 1  # of the last probe or closing
        self._epoch = 1  # the ticket of all calls since the last closing
        self._openings = 0

    def allow(self) -> bool:
        """Whether a call may go through; half-open, a permit is taken."""
        return self._state == "closed" or self._probe() != _REFUSED

    def enter(self) -> int:
        """As `allow`, but gives a ticket for the report; 0 if the call is refused."""
        return self._epoch if self._state == "closed" else self._probe()

    def success(self, ticket: int | None = None) -> None:
        """Report that a call was answered.

        Parameters
        ----------
        ticket : int or None
            What `enter` gave. None: the report counts for the oldest probe if the breaker is half-open.
        """
        with self._lock:
            if self._state == "closed":
                if ticket is None or ticket == self._epoch:
                    self._count(failed=False)
            elif self._take_back(ticket):
                self._succeeded += 1
                if self._succeeded >= self._options.probes:
                    self._close()
        if self._changes:
            self._tell()

    def failure(self, ticket: int | None = None) -> None:
        """Report that a call timed out or lost its connection; `ticket` as in `success`."""
        with self._lock:
            if self._state == "closed":
                if ticket is None or ticket == self._epoch:
                    self._count(failed=True)
            elif self._take_back(ticket):
                self._open(self._clock())
        if self._changes:
            self._tell()

    def release(self, ticket: int | None = None) -> None:
        """Report that a call ended as neither, such as cancelled: nothing is counted, a permit goes back."""
        if self._state != "closed":
            with self._lock:
                self._take_back(ticket)
            self._tell()

    def force_open(self, for_s: float) -> None:
        """Open it, or keep it open, for `for_s` seconds from now: another replica of the service saw the model fail.

        An opening of its own that lasts longer is not cut short.
        """
        if for_s <= 0:
            return
        with self._lock:
            now = self._clock()
            self._advance(now)
            if self._state == "open":
                self._until = max(self._until, now + for_s)
            else:
                self._change("open")
                self._until = now + for_s
        self._tell()

    def retry_after_s(self) -> float:
        """Seconds until an open breaker tries the model again; 0 if it is not open."""
        if self._state == "closed":
            return 0.0
        with self._lock:
            now = self._clock()
            self._advance(now)
            left = self._until - now if self._state == "open" else 0.0
        self._tell()
        return left

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half_open``."""
        if self._state != "closed":
            with self._lock:
                self._advance(self._clock())
            self._tell()
        return self._state

    @property
    def failures(self) -> int:
        """Failures in the window; when it is not closed, those that had opened it."""
        return self._failed

    @property
    def openings(self) -> int:
        """How often it has opened by itself; forced openings are not counted."""
        return self._openings

    @property
    def options(self) -> BreakerOptions:
        """What it was made with."""
        return self._options

    # Below: with the lock held, but for _probe and _tell.

    def _probe(self) -> int:
        with self._lock:
            now = self._clock()
            self._advance(now)
            if self._state == "closed":  # it closed between the look and the lock
                ticket = self._epoch
            elif self._state == "half_open" and len(self._probes) + self._succeeded < self._options.probes:
                self._tickets += 1
                ticket = self._tickets
                self._probes[ticket] = now + self._options.open_s
            else:
                ticket = _REFUSED
        self._tell()
        return ticket

    def _advance(self, now: float) -> None:
        """What time alone has changed."""
        if self._state == "half_open" and self._probes:
            lost = next(iter(self._probes.values()))
            if now >= lost:
                self._open(lost)
        if self._state == "open" and now >= self._until:
            self._change("half_open")

    def _count(self, *, failed: bool) -> None:
        window = self._window
        if len(window) == window.maxlen:
            self._failed -= window[0]
        window.append(failed)
        self._failed += failed
        if self._failed and len(window) >= self._least and self._failed / len(window) >= self._options.failure_rate:
            self._open(self._clock())

    def _take_back(self, ticket: int | None) -> bool:
        """Whether a report is of a probe that is out; its permit is then taken back."""
        self._advance(self._clock())
        if ticket is None and self._probes:
            ticket = next(iter(self._probes))
        return ticket is not None and self._probes.pop(ticket, None) is not None

    def _open(self, at: float) -> None:
        self._openings += 1
        self._until = at + self._options.open_s
        self._change("open")

    def _close(self) -> None:
        self._window.clear()
        self._failed = 0
        self._tickets += 1
        self._epoch = self._tickets
        self._change("closed")

    def _change(self, state: _State) -> None:
        self._probes.clear()  # whoever is still out reports to nobody
        self._succeeded = 0
        self._state = state
        if self._on_change is not None:
            self._changes.append(state)

    def _tell(self) -> None:
        while self._changes and self._on_change is not None:
            try:
                state = self._changes.popleft()
            except IndexError:  # another thread tells it
                return
            try:
                self._on_change(state)
            except Exception:  # noqa: BLE001  # whatever it is, a listener must not break an answer
                _log.exception("a listener of a breaker failed")
