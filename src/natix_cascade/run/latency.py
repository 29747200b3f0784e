"""How long something usually takes: quantiles of the latest durations."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Latencies"]

_REFRESH = 16  # durations between two sortings


class Latencies:
    """The latest durations of one thing; reading a quantile is cheap.

    Parameters
    ----------
    size : int
        How many durations are looked back upon.
    least : int
        With fewer, nothing is known.
    max_age_s : float or None
        Older durations do not count: what was slow and is no longer asked is tried again.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        size: int = 256,
        *,
        least: int = 16,
        max_age_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=size)
        self._least = least
        self._max_age = max_age_s
        self._clock = clock
        self._sorted: list[float] = []
        self._fresh = 0

    def add(self, seconds: float) -> None:
        """Take in one duration."""
        self._seen.append((self._clock(), seconds))
        self._fresh += 1

    def quantile(self, q: float) -> float | None:
        """Seconds within which the share `q` was done; None while too little is known."""
        oldest = self._seen[0][0] if self._seen else 0.0
        if self._max_age is not None and self._seen and self._clock() - oldest > self._max_age:
            while self._seen and self._clock() - self._seen[0][0] > self._max_age:
                self._seen.popleft()
            self._fresh = _REFRESH
        if len(self._seen) < self._least:
            return None
        if self._fresh >= _REFRESH or not self._sorted:
            self._sorted = sorted(seconds for _, seconds in self._seen)
            self._fresh = 0
        return self._sorted[min(math.ceil(q * len(self._sorted)), len(self._sorted)) - 1]
