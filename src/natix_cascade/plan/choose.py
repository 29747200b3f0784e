"""Choosing among plans without being fooled by the luckiest: held-out estimates, corrected for the choice itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.exits import fit_exits, walk
from natix_cascade.plan.opinions import folds_of

__all__ = ["Candidate", "Tried", "cheapest", "draws_of", "join", "settle", "try_out"]

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]

_FOLDS = ((15_000, 5), (40_000, 3))  # the more pictures, the less thresholds owe to chance: fewer folds, then 2
_DRAWS = 200
_MOST = 200
_CELLS = 40_000_000  # of the table of losses: bounds the memory at 160 MB
_LUCK = 1.6  # the chains were found on the same pictures: the draws see only part of the luck (bench/planner.py)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chain and its price of loss, which says what its thresholds are; `anchored`: the reference decides if asked."""

    levels: Levels
    price: float
    anchored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """P candidates and how they did on n pictures whose folds had no part in their thresholds.

    Attributes
    ----------
    plans : list of Candidate
        By rising cost.
    cost : (P,) array of float
        Mean cost.
    answer : (n, P) array of int16
        Label.
    loss : (n, P) array of float32
        Of each answer.
    """

    plans: list[Candidate]
    cost: Floats
    answer: NDArray[np.int16]
    loss: Floats32


def try_out(
    board: Board,
    chains: Sequence[Levels],
    price_list: Floats,
    *,
    seed: int,
    on_progress: Callable[[float], None] | None = None,
) -> Tried:
    """Cross-validate the thresholds of each chain at each price, and keep those on or near the front.

    Parameters
    ----------
    board : Board
        Of n pictures.
    chains : sequence of Levels
        To be tried.
    price_list : (k,) array of float
        Prices of loss, rising.
    seed : int
        Of the folds.
    on_progress : callable, optional
        Called with the share of the work that is done.
    """
    weight = board.opinions.weight
    n = len(weight)
    folds = next((count for most, count in _FOLDS if n <= most), 2)
    fold = folds_of(board.opinions.group, folds, seed)
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    parts = [(train, test) for train, test in parts if len(train) and len(test)]
    whole = [(np.arange(n), np.arange(n))]
    most = int(np.clip(_CELLS // n, 20, _MOST))
    kept: list[_Entry] = []
    for index, levels in enumerate(chains):
        chain, winners, fitted = board.chain(levels), board.winners(levels), len(levels) > 1
        priced = price_list if fitted else price_list[:1]
        cost = np.zeros((len(priced), n))
        loss = np.zeros((len(priced), n), dtype=np.float32)
        answer = np.zeros((len(priced), n), dtype=np.int16)
        for train, test in parts if fitted else whole:
            learn, judged = chain.rows(train), chain.rows(test)
            borders = None
            for at, price in enumerate(priced):
                borders = fit_exits(learn, float(price), weight[train], borders)
                way = walk(judged, borders)
                cost[at, test], loss[at, test] = way.cost, way.loss
                answer[at, test] = winners[test, way.level]
        for at, price in enumerate(priced):
            means = (float(np.average(cost[at], weights=weight)), float(np.average(loss[at], weights=weight)))
            kept.append(_Entry(*means, Candidate(levels, float(price), bool(board.anchor)), answer[at].copy()))
        if len(kept) > 2 * most:
            kept = _near_front(kept, most)
        if on_progress is not None:
            on_progress((index + 1) / len(chains))
    kept = sorted(_near_front(kept, most), key=lambda entry: (entry.cost, entry.loss))
    answers = np.column_stack([entry.answers for entry in kept])
    return Tried(
        [entry.plan for entry in kept],
        np.array([entry.cost for entry in kept]),
        answers,
        np.column_stack([board.prices.loss(board.opinions.truth, column) for column in answers.T]).astype(np.float32),
    )


def join(parts: Sequence[Tried]) -> Tried:
    """Candidates of several boards of the same pictures."""
    cost = np.concatenate([part.cost for part in parts])
    order = np.argsort(cost, kind="stable")
    plans = [plan for part in parts for plan in part.plans]
    return Tried(
        [plans[i] for i in order],
        cost[order],
        np.concatenate([part.answer for part in parts], axis=1)[:, order],
        np.concatenate([part.loss for part in parts], axis=1)[:, order],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    cost: float
    loss: float
    plan: Candidate
    answers: NDArray[np.int16]


def _near_front(kept: list[_Entry], most: int) -> list[_Entry]:
    """Peel fronts of cost and loss until `most` are kept."""
    rest = sorted(kept, key=lambda entry: (entry.cost, entry.loss))
    chosen: list[_Entry] = []
    while rest and len(chosen) < most:
        best = np.inf
        front: list[_Entry] = []
        behind: list[_Entry] = []
        for entry in rest:
            (front if entry.loss < best - 1e-12 else behind).append(entry)
            best = min(best, entry.loss)
        chosen += front
        rest = behind
    return chosen[:most]


def draws_of(group: Ints, weight: Floats, *, seed: int, draws: int = _DRAWS) -> Floats32:
    """Cluster bootstrap: share of each row in each draw, (draws, n); whole groups are drawn with replacement."""
    names = int(group.max(initial=0)) + 1
    counts = np.random.default_rng(seed).multinomial(names, np.full(names, 1.0 / names), size=draws)
    drawn = counts.astype(np.float32)[:, group] * weight.astype(np.float32)
    result: Floats32 = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-9)
    return result


def cheapest(tried: Tried, reference_loss: Floats, weight: Floats, draws: Floats32, limit: float) -> tuple[int, float]:
    """Choose the cheapest candidate whose regret is at most `limit`, corrected for having been chosen.

    Whoever picks the cheapest of many that seem to keep a limit picks the lucky ones. How lucky is estimated as in
    Efron's optimism bootstrap (Efron and Tibshirani, 1993, chapter 17): choose in each draw, and compare the regret
    that the draw showed with the one that all pictures show. The limit is lowered by a multiple of that
    (see `_LUCK`).

    Parameters
    ----------
    tried : Tried
        P candidates on n pictures.
    reference_loss : (n,) array of float
        Of the reference's answers.
    weight : (n,) array of float
        What each picture counts.
    draws : (d, n) array of float32
        From `draws_of`.
    limit : float
        Largest regret.

    Returns
    -------
    index : int
        -1 where no candidate keeps the corrected limit.
    optimism : float
        By how much the limit was lowered.
    """
    share = weight / weight.sum()
    whole = share @ tried.loss - float(share @ reference_loss)
    shown = draws @ tried.loss - (draws @ reference_loss.astype(np.float32))[:, None]  # (d, P)
    keeps = shown <= limit
    some = np.flatnonzero(keeps.any(axis=1))
    first = keeps[some].argmax(axis=1)  # by rising cost: the first is the cheapest
    optimism = max(float(np.mean(whole[first] - shown[some, first])), 0.0) * _LUCK if len(some) else 0.0
    good = np.flatnonzero(whole <= limit - optimism)
    return (int(good[0]) if len(good) else -1), optimism


def settle(board: Board, plan: Candidate, cost: float, price_list: Floats) -> list[Ints]:
    """Fit a candidate's thresholds on all pictures, so that it costs about what it cost when it was tried.

    The same price may ask for other thresholds on more pictures where two are nearly equal in value; of the prices
    around the candidate's, the one is taken whose mean cost is nearest.
    """
    chain, weight = board.chain(plan.levels), board.opinions.weight
    near = price_list[np.abs(np.log(price_list / plan.price)) < np.log(2.0)]
    options = [fit_exits(chain, float(price), weight) for price in (plan.price, *near)]
    costs = [float(np.average(walk(chain, borders).cost, weights=weight)) for borders in options]
    return options[int(np.argmin(np.abs(np.array(costs) - cost)))]
