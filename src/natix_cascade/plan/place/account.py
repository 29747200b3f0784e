"""The account of a placement: what each GPU and the host hold."""

from __future__ import annotations

from collections.abc import Sequence

from natix_cascade.plan.place.allowances import GIB
from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.result import GpuUse, Placed

__all__ = ["host_usable", "use_of"]


def use_of(machine: Machine, placed: Sequence[Placed]) -> tuple[GpuUse, ...]:
    """Return the account of every GPU."""
    return tuple(_gpu(machine, index, placed) for index in range(len(machine.gpus)))


def host_usable(machine: Machine) -> int:
    """Bytes of RAM that models may take."""
    return int(machine.host * (1 - machine.allowances.host_kept))


def _gpu(machine: Machine, index: int, placed: Sequence[Placed]) -> GpuUse:
    gpu, allowances = machine.gpus[index], machine.allowances
    here = [item for item in placed if index in item.gpus]
    held = sum(item.on_gpu for item in here)
    room = max((item.parts.total - item.parts.held for item in here if item.asleep), default=0)
    process = round(allowances.context_gib * GIB) if any(not item.served for item in here) else 0
    kept = gpu.memory - int(gpu.memory * (1 - allowances.fragmentation))
    return GpuUse(
        index=index,
        name=gpu.name,
        memory=gpu.memory,
        placed=held,
        room=room,
        process=process,
        fragmentation=kept,
        free=gpu.memory - held - room - process - kept,
    )
