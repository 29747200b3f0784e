"""How many scores a minute and how much money a day: what is not sure to be free counts as spent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

__all__ = ["DAY_S", "Budget", "Purse", "window_s"]

DAY_S = 86_400
_MINUTE_S = 60.0
_REMARKABLE = 0.5  # of pace and money at most: a bad hour must not starve the fair sample


def window_s(per_minute: float) -> float:
    """Seconds over which a pace is kept: a minute, or as long as one takes."""
    return max(_MINUTE_S, _MINUTE_S / per_minute)


class _Pace:
    """At most so many in any window."""

    def __init__(self, per_minute: float, entered: Iterable[float]) -> None:
        self._window = window_s(per_minute)
        self._most = max(1, int(per_minute))
        self._entered = deque(sorted(entered), maxlen=self._most)

    def has_room(self, now: float) -> bool:
        """Whether one more may enter."""
        while self._entered and not now - self._window < self._entered[0] <= now:  # a clock that was set back too
            self._entered.popleft()
        return len(self._entered) < self._most

    def enter(self, now: float) -> None:
        """One enters."""
        self._entered.append(now)


class Budget:
    """Bounds the pace of scores, and each UTC day's money; verdicts that were not drawn by chance get half of both.

    Safe for many threads.

    Parameters
    ----------
    per_minute, usd_per_day : float
        The bounds.
    entered : iterable of (float, bool)
        When scores of late were begun, in seconds since 1970, and whether by chance.
    spent : (float, float)
        US dollars spent since midnight, in all and on what was not drawn by chance.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        per_minute: float,
        usd_per_day: float,
        *,
        entered: Iterable[tuple[float, bool]] = (),
        spent: tuple[float, float] = (0.0, 0.0),
        clock: Callable[[], float] = time.time,
    ) -> None:
        past = list(entered)
        self._paces = {
            False: _Pace(per_minute, (at for at, _ in past)),
            True: _Pace(per_minute * _REMARKABLE, (at for at, by_chance in past if not by_chance)),
        }
        self._most = {False: usd_per_day, True: usd_per_day * _REMARKABLE}
        self._spent = dict(zip((False, True), spent, strict=True))  # all, and remarkable ones
        self._clock = clock
        self._day = int(clock() // DAY_S)
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        """US dollars since midnight, with what is reserved."""
        with self._lock:
            self._turn()
            return self._spent[False]

    def enter(self, usd: float, *, by_chance: bool) -> Purse | str:
        """Begin a score that may cost so much, which is reserved; or say why not: ``pace`` or ``money``."""
        with self._lock:
            now = self._clock()
            kinds = (False,) if by_chance else (False, True)
            if not all(self._paces[kind].has_room(now) for kind in kinds):
                return "pace"
            if not self._reserve(usd, kinds):
                return "money"
            for kind in kinds:
                self._paces[kind].enter(now)
            return Purse(self, kinds, usd, self._day)

    def _reserve(self, usd: float, kinds: tuple[bool, ...]) -> bool:
        """With the lock held."""
        self._turn()
        if any(self._spent[kind] + usd > self._most[kind] for kind in kinds):
            return False
        for kind in kinds:
            self._spent[kind] += usd
        return True

    def _turn(self) -> None:
        """A new day, new money; with the lock held."""
        day = int(self._clock() // DAY_S)
        if day > self._day:
            self._day = day
            self._spent = dict.fromkeys(self._spent, 0.0)


class Purse:
    """The money of one score; made by `Budget.enter`.

    Attributes
    ----------
    spent : float
        US dollars that its requests cost.
    """

    def __init__(self, budget: Budget, kinds: tuple[bool, ...], held: float, day: int) -> None:
        self._budget, self._kinds, self._held, self._day = budget, kinds, held, day
        self.spent = 0.0

    def take(self, usd: float) -> bool:
        """Reserve money for one request; whether there is so much."""
        more = usd - self._held
        if more > 0:
            with self._budget._lock:  # noqa: SLF001  # of the same file
                if not self._budget._reserve(more, self._kinds):  # noqa: SLF001
                    return False
        self._held = max(0.0, -more)
        return True

    def settle(self, taken: float, actual: float) -> None:
        """Say what a request cost for which so much was taken."""
        self.spent += actual
        self._give(taken - actual)

    def close(self) -> None:
        """Give back what was not taken."""
        held, self._held = self._held, 0.0
        self._give(held)

    def _give(self, usd: float) -> None:
        budget = self._budget
        with budget._lock:  # noqa: SLF001  # of the same file
            budget._turn()  # noqa: SLF001
            if budget._day == self._day:  # noqa: SLF001  # what yesterday's money paid is no matter of today's
                for kind in self._kinds:
                    budget._spent[kind] = max(0.0, budget._spent[kind] - usd)  # noqa: SLF001
