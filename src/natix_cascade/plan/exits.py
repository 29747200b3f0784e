"""Exit thresholds of a chain of levels: for a given price of loss, the best ones, by descent level after level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chain", "Walk", "edges_of", "fit_exits", "walk"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """n pictures at the end of each of L levels.

    Attributes
    ----------
    cells : list of L - 1 (n,) arrays of int
        ``kind * bins + bin``: which kind of answer wins (each kind has its own threshold), and how strongly;
        ``kinds * bins`` where nobody answered: such pictures never leave early.
    loss : list of L (n,) arrays of float
        Of the answer that would be given there.
    cost : (L,) array of float
        Of all levels up to there.
    kinds, bins : int
        How many kinds of answers and bins of strength there are.
    """

    cells: list[Ints]
    loss: list[Floats]
    cost: Floats
    kinds: int
    bins: int

    def rows(self, chosen: NDArray[np.generic]) -> Chain:
        """Some of the pictures."""
        return Chain([c[chosen] for c in self.cells], [v[chosen] for v in self.loss], self.cost, self.kinds, self.bins)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """How n pictures go: their cost and loss, and the level at which each leaves, all (n,)."""

    cost: Floats
    loss: Floats
    level: Ints


def edges_of(strength: Floats, bins: int) -> Floats:
    """Cut strengths into at most so many bins of equal mass: the k < bins edges, each between two values that occur."""
    ordered = np.sort(strength)
    at = np.unique(np.linspace(0, len(ordered), bins + 1)[1:-1].astype(np.int64))
    at = at[(at > 0) & (at < len(ordered))]
    first = np.unique(np.searchsorted(ordered, ordered[at], side="left"))
    first = first[first > 0]
    edges: Floats = (ordered[first - 1] + ordered[first]) / 2
    return edges


def fit_exits(chain: Chain, price: float, weight: Floats, start: Sequence[Ints] | None = None) -> list[Ints]:
    """Fit the thresholds that make ``mean(cost + price * loss)`` small.

    Level after level from the last: a kind of answer leaves from the bin on from which leaving costs less than what
    going on has cost these very pictures; repeated until nothing moves (block coordinate descent).

    Parameters
    ----------
    chain : Chain
        Of L levels.
    price : float
        Cost that one unit of loss is worth.
    weight : (n,) array of float
        What each picture counts.
    start : list, optional
        Thresholds to begin with (default: nobody leaves early).

    Returns
    -------
    list of L - 1 (kinds,) arrays of int
        The first bin that leaves; ``bins`` where none does.
    """
    last = len(chain.cost) - 1
    borders = [np.full(chain.kinds, chain.bins) for _ in range(last)] if start is None else [b.copy() for b in start]
    leaves = [_leaving(chain, level, borders[level]) for level in range(last)]
    here = [cost + price * loss for cost, loss in zip(chain.cost, chain.loss, strict=True)]
    bins = np.arange(chain.bins)
    for _ in range(_ROUNDS if last > 1 else 1):
        moved = False
        reach = [np.ones(len(weight), dtype=np.bool_)]
        for level in range(last - 1):
            reach.append(reach[-1] & ~leaves[level])
        value = here[-1]
        for level in reversed(range(last)):
            gain = np.where(reach[level], (here[level] - value) * weight, 0.0)
            sums = np.bincount(chain.cells[level], gain, chain.kinds * chain.bins + 1)[:-1]
            sums = sums.reshape(chain.kinds, chain.bins)
            ahead = sums[:, ::-1].cumsum(axis=1)[:, ::-1]
            best = ahead.argmin(axis=1)
            best = np.where(ahead.min(axis=1) < 0, bins[best], chain.bins)
            if (best != borders[level]).any():
                moved = True
                borders[level] = best
                leaves[level] = _leaving(chain, level, best)
            value = np.where(leaves[level], here[level], value)
        if not moved:
            break
    return borders


def walk(chain: Chain, borders: Sequence[Ints]) -> Walk:
    """Send the pictures through the levels."""
    last = len(chain.cost) - 1
    cost, loss = np.full(len(chain.loss[-1]), chain.cost[-1]), chain.loss[-1]
    level = np.full(len(loss), last)
    for at in reversed(range(last)):
        leave = _leaving(chain, at, borders[at])
        cost = np.where(leave, chain.cost[at], cost)
        loss = np.where(leave, chain.loss[at], loss)
        level = np.where(leave, at, level)
    return Walk(cost, loss, level)


def _leaving(chain: Chain, level: int, border: Ints) -> NDArray[np.bool_]:
    table = np.append((np.arange(chain.bins) >= border[:, None]).ravel(), False)
    result: NDArray[np.bool_] = table[chain.cells[level]]
    return result
