"""Planning: from records to the cheapest cascade that keeps a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from natix_cascade.errors import PlanError, RecordsError
from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.certify import Certificate, Trial, certify
from natix_cascade.plan.choose import Candidate, Tried, cheapest, draws_of, join, settle, try_out
from natix_cascade.plan.exits import Chain, fit_exits, walk
from natix_cascade.plan.imports import from_table
from natix_cascade.plan.loss import metric_of
from natix_cascade.plan.opinions import Opinions, fit_calibrators, held_out
from natix_cascade.plan.policies import Answered, answer, figures, layout_of
from natix_cascade.plan.records import Records, read_records, split_records
from natix_cascade.plan.references import make_reference, metric_interval, named_points, parse_reference
from natix_cascade.plan.result import Figures, Plan, Point, Step
from natix_cascade.plan.search import search
from natix_cascade.plan.votes import Voting
from natix_cascade.spec.policy import Metric, Policy, Promise, Reference
from natix_cascade.spec.resolved import resolve_layout
from natix_cascade.spec.rules import Calibrator, ExitRule

__all__ = ["Wish", "plan"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[str, float], None]

_COARSE, _FINE = 12, 40
_CHEAP, _DEAR = 0.5, 100.0  # prices of one unit of loss, in costs of the reference
_SEARCHED = 8_000  # rows on which chains are searched
_TRIALS = 25_000_000  # rows x chains x prices that are cross-validated
_MAKING = 0.25  # share of the groups that make the plans, where the others certify
_CHEAPER = 0.995  # along the path to be tested, each plan costs at most this share of the one before
_SHOWN = 24  # plans of the front that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a plan.

    Attributes
    ----------
    max_regret : float or None
        The cheapest plan whose regret is at most this, by what the records show.
    risk : float or None
        The cheapest plan of which it is certified that its true regret is at most this.
    budget : float or None
        The best plan whose mean cost is at most this.
    delta : float
        For `risk`: largest probability that the certificate is wrong.
    reference : str
        ``best`` (single model), a model's name, ``vote`` (of all) or ``vote:a,b,c``.
    metric : {"accuracy", "mcc", "reward"}
        In which regret is measured.
    unit : str or None
        Of cost and budget; default: the records' own.
    latency_ms : float or None
        Bound on the time of a picture that goes through all levels.
    conditional : bool
        With `risk`: certify it also among the pictures that leave at each level.
    prevalence : float or None
        Share of yes among the pictures to come; the records are reweighed to it.
    voting : {"log_odds", "mean"} or None
        Method of all votes; default: log_odds for yes/no records, mean for others.
    levels : tuple of tuple of str
        Take this chain instead of searching one.
    seed : int
        Of folds, splits and draws.
    """

    max_regret: float | None = None
    risk: float | None = None
    budget: float | None = None
    delta: float = 0.1
    reference: str = "best"
    metric: Metric = "accuracy"
    unit: str | None = None
    latency_ms: float | None = None
    conditional: bool = False
    prevalence: float | None = None
    voting: Voting | None = None
    levels: tuple[tuple[str, ...], ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("max_regret", "risk", "budget") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PlanError(
                f"a plan needs one aim, not {len(given)} ({', '.join(given) or 'none given'}): max_regret (as the "
                "records show), risk (with a guarantee) or budget"
            )
        if not 0 < self.delta < 1:
            raise PlanError(f"delta is {self.delta}, but a probability between 0 and 1 is needed")
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise PlanError(f"prevalence is {self.prevalence}, but a share between 0 and 1 is needed")
        if self.conditional and (self.risk is None or self.metric != "accuracy"):
            raise PlanError("conditional needs risk, and accuracy as the metric")


@dataclass(slots=True, eq=False)
class _Workshop:
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
    notes: list[str] = field(default_factory=list)

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


def plan(
    records: Records | str | Path | Any,
    *,
    name: str = "planned",
    cascade: str = "planned",
    label: str = "label",
    costs: Any = None,
    on_progress: Progress | None = None,
    **wish: Any,
) -> Plan:
    """Plan a cascade.

    Parameters
    ----------
    records : Records, path, or table
        Records; the file of some; or a table of scores (DataFrame, dict of columns) with one column of truth and one
        of P(yes) for each model: see `natix_cascade.plan.from_table`.
    name, cascade : str
        Of the policy, and of the cascade that it is for.
    label : str
        For a table: the column of truth.
    costs : dict, optional
        For a table: model to cost of one answer (default: 1 each).
    on_progress : callable, optional
        Called with what is being done and the share that is done.
    **wish
        See `Wish`: one of ``max_regret``, ``risk`` (with ``delta``) or ``budget``; ``reference``, ``metric``, ``unit``,
        ``latency_ms``, ``conditional``, ``prevalence``, ``voting``, ``levels``, ``seed``. ``max_regret`` together with
        ``delta`` asks for a guarantee: it is then the ``risk``.

    Returns
    -------
    Plan

    Raises
    ------
    PlanError
        The wish contradicts itself, or nothing keeps it.
    RecordsError
        The records do not have what the wish names.
    """
    if "delta" in wish and wish.get("max_regret") is not None and wish.get("risk") is None:
        wish["risk"] = wish.pop("max_regret")
    wanted = Wish(**wish)
    table = _records(records, label, costs)
    table = _weighed(table, wanted)
    if wanted.levels:
        table = table.only(_named(wanted, table))
    making, certifying = table, None
    if wanted.risk is not None:
        making, certifying = split_records(table, seed=wanted.seed, by="group", share=_MAKING)
    shop = _make(making, wanted, on_progress)
    if certifying is None:
        return _empirical(shop, wanted, name, cascade)
    return _certified(shop, certifying, wanted, name, cascade, on_progress)


def _records(source: Any, label: str, costs: Any) -> Records:
    if isinstance(source, Records):
        return source
    if isinstance(source, str | Path):
        return read_records(source)
    return from_table(source, label=label, costs=costs)


def _weighed(records: Records, wish: Wish) -> Records:
    if wish.metric != "accuracy" and not (records.yes_no or len(records.labels) == 2):  # noqa: PLR2004 - yes and no
        raise PlanError(f"{wish.metric} is for two answers; these records have {len(records.labels)}: use accuracy")
    if len(np.unique(records.label)) < 2:  # noqa: PLR2004 - both
        raise RecordsError("all pictures of these records have the same label; planning needs more than one")
    if wish.prevalence is None:
        return records
    if len(records.labels) != 2:  # noqa: PLR2004 - yes and no
        raise PlanError("prevalence is for two answers")
    yes = records.label == 1
    now = float(np.average(yes, weights=records.weight))
    factor = np.where(yes, wish.prevalence / now, (1 - wish.prevalence) / (1 - now))
    return replace(records, weight=records.weight * factor)


def _named(wish: Wish, records: Records) -> list[str]:
    """Models of the chain and of the reference, in the records' order."""
    wanted = {model for level in wish.levels for model in level}
    if wish.reference.startswith("vote:"):
        wanted |= {name.strip() for name in wish.reference.removeprefix("vote:").split(",")}
    elif wish.reference in {"best", "vote", "ensemble"}:
        wanted |= set(records.models)
    else:
        wanted.add(wish.reference)
    for model in wanted:
        records.column(model)
    return [model for model in records.models if model in wanted]


def _make(records: Records, wish: Wish, on_progress: Progress | None) -> _Workshop:
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
    cost, latency = records.cost(wish.unit), _latency(records, wish)
    board = Board(opinions, cost, latency, price, voting)
    scale = float(cost[list(columns)].sum()) or float(cost.max()) or 1.0
    fine = scale * np.geomspace(_CHEAP, _DEAR, _FINE)
    anchored = replace(board, anchor=columns, ballots={})
    parts = [try_out(board, [(columns,)], fine[:1], seed=wish.seed)]  # the reference alone is always there
    for index, each in enumerate((board, anchored)):
        chains = _chains(each, records, wish, scale, tell(f"searching chains {index + 1}/2"))
        parts.append(try_out(each, chains, fine, seed=wish.seed, on_progress=tell(f"trying plans {index + 1}/2")))
    draws = draws_of(opinions.group, opinions.weight, seed=wish.seed)
    return _Workshop(records, opinions, calibrators, reference, columns, board, anchored, join(parts), fine, draws)


def _chains(
    board: Board, records: Records, wish: Wish, scale: float, on_progress: Callable[[float], None]
) -> list[Levels]:
    """The chain that was asked for, or those that a search finds."""
    if wish.levels:
        return [tuple(tuple(records.column(model) for model in level) for level in wish.levels)]
    n = len(board.opinions)
    small = board
    if n > _SEARCHED:
        rows = np.sort(np.random.default_rng(wish.seed).choice(n, _SEARCHED, replace=False))
        small = board.on(board.opinions.rows(rows))
    coarse = scale * np.geomspace(_CHEAP, _DEAR, _COARSE)
    found = sorted(search(small, coarse, latency=wish.latency_ms, on_progress=on_progress), key=lambda item: item.rank)
    room = max(_TRIALS // n // _FINE, 8)
    return list(dict.fromkeys(item.levels for item in found))[:room]


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


def _empirical(shop: _Workshop, wish: Wish, name: str, cascade: str) -> Plan:
    """The plan that the records show to keep the wish, without a guarantee."""
    tried, weight = shop.tried, shop.opinions.weight
    reference_loss = shop.board.know(shop.columns).state.loss
    if wish.budget is not None:
        inside = np.flatnonzero(tried.cost <= wish.budget)
        if not len(inside):
            raise PlanError(
                f"no plan costs at most {wish.budget:g} {_unit(shop, wish)}; the cheapest costs {tried.cost.min():g}"
            )
        chosen = int(inside[np.argmin(weight @ tried.loss[:, inside])])
    else:
        limit = float(wish.max_regret or 0.0)
        chosen, optimism = cheapest(tried, reference_loss, weight, shop.draws, limit)
        if chosen < 0:
            chosen = _reference_alone(shop)
            shop.notes.append("no cascade keeps this limit safely on these records: the reference is asked alone")
        elif optimism > 0:
            shop.notes.append(
                f"the limit was lowered by {optimism:.4f} while choosing, for the luck of the best of many plans"
            )
    candidate = tried.plans[chosen]
    board = shop.anchored if candidate.anchored else shop.board
    borders = settle(board, candidate, float(tried.cost[chosen]), shop.prices)
    policy = shop.policy(candidate, board, borders, name, cascade)
    own = answer(resolve_layout(policy), shop.records)
    expected = _expected(shop, wish, tried.answer[:, chosen].astype(np.int64), float(tried.cost[chosen]), own)
    policy = _promised(shop, wish, policy, expected, None)
    return _result(shop, wish, policy, expected, _points(shop, wish, chosen), own, None)


def _reference_alone(shop: _Workshop) -> int:
    """Index of the plan that asks the reference and nobody else: it is always tried."""
    return next(i for i, plan in enumerate(shop.tried.plans) if plan.levels == (shop.columns,))


def _front(cost: Floats, risk: Floats) -> list[int]:
    """Candidates that no other beats in both cost and risk, by falling cost: from safe to cheap."""
    front, best = [], np.inf
    for index in np.lexsort((risk, cost)):
        if risk[index] < best:
            front.append(int(index))
            best = risk[index]
    return front[::-1]


def _path(shop: _Workshop, wish: Wish, pictures: int, name: str, cascade: str) -> tuple[list[Policy], list[float]]:
    """The plans to be tested and their costs: the reference alone, then one chain with ever cheaper thresholds.

    The chain is the one that promises to be the cheapest, judged by the regret that a test with so many pictures could
    still show (mean plus ``z`` standard errors). Its thresholds follow one line, the price of loss, through all levels.
    """
    weight, group = shop.opinions.weight, shop.opinions.group
    losses = shop.tried.loss - shop.board.know(shop.columns).state.loss.astype(np.float32)[:, None]
    share = (weight / weight.sum()).astype(np.float32)
    mean = share @ losses
    sums = np.zeros((int(group.max()) + 1, losses.shape[1]))
    np.add.at(sums, group, (losses - mean) * share[:, None] * len(weight))
    spread = np.sqrt((sums**2).sum(axis=0) / len(weight) / pictures)
    bound = mean + float(-ndtri(wish.delta)) * spread
    good = np.flatnonzero(bound <= (wish.risk or 0.0))  # by rising cost; the reference alone is always among them
    best = shop.tried.plans[int(good[0])] if len(good) else shop.tried.plans[_reference_alone(shop)]
    alone = shop.tried.plans[_reference_alone(shop)]
    board = shop.anchored if best.anchored else shop.board
    policies, costs = (
        [shop.policy(alone, shop.board, [], name, cascade)],
        [float(shop.board.cost[list(shop.columns)].sum())],
    )
    if len(best.levels) > 1:
        chain = board.chain(best.levels)
        for borders in _line(board, chain, shop.prices[::-1]):
            cost = float(np.average(walk(chain, borders).cost, weights=weight))
            if cost < costs[-1] * _CHEAPER:
                policies.append(shop.policy(best, board, borders, name, cascade))
                costs.append(cost)
    return policies, costs


def _line(board: Board, chain: Chain, price_list: Floats) -> list[list[Ints]]:
    """Thresholds from dear to cheap losses, with all steps between: from one price to the next they may jump."""
    line: list[list[Ints]] = []
    for price in price_list:
        borders = fit_exits(chain, float(price), board.opinions.weight)
        before = line[-1] if line else [np.full(chain.kinds, chain.bins) for _ in borders]
        widest = max(int(np.abs(b - a).max()) for a, b in zip(before, borders, strict=True))
        line += [
            [np.rint(a + (b - a) * step / widest).astype(np.int64) for a, b in zip(before, borders, strict=True)]
            for step in range(1, widest + 1)
        ]
    return line


def _certified(
    shop: _Workshop, certifying: Records, wish: Wish, name: str, cascade: str, on_progress: Progress | None
) -> Plan:
    """The cheapest plan that can be promised, tested on pictures that did not make it."""
    policies, costs = _path(shop, wish, len(certifying), name, cascade)
    answered = []
    for index, policy in enumerate(policies):
        answered.append(answer(resolve_layout(policy), certifying))
        if on_progress is not None:
            on_progress("testing plans", (index + 1) / len(policies))
    base = answered[0]
    group = np.unique(certifying.group, return_inverse=True)[1].astype(np.int64)
    weight = certifying.weight / certifying.weight.mean()
    draws = draws_of(group, weight, seed=wish.seed, draws=1000)
    certificate = certify(
        [Trial(each.answer, each.level) for each in answered[1:]],
        base.answer,
        certifying.label,
        group,
        weight,
        metric=wish.metric,
        risk=float(wish.risk or 0.0),
        delta=wish.delta,
        conditional=wish.conditional,
        seed=wish.seed,
        draws=draws,
    )
    shop.notes += _remarks(certificate, costs[1:], wish, _unit(shop, wish))
    at = certificate.promised  # 0: the reference alone, whose regret is 0 for certain
    policy, own = policies[at], answered[at]
    p_value = certificate.p_values[at - 1] if at else 0.0
    expected = figures(own, base, certifying, certifying.cost(wish.unit), wish.metric)
    policy = _promised(shop, wish, policy, expected, p_value, certificate, certifying)
    low, high = metric_interval(wish.metric, certifying.label, own.answer, draws)
    chosen = Point(
        name=_title(policy),
        kind="chosen",
        cost=expected.cost,
        metric=expected.metric,
        low=low,
        high=high,
        levels=tuple(tuple(member.model for member in level.members) for level in policy.layout),
        certified=True,
    )
    return _result(shop, wish, policy, expected, (chosen, *_points(shop, wish)), own, p_value, certifying)


def _remarks(certificate: Certificate, costs: Sequence[float], wish: Wish, unit: str) -> list[str]:
    notes = []
    if not certificate.promised:
        notes.append("no cascade can be promised with these pictures: the reference is asked alone")
    if certificate.promised < len(costs):
        cheaper = costs[certificate.promised]
        notes.append(
            f"about {certificate.needed:,} labelled pictures for the test would allow the next cheaper plan "
            f"({cheaper:.4g} {unit})"
            if certificate.needed is not None
            else f"the next cheaper plan ({cheaper:.4g} {unit}) looks worse than the limit: more would not help"
        )
    if not certificate.exact:
        notes.append(f"the guarantee on {wish.metric} rests on a bootstrap by group: it is for many groups, not exact")
    return notes


def _expected(shop: _Workshop, wish: Wish, said: Ints, cost: float, own: Answered) -> Figures:
    """Estimates from the held-out trial; the exit shares are those of the finished plan."""
    opinions, weight = shop.opinions, shop.opinions.weight
    value = metric_of(wish.metric, opinions.truth, said, weight)
    other = metric_of(wish.metric, opinions.truth, shop.board.know(shop.columns).state.winner, weight)
    return Figures(
        cost=cost,
        reference_cost=float(shop.board.cost[list(shop.columns)].sum()),
        metric=value,
        reference_metric=other,
        regret=other - value,
        exit_shares=own.exit_shares(shop.records.weight),
    )


def _promised(
    shop: _Workshop,
    wish: Wish,
    policy: Policy,
    expected: Figures,
    p_value: float | None,
    certificate: Certificate | None = None,
    certifying: Records | None = None,
) -> Policy:
    """Write into the policy what it promises, and how the promise was won."""
    records, unit = shop.records, _unit(shop, wish)
    used = [*(m.model for level in policy.layout for m in level.members), *shop.reference.calibrators]
    cost = records.cost(wish.unit)
    promise = Promise(
        metric=wish.metric,
        limit=wish.max_regret if wish.risk is None else wish.risk,
        budget=wish.budget,
        delta=None if wish.risk is None else wish.delta,
        conditional=wish.conditional,
        reference=shop.reference,
        unit=unit,
        costs={model: float(cost[records.column(model)]) for model in dict.fromkeys(used)},
        expected={key: value for key, value in expected.as_dict().items() if key != "exit_shares"},
    )
    made = f"{len(records)} pictures in {len(np.unique(records.group))} groups"
    facts: dict[str, float | str] = {}
    if certificate is not None and certifying is not None and p_value is not None:
        facts = {
            "method": "Learn then Test, fixed sequence over a path ordered on other pictures",
            "test": "exact" if certificate.exact else "bootstrap by group",
            "pictures": float(len(certifying)),
            "groups": float(len(np.unique(certifying.group))),
            "plans_tested": float(len(certificate.p_values)),
            "p_value": p_value,
        }
        made += f"; tested on {len(certifying)} others"
    return replace(policy, promise=promise, certificate=facts, made_from=made)


def _title(policy: Policy) -> str:
    return " > ".join(level.name for level in policy.layout)


def _points(shop: _Workshop, wish: Wish, chosen: int = -1) -> tuple[Point, ...]:
    """The front, thinned out, with the chosen plan; and the named points."""
    front = _front(shop.tried.cost, shop.opinions.weight @ shop.tried.loss)
    step = max(1, -(-len(front) // _SHOWN))
    shown = sorted({*front[::step], front[-1], *([chosen] if chosen >= 0 else [])})
    truth, names = shop.opinions.truth, shop.records.models
    points = []
    for index in shown:
        said = shop.tried.answer[:, index].astype(np.int64)
        levels = tuple(tuple(names[c] for c in level) for level in shop.tried.plans[index].levels)
        low, high = metric_interval(wish.metric, truth, said, shop.draws)
        points.append(
            Point(
                name=" > ".join(" + ".join(level) for level in levels),
                kind="chosen" if index == chosen else "plan",
                cost=float(shop.tried.cost[index]),
                metric=metric_of(wish.metric, truth, said, shop.opinions.weight),
                low=low,
                high=high,
                levels=levels,
            )
        )
    limit = wish.max_regret if wish.risk is None else wish.risk
    points += named_points(shop.board, shop.records, wish.metric, shop.draws, shop.columns, limit or 0.0)
    return tuple(points)


def _result(
    shop: _Workshop,
    wish: Wish,
    policy: Policy,
    expected: Figures,
    points: tuple[Point, ...],
    own: Answered,
    p_value: float | None,
    shown_on: Records | None = None,
) -> Plan:
    records = shown_on or shop.records
    total = len(records) + (len(shop.records) if shown_on is not None else 0)
    groups = len(np.unique(records.group)) + (len(np.unique(shop.records.group)) if shown_on is not None else 0)
    return Plan(
        policy=policy,
        unit=_unit(shop, wish),
        metric=wish.metric,
        reference=shop.reference.name,
        limit=wish.max_regret if wish.risk is None else wish.risk,
        budget=wish.budget,
        delta=None if wish.risk is None else wish.delta,
        expected=expected,
        points=tuple(sorted(points, key=lambda point: (point.cost, point.name))),
        steps=_steps(policy, own, records, shop.records.cost(wish.unit)),
        pictures=total,
        groups=groups,
        p_value=p_value,
        notes=tuple(shop.notes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _steps(policy: Policy, own: Answered, records: Records, costs: Floats) -> tuple[Step, ...]:
    weight = records.weight / records.weight.sum()
    right = own.answer == records.label
    steps = []
    for level in own.cascade.levels:
        leaves, reached = own.level == level.index, own.level >= level.index
        share = float(weight[leaves].sum())
        columns = [records.column(member.model) for member in level.members]
        steps.append(
            Step(
                name=level.name,
                models=tuple(member.model for member in level.members),
                reached=float(weight[reached].sum()),
                leaves=share,
                right=float(weight[leaves & right].sum()) / share if share else None,
                cost=float(weight[reached].sum() * costs[columns].sum()),
                rule=_words(policy.levels[level.name].exit),
            )
        )
    return tuple(steps)


def _words(rule: ExitRule | None) -> str:
    if rule is None:
        return "all leave"
    if rule.rule == "threshold":
        parts = [f"yes from {rule.yes:.3f}"] if rule.yes is not None else []
        parts += [f"no up to {rule.no:.3f}"] if rule.no is not None else []
        return ", ".join(parts) or "nobody leaves"
    if rule.rule == "by_label":
        first = "nobody leaves" if rule.default is None else f"sure from {rule.default:.3f}"
        own = [f"{label}: {'-' if at is None else format(at, '.3f')}" for label, at in rule.labels.items()]
        return "; ".join([first, *own])
    return rule.rule


def _unit(shop: _Workshop, wish: Wish) -> str:
    return wish.unit or shop.records.unit
