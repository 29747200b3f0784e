"""How long a call may take in all, and whether and when it is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from natix_cascade.client.errors import LateError, OverloadedError, ServiceError, UnreachableError

__all__ = ["MARGIN_S", "Deadline", "Patience"]

MARGIN_S = 0.25
"""Seconds that an answer may take on its way back after the service's own deadline."""

_LEAST_MS, _MOST_MS = 1.0, 60_000.0  # what the service takes as a deadline
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a call must be over, tries and waits included.

    Attributes
    ----------
    limit_s : float
        Seconds in all.
    margin_s : float
        The last part of it, in which no more is expected of the service: an answer is only on its way back.
    clock : callable
        Seconds that only grow.
    began : float
        By that clock.
    """

    limit_s: float
    margin_s: float
    clock: Callable[[], float] = time.monotonic
    began: float = field(default=0.0)

    @classmethod
    def of(cls, deadline_ms: float | None, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Start a call: it ends `MARGIN_S` after `deadline_ms`, or, where none is given, at `timeout_s`."""
        if deadline_ms is None:
            return cls(timeout_s, min(MARGIN_S, timeout_s / 4), clock, clock())
        if not _LEAST_MS <= deadline_ms <= _MOST_MS:
            raise ValueError(f"deadline_ms is {deadline_ms}, wanted {_LEAST_MS:g} to {_MOST_MS:g} milliseconds")
        return cls(deadline_ms / 1000 + MARGIN_S, MARGIN_S, clock, clock())

    @property
    def left_s(self) -> float:
        """Seconds until the call is over; 0 when it is."""
        return max(0.0, self.began + self.limit_s - self.clock())

    @property
    def for_service_ms(self) -> float:
        """What the service may still take, in milliseconds; 0 or less when there is nothing left."""
        return min(_MOST_MS, (self.began + self.limit_s - self.margin_s - self.clock()) * 1000)


@dataclass(slots=True)
class Patience:
    """Decides after each failure of one call whether to try again; stamina asks it and does the waiting.

    Only what passes by itself is tried again: no connection, a connection that broke off under a call that may be
    repeated, 429 and 503. A wait that would not end before the deadline is not begun.

    Attributes
    ----------
    deadline : Deadline
        Of the call.
    repeatable : bool
        Doing it twice does no harm.
    tries : int
        Failures so far.
    last : ServiceError or None
        The latest.
    """

    deadline: Deadline
    repeatable: bool
    tries: int = 0
    last: ServiceError | None = None

    def __call__(self, error: BaseException) -> bool | float:
        """Seconds to wait before the next try, or False: let the error through."""
        if not isinstance(error, ServiceError):
            return False
        self.tries += 1
        self.last = error
        if isinstance(error, UnreachableError):
            if error.maybe_done and not self.repeatable:
                return False
        elif not isinstance(error, OverloadedError):
            return False
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (self.tries - 1))
        wait = (error.retry_after_s or 0.0) + random.uniform(longest / 4, longest)  # noqa: S311  # no secret
        return wait if wait * 1000 < self.deadline.for_service_ms - _LEAST_MS else False

    def late(self, call: str) -> LateError:
        """The error for a call whose time ran out."""
        before = f"; the last of {self.tries} tries before: {self.last}" if self.last is not None else ""
        return LateError(
            f"{call}: no answer within {self.deadline.limit_s:g} s{before}; give it more time (deadline_ms of "
            "the call, or timeout_s of the client)"
        )
