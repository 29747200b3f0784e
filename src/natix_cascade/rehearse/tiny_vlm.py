"""Tiny vision-language models: every true architecture of the catalogue with random weights, complete on disk.

A folder holds what a download would hold: configuration, safetensors, tokenizer, chat template, picture processor. It
loads offline, and any server of such folders serves it. Nothing but the size and the weights differs from the real
model: the same classes cut up the picture, fill in the prompt and compute the answer.

Two stand in for a neighbour: ``ovis2`` (Ovis2 with Qwen3 experts, as Ovis2.6-30B-A3B has; transformers knows no 2.6)
and ``internvl_moe`` (InternVL with Qwen3 experts, as InternVL3.5-30B-A3B has, in transformers' own layout).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.files import write_whole
from natix_cascade.models import cpu_torchvision
from natix_cascade.rehearse.tiny_experts import INTERNVL, INTERNVL_MOE, LLAMA4, OVIS2
from natix_cascade.rehearse.tiny_molmo import MOLMO2, PHI4_MULTIMODAL
from natix_cascade.rehearse.tiny_qwen import QWEN2_5_VL, QWEN3_VL, QWEN3_VL_MOE
from natix_cascade.rehearse.tiny_recipe import LENGTH, Recipe
from natix_cascade.rehearse.tiny_tokenizer import write_tokenizer

__all__ = ["ARCHITECTURES", "NEEDS_TORCHVISION", "build_tiny_vlm"]

_RECIPES: dict[str, Recipe] = {
    "qwen3_vl": QWEN3_VL,
    "qwen3_vl_moe": QWEN3_VL_MOE,
    "qwen2_5_vl": QWEN2_5_VL,
    "molmo2": MOLMO2,
    "phi4_multimodal": PHI4_MULTIMODAL,
    "llama4": LLAMA4,
    "ovis2": OVIS2,
    "internvl": INTERNVL,
    "internvl_moe": INTERNVL_MOE,
}

ARCHITECTURES: tuple[str, ...] = tuple(_RECIPES)
"""What `build_tiny_vlm` builds."""

NEEDS_TORCHVISION: frozenset[str] = frozenset(ARCHITECTURES) - {"ovis2"}
"""Architectures that transformers loads beside torchvision only: for the picture or the video half of the processor."""


def build_tiny_vlm(architecture: str, folder: Path, *, seed: int = 0) -> None:
    """Write a tiny instance of an architecture; the same seed gives the same bytes.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`.
    folder : Path
        Where to; made if it is missing.
    seed : int
        Of the random weights.

    Raises
    ------
    ModelError
        There is no such architecture, or the folder cannot be written.
    MissingExtraError
        torch or transformers is not installed.
    """
    recipe = _RECIPES.get(architecture)
    if recipe is None:
        raise ModelError(f"no tiny model of architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    cpu_torchvision.install()
    try:
        import transformers  # noqa: PLC0415  # extra

        transformers.utils.logging.disable_progress_bar()
    except ImportError as error:
        raise MissingExtraError(
            f"tiny models need torch and transformers ({error}); pip install torch transformers"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(transformers, recipe, folder, seed)
    except OSError as error:
        raise ModelError(f"the tiny {architecture} cannot be written to {folder}: {error}") from error


def _write(transformers: Any, recipe: Recipe, folder: Path, seed: int) -> None:
    vocabulary = write_tokenizer(folder, recipe.tokens, recipe.template, length=LENGTH)
    config = getattr(transformers, recipe.configuration)(**recipe.options(vocabulary))
    model = _random_model(getattr(transformers, recipe.model), config, recipe.spread, seed)
    generation = model.generation_config
    generation.eos_token_id = sorted({vocabulary[recipe.tokens.end], vocabulary[recipe.tokens.pad]})
    generation.pad_token_id = vocabulary[recipe.tokens.pad]
    generation.bos_token_id = vocabulary[recipe.tokens.begin or recipe.tokens.pad]
    model.save_pretrained(folder)
    if recipe.transposed:
        _transpose(folder / "model.safetensors", recipe.transposed)
    for name, content in recipe.files.items():
        write_whole(folder / name, json.dumps(content, indent=2).encode())


def _random_model(model_class: Any, config: Any, spread: float, seed: int) -> Any:
    """A model in bfloat16 with normal weights; norms as they are, so that signals neither vanish nor explode."""
    import torch  # noqa: PLC0415  # extra

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0.0, spread)
        for parameter in model.parameters():  # buffers stay as they are: some are complex
            parameter.data = parameter.data.to(torch.bfloat16)
    return model.eval()


def _transpose(weights: Path, pattern: str) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415  # extra

    tensors = load_file(weights)
    for name in tensors:
        if re.search(pattern, name):
            tensors[name] = tensors[name].transpose(1, 2).contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})
