"""The arithmetic of a simulated miner: which challenges come, and what the subnet pays for the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import rolling_reward
from natix_cascade.errors import CascadeError

__all__ = ["ALPHA", "MCC_WINDOW", "Answered", "average_at_end", "draw_places", "play"]

ALPHA = 0.05
"""Weight of the newest reward in the subnet's moving average."""
MCC_WINDOW = 100
"""Answers that the MCC looks back on; before there are so many, a miner has not settled."""
_TRIES = 1000

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """N variants of labelled pictures with the answers that a miner gives; a variant is one augmentation at one level.

    Attributes
    ----------
    label, yes : (N,) array of bool
        The truth and the answer.
    row : (N,) array of int
        Which picture.
    level : (N,) array of str
        L0 to L3.
    group : (N,) array of int
        Which place, 0 to `groups` - 1.
    exit : (N,) array of int
        The level of the cascade that gave the answer.
    groups : int
        How many places there are.
    part : (N,) array of float
        One over the number of augmentations that the picture has at the level.
    """

    label: Bools
    yes: Bools
    row: Ints
    level: NDArray[np.str_]
    group: Ints
    exit: Ints
    groups: int
    part: Floats

    @classmethod
    def of(
        cls, label: Bools, yes: Bools, *, row: Ints, level: NDArray[np.str_], group: NDArray[Any], exit_level: Ints
    ) -> Self:
        """Make one from columns of equal length; `group` may hold names."""
        names, place = np.unique(group, return_inverse=True)
        _, number = np.unique(level, return_inverse=True)
        _, cell = np.unique(row * (number.max(initial=0) + 1) + number, return_inverse=True)
        part = 1.0 / np.bincount(cell)[cell]
        return cls(label, yes, row, level, place.astype(np.int64), exit_level, len(names), part)

    def chances(self, times: Ints, level: str | None = None) -> Floats:
        """Chance of each variant to be the next challenge.

        Labels come with probability 1/2 each, pictures of a label alike, then levels alike, then augmentations alike.

        Parameters
        ----------
        times : (groups,) array of int
            How often each place is there; ones for the pictures as they are.
        level : str, optional
            This level only.

        Returns
        -------
        (N,) array of float
            They add up to 1.

        Raises
        ------
        CascadeError
            One of the labels has no variant.
        """
        weight: Floats = times[self.group] * self.part
        if level is not None:
            weight *= self.level == level
        for label in (True, False):
            of_label = self.label == label
            total = weight[of_label].sum()
            if total <= 0:
                answer = "yes" if label else "no"
                raise CascadeError(f"no picture with the label '{answer}' is there; the subnet draws both labels alike")
            weight[of_label] /= 2 * total
        return weight


def draw_places(answered: Answered, rng: np.random.Generator) -> Ints:
    """Draw as many places as there are, with replacement, until both labels are among them.

    Returns
    -------
    (groups,) array of int
        How often each was drawn (the bootstrap of clusters: Davison and Hinkley, 1997, section 3.8).

    Raises
    ------
    CascadeError
        Both labels never came together: there are too few places.
    """
    for _ in range(_TRIES):
        times = np.bincount(rng.integers(answered.groups, size=answered.groups), minlength=answered.groups)
        there = times[answered.group] > 0
        if answered.label[there].any() and not answered.label[there].all():
            return times
    raise CascadeError(f"{answered.groups} places are too few to draw from: give pictures of more places")


def play(answered: Answered, chances: Floats, challenges: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Play one run of challenges.

    Parameters
    ----------
    answered : Answered
        What may come.
    chances : (N,) array of float
        How likely; see `Answered.chances`.
    challenges : int
        How many.
    rng : numpy.random.Generator

    Returns
    -------
    variants : (challenges,) array of int
        Which came.
    rewards : (challenges,) array of float
        The subnet's reward after each answer; every answer is valid.
    """
    edges = np.cumsum(chances)
    came = np.searchsorted(edges, rng.random(challenges) * edges[-1], side="right").astype(np.int64)
    return came, rolling_reward(answered.label[came], answered.yes[came], mcc_window=MCC_WINDOW)


def average_at_end(rewards: Floats, *, alpha: float = ALPHA, start: float = 0.0) -> float:
    """Exponential moving average after the last reward: ``s = (1 - alpha) * s + alpha * reward``.

    Parameters
    ----------
    rewards : (n,) array of float
        In the order in which they came.
    alpha : float
        Weight of the newest, in (0, 1].
    start : float
        The average before the first; the subnet starts a miner at 0.
    """
    fade = (1.0 - alpha) ** np.arange(len(rewards), -1, -1.0)
    return float(start * fade[0] + alpha * (fade[1:] @ rewards))
