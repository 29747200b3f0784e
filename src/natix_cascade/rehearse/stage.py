"""The stage of a dress rehearsal: a folder with a tiny instance of every architecture that a cascade needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from natix_cascade.errors import SpecError
from natix_cascade.files import write_whole
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Detect

__all__ = ["SERVED_BY_VLLM", "Stage", "build_stage"]

SERVED_BY_VLLM = "qwen3_vl"
"""What the real vLLM serves here: one base model with a LoRA adapter for each of its cards."""

_READY = ".ready"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the tiny models lie.

    Attributes
    ----------
    models : Path
        In the layout of ``natix_cascade.spec.library.models_folder``.
    vlms : dict
        Architecture to the folder of its tiny vision-language model.
    adapters : dict
        Card's name to the folder of its LoRA adapter.
    """

    models: Path
    vlms: dict[str, Path] = field(default_factory=dict)
    adapters: dict[str, Path] = field(default_factory=dict)


def build_stage(
    cards: Mapping[str, ModelCard],
    weights: Mapping[str, Path],
    folder: Path,
    *,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Stage:
    """Build what is not there yet.

    Parameters
    ----------
    cards : dict
        Model name (roles too) to card.
    weights : dict
        Model name to the place below `folder` where its weights are looked for.
    folder : Path
        Of the stage; what was finished there before is kept.
    seed : int
        Of the random weights.
    tell : callable
        Told of each model before it is built.

    Raises
    ------
    SpecError
        A card does not say its architecture.
    """
    stage = Stage(folder)
    for name, card in cards.items():
        if card.weights is not None:  # shipped: the true one is small enough
            continue
        architecture = _architecture(card)
        if not card.is_remote:
            _once(weights[name], name, tell, functools.partial(_vision, architecture, card, seed=seed))
            continue
        base = folder / "vlm" / architecture
        _once(base, f"{architecture} (for {name})", tell, functools.partial(_vlm, architecture, seed=seed))
        stage.vlms[architecture] = base
        link = card.source.link if card.source is not None else None
        if link is not None and link.kind == "adapter" and architecture == SERVED_BY_VLLM:
            place = folder / "custom" / name
            own_seed = seed + len(stage.adapters)
            _once(place, f"adapter of {name}", tell, functools.partial(_lora, base, seed=own_seed))
            stage.adapters[name] = place
    return stage


def _architecture(card: ModelCard) -> str:
    if card.serving is None or not card.serving.architecture:
        raise SpecError(
            f"model {card.name!r} cannot be rehearsed: its card names no architecture; write serving.architecture in it"
        )
    return card.serving.architecture


def _once(place: Path, what: str, tell: Callable[[str], None], build: Callable[[Path], None]) -> None:
    """Build into a place unless that was finished before."""
    if (place / _READY).is_file():
        return
    tell(what)
    place.mkdir(parents=True, exist_ok=True)
    build(place)
    write_whole(place / _READY, b"")


def _vision(architecture: str, card: ModelCard, place: Path, *, seed: int) -> None:
    from natix_cascade.rehearse.tiny_vision import build_tiny_vision  # noqa: PLC0415  # needs torch

    labels = card.task.labels if isinstance(card.task, Detect) else ()
    size = card.input.height if card.engine == "onnx" else None
    build_tiny_vision(architecture, place, labels=labels, size=size, seed=seed)


def _vlm(architecture: str, place: Path, *, seed: int) -> None:
    from natix_cascade.rehearse.tiny_vlm import build_tiny_vlm  # noqa: PLC0415  # needs torch

    build_tiny_vlm(architecture, place, seed=seed)


def _lora(base: Path, place: Path, *, seed: int) -> None:
    from natix_cascade.rehearse.tiny_lora import build_tiny_lora  # noqa: PLC0415  # needs torch

    build_tiny_lora(base, place, seed=seed)
