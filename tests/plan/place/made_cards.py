"""Cards, cascades and machines of a few GB, so that every way to place them can be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from natix_cascade.plan.place import Gpu, Machine
from natix_cascade.plan.place.allowances import Allowances
from natix_cascade.spec.card import InputSpec, ModelCard
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec
from natix_cascade.spec.origin import Link, Precision, Serving, Source
from natix_cascade.spec.resolved import ResolvedCascade, resolve
from natix_cascade.spec.task import Ask, Classify, Task

INPUT = InputSpec(height=64, width=64)
LEAN = Allowances(
    measured_gib={}, loading_gb=0.1, context_gib=0.1, parallel_gib=0.1, graph_bytes=1e4, cpu_parameters=1_000
)
"""Allowances that leave room for small models on small GPUs."""


def server(
    name: str,
    memory: Mapping[Precision, float],
    *,
    identifier: str = "",
    adapter: bool = False,
    heads: int = 8,
    kv_heads: int = 4,
    layers: int = 4,
) -> ModelCard:
    """A vision-language model on a server."""
    parameters = round(max(memory.values()) * 0.5e9)
    source = Source(identifier=identifier, link=Link(output=name, kind="adapter") if adapter else None)
    serving = Serving(
        servers=("vllm",),
        memory_gb=dict(memory),
        layers=layers,
        kv_heads=kv_heads,
        head_dim=32,
        heads=heads,
        picture_tokens={"640x448": 100},
    )
    return ModelCard(
        name=name,
        engine="openai",
        licence="none",
        input=INPUT,
        source=source,
        serving=serving,
        task=Ask(),
        parameters=parameters,
    )


def inside(
    name: str, gb: float = 0.5, *, parameters: int = 10**9, roles: Mapping[str, Task] | None = None
) -> ModelCard:
    """A model in the cascade's own process."""
    serving = Serving(servers=("torch",), memory_gb={"bf16": gb})
    own = dict(roles or {})
    return ModelCard(
        name=name, engine="torch", licence="none", input=INPUT, serving=serving, parameters=parameters, roles=own
    )


def cascade_of(cards: Sequence[ModelCard], levels: Sequence[Sequence[MemberSpec]] | None = None) -> ResolvedCascade:
    """A cascade of these cards, all in one level unless levels are given."""
    known = {card.name: card for card in cards}
    known |= {f"{card.name}:{role}": card.in_role(role) for card in cards for role in card.roles}
    rows = levels or [[MemberSpec(model=card.name, required=False) for card in cards]]
    specs = tuple(LevelSpec(name=f"level-{number}", members=tuple(row)) for number, row in enumerate(rows))
    return resolve(CascadeSpec(name="made", levels=specs), known)


def machine_of(*gb: float, host: float = 64.0, allowances: Allowances = LEAN) -> Machine:
    """A machine with GPUs of so many GB; equal ones may hold a model together."""
    gpus = tuple(Gpu(f"G-{size:g}GB", round(size * 1e9)) for size in gb)
    return Machine(name="made", gpus=gpus, host=round(host * 1e9), allowances=allowances)


SIGNS = Classify(dark_below=0.5)
