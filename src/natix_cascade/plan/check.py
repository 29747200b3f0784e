"""Does a promise still hold? A policy replayed on new records, beside its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from natix_cascade.errors import PlanError
from natix_cascade.plan.choose import draws_of
from natix_cascade.plan.loss import metric_draws
from natix_cascade.plan.policies import Answered, answer, answer_reference, figures
from natix_cascade.plan.pvalues import regret
from natix_cascade.plan.records import Records
from natix_cascade.plan.result import Figures
from natix_cascade.plan.sequential import Watch
from natix_cascade.spec.policy import Policy, Promise
from natix_cascade.spec.resolved import ResolvedCascade, resolve_layout

__all__ = ["Check", "check", "new_watch"]

_ALARM = 0.05
_DRAWS = 1000
_ROOM = 4  # a watch takes groups this many times larger than the largest that is there when it begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What new records say of a promise.

    Attributes
    ----------
    figures : Figures
        On the new records.
    holds : bool
        They do not contradict the promise.
    within : bool
        The regret (or cost) that they show is within the limit; by chance alone it may be above while the promise
        holds, and the other way round.
    p_value : float
        How likely records like these are, at most, while the promise holds.
    alarm : float
        `holds` is false where `p_value` is below.
    limit : float or None
        Largest regret.
    budget : float or None
        Largest mean cost.
    pictures, groups : int
        Of the new records; with a watch, of all days so far.
    sequential : bool
        The test may be repeated every day: the chance of ever giving a false alarm stays `alarm`.
    """

    figures: Figures
    holds: bool
    within: bool
    p_value: float
    alarm: float
    limit: float | None
    budget: float | None
    pictures: int
    groups: int
    sequential: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the figures and the rest side by side."""
        rest = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "figures"}
        return self.figures.as_dict() | rest


def check(
    policy: Policy,
    records: Records,
    *,
    cascade: ResolvedCascade | None = None,
    watch: Watch | None = None,
    alarm: float = _ALARM,
    seed: int = 0,
) -> tuple[Check, Watch | None]:
    """Hold a policy to its promise.

    Parameters
    ----------
    policy : Policy
        With a promise.
    records : Records
        New ones, with labels, of all its models and its reference's.
    cascade : ResolvedCascade, optional
        For a policy without levels of its own: the cascade with this policy.
    watch : Watch, optional
        Evidence of earlier days (accuracy only); the new records are added to it.
    alarm : float
        Chance of a false alarm.
    seed : int
        Of bootstrap and betting.

    Returns
    -------
    check : Check
    watch : Watch or None
        With the new records in it, where one was given.

    Raises
    ------
    PlanError
        The policy promises nothing, or was made for other weights than these records.
    RecordsError
        The records lack a model, or the promise's unit.
    """
    promise = policy.promise
    if promise is None:
        raise PlanError(f"policy {policy.name!r} promises nothing; make one with 'natix-cascade plan make'")
    _same_weights(policy, records)
    own = answer(cascade or resolve_layout(policy), records)
    base = answer_reference(promise.reference, records)
    found = figures(own, base, records, records.cost(promise.unit), promise.metric)
    p_value, watch = _evidence(promise, own, base, records, watch, alarm, seed)
    within = found.cost <= promise.budget if promise.budget is not None else found.regret <= (promise.limit or 0.0)
    return (
        Check(
            figures=found,
            holds=p_value > alarm,
            within=bool(within),
            p_value=p_value,
            alarm=alarm,
            limit=promise.limit,
            budget=promise.budget,
            pictures=watch.pictures if watch else len(records),
            groups=watch.groups if watch else len(np.unique(records.group)),
            sequential=watch is not None,
        ),
        watch,
    )


def new_watch(policy: Policy, records: Records, alarm: float = _ALARM) -> Watch:
    """Begin a watch over a policy's promise, with room for groups larger than those that are there.

    Raises
    ------
    PlanError
        The promise is not one of accuracy.
    """
    promise = policy.promise
    if promise is None or promise.metric != "accuracy" or promise.limit is None:
        raise PlanError("a watch over many days is for promises of accuracy; check others without --state")
    largest = int(np.unique(records.group, return_counts=True)[1].max())
    room = 1 if largest == 1 else _ROOM * largest
    return Watch(alpha=promise.limit, delta=alarm, max_group=room)


def _evidence(
    promise: Promise, own: Answered, base: Answered, records: Records, watch: Watch | None, alarm: float, seed: int
) -> tuple[float, Watch | None]:
    """P-value of "the promise holds", and the watch with these records."""
    group = np.unique(records.group, return_inverse=True)[1].astype(np.int64)
    if promise.metric == "accuracy" and promise.limit is not None:
        losses = (own.answer != records.label).astype(np.float64) - (base.answer != records.label)
        if watch is not None:
            watch = watch.update(losses, records.group)
            return watch.p_value, watch
        weights = None if (records.weight == records.weight[0]).all() else records.weight
        single = len(np.unique(group)) == len(group)
        p = regret(-losses, -promise.limit, groups=None if single else group, weights=weights, seed=seed, aim=alarm)
        return p, None
    if watch is not None:
        raise PlanError("a watch over many days is for promises of accuracy; check others without --state")
    draws = draws_of(group, records.weight, seed=seed, draws=_DRAWS)
    if promise.budget is not None:
        costs = own.cost(dict(zip(records.models, records.cost(promise.unit).tolist(), strict=True)))
        shown, limit = (draws @ costs.astype(np.float32)).astype(np.float64), promise.budget
    else:
        shown = metric_draws(promise.metric, records.label, base.answer, draws)
        shown = shown - metric_draws(promise.metric, records.label, own.answer, draws)
        limit = promise.limit or 0.0
    return float(((shown <= limit).sum() + 1) / (_DRAWS + 1)), None


def _same_weights(policy: Policy, records: Records) -> None:
    for model, digest in policy.models.items():
        found = records.sha256.get(model)
        if found is not None and found != digest:
            raise PlanError(
                f"policy {policy.name!r} was made with other weights of {model!r} (sha256 {digest[:12]}...) than these "
                f"records ({found[:12]}...); record again, or plan again"
            )
