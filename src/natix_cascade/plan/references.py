"""Who a plan is compared with, and what one gets without a planner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import RecordsError
from natix_cascade.plan.board import Board
from natix_cascade.plan.loss import Prices, metric_draws, metric_of, prices
from natix_cascade.plan.opinions import Opinions
from natix_cascade.plan.records import Records
from natix_cascade.plan.result import Point
from natix_cascade.plan.votes import Voting, count, fit_ballot
from natix_cascade.spec.cascade import LevelSpec, MemberSpec
from natix_cascade.spec.policy import Metric, Reference
from natix_cascade.spec.rules import Calibrator, VoteSpec

__all__ = ["make_reference", "metric_interval", "named_points", "parse_reference"]

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]

VOTE = "vote"


def parse_reference(text: str, records: Records, opinions: Opinions, metric: Metric) -> tuple[str, tuple[int, ...]]:
    """Read ``best``, a model's name, ``vote`` (of all models) or ``vote:a,b,c``: a name, and columns.

    Raises
    ------
    RecordsError
        A model is not in the records.
    """
    if text == "best":
        values = [metric_of(metric, opinions.truth, opinions.answer[:, j], opinions.weight) for j in _all(records)]
        return (name := records.models[int(np.argmax(values))]), (records.column(name),)
    if text in {VOTE, "ensemble"}:
        return VOTE, tuple(_all(records))
    if text.startswith(f"{VOTE}:"):
        names = [name.strip() for name in text.removeprefix(f"{VOTE}:").split(",") if name.strip()]
        if not names or len(set(names)) < len(names):
            raise RecordsError(f"reference {text!r}: name different models, as in vote:a,b,c")
        return text, tuple(sorted(records.column(name) for name in names))
    if text not in records.models:
        known = ", ".join(records.models)
        raise RecordsError(f"reference {text!r} is not in these records; give best, vote, vote:a,b,c or one of {known}")
    return text, (records.column(text),)


def make_reference(
    name: str,
    columns: Sequence[int],
    records: Records,
    opinions: Opinions,
    calibrators: Sequence[Calibrator],
    metric: Metric,
    voting: Voting,
) -> tuple[Reference, Prices]:
    """Fit a reference's vote and threshold, and the prices of losses around its answers."""
    price = Prices()
    for _ in range(1 if metric == "accuracy" else 3):  # where yes begins and what an error counts hang together
        ballot = fit_ballot(opinions, columns, price, voting)
        price = prices(metric, opinions.truth, count(opinions, ballot, price).winner, opinions.weight)
    level = LevelSpec(
        name=name,
        members=tuple(
            MemberSpec(model=records.models[c], weight=w) for c, w in zip(ballot.columns, ballot.weights, strict=True)
        ),
        vote=VoteSpec(method=voting, over="all"),
    )
    fitted = {records.models[c]: calibrators[c] for c in columns}
    return Reference(name=name, level=level, calibrators=fitted, threshold=ballot.threshold), price


def metric_interval(metric: Metric, truth: Ints, answer: Ints, draws: Floats32) -> tuple[float, float]:
    """95 % interval of a metric: percentiles over the draws of a bootstrap by group."""
    values = metric_draws(metric, truth, answer, draws)
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def named_points(
    board: Board, records: Records, metric: Metric, draws: Floats32, columns: tuple[int, ...], limit: float
) -> list[Point]:
    """Where one gets without a planner: single models, votes, two that agree, a plain threshold between two.

    Parameters
    ----------
    board : Board
        Of n pictures.
    records : Records
        The same pictures.
    metric : {"accuracy", "mcc", "reward"}
        Of the points.
    draws : (d, n) array of float32
        For the intervals.
    columns : tuple of int
        The reference's models.
    limit : float
        Regret that the plain threshold is allowed on these very pictures.
    """
    opinions, names = board.opinions, records.models

    def point(kind: str, name: str, answer: Ints, cost: float, levels: tuple[tuple[int, ...], ...]) -> Point:
        low, high = metric_interval(metric, opinions.truth, answer, draws)
        return Point(
            name=name,
            kind=kind,  # type: ignore[arg-type]  # one of the literals below
            cost=cost,
            metric=metric_of(metric, opinions.truth, answer, opinions.weight),
            low=low,
            high=high,
            levels=tuple(tuple(names[c] for c in level) for level in levels),
        )

    singles = {j: board.know((j,)).state for j in _all(records)}
    points = [
        point("reference" if columns == (j,) else "model", names[j], s.winner, float(board.cost[j]), ((j,),))
        for j, s in singles.items()
    ]
    ranked = sorted(singles, key=lambda j: float(np.average(singles[j].loss, weights=opinions.weight)))
    votes = [tuple(sorted(ranked[:3])), tuple(_all(records))]
    for chosen in dict.fromkeys((*votes, columns)):
        if len(chosen) > 1:
            name = f"{VOTE} of {'all' if len(chosen) == len(names) else ', '.join(names[c] for c in chosen)}"
            state = board.know(chosen).state
            kind = "reference" if chosen == columns else "vote"
            points.append(point(kind, name, state.winner, float(board.cost[list(chosen)].sum()), (chosen,)))
    last = columns if len(columns) == 1 else (ranked[0],)
    cheap = [j for j in np.argsort(board.cost, kind="stable").tolist() if j not in last][:2]
    target = board.know(last).state
    if len(cheap) == 2:  # noqa: PLR2004 - a pair
        first, second = (singles[j].winner for j in cheap)
        agree = first == second
        went = float(np.average(~agree, weights=opinions.weight))
        cost = float(board.cost[cheap].sum() + went * board.cost[list(last)].sum())
        name = f"{names[cheap[0]]} = {names[cheap[1]]}, else {names[last[0]]}"
        points.append(point("agreement", name, np.where(agree, first, target.winner), cost, (tuple(cheap), last)))
    found = [_plain(board, j, last, limit) for j in _all(records) if j not in last]
    kept = [item for item in found if item is not None]
    if kept:
        cost, j, answer = min(kept, key=lambda item: item[0])
        points.append(point("threshold", f"{names[j]} > {names[last[0]]}, plain", answer, cost, ((j,), last)))
    return points


def _plain(board: Board, first: int, last: tuple[int, ...], limit: float) -> tuple[float, int, Ints] | None:
    """One threshold on the first model's confidence, chosen where it just holds on these pictures."""
    one, other, weight = board.know((first,)).state, board.know(last).state, board.opinions.weight
    order = np.argsort(-one.strength, kind="stable")
    total = float(weight.sum())
    regret = np.cumsum(((one.loss - other.loss) * weight)[order]) / total
    share = np.cumsum(weight[order]) / total
    ends = np.append(np.diff(one.strength[order]) != 0, True)
    good = np.flatnonzero((regret <= limit) & ends)
    if not len(good):
        return None
    leave = one.strength >= one.strength[order[good[-1]]]
    cost = float(board.cost[first] + (1 - share[good[-1]]) * board.cost[list(last)].sum())
    return cost, first, np.where(leave, one.winner, other.winner)


def _all(records: Records) -> range:
    return range(len(records.models))
