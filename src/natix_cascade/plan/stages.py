"""A cascade as a line of stations: which share of the pictures comes by, how fast each one is, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from natix_cascade.errors import PlanError
from natix_cascade.plan.rates import Rate, Rates, rate_of
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec

__all__ = ["Ask", "Stage", "Station", "check_stages", "reach_of", "stages_of"]

Ask = Literal["all", "one", "in_turn"]
Replicas = tuple[tuple[str, ...], ...]

_MODES: dict[str, Ask] = {"all": "all", "one": "one", "until-agreement": "in_turn"}
_SLACK = 1e-9  # sums of shares are floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A model at its place.

    Attributes
    ----------
    model : str
        Its name.
    rate : Rate
        Of one replica.
    replicas : tuple of tuple of str
        Devices of each copy. A copy on several devices (tensor parallelism) occupies them all while it works, and its
        rate is that of all of them together.
    share : float
        Of the pictures that reach the level: how many ask this model.
    """

    model: str
    rate: Rate
    replicas: Replicas
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One level.

    Attributes
    ----------
    name : str
        Of the level.
    reach : float
        Share of all pictures that reach it.
    stations : tuple of Station
        Its models; none for a level that only counts votes.
    ask : {"all", "one", "in_turn"}
        All at once (each with its share), one of them (shares add up to 1), or one after the other (falling shares).
    """

    name: str
    reach: float
    stations: tuple[Station, ...]
    ask: Ask = "all"


def reach_of(leaving: Sequence[float], levels: int) -> tuple[float, ...]:
    """Share of all pictures that reach each level.

    Parameters
    ----------
    leaving : sequence of float
        Share of all pictures that leave after each level; the last level, which all the rest leave, may be left out.
    levels : int
        How many there are.

    Raises
    ------
    PlanError
        There are too few or too many shares, one is negative, or together they are more than 1.
    """
    if len(leaving) not in {levels, levels - 1}:
        raise PlanError(f"{len(leaving)} shares for {levels} levels; give one for each level (but the last, if wanted)")
    if min(leaving, default=0.0) < 0 or sum(leaving) > 1 + _SLACK:
        raise PlanError(f"shares of pictures that leave must be at least 0 and at most 1 together, not {list(leaving)}")
    reach = [max(1.0 - sum(leaving[:level]), 0.0) for level in range(levels)]
    return tuple(0.0 if share < _SLACK else share for share in reach)


def stages_of(
    cascade: CascadeSpec,
    rates: Rates,
    reach: Sequence[float],
    *,
    gpus: Sequence[str] = ("GPU 0",),
    placement: Mapping[str, Replicas] | None = None,
    asked: Mapping[str, float] | None = None,
    free: bool = False,
) -> tuple[Stage, ...]:
    """Lay a cascade out as stations.

    Parameters
    ----------
    cascade : CascadeSpec
        Its levels.
    rates : Rates
        How fast the models are.
    reach : sequence of float
        Share of all pictures that reach each level; see `reach_of`.
    gpus : sequence of str
        Names. Models without a placement have a copy on each: the best that any placement can do, if it fits.
    placement : mapping or None
        Model name to the devices of each of its copies.
    asked : mapping or None
        Model name to the share of pictures, of those that reach its level, that ask it. Default: 1; in a level that
        asks one of n models, 1/n.
    free : bool
        Models without a rate cost nothing (an upper bound of the throughput) rather than being an error.

    Raises
    ------
    PlanError
        A model has no rate, or the shares do not fit.
    """
    if len(reach) != len(cascade.levels):
        names = ", ".join(level.name for level in cascade.levels)
        raise PlanError(f"cascade {cascade.name!r} has {len(cascade.levels)} levels ({names}), not {len(reach)}")
    everywhere = tuple((gpu,) for gpu in gpus)
    stages = tuple(
        Stage(
            name=level.name,
            reach=share,
            ask=_MODES[level.mode],
            stations=tuple(
                Station(
                    model=model,
                    rate=rate,
                    replicas=(placement or {}).get(model, everywhere),
                    share=(asked or {}).get(model, 1 / len(level.members) if level.mode == "one" else 1.0),
                )
                for model, rate in _rates(level, rates, free=free)
            ),
        )
        for level, share in zip(cascade.levels, reach, strict=True)
    )
    check_stages(stages)
    return stages


def check_stages(stages: Sequence[Stage]) -> None:
    """See that shares are shares.

    Raises
    ------
    PlanError
        They are not between 0 and 1, more pictures reach a level than the one before, those of a level that asks one
        model are more than 1 together, or a model stands nowhere.
    """
    before = 1.0
    for stage in stages:
        if not 0 <= stage.reach <= before + _SLACK:
            raise PlanError(f"level {stage.name!r} is reached by {stage.reach:g} of the pictures, not 0 to {before:g}")
        before = stage.reach
        shares = [station.share for station in stage.stations]
        if any(not 0 <= share <= 1 for share in shares):
            raise PlanError(f"level {stage.name!r}: shares of pictures that ask a model must be 0 to 1, not {shares}")
        if stage.ask == "one" and sum(shares) > 1 + _SLACK:
            raise PlanError(f"level {stage.name!r} asks one model, but the shares {shares} are more than 1 together")
        if stage.ask == "in_turn" and any(later > first for first, later in pairwise(shares)):
            raise PlanError(f"level {stage.name!r} asks one model after the other, but the shares {shares} grow")
        for station in stage.stations:
            if not station.replicas or not all(station.replicas):
                raise PlanError(f"model {station.model!r} stands on no device; give it one, or leave it out")


def _rates(level: LevelSpec, rates: Rates, *, free: bool) -> list[tuple[str, Rate]]:
    found = [(member.model, rate_of(member.model, rates)) for member in level.members]
    missing = [model for model, rate in found if rate is None]
    if missing and not free:
        known = ", ".join(sorted(rates.models)) or "none"
        raise PlanError(f"level {level.name!r}: no rate for {', '.join(missing)}; there are rates for {known}")
    return [(model, rate) for model, rate in found if rate is not None]
