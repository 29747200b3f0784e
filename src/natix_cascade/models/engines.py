"""Which engine runs which card."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import cast

from natix_cascade.errors import ChecksumError, ModelError, SpecError
from natix_cascade.models.base import LoadOptions, Model
from natix_cascade.spec.card import ModelCard

__all__ = ["ENGINES", "load_model", "verify_weights"]

ENGINES: dict[str, str] = {
    "onnx": "natix_cascade.models.onnx:OnnxModel",
    "openai": "natix_cascade.models.openai:OpenAIModel",
    "transformers": "natix_cascade.models.transformers:TransformersModel",
    "torch": "natix_cascade.models.torch:TorchModel",
}
"""Engine name to ``module:class``; a new engine is a line here, and the contract test finds it."""


def load_model(card: ModelCard, weights: Path, options: LoadOptions | None = None) -> Model:
    """Load a model with the engine that its card names.

    Parameters
    ----------
    card : ModelCard
        What to load.
    weights : Path
        File or folder of its weights; remote models need none.
    options : LoadOptions or None
        Threads, device, replica, servers.

    Raises
    ------
    SpecError
        The card names an engine that does not exist.
    ChecksumError
        The weights are missing or are not the ones that the card names.
    ModelError
        The engine cannot load them.
    """
    target = ENGINES.get(card.engine)
    if target is None:
        raise SpecError(f"model {card.name!r}: no engine {card.engine!r}; known: {', '.join(ENGINES)}")
    if card.weights is not None:
        verify_weights(card, weights)
    elif not card.is_remote and not weights.exists():
        raise ModelError(
            f"model {card.name!r}: no weights at {weights}; {_how_to_get(card)} (or set NATIX_CASCADE_MODELS to the "
            "folder that holds them)"
        )
    module, name = target.split(":")
    engine = getattr(importlib.import_module(module), name)
    return cast("Model", engine(card, weights, options or LoadOptions()))


def _how_to_get(card: ModelCard) -> str:
    name, source = card.name.partition(":")[0], card.source
    if source is not None and source.link is not None and source.link.kind == "checkpoint":
        return "link what your training project made: natix-cascade models link OUTPUTS"
    if source is not None and source.identifier and source.files:
        return f"get them with: natix-cascade models fetch {name}"
    return f"how they come there: natix-cascade models show {name}"


def verify_weights(card: ModelCard, weights: Path) -> None:
    """Check size and sha256 of the one file that belongs to a card; a card without one passes.

    Raises
    ------
    ChecksumError
        They are missing or differ from the card.
    """
    if card.weights is None:
        return
    try:
        size = weights.stat().st_size
    except OSError as error:
        raise ChecksumError(f"model {card.name!r}: no weights at {weights}: {error.strerror}") from error
    if size != card.weights.bytes:
        raise ChecksumError(
            f"model {card.name!r}: {weights} has {size} bytes, the card says {card.weights.bytes}; get the file again"
        )
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"model {card.name!r}: {weights} cannot be read: {error.strerror}") from error
    if digest != card.weights.sha256.lower():
        raise ChecksumError(
            f"model {card.name!r}: sha256 of {weights} is {digest[:16]}..., the card says "
            f"{card.weights.sha256[:16]}...; get the file again"
        )
