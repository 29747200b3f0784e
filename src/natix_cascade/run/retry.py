"""How often and how soon a failed call is tried again: a budget that all requests share, and jitter."""

from __future__ import annotations

import random
import threading
from typing import Final

__all__ = ["RetryBudget", "backoff_s"]

BASE_S: Final = 0.025
CAP_S: Final = 1.0
_UNIT: Final = 1_000_000  # whole millionths of a token add up without rounding
_MOST_DOUBLINGS: Final = 16


class RetryBudget:
    """Retries and hedges are at most a share of the live requests, however many fail at once.

    A token bucket: each request adds `share` of a token, each retry takes one, and no more than `burst` are saved up.
    After n requests at most ``share * n + burst`` retries were allowed. See Site Reliability Engineering (Google,
    2016), chapter 21, "Handling Overload". Safe for many threads.

    Parameters
    ----------
    share : float
        Retries for each request, from 0 (never retry) to 1.
    burst : int
        Tokens in hand at the start, and the most that are saved up.
    """

    __slots__ = ("_cap", "_lock", "_share", "_tokens")

    def __init__(self, share: float = 0.2, *, burst: int = 10) -> None:
        self._share = int(share * _UNIT)
        self._cap = burst * _UNIT if self._share else 0
        self._tokens = self._cap
        self._lock = threading.Lock()

    def request(self) -> None:
        """Count one live request."""
        with self._lock:
            self._tokens = min(self._cap, self._tokens + self._share)

    def take(self) -> bool:
        """Whether one more retry or hedge is allowed now; it is counted if so."""
        with self._lock:
            if self._tokens < _UNIT:
                return False
            self._tokens -= _UNIT
            return True

    @property
    def left(self) -> float:
        """Retries that could be made now."""
        return self._tokens / _UNIT


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before the next try, with full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015).

    Parameters
    ----------
    attempt : int
        Tries that have failed so far, from 1.
    rng : random.Random
        Where chance comes from.

    Returns
    -------
    float
        Between 0 and 25 ms after the first failure, twice as long after each further one, never above 1 s.
    """
    longest = min(CAP_S, BASE_S * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
    return rng.uniform(0.0, longest)
