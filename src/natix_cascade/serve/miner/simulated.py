"""How a simulation is played and what it finds, as frozen data; and the same as a plain dictionary for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from natix_cascade.errors import CascadeError
from natix_cascade.report.records import Failure
from natix_cascade.serve.miner.rewards import MCC_WINDOW

__all__ = ["Figure", "LevelFigures", "Plays", "Simulation"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure on the pictures as they are, and a 95 % interval of what other places would give.

    Attributes
    ----------
    value : float
        Mean over the runs with each place once.
    low, high : float
        2.5 % and 97.5 % of the runs that each drew their places anew: luck of the challenges and of the places.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """One level of difficulty.

    Attributes
    ----------
    level : str
        L0 to L3.
    share : float
        Of the challenges.
    reward : Figure
        If all challenges were of this level.
    mcc, accuracy : float
        With labels balanced.
    """

    level: str
    share: float
    reward: Figure
    mcc: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plays:
    """How it is played.

    Attributes
    ----------
    challenges : int
        In a run; more than the 100 that the reward looks back on.
    runs : int
        How many.
    repetitions : int
        Augmentations of each picture at L1 to L3.
    seed : int
        The same seed gives the same figures.
    flips : bool
        Let the flips of the subnet's code fire; at natix 2.0.4 they never do.
    """

    challenges: int = 1000
    runs: int = 200
    repetitions: int = 3
    seed: int = 0
    flips: bool = False

    def __post_init__(self) -> None:
        if self.challenges <= MCC_WINDOW or self.runs < 1 or self.repetitions < 1:
            raise CascadeError(
                f"challenges is {self.challenges}, runs is {self.runs} and repetitions is {self.repetitions}; give "
                f"more than {MCC_WINDOW} challenges (so many the reward looks back on), and 1 or more of the others"
            )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was found.

    Attributes
    ----------
    cascade, policy : str
        ``name@version``.
    plays : Plays
        How it was played.
    pictures, positives, groups : int
        That could be judged.
    reward : Figure
        Mean reward of an answer once 100 have been given.
    weight : Figure
        The moving average at the end of a run, from which the subnet sets weights.
    mcc, accuracy : Figure
        Of all challenges, labels balanced.
    levels : tuple of LevelFigures
        By difficulty.
    exits : dict
        Share of the answers that each level of the cascade gives.
    failures : tuple of Failure
        Pictures that could not be decoded; they are left out.
    notes : tuple of str
        What to know when reading the figures.
    """

    cascade: str
    policy: str
    plays: Plays
    pictures: int
    positives: int
    groups: int
    reward: Figure
    weight: Figure
    mcc: Figure
    accuracy: Figure
    levels: tuple[LevelFigures, ...]
    exits: dict[str, float]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = asdict(self)
        return data | {key: list(data[key]) for key in ("levels", "failures", "notes")}
