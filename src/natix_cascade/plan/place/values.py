"""What each member is worth to the cascade, and how many pictures reach it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from natix_cascade.decide.calibration import calibrate
from natix_cascade.errors import PlanError

if TYPE_CHECKING:
    from natix_cascade.plan.place.result import Placed
    from natix_cascade.plan.place.wish import Wish
    from natix_cascade.plan.records import Records
    from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["Worth", "expected_accuracy", "reach_of", "records_worth", "times_of", "votes_worth"]

_LEAST = 0.01
_CLIP = 0.5


@dataclass(frozen=True, slots=True)
class Worth:
    """What members are worth.

    Attributes
    ----------
    value : dict
        Member to value, above 0.
    source : str
        Where the values come from, for people.
    """

    value: dict[str, float]
    source: str


def votes_worth(cascade: ResolvedCascade) -> Worth:
    """Take the vote weights as a prior: nobody has measured these models on these pictures."""
    value = {member.model: max(member.weight, _LEAST) for member in cascade.members}
    return Worth(value, "vote weights of the cascade (a prior, not a measurement)")


def records_worth(cascade: ResolvedCascade, records: Records) -> Worth:
    """Take each model's log-odds of being right, as measured.

    They are the best weights of a majority vote of models that err independently of each other (Nitzan and Paroush
    1982, "Optimal decision rules in uncertain dichotomous choice situations"). Models that err together are worth less
    than their sum; `expected_accuracy` replays what was placed.

    Raises
    ------
    PlanError
        The records lack a model of the cascade, or are not about yes and no.
    """
    import numpy as np  # noqa: PLC0415

    if not records.yes_no:
        raise PlanError("a placement takes yes/no records; these have labels. Leave --records out")
    lacking = [member.model for member in cascade.members if member.model not in records.models]
    if lacking:
        raise PlanError(
            f"the records have nothing of {', '.join(lacking)}; record them too, or leave --records out (then the "
            "vote weights count)"
        )
    value: dict[str, float] = {}
    for member in cascade.members:
        score = records.score[:, records.column(member.model)]
        answered = ~np.isnan(score)
        weight = records.weight * answered
        probability = calibrate(member.calibrator, score)
        right = (probability >= _CLIP) == (records.label == 1)
        total = float(weight.sum())
        share = (float((weight * right).sum()) + _CLIP) / (total + 1.0)  # never quite 0 or 1
        value[member.model] = max(math.log(share / (1 - share)), _LEAST)
    return Worth(value, f"log-odds of each model's accuracy on {len(records):,} recorded pictures")


def reach_of(cascade: ResolvedCascade, wish: Wish, records: Records | None = None) -> dict[str, float]:
    """Share of the pictures that reach each level: replayed on records, unless the wish says it.

    Raises
    ------
    PlanError
        The wish names a level that is not there.
    """
    names = [level.name for level in cascade.levels]
    unknown = sorted(set(wish.shares) - set(names))
    if unknown:
        raise PlanError(f"no level {', '.join(unknown)} in {cascade.name}; its levels: {', '.join(names)}")
    reach = dict.fromkeys(names, 1.0)
    if records is not None:
        from natix_cascade.plan.policies import answer  # noqa: PLC0415

        left = 1.0
        for name, share in answer(cascade, records).exit_shares(records.weight).items():
            reach[name], left = max(left, 0.0), left - share
    return reach | wish.shares


def times_of(cascade: ResolvedCascade, wish: Wish, reach: Mapping[str, float]) -> dict[str, float]:
    """Seconds of one GPU that each member takes, on average, for a picture that enters the cascade.

    A role without a rate of its own is as fast as its card.

    Raises
    ------
    PlanError
        The rates lack a member, or none is known.
    """
    rates = {m.model: wish.rates.get(m.model, wish.rates.get(m.model.partition(":")[0])) for m in cascade.members}
    lacking = [model for model, rate in rates.items() if rate is None]
    if lacking:
        raise PlanError(
            f"throughput needs the pictures/s of every model; there are none of {', '.join(lacking)}. Give them in a "
            "file (--rates), as for 'plan throughput'"
        )
    return {
        member.model: reach[level.name] / rate
        for level in cascade.levels
        for member in level.members
        if (rate := rates[member.model])
    }


def expected_accuracy(cascade: ResolvedCascade, placed: Sequence[Placed], records: Records) -> float:
    """Accuracy of the cascade on records, with every model that has no place taken as one that did not answer."""
    import numpy as np  # noqa: PLC0415

    from natix_cascade.plan.policies import answer  # noqa: PLC0415

    there = {name for item in placed for name in item.members}
    gone = np.array([model not in there for model in records.models])
    score = np.where(gone, np.nan, records.score)
    played = replace(records, score=score, failed=records.failed | gone)
    right = answer(cascade, played).answer == records.label
    return float(np.average(right, weights=records.weight))
