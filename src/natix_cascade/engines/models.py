"""A command against what is known of its model: whether the engine serves it, and the split over GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from natix_cascade.engines.facts import ENCODER_DATA_PARALLEL, TITLES, not_served
from natix_cascade.engines.faults import heads_fault
from natix_cascade.engines.flag_lists import flag_list
from natix_cascade.engines.listed import Fault
from natix_cascade.engines.server import Engine
from natix_cascade.engines.words import Taken, take_apart
from natix_cascade.spec.card import ModelCard

__all__ = ["against_model"]

_GUESSES = (
    (r"molmo-?2", "molmo2"),
    (r"molmo", "molmo"),
    (r"ovis", "ovis"),
    (r"qwen3-?vl", "qwen3_vl"),
    (r"qwen2[.-]5-?vl", "qwen2_5_vl"),
    (r"llama-?4", "llama4"),
    (r"phi-?4", "phi4"),
    (r"internvl", "internvl"),
)


def against_model(package: str, words: Sequence[str], cards: Mapping[str, ModelCard]) -> Iterator[Fault]:
    """Check a command against its model's card, or against what the model's name tells where there is none.

    Parameters
    ----------
    package : {"vllm", "sglang", "lmdeploy"}
        The engine.
    words : sequence of str
        Those after the serving command.
    cards : mapping
        Known cards by name.
    """
    taken = take_apart(words, flag_list(package))
    model = taken.alone[0][0] if taken.alone else taken.value("--model-path", "--model")
    if model is None:
        return
    card = _card(model, cards)
    serving = card.serving if card is not None else None
    architecture = serving.architecture if serving is not None else _guessed(model)
    engine = _engine(package, taken)
    why = not_served(engine, architecture)
    if why is not None:
        instead = "give it to another engine"
        if engine == "lmdeploy_turbomind" and not_served("lmdeploy", architecture) is None:
            instead = "say --backend pytorch"
        yield Fault(model, f"{why}; {instead}")
    yield from _split(taken, serving.heads if serving is not None else 0)
    encoder = taken.value("--mm-encoder-tp-mode") == "data" or taken.has("--mm-enable-dp-encoder")
    if encoder and architecture and not architecture.startswith(ENCODER_DATA_PARALLEL[engine]):
        says = f"the picture encoder of {architecture} is not data-parallel"
        if engine == "vllm":
            yield Fault("--mm-encoder-tp-mode", f"{says}; vLLM drops the wish silently")
        else:
            yield Fault("--mm-enable-dp-encoder", f"{says}; leave it out")
    yield from _together(engine, taken)


def _engine(package: str, taken: Taken) -> Engine:
    if package == "lmdeploy":
        return "lmdeploy" if taken.value("--backend") == "pytorch" else "lmdeploy_turbomind"
    return "vllm" if package == "vllm" else "sglang"


def _card(model: str, cards: Mapping[str, ModelCard]) -> ModelCard | None:
    """The card whose identifier it is, or whose name its folder has."""
    for card in cards.values():
        if card.source is not None and card.source.identifier and card.source.identifier == model:
            return card
    return cards.get(model.rstrip("/").rsplit("/", 1)[-1])


def _guessed(model: str) -> str:
    tail = model.rstrip("/").rsplit("/", 1)[-1].lower()
    return next((architecture for pattern, architecture in _GUESSES if re.search(pattern, tail)), "")


def _split(taken: Taken, heads: int) -> Iterator[Fault]:
    for flag in ("--tensor-parallel-size", "-tp", "--tp-size", "--tp"):
        value = taken.value(flag)
        says = heads_fault(int(value), heads) if value is not None and value.isdigit() and int(value) else None
        if says is not None:
            yield Fault(flag, says)


def _together(engine: Engine, taken: Taken) -> Iterator[Fault]:
    """Flags that do not go together, which no parser sees."""
    if engine == "lmdeploy_turbomind" and taken.has("--adapters"):
        yield Fault("--adapters", f"{TITLES[engine]} takes no LoRA adapters; say --backend pytorch")
    if engine == "lmdeploy_turbomind" and (taken.value("--quant-policy") or "").startswith(("fp8", "16", "17")):
        yield Fault("--quant-policy", "TurboMind's key-value cache takes int4 or int8, not fp8")
    if taken.has("--lora-modules") and not taken.has("--enable-lora"):
        yield Fault("--lora-modules", "without --enable-lora the adapters are not loaded; add it")
    if taken.has("--kv-transfer-config") and taken.has("--kv-offloading-size"):
        yield Fault("--kv-offloading-size", "it replaces the connector of --kv-transfer-config; keep one of them")
    if taken.has("--kv-offloading-backend") and not taken.has("--kv-offloading-size"):
        yield Fault("--kv-offloading-backend", "does nothing without --kv-offloading-size; add it")
    if taken.has("--disable-radix-cache") and taken.has("--enable-hierarchical-cache", "--enable-lmcache"):
        yield Fault("--disable-radix-cache", "the cache in main memory builds on prefix caching; leave it on")
