"""What a placement says: who lies where, how much it takes, who sleeps and who stays out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.memory import Parts
from natix_cascade.plan.place.wish import Wish
from natix_cascade.spec.origin import Precision

__all__ = ["GpuUse", "LeftOut", "Need", "Placed", "Placement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One set of weights at its place.

    Attributes
    ----------
    model : str
        The card.
    members : tuple of str
        All members of the cascade that it answers for (roles, adapters).
    precision : {"bf16", "fp8", "int4"}
        Of the weights.
    gpus : tuple of int
        Indices of the GPUs that hold it together; empty: the CPU.
    asleep : bool
        Its weights lie in the host's RAM; it is woken into the room that is kept on its GPUs.
    memory_fraction : float or None
        For a server: its part of each GPU's memory (vLLM's ``--gpu-memory-utilization``); None inside the cascade's
        own process.
    parts : Parts
        Bytes on each GPU while awake, or in the host's RAM for the CPU.
    host : int
        Bytes of the host's RAM.
    """

    model: str
    members: tuple[str, ...]
    precision: Precision
    gpus: tuple[int, ...]
    asleep: bool
    memory_fraction: float | None
    parts: Parts
    host: int

    @property
    def served(self) -> bool:
        """Whether a server of its own holds it."""
        return self.memory_fraction is not None

    @property
    def on_gpu(self) -> int:
        """Bytes that it holds now on each of its GPUs."""
        return 0 if not self.gpus else self.parts.held if self.asleep else self.parts.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What would let a left-out model in, with all others as they are.

    Attributes
    ----------
    precision : {"bf16", "fp8", "int4"}
        Of the weights.
    gpus : tuple of int
        Where; empty: the CPU, or a machine without GPUs.
    asleep : bool
        Whether it would sleep.
    gpu_bytes : int
        More memory on each of these GPUs (0: it is the host that is too small).
    host_bytes : int
        More RAM of the host.
    lower : str or None
        A precision that was not wished, or that the card does not have, at which it would fit as things are.
    text : str
        In words.
    """

    precision: Precision
    gpus: tuple[int, ...]
    asleep: bool
    gpu_bytes: int
    host_bytes: int
    text: str
    lower: Precision | None = None

    @property
    def total(self) -> int:
        """Bytes on all of its GPUs and of the host."""
        return self.gpu_bytes * max(len(self.gpus), 1) + self.host_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A model that has no place, and what it would need."""

    model: str
    members: tuple[str, ...]
    required: bool
    need: Need | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """The account of one GPU, in bytes: what residents and sleepers hold, and the rest.

    Attributes
    ----------
    index, name, memory
        Of the GPU.
    placed : int
        Residents, and what sleepers still hold.
    room : int
        Kept free to wake the largest of the sleepers.
    process : int
        Context of the process of the in-process models.
    fragmentation : int
        Never used.
    free : int
        What is left.
    """

    index: int
    name: str
    memory: int
    placed: int
    room: int
    process: int
    fragmentation: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a cascade's models lie on a machine.

    Attributes
    ----------
    cascade : str
        Name and version.
    machine : Machine
        Where.
    wish : Wish
        What was wished.
    placed, left_out
        Every set of weights is in one of them.
    gpus : tuple of GpuUse
        In the machine's order.
    host : int
        Bytes of the host's RAM that are taken.
    host_usable : int
        That may be.
    status : {"optimal", "feasible"}
        Whether nothing can be worth more.
    value, bound : float
        What it is worth, and the most that anything could be; required models count apart (see `required`).
    gap : float
        (bound - value) / bound.
    required : tuple of int
        Required sets of weights that are placed, and all of them.
    worth : str
        Where the values come from.
    accuracy : float or None
        Of the placed cascade, replayed on records.
    pictures_per_second : float or None
        1 / the time that the busiest GPU takes for a picture; with rates only.
    seconds : float
        That the solver took.
    notes : tuple of str
        What else should be known.
    """

    cascade: str
    machine: Machine
    wish: Wish
    placed: tuple[Placed, ...]
    left_out: tuple[LeftOut, ...]
    gpus: tuple[GpuUse, ...]
    host: int
    host_usable: int
    status: str
    value: float
    bound: float
    gap: float
    required: tuple[int, int]
    worth: str
    accuracy: float | None = None
    pictures_per_second: float | None = None
    seconds: float
    notes: tuple[str, ...] = ()

    def on(self, gpu: int) -> tuple[Placed, ...]:
        """Who lies on a GPU, residents first."""
        here = [item for item in self.placed if gpu in item.gpus]
        return tuple(sorted(here, key=lambda item: item.asleep))

    def servers(self) -> dict[str, Any]:
        """The servers' places as plain data, which ``natix-cascade engines plan --placement`` reads."""
        fields = ("model", "precision", "gpus", "memory_fraction", "asleep")
        placed = [{name: getattr(item, name) for name in fields} for item in self.placed if item.served]
        return {"placed": placed}

    def as_dict(self) -> dict[str, Any]:
        """Plain data; bytes as they are. The solver's seconds are left out: equal wishes give equal answers."""
        data = asdict(self)
        del data["seconds"]
        return data
