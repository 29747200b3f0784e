"""Who may ask: the hotkeys of the subnet, and what each one's request is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

__all__ = ["Door", "Neuron", "Roster"]


@dataclass(frozen=True, slots=True)
class Neuron:
    """One registered hotkey.

    Attributes
    ----------
    hotkey : str
        SS58 address.
    stake : float
        In TAO.
    validator : bool
        Whether it has the permit to validate.
    """

    hotkey: str
    stake: float = 0.0
    validator: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """The registered hotkeys at one moment; it is replaced, never changed, so any thread may read it.

    Attributes
    ----------
    neurons : mapping
        Neuron by hotkey.
    """

    neurons: Mapping[str, Neuron]

    @classmethod
    def of(cls, neurons: Iterable[Neuron]) -> Self:
        """Make one; of two neurons with the same hotkey the one with more stake counts."""
        by_hotkey: dict[str, Neuron] = {}
        for neuron in sorted(neurons, key=lambda each: each.stake if math.isfinite(each.stake) else 0.0):
            by_hotkey[neuron.hotkey] = neuron
        return cls(MappingProxyType(by_hotkey))


@dataclass(slots=True)
class Door:
    """Decides who may ask, and in what order.

    Nothing here raises, whatever the request holds: an exception would be a 500, and for a validator a missed answer.

    Attributes
    ----------
    roster : Roster
        The registered hotkeys; set anew when the chain was read.
    allow_unregistered : bool
        Let anybody ask who signs.
    permit : bool
        Ask registered hotkeys for the permit to validate.
    min_stake : float
        Stake in TAO that registered hotkeys need.
    """

    roster: Roster
    allow_unregistered: bool = False
    permit: bool = True
    min_stake: float = 0.0

    def refusal(self, hotkey: str | None) -> str | None:
        """Why this hotkey may not ask; None when it may."""
        if not hotkey or not isinstance(hotkey, str):
            return "the request names no hotkey"
        neuron = self.roster.neurons.get(hotkey)
        if neuron is None:
            return None if self.allow_unregistered else "the hotkey is not registered"
        if self.permit and not neuron.validator:
            return "the hotkey has no permit to validate"
        if _finite(neuron.stake) < self.min_stake:
            return f"the hotkey's stake is below {self.min_stake:g}"
        return None

    def priority(self, hotkey: str | None) -> float:
        """Stake of the hotkey; 0 for one that is unknown."""
        neuron = self.roster.neurons.get(hotkey) if isinstance(hotkey, str) else None
        return 0.0 if neuron is None else _finite(neuron.stake)


def _finite(stake: float) -> float:
    """A queue that is sorted by NaN is not sorted."""
    return float(stake) if math.isfinite(stake) else 0.0
