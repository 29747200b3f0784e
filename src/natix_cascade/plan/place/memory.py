"""How many bytes a set of weights takes on each of its GPUs: pure arithmetic over a card and the allowances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from natix_cascade.plan.place.allowances import GIB, Allowances
from natix_cascade.plan.place.units import Unit
from natix_cascade.plan.place.wish import Wish
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.origin import Precision, Serving
from natix_cascade.spec.task import Ask

__all__ = ["MB", "Parts", "in_process", "on_server", "weights_gb"]

MB = 10**6

_BLOCK = 16  # tokens of a block of the key-value cache
_FIRST_SIZES, _FINE, _FINE_TO, _COARSE, _LARGEST = 3, 8, 256, 16, 512  # batch sizes that vLLM captures: 1, 2, 4, 8...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Bytes on one GPU.

    Attributes
    ----------
    weights, adapters, kv, activations, encoder, graphs, reserve : int
        Base weights, LoRA adapters, key-value cache, activations of the language model (or of a batch), vision
        encoder, CUDA graphs, and the process's context with its buffers between GPUs.
    """

    weights: int = 0
    adapters: int = 0
    kv: int = 0
    activations: int = 0
    encoder: int = 0
    graphs: int = 0
    reserve: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.held + self.weights + self.adapters + self.kv + self.activations + self.encoder

    @property
    def held(self) -> int:
        """What a sleeping server still holds: its context and its graphs."""
        return self.graphs + self.reserve


def on_server(unit: Unit, precision: Precision, ways: int, wish: Wish, allowances: Allowances) -> Parts:
    """Bytes of a server on each of `ways` equal GPUs.

    The total is rounded up to MB and one MB more, so that the fraction of the GPU's memory that the engine is told,
    cut to six digits, still holds all of it; the key-value cache gets the rest.
    """
    serving = unit.card.serving
    assert serving is not None  # noqa: S101 - units_of has checked it
    hidden = serving.heads * serving.head_dim
    whole = Parts(
        weights=math.ceil(_loaded(unit.card, precision, allowances) / ways),
        adapters=math.ceil(unit.adapters * allowances.adapter * weights_gb(unit.card, "bf16") * 1e9 / ways),
        kv=_kv(unit.card, serving, ways, wish, allowances),
        activations=math.ceil(wish.batched_tokens * hidden * allowances.activation_bytes),
        encoder=math.ceil(wish.batched_tokens * allowances.encoder_bytes),
        graphs=math.ceil(serving.layers * _sizes(wish.concurrency) * allowances.graph_bytes),
        reserve=math.ceil((allowances.context_gib + (allowances.parallel_gib if ways > 1 else 0)) * GIB),
    )
    rest = (-(-whole.total // MB) + 1) * MB - whole.total
    return replace(whole, kv=whole.kv + rest)


def in_process(unit: Unit, wish: Wish, allowances: Allowances) -> Parts:
    """Bytes of a model inside the cascade's own process, on a GPU or in the host's RAM."""
    card = unit.card
    weights = card.weights.bytes if card.weights is not None else math.ceil(weights_gb(card, "bf16") * 1e9)
    pixels = card.input.height * card.input.width
    return Parts(weights=weights, activations=math.ceil(wish.batch * pixels * allowances.pixel_bytes))


def weights_gb(card: ModelCard, precision: Precision) -> float:
    """GB (1e9 bytes) of weights: the card's, or 2, 1 and 0.56 bytes a parameter."""
    known = card.serving.memory_gb if card.serving is not None else {}
    if precision in known:
        return known[precision]
    return card.parameters * {"bf16": 2.0, "fp8": 1.0, "int4": 0.56}[precision] / 1e9


def _loaded(card: ModelCard, precision: Precision, allowances: Allowances) -> float:
    """Bytes of weights as a server holds them."""
    seen = allowances.measured_gib.get(card.name) if precision == "bf16" else None
    return seen * GIB if seen is not None else (weights_gb(card, precision) + allowances.loading_gb) * 1e9


def _kv(card: ModelCard, serving: Serving, ways: int, wish: Wish, allowances: Allowances) -> int:
    """2 * layers * heads * head_dim * bytes * tokens of a request * requests; heads are split, or repeated."""
    heads = math.ceil(serving.kv_heads / ways)
    token = 2 * serving.layers * heads * serving.head_dim * wish.kv_bytes
    picture = serving.picture_tokens.get(wish.picture, allowances.unknown_picture_tokens)
    thought = card.task.reasoning_tokens if isinstance(card.task, Ask) and card.task.reasoning else 0
    tokens = allowances.prompt_tokens + picture + thought + allowances.answer_tokens
    return token * math.ceil(tokens / _BLOCK) * _BLOCK * wish.concurrency


def _sizes(concurrency: int) -> int:
    """How many batch sizes are captured, up to twice the concurrency."""
    top = min(2 * concurrency, _LARGEST)
    return _FIRST_SIZES + min(top, _FINE_TO) // _FINE + max(top - _FINE_TO, 0) // _COARSE
