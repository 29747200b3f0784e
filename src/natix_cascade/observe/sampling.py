"""Which verdicts are kept: some by chance, and those that are worth a look, once it is known which ones these are."""

from __future__ import annotations

import time
from collections.abc import Callable

from natix_cascade.observe.observation import Kept
from natix_cascade.run.events import Call, Event, PictureFailed, VerdictGiven
from natix_cascade.trace import drawn

__all__ = ["Allowance", "Sampler", "is_remarkable"]


def is_remarkable(event: Event) -> bool:
    """Whether it is an error, degraded, or disputed."""
    if isinstance(event, VerdictGiven):
        return event.verdict.degraded or event.verdict.disagrees
    return isinstance(event, PictureFailed)


class Allowance:
    """So many a second, saved up for one second (a token bucket).

    Parameters
    ----------
    per_s : float
        How many; below one, one is saved up.
    clock : callable
        Seconds.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._most = per_s, max(1.0, per_s)
        self._left = self._most if per_s > 0 else 0.0
        self._clock, self._at = clock, clock()

    def take(self) -> bool:
        """Take one, if one is left."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Sampler:
    """Decides at the end of a picture's way whether it is kept (tail sampling).

    Parameters
    ----------
    share : float
        Of the unremarkable; 1: all, however many.
    drawn_per_s : float
        Most of those, on average: when there are more pictures, a smaller share is drawn. As many again may be kept for
        clients.
    remarkable_per_s : float
        Most remarkable ones beside those.
    clock : callable
        Seconds.

    Attributes
    ----------
    share : float
        That is drawn at present.
    """

    def __init__(
        self,
        share: float,
        drawn_per_s: float,
        remarkable_per_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.share = self._share = share
        self._drawn_per_s, self._clock = drawn_per_s, clock
        self._clients, self._remarkable = Allowance(drawn_per_s, clock), Allowance(remarkable_per_s, clock)
        self._since, self._seen = clock(), 0

    def __call__(self, event: VerdictGiven | PictureFailed, call: Call) -> Kept | None:
        """Why it is kept, or None."""
        self._count()
        if drawn(call.id, self.share):
            return "chance"
        if call.trace.parent_id is not None and call.trace.sampled and self._clients.take():
            return "client"
        return "remarkable" if is_remarkable(event) and self._remarkable.take() else None

    def _count(self) -> None:
        """One more picture; once a second, see how many there are."""
        self._seen += 1
        passed = self._clock() - self._since
        if passed >= 1 and self._share < 1:
            self.share = min(self._share, self._drawn_per_s * passed / self._seen)
            self._since, self._seen = self._clock(), 0
