"""The board on which plans are tried: opinions, prices, costs, and a memory of what each set of models knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.exits import Chain, Walk, edges_of, walk
from natix_cascade.plan.loss import Prices
from natix_cascade.plan.opinions import Opinions
from natix_cascade.plan.votes import Ballot, State, Voting, count, fit_ballot

__all__ = ["Board", "Knowledge", "Levels"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Levels = tuple[tuple[int, ...], ...]
"""A chain of levels; each is the tuple of columns that are asked together."""

_MOST_BINS, _ROWS_PER_BIN = 48, 40
_OWN_SHARE, _OWN_ROWS = 0.04, 150  # a label has thresholds of its own when it wins this often


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What is known after a set of models: ballot and state, and the pictures' cells for the exit thresholds."""

    ballot: Ballot
    state: State
    cells: Ints
    edges: Floats


@dataclass(slots=True, eq=False)
class Board:
    """Everything that a search needs.

    Attributes
    ----------
    opinions : Opinions
        Held out, of n pictures and m models.
    cost, latency : (m,) arrays of float
        Of one answer.
    prices : Prices
        Loss of a wrong answer.
    voting : {"log_odds", "mean"}
        Method of all votes.
    anchor : tuple of int
        Once these models have been asked, they decide alone. A plan that ends with its reference then differs from it
        only where pictures leave before: its regret can be known far more closely. Empty: all vote.
    ballots : dict
        Ballots that were fitted already, by sorted columns: others are fitted on demand.
    """

    opinions: Opinions
    cost: Floats
    latency: Floats
    prices: Prices
    voting: Voting
    anchor: tuple[int, ...] = ()
    ballots: dict[tuple[int, ...], Ballot] = field(default_factory=dict)
    _known: dict[tuple[int, ...], Knowledge] = field(default_factory=dict, init=False)
    _kind: Ints = field(init=False)
    kinds: int = field(init=False)
    bins: int = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.opinions)
        self.bins = int(np.clip(n // _ROWS_PER_BIN, 8, _MOST_BINS))
        if self.opinions.yes_no:
            self._kind = np.array([0, 1])
        else:
            share = np.bincount(self.opinions.truth, minlength=self.opinions.kinds)
            own = np.flatnonzero(share >= max(_OWN_SHARE * n, _OWN_ROWS))
            self._kind = np.zeros(self.opinions.kinds, dtype=np.int64)
            self._kind[own] = np.arange(1, len(own) + 1)
        self.kinds = int(self._kind.max()) + 1

    def on(self, opinions: Opinions) -> Board:
        """A fresh board with other pictures: nothing that was fitted goes along."""
        return Board(opinions, self.cost, self.latency, self.prices, self.voting, self.anchor)

    def kind_of(self, label: int) -> int:
        """Which thresholds a label obeys; label records: 0 is shared by the rare ones."""
        return int(self._kind[label])

    def know(self, columns: Sequence[int]) -> Knowledge:
        """What is known after these models."""
        key = tuple(sorted(columns))
        found = self._known.get(key)
        if found is None:
            ballot = self.ballots.get(key)
            if ballot is None:
                voters = self.anchor if self.anchor and set(self.anchor) <= set(key) else key
                ballot = self.ballots[key] = fit_ballot(self.opinions, voters, self.prices, self.voting)
            state = count(self.opinions, ballot, self.prices)
            edges = edges_of(state.strength, self.bins)
            found = self._known[key] = Knowledge(ballot, state, self._cells(state, edges), edges)
        return found

    def chain(self, levels: Levels) -> Chain:
        """The pictures at the end of each level."""
        seen: tuple[int, ...] = ()
        known = []
        for level in levels:
            seen += level
            known.append(self.know(seen))
        return Chain(
            cells=[each.cells for each in known[:-1]],
            loss=[each.state.loss for each in known],
            cost=np.cumsum([self.cost[list(level)].sum() for level in levels]),
            kinds=self.kinds,
            bins=self.bins,
        )

    def winners(self, levels: Levels) -> Ints:
        """The answer at the end of each level, (n, L)."""
        seen: tuple[int, ...] = ()
        answers = []
        for level in levels:
            seen += level
            answers.append(self.know(seen).state.winner)
        return np.column_stack(answers)

    def judge(self, opinions: Opinions, levels: Levels, borders: Sequence[Ints]) -> Walk:
        """Send other pictures through a chain, with this board's ballots and thresholds."""
        seen: tuple[int, ...] = ()
        cells, loss = [], []
        for level in levels:
            seen += level
            known = self.know(seen)
            state = count(opinions, known.ballot, self.prices)
            cells.append(self._cells(state, known.edges))
            loss.append(state.loss)
        cost = np.cumsum([self.cost[list(level)].sum() for level in levels])
        return walk(Chain(cells[:-1], loss, cost, self.kinds, self.bins), borders)

    def _cells(self, state: State, edges: Floats) -> Ints:
        heard = state.winner >= 0
        kind = np.where(heard, self._kind[np.maximum(state.winner, 0)], 0)
        bins = np.searchsorted(edges, state.strength, side="right")
        return np.where(heard, kind * self.bins + bins, self.kinds * self.bins)

    def slowest(self, levels: Levels) -> float:
        """Latency of the whole way: the slowest of each level, added up."""
        return float(sum(self.latency[list(level)].max() for level in levels))

    def shed(self, keep: int = 2) -> None:
        """Forget what is known of larger sets, to bound the memory."""
        for key in [key for key in self._known if len(key) > keep]:
            del self._known[key]
