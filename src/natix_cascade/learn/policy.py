"""The policy that a cascade is shipped with: planned on records of its calibration split, at a budget."""

from __future__ import annotations

from dataclasses import replace

from natix_cascade.plan import Records, plan
from natix_cascade.plan.policies import in_place
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.policy import Policy

__all__ = ["fit_policy"]


def fit_policy(cascade: CascadeSpec, records: Records, *, budget: float, made_from: str, seed: int = 0) -> Policy:
    """Plan calibrators, votes and thresholds for a cascade that keeps its own levels.

    The same as ``natix-cascade plan make RECORDS --keep-levels --metric mcc --reference vote --budget BUDGET``.

    Parameters
    ----------
    cascade : CascadeSpec
        Whose levels are kept.
    records : Records
        Of all its models.
    budget : float
        Largest mean cost of a picture, in the records' unit.
    made_from : str
        Said in the policy.
    seed : int
        Of the planner.
    """
    levels = tuple(tuple(member.model for member in level.members) for level in cascade.levels if level.members)
    made = plan(
        records,
        name=cascade.name,
        cascade=cascade.name,
        levels=levels,
        budget=budget,
        metric="mcc",
        reference="vote",
        seed=seed,
    )
    return replace(in_place(made.policy, cascade), made_from=made_from)
