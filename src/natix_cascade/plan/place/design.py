"""What the design says of memory, added up from the cards: where its own allocation breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt

from natix_cascade.errors import PlanError
from natix_cascade.plan.place.drawing import Block, Row, page_of
from natix_cascade.plan.place.machine import read_machine
from natix_cascade.plan.place.memory import on_server, weights_gb
from natix_cascade.plan.place.units import Unit, units_of
from natix_cascade.plan.place.wish import Wish
from natix_cascade.plan.place.wording import gb
from natix_cascade.spec.base import Spec
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.library import load_cascade
from natix_cascade.spec.origin import Precision

__all__ = ["Design", "Finding", "draw_design", "examine", "read_design"]

_FILE = Path(__file__).with_name("design.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Spec):
    """One thing that the design says.

    Attributes
    ----------
    id, said : str
        A short name, and what is said.
    kind : str
        How it is examined.
    said_gb : float
        The figure.
    of : str
        What the figure is.
    model : str
        A card.
    precision : {"bf16", "fp8", "int4"}
        Of its weights.
    ways : int
        GPUs that hold it together.
    fraction : float
        Of each GPU's memory.
    reserved : tuple of (int, int)
        Replicas, and GPUs of each.
    """

    id: str
    said: str
    kind: Literal["total", "weights", "everything", "fits", "fraction", "reserved"]
    said_gb: float = 0.0
    of: str = ""
    model: str = ""
    precision: Precision = "int4"
    ways: int = 1
    fraction: float = 0.0
    reserved: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Design(Spec):
    """The design's machine, its cascade, and what it says of memory."""

    machine: str
    cascade: str
    gpu_gb: Annotated[float, Gt(0)]
    claims: tuple[Claim, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a claim.

    Attributes
    ----------
    id, said : str
        The claim.
    holds : bool
        Whether it adds up.
    sum : str
        The arithmetic, in words.
    said_gb, true_gb : float
        Both figures, GB (for GPUs that are reserved: their number).
    """

    id: str
    said: str
    holds: bool
    sum: str
    said_gb: float
    true_gb: float


def read_design(path: Path = _FILE) -> Design:
    """Read what the design says."""
    return read_spec(path, Design)


def examine(design: Design | None = None, wish: Wish | None = None) -> tuple[Finding, ...]:
    """Add every claim up from the cards; needs no solver.

    Raises
    ------
    PlanError
        A claim names a model that is not in the cascade.
    """
    design = design or read_design()
    units = {unit.name: unit for unit in units_of(load_cascade(design.cascade)[0])}
    book = _Book(design, units, wish or Wish())
    return tuple(book.finding(claim) for claim in design.claims)


@dataclass(frozen=True, slots=True)
class _Book:
    design: Design
    units: dict[str, Unit]
    wish: Wish

    def finding(self, claim: Claim) -> Finding:
        """Examine one claim."""
        ways: dict[str, Callable[[Claim], tuple[bool, float, float, str]]] = {
            "total": self._total,
            "weights": self._weights,
            "everything": self._everything,
            "fits": self._fits,
            "fraction": self._fraction,
            "reserved": self._reserved,
        }
        holds, said, true, text = ways[claim.kind](claim)
        return Finding(id=claim.id, said=claim.said, holds=holds, sum=text, said_gb=said, true_gb=round(true, 1))

    def _unit(self, claim: Claim) -> Unit:
        if claim.model not in self.units:
            raise PlanError(
                f"the design's {claim.id!r} is about {claim.model!r}, which {self.design.cascade} does not have"
            )
        return self.units[claim.model]

    def _total(self, claim: Claim) -> tuple[bool, float, float, str]:
        over = claim.said_gb - self.design.gpu_gb
        text = f"{claim.said_gb:g} GB on a GPU of {self.design.gpu_gb:g} GB: {over:.1f} GB too much ({claim.of})"
        return over <= 0, claim.said_gb, self.design.gpu_gb, text

    def _weights(self, claim: Claim) -> tuple[bool, float, float, str]:
        unit = self._unit(claim)
        true = weights_gb(unit.card, claim.precision)
        kv = on_server(unit, claim.precision, 1, self.wish, read_machine(self.design.machine).allowances).kv
        text = (
            f"{unit.card.parameters / 1e9:g} billion parameters at {claim.precision} are {true:g} GB, "
            f"{true / claim.said_gb:.1f} times as much; compression could save at most the cache, which is {gb(kv)} GB "
            f"for {self.wish.concurrency} requests"
        )
        return true <= claim.said_gb, claim.said_gb, true, text

    def _everything(self, claim: Claim) -> tuple[bool, float, float, str]:
        served = sorted(
            ((weights_gb(unit.card, claim.precision), unit.name) for unit in self.units.values() if unit.served),
            reverse=True,
        )
        inside = sum(weights_gb(unit.card, "bf16") for unit in self.units.values() if not unit.served)
        total = sum(size for size, _ in served)
        most, name = served[0]
        text = (
            f"the {len(served)} vision-language models alone are {total:.0f} GB of weights at {claim.precision}, "
            f"{name} {most:.0f} of them; the other {len(self.units) - len(served)} models add {inside:.1f} GB at bf16"
        )
        return total + inside <= claim.said_gb, claim.said_gb, total + inside, text

    def _fits(self, claim: Claim) -> tuple[bool, float, float, str]:
        machine = read_machine(self.design.machine)
        parts = on_server(self._unit(claim), claim.precision, claim.ways, self.wish, machine.allowances)
        usable = machine.gpus[0].memory * (1 - machine.allowances.fragmentation)
        holds = parts.total <= usable
        text = (
            f"{gb(parts.weights)} GB of weights in memory; with the adapter ({gb(parts.adapters)}), the cache of "
            f"{self.wish.concurrency} requests ({gb(parts.kv)}), activations ({gb(parts.activations + parts.encoder)}) "
            f"and context and graphs ({gb(parts.held)}) {gb(parts.total)} of the {gb(usable)} GB that a program gets"
            + (": it fits, and leaves no room for any other model of this size" if holds else ": it does not fit")
        )
        return holds, claim.said_gb, parts.total / 1e9, text

    def _fraction(self, claim: Claim) -> tuple[bool, float, float, str]:
        machine = read_machine(self.design.machine)
        parts = on_server(self._unit(claim), claim.precision, claim.ways, self.wish, machine.allowances)
        memory = machine.gpus[0].memory
        given = claim.fraction * memory
        text = (
            f"{claim.fraction:.2f} of a GPU is {gb(given)} GB; each of {claim.ways} GPUs holds {gb(parts.weights)} GB "
            f"of weights and needs {gb(parts.total)} GB: --gpu-memory-utilization {parts.total / memory:.2f}"
        )
        return parts.total <= given, given / 1e9, parts.total / 1e9, text

    def _reserved(self, claim: Claim) -> tuple[bool, float, float, str]:
        there = len(read_machine(self.design.machine).gpus)
        total = sum(replicas * each for replicas, each in claim.reserved)
        told = " + ".join(f"{replicas} x {each}" for replicas, each in claim.reserved)
        return total <= there, there, total, f"{told} = {total} GPUs reserved; the machine has {there}"


def draw_design(design: Design | None = None) -> str:
    """Draw the weights of all models, at the lowest precision of each card, against the design's machine."""
    design = design or read_design()
    units = sorted(units_of(load_cascade(design.cascade)[0]), key=lambda unit: not unit.served)
    blocks = []
    for unit in units:
        size = weights_gb(unit.card, "int4" if unit.served else "bf16")
        if unit.served:
            tip = f"{unit.name}: {size:g} GB of weights at int4"
            blocks.append(Block(unit.name, tip, (("weights", size * 1e9),)))
    blocks.sort(key=lambda block: -block.total)
    inside = [unit for unit in units if not unit.served]
    rest = sum(weights_gb(unit.card, "bf16") for unit in inside)
    blocks.append(Block(f"{len(inside)} small models", f"all others at bf16: {rest:.1f} GB", (("kv", rest * 1e9),)))
    memory = design.gpu_gb * 1e9 * len(read_machine(design.machine).gpus)
    total = sum(block.total for block in blocks)
    row = Row("All 26", "weights only", tuple(blocks), memory)
    return page_of(
        f"The design's 26 models need {total / 1e9:.0f} GB for weights alone; two GPUs hold {memory / 1e9:.0f}",
        "int4 for vision-language models, bf16 for the others; no cache, no activations. The line: where two GPUs end.",
        [row],
        legend={"weights": "weights at int4", "kv": "weights at bf16", "back": "memory of two GPUs"},
        limit=memory,
    )
