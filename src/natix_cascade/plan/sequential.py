"""Watch a promise while it is in use: evidence against it that may be looked at after every new record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from natix_cascade.decide.arrays import Floats, expect_shape, vector
from natix_cascade.errors import CascadeError

__all__ = ["Watch"]

_FRACTIONS = 0.9 * 0.5 ** np.arange(11, dtype=np.float64)  # of a wealth that one group can take: 0.9 to 0.0009
_BEGUN = 0.5  # of all wealth that plays from the first group on
_RICHEST = 1e100  # what a player has above it is given away, so that no product overflows


@dataclass(frozen=True, slots=True)
class Watch:
    """Evidence against "the mean loss per picture is at most alpha", valid whenever one looks (an e-process).

    Players bet on each next group having more than its share of loss. One group can take a fixed fraction of a player's
    wealth at most (0.9, 0.45, ... 0.0009). While the promise holds, none gains on average, and the mean of their wealth
    ever reaches ``1 / delta`` with a chance of at most delta (Ville, 1939; Waudby-Smith and Ramdas, 2024, JRSS B 86).
    Half of the wealth plays from the first group on. The rest joins bit by bit: ``0.5 / (1 + log(1 + t))`` is kept
    aside after group t, so that a promise that breaks late meets wealth that was not lost before.

    Groups (drives, places) must be independent of each other, draws of one distribution while the promise holds, and
    in an order that does not depend on their losses.

    Attributes
    ----------
    alpha : float
        The promised limit of the mean loss per picture.
    delta : float
        Chance of a false alarm, ever, in (0, 1).
    low, high : float
        Bounds of one loss, with ``low < alpha < high``.
    max_group : int
        Pictures in the largest group there can be; stakes are in proportion to a group's pictures, and largest for such
        a group. A needlessly large number makes the watch slow.
    wealth : tuple of float
        What each player has in play.
    groups, pictures : int
        How many have been seen.
    peak : float
        The most evidence that there was after any group.

    Raises
    ------
    CascadeError
        A number is outside its range.
    """

    alpha: float
    delta: float = 0.05
    low: float = -1.0
    high: float = 1.0
    max_group: int = 1
    wealth: tuple[float, ...] = (_BEGUN,) * len(_FRACTIONS)
    groups: int = 0
    pictures: int = 0
    peak: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.alpha < self.high < math.inf:
            raise CascadeError(
                f"alpha is {self.alpha} and losses are within {self.low} and {self.high}, but alpha must lie between; "
                "no other promise can be kept or broken"
            )
        if not 0 < self.delta < 1:
            raise CascadeError(f"delta is {self.delta}, but it must be in (0, 1); give the chance of a false alarm")
        if self.max_group < 1:
            raise CascadeError(f"max_group is {self.max_group}, but at least 1 picture is needed")
        if len(self.wealth) != len(_FRACTIONS) or not all(0 <= amount <= _RICHEST for amount in self.wealth):
            raise CascadeError(f"wealth must be {len(_FRACTIONS)} numbers in [0, {_RICHEST}]; it is not for you to set")
        if not 0 <= self.groups <= self.pictures or not 1 <= self.peak < math.inf:
            raise CascadeError(
                f"{self.groups} groups, {self.pictures} pictures and a peak of {self.peak} cannot be; "
                "they are not for you to set"
            )

    def update(self, losses: ArrayLike, groups: ArrayLike | None = None) -> Watch:
        """Return the watch after more pictures.

        Parameters
        ----------
        losses : (n,) array of float
            In [low, high]; in the order of time.
        groups : (n,) array, optional
            Which group each picture belongs to; any labels. A group must be given whole: its pictures in a later
            update count as another group. Without it every picture is one of its own.

        Returns
        -------
        Watch
            One update of many groups and one update for each of them give the same, to the last bit.

        Raises
        ------
        CascadeError
            Shapes differ, a loss is outside its bounds, or a group is larger than `max_group`.
        """
        x = vector("losses", losses)
        if not ((x >= self.low) & (x <= self.high)).all():
            raise CascadeError(
                f"losses must be within {self.low} and {self.high}; leave out rows without a label (NaN)"
            )
        names = np.arange(len(x)) if groups is None else np.asarray(groups)
        expect_shape("groups", names.shape, x.shape)
        _, first, member = np.unique(names, return_index=True, return_inverse=True)
        order = np.argsort(first)  # groups in the order in which they begin
        largest = int(np.bincount(member).max(initial=0))
        if largest > self.max_group:
            raise CascadeError(
                f"a group has {largest} pictures, but max_group is {self.max_group}; begin a watch with a larger one"
            )
        gains = np.bincount(member, x - self.alpha)[order] / (self.max_group * (self.alpha - self.low))
        wealth, seen, peak, aside = np.array(self.wealth), self.groups, self.peak, _aside(self.groups)
        for factors in 1.0 + gains[:, None] * _FRACTIONS:
            seen += 1
            before, aside = aside, _aside(seen)
            wealth = np.minimum((wealth + (before - aside)) * factors, _RICHEST)
            peak = max(peak, _mean(wealth) + aside)
        amounts = tuple(wealth.tolist())
        return replace(self, wealth=amounts, groups=seen, pictures=self.pictures + len(x), peak=peak)

    @property
    def evidence(self) -> float:
        """The e-value now: 1 at the beginning; a promise that holds does not raise it on average."""
        return _mean(np.array(self.wealth)) + _aside(self.groups)

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value that the promise holds: 1 over the most evidence that there ever was; in (0, 1]."""
        return 1.0 / self.peak

    @property
    def broken(self) -> bool:
        """Whether the evidence ever reached ``1 / delta``; it stays so."""
        return self.peak >= 1.0 / self.delta

    def as_dict(self) -> dict[str, Any]:
        """Return all that `from_dict` needs, as JSON takes it."""
        return {**asdict(self), "wealth": list(self.wealth)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Watch:
        """Return the watch that `as_dict` was called on.

        Raises
        ------
        CascadeError
            A key is missing or unknown, or its value is of the wrong kind or outside its range.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        if not isinstance(state, Mapping) or set(state) != set(kinds):
            raise CascadeError(f"a watch has the keys {', '.join(kinds)}; give back what as_dict gave, unchanged")
        values = dict(state)
        for name, value in state.items():
            if name == "wealth":
                if not isinstance(value, list | tuple) or not all(_is_number(amount) for amount in value):
                    raise CascadeError(f"wealth is {value!r}, but a list of numbers is needed")
                values[name] = tuple(float(amount) for amount in value)
            elif not _is_number(value) or (kinds[name] == "int" and not isinstance(value, int)):
                raise CascadeError(f"{name} is {value!r}, but a number ({kinds[name]}) is needed")
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean(wealth: Floats) -> float:
    return float(wealth.sum()) / len(_FRACTIONS)


def _aside(groups: int) -> float:
    """What each player keeps out of play after so many groups."""
    return (1 - _BEGUN) / (1 + math.log1p(groups))
