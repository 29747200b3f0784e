"""Whether a judge's scores have fallen by more than chance explains. Pure but for what it has seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Fall", "Rolling", "welch_less"]

LEVEL = 0.001  # a false alarm in a thousand looks; four looks for each window of scores


@dataclass(frozen=True, slots=True)
class Fall:
    """Two windows of scores, one after the other.

    Attributes
    ----------
    before, now : float
        Their means.
    p : float
        How likely at least such a fall would be if nothing had changed.
    n : int
        Scores in each.
    """

    before: float
    now: float
    p: float
    n: int


class Rolling:
    """The last two windows of scores; looks at them each time a quarter of a window is new.

    Parameters
    ----------
    window : int
        Scores in each window, at least 4.
    scores : iterable of float
        Those of before, the oldest first.
    """

    def __init__(self, window: int = 200, scores: Iterable[float] = ()) -> None:
        self.window = window
        self._scores = deque(scores, maxlen=2 * window)
        self._due = window // 4

    def add(self, score: float) -> Fall | None:
        """Take in a score; a fall where there is one. The same fall is told once: then a whole new window must pass."""
        self._scores.append(score)
        self._due -= 1
        if self._due > 0 or len(self._scores) < 2 * self.window:
            return None
        found = self.look()
        has_fallen = found is not None and found.p < LEVEL
        self._due = self.window if has_fallen else self.window // 4
        return found if has_fallen else None

    def look(self) -> Fall | None:
        """The two windows as they are; None while there are fewer scores."""
        if len(self._scores) < 2 * self.window:
            return None
        every = np.array(self._scores)
        before, now = every[: self.window], every[self.window :]
        return Fall(float(before.mean()), float(now.mean()), welch_less(now, before), self.window)


def welch_less(now: ArrayLike, before: ArrayLike) -> float:
    """One-sided p-value of Welch's t-test that the mean of `now` lies below that of `before`.

    For independent scores of two windows with variances of their own; with a hundred and more in each, the mean of
    bounded scores is near enough to normal. Welch, Biometrika 34 (1947).

    Parameters
    ----------
    now, before : (n,) and (m,) arrays of float
        At least two scores each.

    Returns
    -------
    float
        In [0, 1].
    """
    from scipy.special import stdtr  # noqa: PLC0415  # only needed once there are two windows

    a, b = np.asarray(now, np.float64), np.asarray(before, np.float64)
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    difference = a.mean() - b.mean()
    if va + vb == 0:
        return 0.0 if difference < 0 else 1.0
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return float(stdtr(freedom, difference / np.sqrt(va + vb)))
