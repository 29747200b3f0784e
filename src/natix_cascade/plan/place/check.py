"""The independent adder: adds a placement up again from the cards, with nothing of the code that made it.

It shares with the builder the cards, the allowances and the wish, which are data; every sum and every rule is written
here a second time.
"""

from __future__ import annotations

from typing import NoReturn

from natix_cascade.errors import PlanError
from natix_cascade.plan.place.result import Placed, Placement
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.resolved import ResolvedCascade
from natix_cascade.spec.task import Ask

__all__ = ["check"]

_KIB3 = 1024**3
_ROUNDED = 2.1e6  # bytes: a server's part is rounded up to MB and one more
_NEAR = 10.0  # bytes: sums of rounded parts


def check(placement: Placement, cascade: ResolvedCascade) -> None:
    """Add a placement up again.

    Parameters
    ----------
    placement : Placement
        What `place` made, or what somebody changed.
    cascade : ResolvedCascade
        Whose models are placed.

    Raises
    ------
    PlanError
        A sum does not fit, or a rule is broken; the text says which.
    """
    _everybody_once(placement, cascade)
    needs = [_need(placement, item, cascade) for item in placement.placed]
    for item, need in zip(placement.placed, needs, strict=True):
        _lies_right(placement, item, cascade.cards[item.members[0]], need)
    for index in range(len(placement.machine.gpus)):
        _gpu_fits(placement, index, needs)
    _host_fits(placement, needs, cascade)


def _wrong(text: str) -> NoReturn:
    raise PlanError(f"this placement does not add up: {text}")


def _everybody_once(placement: Placement, cascade: ResolvedCascade) -> None:
    said = [name for item in placement.placed for name in item.members]
    said += [name for out in placement.left_out for name in out.members]
    wanted = [name for level in cascade.levels for name in (member.model for member in level.members)]
    if sorted(said) != sorted(wanted):
        odd = sorted(set(said) ^ set(wanted)) or sorted({name for name in said if said.count(name) > 1})
        _wrong(f"{', '.join(odd)} is missing, strange or there twice")
    for item in placement.placed:
        if len({_same_weights(cascade.cards[name], name) for name in item.members}) > 1:
            _wrong(f"{', '.join(item.members)} do not share weights")


def _same_weights(card: ModelCard, name: str) -> object:
    if card.source and card.source.identifier and not (card.source.link and card.source.link.kind == "checkpoint"):
        return (card.source.identifier, card.source.revision)
    return name.partition(":")[0]


def _need(placement: Placement, item: Placed, cascade: ResolvedCascade) -> tuple[float, float, float]:
    """Bytes on each GPU while awake, while asleep, and of weights on all GPUs together."""
    card, given = cascade.cards[item.members[0]], placement.machine.allowances
    wish = placement.wish
    if not isinstance(card.task, Ask):
        if card.weights:
            weights = float(card.weights.bytes)
        elif card.serving and "bf16" in card.serving.memory_gb:
            weights = card.serving.memory_gb["bf16"] * 1e9
        else:
            weights = 2.0 * card.parameters
        return weights + given.pixel_bytes * card.input.width * card.input.height * wish.batch, 0.0, weights
    server = card.serving
    if server is None or item.precision not in server.memory_gb:
        _wrong(f"the card of {item.model} has no weights at {item.precision}")
    ways = len(item.gpus)
    weights = 1e9 * (server.memory_gb[item.precision] + given.loading_gb)
    if item.precision == "bf16" and card.name in given.measured_gib:
        weights = given.measured_gib[card.name] * _KIB3
    names = {name.split(":")[0]: cascade.cards[name] for name in item.members}
    for other in names.values():
        if other.source and other.source.link and other.source.link.kind == "adapter":
            weights += given.adapter * 1e9 * _bf16_gb(card)
    tokens = given.prompt_tokens + server.picture_tokens.get(wish.picture, given.unknown_picture_tokens)
    tokens += given.answer_tokens + (card.task.reasoning_tokens if card.task.reasoning else 0)
    blocks = (tokens + 15) // 16
    heads = max(server.kv_heads // ways, 1)
    cache = wish.concurrency * blocks * 16 * wish.kv_bytes * heads * server.head_dim * server.layers * 2.0
    working = wish.batched_tokens * (given.activation_bytes * server.heads * server.head_dim + given.encoder_bytes)
    sizes = len([size for size in [1, 2, 4, *range(8, 257, 8), *range(272, 513, 16)] if size <= 2 * wish.concurrency])
    asleep = server.layers * max(sizes, 3) * given.graph_bytes + given.context_gib * _KIB3
    asleep += given.parallel_gib * _KIB3 if ways > 1 else 0.0
    return weights / ways + cache + working + asleep, asleep, weights


def _bf16_gb(card: ModelCard) -> float:
    """GB of weights at bf16."""
    known = card.serving.memory_gb.get("bf16") if card.serving else None
    return known if known is not None else 2e-9 * card.parameters


def _lies_right(placement: Placement, item: Placed, card: ModelCard, need: tuple[float, float, float]) -> None:
    """A model's GPUs, and its own figures against ours."""
    gpus = placement.machine.gpus
    if len(set(item.gpus)) != len(item.gpus) or any(not 0 <= index < len(gpus) for index in item.gpus):
        _wrong(f"{item.model} lies on GPUs {item.gpus}; the machine has {len(gpus)}")
    if len({gpus[index] for index in item.gpus}) > 1:
        _wrong(f"{item.model} is spread over GPUs that are unequal or not linked")
    served = isinstance(card.task, Ask)
    if served:
        _server_lies_right(placement, item, card, need[0])
    else:
        _inside_lies_right(placement, item, card)
    if not -_NEAR <= item.parts.total - need[0] <= (_ROUNDED if served else _NEAR):
        _wrong(f"{item.model} says {item.parts.total / 1e9:.3f} GB, and needs {need[0] / 1e9:.3f}")


def _inside_lies_right(placement: Placement, item: Placed, card: ModelCard) -> None:
    if len(item.gpus) > 1 or item.asleep or item.memory_fraction is not None:
        _wrong(f"{item.model} is no server, but is spread, asleep or has a fraction")
    if card.weights is not None and item.gpus:
        _wrong(f"{item.model} is shipped for the CPU, but lies on a GPU")
    limit = placement.machine.allowances.cpu_parameters
    if not item.gpus and placement.machine.gpus and card.weights is None and card.parameters > limit:
        _wrong(f"{item.model} is too large for the CPU")


def _server_lies_right(placement: Placement, item: Placed, card: ModelCard, need: float) -> None:
    server, ways = card.serving, len(item.gpus)
    if not ways or server is None or server.heads % ways or (server.kv_heads % ways and ways % server.kv_heads):
        _wrong(f"{item.model}: {ways} GPUs do not divide its attention heads")
    if item.asleep and not placement.wish.sleep:
        _wrong(f"{item.model} sleeps, which was not wished")
    if item.precision not in placement.wish.precisions:
        _wrong(f"{item.model} is at {item.precision}, which was not wished")
    part = (item.memory_fraction or 0.0) * placement.machine.gpus[item.gpus[0]].memory
    if not need - 1 <= part <= need + _ROUNDED:
        _wrong(f"{item.model}: a fraction of {item.memory_fraction} is {part / 1e9:.3f} GB, not {need / 1e9:.3f}")


def _gpu_fits(placement: Placement, index: int, needs: list[tuple[float, float, float]]) -> None:
    gpu, given = placement.machine.gpus[index], placement.machine.allowances
    here = [(item, need) for item, need in zip(placement.placed, needs, strict=True) if index in item.gpus]
    awake = sum(need[0] for item, need in here if not item.asleep)
    held = sum(need[1] for item, need in here if item.asleep)
    room = max([need[0] - need[1] for item, need in here if item.asleep], default=0.0)
    process = given.context_gib * _KIB3 if any(item.memory_fraction is None for item, _ in here) else 0.0
    total = awake + held + room + process
    usable = gpu.memory * (1 - given.fragmentation)
    if total > usable:
        _wrong(f"GPU {index} ({gpu.name}) would hold {total / 1e9:.2f} GB of {usable / 1e9:.2f}")
    fractions = sum(item.memory_fraction or 0.0 for item, _ in here if not item.asleep)
    if fractions > 1:
        _wrong(f"the servers of GPU {index} take {fractions:.4f} of it")
    said = placement.gpus[index]
    if abs(said.placed - awake - held) > _ROUNDED * (len(here) + 1) or said.free < 0:
        _wrong(f"GPU {index} says {said.placed / 1e9:.3f} GB, and holds {(awake + held) / 1e9:.3f}")
    if abs(said.memory - said.placed - said.room - said.process - said.fragmentation - said.free) > 1:
        _wrong(f"the account of GPU {index} does not end at its memory")


def _host_fits(placement: Placement, needs: list[tuple[float, float, float]], cascade: ResolvedCascade) -> None:
    total = 0.0
    for item, need in zip(placement.placed, needs, strict=True):
        if item.asleep:
            total += need[2]
        elif not item.gpus:
            total += need[0]
    usable = placement.machine.host * (1 - placement.machine.allowances.host_kept)
    if total > usable:
        _wrong(f"the host would hold {total / 1e9:.2f} GB of {usable / 1e9:.2f}")
    if abs(placement.host - total) > 100 * len(cascade.members):
        _wrong(f"the host says {placement.host / 1e9:.3f} GB, and holds {total / 1e9:.3f}")
