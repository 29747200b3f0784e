"""All ways to place each set of weights: precision, GPUs, awake, asleep or on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.memory import Parts, in_process, on_server
from natix_cascade.plan.place.units import Unit
from natix_cascade.plan.place.values import Worth
from natix_cascade.plan.place.wish import Wish
from natix_cascade.spec.origin import Precision

__all__ = ["SCALE", "Option", "gpu_sets", "may_use_cpu", "options_of"]

SCALE = 1_000
"""Values and times are whole numbers of this fraction in the solver."""

Work = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to place a set of weights.

    Attributes
    ----------
    precision : {"bf16", "fp8", "int4"}
        Of the weights.
    gpus : tuple of int
        Indices of the GPUs that hold it together; empty: the CPU.
    asleep : bool
        Its weights lie in the host's RAM until it is woken.
    parts : Parts
        Bytes on each of the GPUs while awake, or in the host's RAM for the CPU.
    host : int
        Bytes of the host's RAM.
    value : int
        What it is worth, in steps of 1/`SCALE`.
    work : int
        Nanoseconds of each of its GPUs (or of the CPU) for a picture that enters the cascade; 0 when nobody asks.
    """

    precision: Precision
    gpus: tuple[int, ...]
    asleep: bool
    parts: Parts
    host: int
    value: int
    work: int = 0


def gpu_sets(machine: Machine, unit: Unit) -> tuple[tuple[int, ...], ...]:
    """Sets of GPUs that can hold a model together: neighbours, in numbers that divide its attention heads.

    Key-value heads are split evenly or repeated evenly.
    """
    if not unit.served:
        return tuple((index,) for index in range(len(machine.gpus)))
    serving = unit.card.serving
    assert serving is not None  # noqa: S101 - units_of has checked it
    sets = []
    for group in machine.groups():
        for ways in range(1, len(group) + 1):
            even = serving.kv_heads % ways == 0 or ways % serving.kv_heads == 0
            if serving.heads % ways == 0 and even:
                sets += [group[at : at + ways] for at in range(0, len(group) - ways + 1, ways)]
    return tuple(sets)


def options_of(
    unit: Unit, machine: Machine, wish: Wish, worth: Worth, times: Mapping[str, float] | None = None
) -> tuple[Option, ...]:
    """All ways to place a set of weights that one of the machine's GPUs, or the host, could hold alone.

    Parameters
    ----------
    unit : Unit
        The set of weights.
    machine : Machine
        Where.
    wish : Wish
        Concurrency, precisions, priors.
    worth : Worth
        Value by member.
    times : dict or None
        Seconds of one GPU by member, for a picture that enters the cascade.
    """
    ways = _served(unit, machine, wish) if unit.served else _in_process(unit, machine, wish)
    value = sum(worth.value[name] for name in unit.members)
    work = sum(times[name] for name in unit.members) * 1e9 if times is not None else 0.0
    allowances = machine.allowances
    found = []
    for precision, gpus, asleep, parts, host, factor in ways:
        rate = allowances.cpu_rate if not gpus else len(gpus) * allowances.parallel_rate if len(gpus) > 1 else 1.0
        option = Option(
            precision=precision,
            gpus=gpus,
            asleep=asleep,
            parts=parts,
            host=host,
            value=max(round(value * factor * SCALE), 1),
            work=round(work / rate),
        )
        if all(parts.total <= machine.gpus[index].memory for index in gpus):
            found.append(option)
    return tuple(found)


def may_use_cpu(unit: Unit, machine: Machine) -> bool:
    """Whether a model may run on the CPU: shipped and small ones, and every in-process model where there is no GPU."""
    small = unit.shipped or not machine.gpus or unit.card.parameters <= machine.allowances.cpu_parameters
    return not unit.served and small


_Way = tuple[Precision, tuple[int, ...], bool, Parts, int, float]


def _served(unit: Unit, machine: Machine, wish: Wish) -> Iterator[_Way]:
    assert unit.card.serving is not None  # noqa: S101 - units_of has checked it
    known = unit.card.serving.memory_gb
    sets = gpu_sets(machine, unit)
    for precision in (name for name in ("bf16", "fp8", "int4") if name in wish.precisions and name in known):
        for gpus in sets:
            parts = on_server(unit, precision, len(gpus), wish, machine.allowances)
            kept = wish.kept.get(precision, 1.0)
            yield precision, gpus, False, parts, 0, kept
            if wish.sleep:
                host = (parts.weights + parts.adapters) * len(gpus)
                yield precision, gpus, True, parts, host, kept * wish.asleep


def _in_process(unit: Unit, machine: Machine, wish: Wish) -> Iterator[_Way]:
    parts = in_process(unit, wish, machine.allowances)
    if not unit.shipped:
        for gpus in gpu_sets(machine, unit):
            yield "bf16", gpus, False, parts, 0, 1.0
    slow = bool(machine.gpus) and not unit.shipped
    if may_use_cpu(unit, machine):
        yield "bf16", (), False, parts, parts.total, wish.on_cpu if slow else 1.0
