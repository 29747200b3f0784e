"""Planning: from records to the cheapest cascade that keeps a promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from natix_cascade.errors import PlanError, RecordsError
from natix_cascade.plan.board import Board
from natix_cascade.plan.certify import Trial, certify
from natix_cascade.plan.choose import cheapest, draws_of, settle
from natix_cascade.plan.exits import Chain, fit_exits, walk
from natix_cascade.plan.imports import from_table
from natix_cascade.plan.outcome import expected_of, points_of, promised, remarks, result_of, title
from natix_cascade.plan.policies import answer, figures
from natix_cascade.plan.records import Records, read_records, split_records
from natix_cascade.plan.references import metric_interval
from natix_cascade.plan.result import Plan, Point
from natix_cascade.plan.wish import Wish
from natix_cascade.plan.workshop import Progress, Workshop, set_up
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import resolve_layout
from natix_cascade.spec.rules import ByLabel, Threshold

__all__ = ["plan"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEWEST_GROUPS = 10
_MAKING = 0.25  # share of the groups that make the plans, where the others certify
_CHEAPER = 0.995  # along the path to be tested, each plan costs at most this share of the one before


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
    table = _weighed(_grouped(_answering(table)), wanted)
    if wanted.levels:
        table = table.only(_named(wanted, table))
    making, certifying = table, None
    if wanted.risk is not None:
        making, certifying = split_records(table, seed=wanted.seed, by="group", share=_MAKING)
    shop = set_up(making, wanted, on_progress)
    if certifying is None:
        return _empirical(shop, wanted, name, cascade)
    return _certified(shop, certifying, wanted, name, cascade, on_progress)


def _records(source: Any, label: str, costs: Any) -> Records:
    if isinstance(source, Records):
        return source
    if isinstance(source, str | Path):
        return read_records(source)
    return from_table(source, label=label, costs=costs)


def _answering(records: Records) -> Records:
    """Leave out models that never answered: nothing is known of them."""
    silent = np.all(records.failed | np.isnan(records.score), axis=0).tolist()
    heard = [model for model, gone in zip(records.models, silent, strict=True) if not gone]
    if not heard:
        raise RecordsError("no model of these records ever answered; record again")
    return records.only(heard) if any(silent) else records


def _grouped(records: Records) -> Records:
    """A picture without a group is a group of its own; a plan needs several."""
    group = np.where(records.group == "", records.picture, records.group)
    if len(np.unique(group)) < _FEWEST_GROUPS:
        raise RecordsError(
            f"these records have {len(np.unique(group))} group(s) of pictures, but {_FEWEST_GROUPS} are needed to try "
            "plans on others than they were made from; give every drive or place a group of its own"
        )
    return replace(records, group=group)


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


def _empirical(shop: Workshop, wish: Wish, name: str, cascade: str) -> Plan:
    """The plan that the records show to keep the wish, without a guarantee."""
    tried, weight = shop.tried, shop.opinions.weight
    reference_loss = shop.board.know(shop.columns).state.loss
    if wish.budget is not None:
        inside = np.flatnonzero(tried.cost <= wish.budget)
        if not len(inside):
            raise PlanError(
                f"no plan costs at most {wish.budget:g} {shop.unit}; the cheapest costs {tried.cost.min():g}"
            )
        chosen = int(inside[np.argmin(weight @ tried.loss[:, inside])])
    else:
        limit = float(wish.max_regret or 0.0)
        chosen, optimism = cheapest(tried, reference_loss, weight, shop.draws, limit)
        if chosen < 0:
            chosen = shop.alone
            shop.notes.append("no cascade keeps this limit safely on these records: the reference is asked alone")
        elif optimism > 0:
            shop.notes.append(
                f"the limit was lowered by {optimism:.4f} while choosing, for the luck of the best of many plans"
            )
    candidate = tried.plans[chosen]
    board = shop.board_of(candidate)
    borders = settle(board, candidate, float(tried.cost[chosen]), shop.prices)
    policy = shop.policy(candidate, board, borders, name, cascade)
    own = answer(resolve_layout(policy), shop.records)
    expected = expected_of(shop, wish, tried.answer[:, chosen].astype(np.int64), float(tried.cost[chosen]), own)
    policy = promised(shop, wish, policy, expected, None)
    return result_of(shop, wish, policy, expected, points_of(shop, wish, chosen), own, None)


def _path(shop: Workshop, wish: Wish, pictures: int, name: str, cascade: str) -> tuple[list[Policy], list[float]]:
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
    best = shop.tried.plans[int(good[0])] if len(good) else shop.tried.plans[shop.alone]
    alone = shop.tried.plans[shop.alone]
    board = shop.board_of(best)
    policies, costs = (
        [shop.policy(alone, shop.board, [], name, cascade)],
        [float(shop.board.cost[list(shop.columns)].sum())],
    )
    if len(best.levels) == 1 and best.levels != alone.levels:
        policies.append(shop.policy(best, board, [], name, cascade))
        costs.append(float(board.cost[list(best.levels[0])].sum()))
    elif len(best.levels) > 1:
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


def _may_leave(policy: Policy) -> tuple[int, ...]:
    """Levels at which the policy lets pictures go: those with an open exit, and the last."""
    last = len(policy.layout) - 1
    rules = [policy.levels[level.name].exit for level in policy.layout]
    is_open = [
        (isinstance(rule, Threshold) and (rule.yes, rule.no) != (None, None))
        or (isinstance(rule, ByLabel) and any(at is not None for at in (rule.default, *rule.labels.values())))
        for rule in rules
    ]
    return tuple(index for index in range(last + 1) if index == last or is_open[index])


def _certified(
    shop: Workshop, certifying: Records, wish: Wish, name: str, cascade: str, on_progress: Progress | None
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
        [
            Trial(each.answer, each.level, _may_leave(policy))
            for each, policy in zip(answered[1:], policies[1:], strict=True)
        ],
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
    shop.notes += remarks(certificate, costs[1:], wish, shop.unit)
    at = certificate.promised  # 0: the reference alone, whose regret is 0 for certain
    policy, own = policies[at], answered[at]
    p_value = certificate.p_values[at - 1] if at else 0.0
    expected = figures(own, base, certifying, certifying.cost(shop.unit), wish.metric)
    policy = promised(shop, wish, policy, expected, p_value, certificate, certifying)
    low, high = metric_interval(wish.metric, certifying.label, own.answer, draws)
    chosen = Point(
        name=title(policy),
        kind="chosen",
        cost=expected.cost,
        metric=expected.metric,
        low=low,
        high=high,
        levels=tuple(tuple(member.model for member in level.members) for level in policy.layout),
        certified=True,
    )
    return result_of(shop, wish, policy, expected, (chosen, *points_of(shop, wish)), own, p_value, certifying)
