"""From a cascade and a machine to a placement, added up again before it is handed out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from natix_cascade.plan.place.account import host_usable, use_of
from natix_cascade.plan.place.check import check
from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.model import Solution, solve
from natix_cascade.plan.place.needs import need_of
from natix_cascade.plan.place.options import SCALE, Option, options_of
from natix_cascade.plan.place.result import LeftOut, Placed, Placement
from natix_cascade.plan.place.units import Unit, units_of
from natix_cascade.plan.place.values import Worth, expected_accuracy, reach_of, records_worth, times_of, votes_worth
from natix_cascade.plan.place.wish import Wish

if TYPE_CHECKING:
    from natix_cascade.plan.records import Records
    from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["DIGITS", "place"]

DIGITS = 6
"""Of a server's fraction of a GPU."""


def place(
    cascade: ResolvedCascade, machine: Machine, wish: Wish | None = None, *, records: Records | None = None
) -> Placement:
    """Place the models of a cascade on a machine.

    Parameters
    ----------
    cascade : ResolvedCascade
        With its cards, and a policy if there is one.
    machine : Machine
        See `read_machine`.
    wish : Wish or None
        Aim, concurrency, precisions, priors.
    records : Records or None
        Where values and shares of traffic come from; without them, the vote weights and the wish's shares.

    Returns
    -------
    Placement
        Checked by `check`.

    Raises
    ------
    PlanError
        A card says too little, rates or records lack a model, or (a mistake of ours) the sums do not hold.
    MissingExtraError
        OR-tools is not installed.
    """
    wish = wish or Wish()
    units = units_of(cascade)
    worth = votes_worth(cascade) if records is None else records_worth(cascade, records)
    times = _times(cascade, wish, records)
    options = [options_of(unit, machine, wish, worth, times) for unit in units]
    solution = solve(units, options, machine, wish)
    made = _placement(cascade, machine, wish, units, worth, solution)
    if records is not None:
        made = replace(made, accuracy=expected_accuracy(cascade, made.placed, records))
    check(made, cascade)
    return made


def _times(cascade: ResolvedCascade, wish: Wish, records: Records | None) -> Mapping[str, float] | None:
    if wish.objective != "throughput" and not wish.rates:
        return None
    return times_of(cascade, wish, reach_of(cascade, wish, records))


def _placement(
    cascade: ResolvedCascade, machine: Machine, wish: Wish, units: Sequence[Unit], worth: Worth, solution: Solution
) -> Placement:
    pairs = list(zip(units, solution.chosen, strict=True))
    placed = tuple(_placed(unit, option, machine) for unit, option in pairs if option is not None)
    use = use_of(machine, placed)
    host = sum(item.host for item in placed)
    free = host_usable(machine) - host
    left = tuple(
        LeftOut(
            model=unit.name,
            members=unit.members,
            required=unit.required,
            need=need_of(unit, machine, wish, use, free),
        )
        for unit, option in pairs
        if option is None
    )
    value = sum(option.value for option in solution.chosen if option is not None)
    busiest = _busiest(machine, solution.chosen)
    return Placement(
        cascade=cascade.name,
        machine=machine,
        wish=wish,
        placed=placed,
        left_out=left,
        gpus=use,
        host=host,
        host_usable=host_usable(machine),
        status=solution.status,
        value=value / SCALE,
        bound=(solution.peak + solution.bound - solution.best) / SCALE,
        gap=(solution.bound - solution.best) / max(solution.peak + solution.bound - solution.best, 1),
        required=(
            sum(unit.required for unit, option in pairs if option is not None),
            sum(unit.required for unit in units),
        ),
        worth=worth.source,
        pictures_per_second=1e9 / busiest if busiest else None,
        seconds=solution.seconds,
        notes=_notes(machine, units, solution, left, wish),
    )


def _placed(unit: Unit, option: Option, machine: Machine) -> Placed:
    fraction = None
    if unit.served:
        memory = machine.gpus[option.gpus[0]].memory
        fraction = math.floor(option.parts.total / memory * 10**DIGITS) / 10**DIGITS
    return Placed(
        model=unit.name,
        members=unit.members,
        precision=option.precision,
        gpus=option.gpus,
        asleep=option.asleep,
        memory_fraction=fraction,
        parts=option.parts,
        host=option.host,
    )


def _busiest(machine: Machine, chosen: Sequence[Option | None]) -> int:
    """Nanoseconds of the busiest GPU, or of the CPU, for a picture; 0 without rates."""
    there = [option for option in chosen if option is not None]
    busy = [sum(option.work for option in there if index in option.gpus) for index in range(len(machine.gpus))]
    return max([*busy, sum(option.work for option in there if not option.gpus)])


def _notes(
    machine: Machine, units: Sequence[Unit], solution: Solution, left: Sequence[LeftOut], wish: Wish
) -> tuple[str, ...]:
    notes = []
    if machine.host_assumed:
        notes.append(f"the host's RAM is not known; {machine.host / 1e9:.0f} GB were assumed (say --host-ram)")
    if solution.status != "optimal":
        notes.append("stopped at the time limit: a better placement may exist, and another run may differ")
    missing = [item.model for item in left if item.required]
    if missing:
        notes.append(f"required, but left out: {', '.join(missing)}; verdicts that reach them are degraded")
    unknown = [
        unit.name
        for unit in units
        if unit.served and unit.card.serving is not None and wish.picture not in unit.card.serving.picture_tokens
    ]
    if unknown:
        tokens = machine.allowances.unknown_picture_tokens
        notes.append(f"tokens of a picture are not on the cards of {', '.join(unknown)}; {tokens:,} were taken")
    int4 = [
        unit.name for unit, option in zip(units, solution.chosen, strict=True) if option and option.precision == "int4"
    ]
    if int4:
        notes.append(
            f"no engine makes int4 weights while loading; quantised checkpoints are needed of {', '.join(int4)}"
        )
    if any(option.asleep for option in solution.chosen if option is not None):
        notes.append("of the sleepers that share a GPU's wake-up room, one is awake at a time")
    return tuple(notes)
