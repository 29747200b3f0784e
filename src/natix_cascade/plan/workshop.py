"""All that is made on the way to a plan: opinions, reference, boards, and the trial of what a search found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import PlanError, RecordsError
from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.choose import Candidate, Tried, draws_of, join, try_out
from natix_cascade.plan.opinions import Opinions, fit_calibrators, held_out
from natix_cascade.plan.policies import layout_of
from natix_cascade.plan.records import Records
from natix_cascade.plan.references import make_reference, parse_reference
from natix_cascade.plan.search import search
from natix_cascade.plan.wish import Wish
from natix_cascade.spec.policy import Policy, Reference
from natix_cascade.spec.rules import Calibrator

__all__ = ["Progress", "Workshop", "set_up"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[str, float], None]

_COARSE, _FINE = 12, 40
_CHEAP, _DEAR = 0.5, 100.0  # prices of one unit of loss, in costs of the reference
_SEARCHED = 8_000  # rows on which chains are searched
_TRIALS = 16_000_000  # rows x chains x prices that are cross-validated


@dataclass(slots=True, eq=False)
class Workshop:
    """All that is made on the way."""

    records: Records
    opinions: Opinions
    calibrators: list[Calibrator]
    reference: Reference
    columns: tuple[int, ...]
    board: Board
    anchored: Board
    tried: Tried
    prices: Floats
    draws: NDArray[np.float32]
    unit: str
    notes: list[str] = field(default_factory=list)

    @property
    def alone(self) -> int:
        """Index of the plan that asks the reference and nobody else.

        Raises
        ------
        PlanError
            It takes longer than the wish allows.
        """
        for index, each in enumerate(self.tried.plans):
            if each.levels == (self.columns,):
                return index
        raise PlanError(
            "nothing faster keeps the limit, and the reference alone takes longer than the bound on latency; "
            "allow more regret or more time"
        )

    def board_of(self, candidate: Candidate) -> Board:
        """The board on which a candidate was found."""
        return self.anchored if candidate.anchored else self.board

    def policy(self, candidate: Candidate, board: Board, borders: list[Ints], name: str, cascade: str) -> Policy:
        """A chain with its thresholds as a policy."""
        records = self.records
        layout, levels = layout_of(board, candidate.levels, borders, records.models, records.labels)
        used = [column for level in candidate.levels for column in level]
        names = [records.models[column] for column in used]
        return Policy(
            name=name,
            cascade=cascade,
            threshold=board.know(used).ballot.threshold,
            calibrators={records.models[column]: self.calibrators[column] for column in used},
            levels=levels,
            layout=layout,
            labels=() if records.yes_no else records.labels,
            models={model: records.sha256[model] for model in names if model in records.sha256},
        )


def set_up(records: Records, wish: Wish, on_progress: Progress | None) -> Workshop:
    """Opinions, reference, search, and the trial of what was found."""

    def tell(what: str) -> Callable[[float], None]:
        return lambda share: on_progress(what, share) if on_progress else None

    tell("calibrating")(0.0)
    voting = wish.voting or ("log_odds" if records.yes_no else "mean")
    if voting == "log_odds" and not records.yes_no:
        raise PlanError("the vote log_odds is for yes/no records; use mean")
    opinions, calibrators = held_out(records, seed=wish.seed), fit_calibrators(records)
    name, columns = parse_reference(wish.reference, records, opinions, wish.metric)
    reference, price = make_reference(name, columns, records, opinions, calibrators, wish.metric, voting)
    unit = wish.unit or records.unit
    cost, latency = records.cost(unit), _latency(records, wish)
    board = Board(opinions, cost, latency, price, voting)
    scale = max(float(cost[list(columns)].sum()), 2 * (wish.budget or 0.0)) or float(cost.max()) or 1.0
    fine = scale * np.geomspace(_CHEAP, _DEAR, _FINE)
    anchored = replace(board, anchor=columns, ballots={})
    in_time = wish.latency_ms is None or board.slowest((columns,)) <= wish.latency_ms
    parts = [try_out(board, [(columns,)], fine[:1], seed=wish.seed)] if in_time else []
    for index, each in enumerate((board, anchored)):
        chains = _chains(each, records, wish, scale, tell(f"searching chains {index + 1}/2"))
        parts.append(try_out(each, chains, fine, seed=wish.seed, on_progress=tell(f"trying plans {index + 1}/2")))
    draws = draws_of(opinions.group, opinions.weight, seed=wish.seed)
    return Workshop(records, opinions, calibrators, reference, columns, board, anchored, join(parts), fine, draws, unit)


def _chains(
    board: Board, records: Records, wish: Wish, scale: float, on_progress: Callable[[float], None]
) -> list[Levels]:
    """The chain that was asked for, or those that a search finds."""
    if wish.levels:
        given: Levels = tuple(tuple(records.column(model) for model in level) for level in wish.levels)
        if wish.latency_ms is not None and board.slowest(given) > wish.latency_ms:
            raise PlanError(f"these levels take {board.slowest(given):g} ms, more than the {wish.latency_ms:g} allowed")
        return [given]
    if wish.latency_ms is not None and wish.latency_ms < board.latency.min():
        raise PlanError(f"no model answers within {wish.latency_ms:g} ms; the fastest takes {board.latency.min():g}")
    n = len(board.opinions)
    small = board
    if n > _SEARCHED:
        rows = np.sort(np.random.default_rng(wish.seed).choice(n, _SEARCHED, replace=False))
        small = board.on(board.opinions.rows(rows))
    coarse = scale * np.geomspace(_CHEAP, _DEAR, _COARSE)
    found = sorted(search(small, coarse, latency=wish.latency_ms, on_progress=on_progress), key=lambda item: item.rank)
    room = max(_TRIALS // n // _FINE, 8)
    singles: list[Levels] = [((column,),) for column in range(len(board.cost))]  # a small budget may allow one only
    fast = [one for one in singles if wish.latency_ms is None or board.slowest(one) <= wish.latency_ms]
    best = list(dict.fromkeys(item.levels for item in found))[:room]
    return list(dict.fromkeys([*fast, *best]))


def _latency(records: Records, wish: Wish) -> Floats:
    if wish.latency_ms is None:
        return np.zeros(len(records.models))
    known = ~np.isnan(records.latency_ms)
    if known.any(axis=0).all():
        return np.array([np.quantile(records.latency_ms[known[:, j], j], 0.95) for j in range(len(records.models))])
    for unit in ("ms", "ms_per_image", "latency_ms"):
        if unit in records.costs:
            return records.costs[unit]
    raise RecordsError("a bound on latency needs latencies; these records have none (latency_ms, or costs in ms)")
