"""What happened lately in one worker: counts by second, from which the page's live figures are made."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Meters", "merged"]

_SECONDS = 60
_STEP = 1.05  # latencies are counted in bins that grow by 5 %
_LOG_STEP = math.log(_STEP)
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(slots=True)
class _Second:
    at: int
    latencies: Counter[int] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)


class Meters:
    """Counts of one worker.

    Parameters
    ----------
    clock : callable
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds: deque[_Second] = deque(maxlen=_SECONDS + 1)
        self.requests = self.rejected = self.degraded = self.failed = 0

    def answered(self, latency_ms: float, exit_level: str, *, degraded: bool) -> None:
        """Count one verdict."""
        second = self._now()
        second.latencies[round(math.log(max(latency_ms, 0.01)) / _LOG_STEP)] += 1
        second.exits[exit_level] += 1
        self.requests += 1
        self.degraded += degraded

    def refused(self, *, rejected: bool) -> None:
        """Count one request without a verdict: rejected for too much load, or failed."""
        self.requests += 1
        self.rejected += rejected
        self.failed += not rejected

    def snapshot(self) -> dict[str, Any]:
        """Plain data; see `merged`."""
        since = self._clock() - _SECONDS
        latencies: Counter[int] = Counter()
        exits: Counter[str] = Counter()
        for second in self._seconds:
            if second.at > since:
                latencies += second.latencies
                exits += second.exits
        return {
            "started": self._started,
            "span_s": min(_SECONDS, max(1.0, self._clock() - self._started)),
            "latencies": [[each, count] for each, count in latencies.items()],
            "exits": dict(exits),
            "requests": self.requests,
            "rejected": self.rejected,
            "degraded": self.degraded,
            "failed": self.failed,
        }

    def _now(self) -> _Second:
        at = int(self._clock())
        if not self._seconds or self._seconds[-1].at != at:
            self._seconds.append(_Second(at))
        return self._seconds[-1]


def merged(snapshots: Iterable[dict[str, Any]], now: float) -> dict[str, Any]:
    """Figures of several workers together: counts since the start; rate, latencies and exits of the last 60 s."""
    all_of = list(snapshots)
    latencies: Counter[int] = Counter()
    exits: Counter[str] = Counter()
    for one in all_of:
        latencies.update({int(each): count for each, count in one["latencies"]})
        exits.update(one["exits"])
    total = sum(latencies.values())
    span = max((one["span_s"] for one in all_of), default=1.0)
    return {
        "uptime_s": round(max((now - one["started"] for one in all_of), default=0.0), 1),
        **{name: sum(one[name] for one in all_of) for name in ("requests", "rejected", "degraded", "failed")},
        "rate_per_s": round(total / span, 2),
        "latency_ms": {name: _quantile(latencies, total, q) for name, q in _QUANTILES},
        "exits": dict(exits),
    }


def _quantile(latencies: Counter[int], total: int, q: float) -> float | None:
    """Milliseconds within which the share `q` was answered, to 5 %; None without answers."""
    passed = 0
    for each in sorted(latencies):
        passed += latencies[each]
        if passed >= q * total:
            return round(math.exp(each * _LOG_STEP), 2)
    return None
