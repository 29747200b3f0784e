"""A finished plan in figures, points, steps and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.certify import Certificate
from natix_cascade.plan.loss import metric_of
from natix_cascade.plan.policies import Answered
from natix_cascade.plan.records import Records
from natix_cascade.plan.references import metric_interval, named_points
from natix_cascade.plan.result import Figures, Plan, Point, Step
from natix_cascade.plan.wish import Wish
from natix_cascade.plan.workshop import Workshop
from natix_cascade.spec.policy import Policy, Promise
from natix_cascade.spec.rules import ExitRule

__all__ = ["expected_of", "points_of", "promised", "remarks", "result_of", "title"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHOWN = 24  # plans of the front that are shown


def remarks(certificate: Certificate, costs: Sequence[float], wish: Wish, unit: str) -> list[str]:
    """Say what a user should know of a certificate; `costs` are those of the plans on the path."""
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


def expected_of(shop: Workshop, wish: Wish, said: Ints, cost: float, own: Answered) -> Figures:
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


def promised(
    shop: Workshop,
    wish: Wish,
    policy: Policy,
    expected: Figures,
    p_value: float | None,
    certificate: Certificate | None = None,
    certifying: Records | None = None,
) -> Policy:
    """Write into the policy what it promises, and how the promise was won."""
    records, unit = shop.records, shop.unit
    used = [*(m.model for level in policy.layout for m in level.members), *shop.reference.calibrators]
    cost = records.cost(shop.unit)
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


def _front(cost: Floats, risk: Floats) -> list[int]:
    """Candidates that no other beats in both cost and risk, by falling cost: from safe to cheap."""
    front, best = [], np.inf
    for index in np.lexsort((risk, cost)):
        if risk[index] < best:
            front.append(int(index))
            best = risk[index]
    return front[::-1]


def title(policy: Policy) -> str:
    """Levels of a policy in one line."""
    return " > ".join(level.name for level in policy.layout)


def points_of(shop: Workshop, wish: Wish, chosen: int = -1) -> tuple[Point, ...]:
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


def result_of(
    shop: Workshop,
    wish: Wish,
    policy: Policy,
    expected: Figures,
    points: tuple[Point, ...],
    own: Answered,
    p_value: float | None,
    shown_on: Records | None = None,
) -> Plan:
    """Put everything together; `shown_on` are the records that certified, if any did."""
    records = shown_on or shop.records
    total = len(records) + (len(shop.records) if shown_on is not None else 0)
    groups = len(np.unique(records.group)) + (len(np.unique(shop.records.group)) if shown_on is not None else 0)
    return Plan(
        policy=policy,
        unit=shop.unit,
        metric=wish.metric,
        reference=shop.reference.name,
        limit=wish.max_regret if wish.risk is None else wish.risk,
        budget=wish.budget,
        delta=None if wish.risk is None else wish.delta,
        expected=expected,
        points=tuple(sorted(points, key=lambda point: (point.cost, point.name))),
        steps=_steps(policy, own, records, shop.records.cost(shop.unit)),
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
