"""Which models, in which order, in which levels: a beam search over chains, for each price of loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.exits import fit_exits, walk

__all__ = ["Found", "search"]

Floats = NDArray[np.float64]

_BEAM = 5
_DEEPEST = 4
_WORTH = 0.002  # a longer chain must gain this share, or the search at this price ends
_MOST_MODELS = 10  # that are tried inside longer chains
_PAIRS_KEPT = 12
_MEMORY = 400_000_000  # bytes of states that are kept


@dataclass(frozen=True, slots=True)
class Found:
    """A chain and how well it did at one price: ``value`` is mean cost plus price times mean loss; rank 0 is best."""

    levels: Levels
    price: float
    value: float
    rank: int


def search(
    board: Board,
    price_list: Floats,
    *,
    latency: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> list[Found]:
    """Search chains for each price of loss.

    All single models and ordered pairs are tried; then, at each price, the best chains are lengthened by one model at
    any place (as a level of its own or, where latency is bounded, beside others) as long as that pays. Chains need not
    become more accurate from level to level.

    Parameters
    ----------
    board : Board
        Opinions and costs.
    price_list : (k,) array of float
        Prices of one unit of loss, in units of cost.
    latency : float, optional
        Bound on the sum over the levels of the slowest model.
    on_progress : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    list of Found
        The best chains at each price, best first.
    """
    m = board.opinions.p.shape[1]
    weight = board.opinions.weight
    total = float(weight.sum())

    def allowed(levels: Levels) -> bool:
        return latency is None or board.slowest(levels) <= latency

    def value(levels: Levels, price: float) -> float:
        chain = board.chain(levels)
        way = walk(chain, fit_exits(chain, price, weight))
        return float(weight @ (way.cost + price * way.loss)) / total

    singles: list[Levels] = [((j,),) for j in range(m)]
    pairs: list[Levels] = [((i,), (j,)) for i, j in permutations(range(m), 2) if board.cost[i] <= 4 * board.cost[j]]
    if board.anchor:  # only what ends with the anchor differs from a free vote
        pairs = [((i,), board.anchor) for i in range(m) if i not in board.anchor]
    elif latency is not None:
        pairs += [((i, j),) for i in range(m) for j in range(i + 1, m)]
    short = [levels for levels in singles + pairs if allowed(levels)]
    scores = np.empty((len(short), len(price_list)))
    for index, levels in enumerate(short):
        scores[index] = [value(levels, price) for price in price_list]
        if on_progress is not None:
            on_progress(0.5 * (index + 1) / len(short))
    useful = _useful(short, scores, m)
    found: list[Found] = []
    for at, price in enumerate(price_list):
        order = np.argsort(scores[:, at], kind="stable")[:_PAIRS_KEPT]
        pool = {short[i]: float(scores[i, at]) for i in order}
        found += _lengthen(pool, float(price), useful, value, allowed, merge=latency is not None)
        if len(board._known) * len(board.opinions) * 40 > _MEMORY:  # noqa: SLF001 - its own memory
            board.shed()
        if on_progress is not None:
            on_progress(0.5 + 0.5 * (at + 1) / len(price_list))
    return found


def _lengthen(
    pool: dict[Levels, float],
    price: float,
    models: list[int],
    value: Callable[[Levels, float], float],
    allowed: Callable[[Levels], bool],
    *,
    merge: bool,
) -> list[Found]:
    tried = dict(pool)
    beam = sorted(pool, key=pool.__getitem__)[:_BEAM]
    best = tried[beam[0]]
    for _ in range(_DEEPEST - 2):
        longer = {levels for base in beam for levels in _neighbours(base, models, merge=merge)} - tried.keys()
        fresh = {levels: value(levels, price) for levels in sorted(longer) if allowed(levels)}
        if not fresh:
            break
        tried |= fresh
        beam = sorted(fresh, key=fresh.__getitem__)[:_BEAM]
        if fresh[beam[0]] > best * (1 - _WORTH):
            break
        best = fresh[beam[0]]
    order = sorted(tried, key=tried.__getitem__)[: 2 * _BEAM]
    return [Found(levels, price, tried[levels], rank) for rank, levels in enumerate(order)]


def _neighbours(levels: Levels, models: Iterable[int], *, merge: bool) -> Iterable[Levels]:
    inside = {column for level in levels for column in level}
    for model in models:
        if model in inside:
            continue
        for at in range(len(levels) + 1):
            yield (*levels[:at], (model,), *levels[at:])
        if merge:
            for at, level in enumerate(levels):
                yield (*levels[:at], tuple(sorted((*level, model))), *levels[at + 1 :])


def _useful(short: list[Levels], scores: Floats, m: int) -> list[int]:
    """Models that stand in the best pairs of some price; the others are not tried in longer chains."""
    points = np.zeros(m)
    for at in range(scores.shape[1]):
        for rank, index in enumerate(np.argsort(scores[:, at], kind="stable")[: 4 * m]):
            for level in short[index]:
                points[list(level)] += 1.0 / (rank + 4)
    chosen = np.argsort(-points, kind="stable")[:_MOST_MODELS]
    return sorted(int(j) for j in chosen if points[j] > 0)
