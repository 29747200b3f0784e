"""What a left-out model would need: the smallest addition of memory, or the precision, that lets it in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from natix_cascade.plan.place.allowances import GIB
from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.memory import Parts, in_process, on_server
from natix_cascade.plan.place.options import gpu_sets, may_use_cpu
from natix_cascade.plan.place.result import GpuUse, Need
from natix_cascade.plan.place.units import Unit
from natix_cascade.plan.place.wish import Wish
from natix_cascade.spec.origin import Precision

__all__ = ["need_of"]

_PRECISIONS: tuple[Precision, ...] = ("bf16", "fp8", "int4")


@dataclass(frozen=True, slots=True)
class _Way:
    precision: Precision
    gpus: tuple[int, ...]
    asleep: bool
    parts: Parts
    known: bool = True
    allowed: bool = True


def need_of(unit: Unit, machine: Machine, wish: Wish, gpus: Sequence[GpuUse], host_free: int) -> Need | None:
    """Return the least that would let a unit in, all others as they are.

    Least is: the fewest bytes of GPUs and host together, then awake before asleep, then the higher precision. A lower
    precision that the card does not have, or that was not wished, is named beside it if it would fit as things are.

    Parameters
    ----------
    unit : Unit
        That was left out.
    machine : Machine
        Where.
    wish : Wish
        What was wished.
    gpus : sequence of GpuUse
        Account of the placement.
    host_free : int
        Bytes of RAM that models may still take.
    """
    ways = list(_ways(unit, machine, wish))
    found = [_need(unit, way, machine, gpus, host_free) for way in ways if way.allowed]
    if not found:
        return None
    rank = {name: number for number, name in enumerate(_PRECISIONS)}
    least = min(found, key=lambda need: (need.total, need.asleep, rank[need.precision], need.gpus))
    for way in ways:
        if not way.allowed and not _need(unit, way, machine, gpus, host_free).total:
            state = ", asleep" if way.asleep else ""
            text = f"{least.text}; or nothing more but weights at {way.precision} ({_size(way)}{state})"
            return replace(least, lower=way.precision, text=text)
    return least


def _ways(unit: Unit, machine: Machine, wish: Wish) -> Iterator[_Way]:
    if not unit.served:
        parts = in_process(unit, wish, machine.allowances)
        gpus_only = () if unit.shipped else gpu_sets(machine, unit)
        for gpus in (*gpus_only, *([()] if may_use_cpu(unit, machine) else [])):
            yield _Way("bf16", gpus, asleep=False, parts=parts)
        return
    assert unit.card.serving is not None  # noqa: S101 - units_of has checked it
    sets = gpu_sets(machine, unit) or ((),)
    for precision in _PRECISIONS:
        known = precision in unit.card.serving.memory_gb
        allowed = known and precision in wish.precisions
        for gpus in sets:
            parts = on_server(unit, precision, max(len(gpus), 1), wish, machine.allowances)
            yield _Way(precision, gpus, asleep=False, parts=parts, known=known, allowed=allowed)
            if wish.sleep and gpus:
                yield _Way(precision, gpus, asleep=True, parts=parts, known=known, allowed=allowed)


def _need(unit: Unit, way: _Way, machine: Machine, gpus: Sequence[GpuUse], host_free: int) -> Need:
    lacks = [_lacks(unit, way, gpus[index], machine) for index in way.gpus]
    on_gpu, on_host = max(lacks, default=0), 0
    if way.asleep:
        on_host = max((way.parts.weights + way.parts.adapters) * len(way.gpus) - host_free, 0)
    elif not way.gpus and unit.served:
        on_gpu = way.parts.total
    elif not way.gpus:
        on_host = max(way.parts.total - host_free, 0)
    allowances = machine.allowances
    grown = -(-on_gpu // (1 - allowances.fragmentation))  # a larger GPU keeps its share unused
    return Need(
        precision=way.precision,
        gpus=way.gpus,
        asleep=way.asleep,
        gpu_bytes=int(grown),
        host_bytes=int(-(-on_host // (1 - allowances.host_kept))),
        text=_words(unit, way, int(grown), on_host),
    )


def _lacks(unit: Unit, way: _Way, gpu: GpuUse, machine: Machine) -> int:
    """Bytes that a GPU lacks for it."""
    if way.asleep:
        wanted = way.parts.held + max(way.parts.total - way.parts.held - gpu.room, 0)
    else:
        wanted = way.parts.total
        if not unit.served and not gpu.process:
            wanted += round(machine.allowances.context_gib * GIB)
    return max(wanted - gpu.free, 0)


def _words(unit: Unit, way: _Way, gpu: int, host: int) -> str:
    what = f"{way.precision} ({_size(way)})"
    state = ", asleep" if way.asleep else ""
    if not way.gpus and unit.served:
        return f"a GPU with {gpu / 1e9:.1f} GB, at {what}"
    more = []
    if gpu:
        where = f"GPU {way.gpus[0]}" if len(way.gpus) == 1 else f"each of GPUs {', '.join(map(str, way.gpus))}"
        more.append(f"{gpu / 1e9:.1f} GB more on {where}")
    if host:
        more.append(f"{host / 1e9:.1f} GB more RAM of the host")
    return f"{' and '.join(more) or 'nothing more'}, at {what}{state}"


def _size(way: _Way) -> str:
    weights = (way.parts.weights + way.parts.adapters) * max(len(way.gpus), 1) / 1e9
    return f"{weights:.1f} GB of weights{'' if way.known else ', estimated: the card has none'}"
