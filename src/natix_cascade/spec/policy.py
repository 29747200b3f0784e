"""Policies: what is fitted on data and obeyed by the runner, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval, Len

from natix_cascade.spec.base import Spec
from natix_cascade.spec.cascade import LevelSpec
from natix_cascade.spec.rules import Calibrator, ExitRule

__all__ = ["LevelPolicy", "Metric", "Policy", "Promise", "Reference"]

Metric = Literal["accuracy", "mcc", "reward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPolicy(Spec):
    """What a policy sets for one level; ``None`` keeps what the cascade says.

    Attributes
    ----------
    exit : Threshold, Agreement, Window, ByLabel or None
        The exit rule.
    weights : dict
        Weight in the vote after this level, by model name: of its members, and of earlier ones where the vote goes
        over all (their weight in this vote only).
    threshold : float or None
        Where yes begins for verdicts that are given after this level (default: the policy's own).
    """

    exit: ExitRule | None = None
    weights: dict[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    threshold: Annotated[float, Interval(gt=0, lt=1)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Spec):
    """Who a plan is compared with: one level of models that are always all asked.

    Attributes
    ----------
    name : str
        A model's name, or ``ensemble``.
    level : LevelSpec
        Its models, weights and vote.
    calibrators : dict
        Model name to calibrator.
    threshold : float
        Where yes begins.
    """

    name: Annotated[str, Len(1)]
    level: LevelSpec
    calibrators: dict[str, Calibrator] = field(default_factory=dict)
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise(Spec):
    """What a plan promises: how much worse than its reference it may be, and at what cost.

    Attributes
    ----------
    metric : {"accuracy", "mcc", "reward"}
        In which the loss is measured; ``reward`` is Subnet 72's.
    limit : float or None
        Largest regret, the reference's metric less the plan's; None where the plan was made for a budget.
    budget : float or None
        Largest mean cost, where the plan was made for one.
    delta : float or None
        With a guarantee: largest probability that the true regret is above `limit`. None: chosen by what the records
        show, without a guarantee.
    conditional : bool
        The guarantee holds among the pictures that leave at each level, not only over all.
    reference : Reference
        Who it is compared with.
    unit : str
        Of the costs.
    costs : dict
        Model name to cost of one answer.
    expected : dict
        What was estimated when the plan was made: cost, reference_cost, metric, reference_metric, regret.
    """

    metric: Metric = "accuracy"
    limit: float | None = None
    budget: Annotated[float, Ge(0)] | None = None
    delta: Annotated[float, Interval(gt=0, lt=1)] | None = None
    conditional: bool = False
    reference: Reference
    unit: str
    costs: dict[str, Annotated[float, Ge(0)]]
    expected: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Spec):
    """Calibrators, weights and exit thresholds for one cascade; written by a fit on data, obeyed by the runner.

    Attributes
    ----------
    name, version, cascade : str
        Which policy, and for which cascade.
    threshold : float
        Verdict is yes when the vote's probability is at least this.
    calibrators : dict
        Model name to calibrator.
    levels : dict
        Level name to what is set for it.
    layout : tuple of LevelSpec
        Levels that take the place of the cascade's own: which models are asked, in which order, and how.
    labels : tuple of str
        For answers of more than two kinds: the labels. Such a policy is for records only; a runner refuses it.
    models : dict
        Model name to the sha256 of the weights that the policy was fitted with; others are refused.
    made_from : str
        Data and method, for people.
    certificate : dict
        How the guarantee was won, if there is one.
    promise : Promise or None
        What `natix-cascade plan check` holds it to.
    """

    name: Annotated[str, Len(1)]
    version: str = "1"
    cascade: str
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    calibrators: dict[str, Calibrator] = field(default_factory=dict)
    levels: dict[str, LevelPolicy] = field(default_factory=dict)
    layout: tuple[LevelSpec, ...] = ()
    labels: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    made_from: str = ""
    certificate: dict[str, float | str] = field(default_factory=dict)
    promise: Promise | None = None
