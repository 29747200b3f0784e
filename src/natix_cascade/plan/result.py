"""What planning gives: the policy, the front it was chosen from, and how the pictures flow through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from natix_cascade.spec.build import plain
from natix_cascade.spec.policy import Metric, Policy

__all__ = ["Figures", "Plan", "Point", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a plan costs and how good it is, beside its reference.

    Attributes
    ----------
    cost, reference_cost : float
        Mean cost of a picture.
    metric, reference_metric : float
        Accuracy, MCC or reward.
    regret : float
        The reference's metric less the plan's; negative where the plan is better.
    exit_shares : dict
        Level name to the share of pictures that leave there; adds up to 1.
    """

    cost: float
    reference_cost: float
    metric: float
    reference_metric: float
    regret: float
    exit_shares: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One plan, or one way of doing without a plan, on the plot of cost against metric.

    Attributes
    ----------
    name : str
        For people: ``efficientnet_b3a``, ``mobilenet > b3a``, ``vote of all``.
    kind : {"plan", "chosen", "reference", "model", "vote", "agreement", "threshold"}
        What it is: a plan of the front; the chosen one; the reference; a single model; the vote of several; the first
        two agree or the reference decides; the best plain threshold between two models.
    cost, metric : float
        Means; for plans on pictures that had no part in their thresholds.
    low, high : float
        95 % interval of the metric (bootstrap by group).
    levels : tuple of tuple of str
        The models, level by level.
    certified : bool
        A plan for which the guarantee was won.
    """

    name: str
    kind: Literal["plan", "chosen", "reference", "model", "vote", "agreement", "threshold"]
    cost: float
    metric: float
    low: float
    high: float
    levels: tuple[tuple[str, ...], ...] = ()
    certified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One level of the chosen plan.

    Attributes
    ----------
    name : str
        Of the level.
    models : tuple of str
        Who is asked.
    reached, leaves : float
        Share of all pictures that get there, and that leave there.
    right : float or None
        Share of right answers among those that leave; None where nobody does.
    cost : float
        What the level adds to the mean cost of a picture.
    rule : str
        Its exit rule in words.
    """

    name: str
    models: tuple[str, ...]
    reached: float
    leaves: float
    right: float | None
    cost: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A policy and where it comes from.

    Attributes
    ----------
    policy : Policy
        To be written to a file and obeyed by the runner.
    unit : str
        Of all costs.
    metric : {"accuracy", "mcc", "reward"}
        Of all points.
    reference : str
        Who the plan is compared with.
    limit, budget, delta : float or None
        What was asked for: regret (or certified risk), mean cost, probability that the guarantee fails.
    expected : Figures
        Estimated on pictures that had no part in the thresholds (or, with a guarantee, on the certification part).
    points : tuple of Point
        The front and the named reference points, by rising cost.
    steps : tuple of Step
        The chosen plan, level by level.
    pictures, groups : int
        That it was made from.
    p_value : float or None
        Of the guarantee.
    notes : tuple of str
        What to know: a guarantee that could not be won, how many more labelled pictures would allow a cheaper plan.
    created : str
        Date and time, ISO 8601.
    """

    policy: Policy
    unit: str
    metric: Metric
    reference: str
    limit: float | None
    budget: float | None
    delta: float | None
    expected: Figures
    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    pictures: int
    groups: int
    p_value: float | None
    notes: tuple[str, ...]
    created: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        skipped = {"policy", "expected", "points", "steps"}
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in skipped} | {
            "expected": self.expected.as_dict(),
            "points": [plain(point) for point in self.points],
            "steps": [plain(step) for step in self.steps],
            "policy": f"{self.policy.name}@{self.policy.version}",
        }
