"""Words and figures that the table and the picture share."""

from __future__ import annotations

from natix_cascade.plan.place.memory import Parts
from natix_cascade.plan.place.result import Placed, Placement

__all__ = ["KINDS", "columns", "gb", "headline", "parts_of", "where"]

KINDS = {
    "weights": "weights",
    "kv": "key-value cache",
    "activations": "activations",
    "graphs": "CUDA graphs",
    "reserve": "reserve",
}
"""Kinds of bytes in the order of the table; adapters count as weights, the vision encoder as activations."""


def gb(count: float) -> str:
    """GB (1e9 bytes) with one digit."""
    return f"{count / 1e9:.1f}"


def columns(parts: Parts) -> dict[str, int]:
    """Bytes by kind."""
    return {
        "weights": parts.weights + parts.adapters,
        "kv": parts.kv,
        "activations": parts.activations + parts.encoder,
        "graphs": parts.graphs,
        "reserve": parts.reserve,
    }


def parts_of(item: Placed) -> dict[str, int]:
    """Bytes by kind that a model holds now on each of its GPUs."""
    if item.asleep:
        return dict.fromkeys(KINDS, 0) | {"graphs": item.parts.graphs, "reserve": item.parts.reserve}
    return columns(item.parts)


def where(item: Placed) -> str:
    """The GPUs of a model."""
    return "CPU" if not item.gpus else "+".join(f"{index}" for index in item.gpus)


def headline(placement: Placement) -> str:
    """How many models are awake, asleep and left out."""
    asleep = sum(item.asleep for item in placement.placed)
    awake = len(placement.placed) - asleep
    return (
        f"{placement.cascade} on {placement.machine.name}: {awake} sets of weights resident, {asleep} asleep, "
        f"{len(placement.left_out)} left out"
    )
