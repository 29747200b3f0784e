"""What is placed: sets of weights, each with all members of the cascade that use it."""

from __future__ import annotations

from dataclasses import dataclass

from natix_cascade.errors import PlanError
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["Unit", "units_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One set of weights.

    Attributes
    ----------
    card : ModelCard
        Of its first member.
    members : tuple of str
        Names in the cascade: roles (``sam3`` and ``sam3:segment``) and adapters of the same base share weights.
    adapters : int
        LoRA adapters beside the base.
    required : bool
        Whether a verdict without it is degraded.
    """

    card: ModelCard
    members: tuple[str, ...]
    adapters: int
    required: bool

    @property
    def name(self) -> str:
        """The first member's card."""
        return base_of(self.members[0])

    @property
    def served(self) -> bool:
        """Whether a server of its own holds it."""
        return self.card.is_remote

    @property
    def shipped(self) -> bool:
        """Whether its weights belong to the card: small models for ONNX Runtime on the CPU."""
        return self.card.weights is not None


def base_of(member: str) -> str:
    """A member's card, without the role."""
    return member.partition(":")[0]


def units_of(cascade: ResolvedCascade) -> tuple[Unit, ...]:
    """Gather the cascade's sets of weights, in the order of the cascade.

    Raises
    ------
    PlanError
        A model on a server says nothing of its memory or its attention.
    """
    gathered: dict[tuple[str, ...], list[str]] = {}
    for member in cascade.members:
        gathered.setdefault(_key(cascade.cards[member.model], member.model), []).append(member.model)
    required = {member.model for member in cascade.members if member.required}
    return tuple(_unit(cascade, tuple(members), required) for members in gathered.values())


def _unit(cascade: ResolvedCascade, members: tuple[str, ...], required: set[str]) -> Unit:
    cards = {base_of(name): cascade.cards[name] for name in members}
    adapted = sum(_link(card) == "adapter" for card in cards.values())
    unit = Unit(
        card=cascade.cards[members[0]],
        members=members,
        adapters=adapted,
        required=bool(required & set(members)),
    )
    _check(unit)
    return unit


def _key(card: ModelCard, member: str) -> tuple[str, ...]:
    """Cards of one repository share its weights, unless a training project replaces all of them."""
    source = card.source
    if source is None or not source.identifier or _link(card) == "checkpoint":
        return ("card", base_of(member))
    return (card.engine, source.identifier, source.revision or "")


def _link(card: ModelCard) -> str:
    return card.source.link.kind if card.source is not None and card.source.link is not None else ""


def _check(unit: Unit) -> None:
    serving = unit.card.serving
    if not unit.served:
        if unit.card.weights is None and not unit.card.parameters and not (serving and serving.memory_gb):
            raise PlanError(f"model {unit.name!r}: its card says neither parameters nor memory_gb; add one of them")
        return
    if serving is None or not serving.memory_gb:
        raise PlanError(f"model {unit.name!r} is on a server, but its card says no serving.memory_gb; add it")
    lacking = [name for name in ("layers", "kv_heads", "head_dim", "heads") if not getattr(serving, name)]
    if lacking:
        raise PlanError(
            f"model {unit.name!r}: its key-value cache cannot be computed without {', '.join(lacking)} under serving; "
            "add them to its card (they are in the model's config.json)"
        )
