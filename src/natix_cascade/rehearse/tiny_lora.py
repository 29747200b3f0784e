"""A tiny LoRA adapter in PEFT's layout, for a tiny model: one server then answers under several names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.files import write_whole

__all__ = ["RANK", "build_tiny_lora"]

RANK = 8
"""Of the adapters; servers want to know the largest."""

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
_WEIGHT = re.compile(rf".*language_model\.layers\.\d+\.self_attn\.({'|'.join(_TARGETS)})\.weight")
_SPREAD = 0.15


def build_tiny_lora(base: Path, folder: Path, *, seed: int = 0) -> None:
    """Write an adapter on the attention of the language model of `base`; the same seed gives the same bytes.

    Parameters
    ----------
    base : Path
        Folder that `natix_cascade.rehearse.tiny_vlm.build_tiny_vlm` wrote.
    folder : Path
        Where to; made if it is missing.
    seed : int
        Of the random weights; both matrices are random, so that every adapter answers differently.

    Raises
    ------
    ModelError
        `base` holds no weights that an adapter can sit on, or the folder cannot be written.
    MissingExtraError
        torch or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError  # noqa: PLC0415  # extra
        from safetensors.torch import save_file  # noqa: PLC0415  # extra
    except ImportError as error:
        raise MissingExtraError(
            f"adapters need torch and safetensors ({error}); pip install torch transformers"
        ) from error
    try:
        shapes = _shapes(base / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"no weights of a tiny model in {base}: {error}") from error
    if not shapes:
        raise ModelError(f"the model in {base} has no {', '.join(_TARGETS)} of a language model: no adapter fits it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_matrices(shapes, seed), folder / "adapter_model.safetensors", metadata={"format": "pt"})
        write_whole(folder / "adapter_config.json", json.dumps(_config(base), indent=2).encode())
    except OSError as error:
        raise ModelError(f"the adapter cannot be written to {folder}: {error}") from error


def _shapes(weights: Path) -> dict[str, tuple[int, int]]:
    """Module name to (outputs, inputs) of the layers that get an adapter."""
    from safetensors import safe_open  # noqa: PLC0415  # extra

    found = {}
    with safe_open(weights, framework="pt") as file:
        for name in sorted(file.keys()):
            if _WEIGHT.fullmatch(name):
                outputs, inputs = file.get_slice(name).get_shape()
                found[name.removesuffix(".weight")] = (outputs, inputs)
    return found


def _matrices(shapes: dict[str, tuple[int, int]], seed: int) -> dict[str, Any]:
    import torch  # noqa: PLC0415  # extra

    source = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (outputs, inputs) in shapes.items():
        for part, shape in (("lora_A", (RANK, inputs)), ("lora_B", (outputs, RANK))):
            random = torch.randn(shape, generator=source) * _SPREAD
            tensors[f"base_model.model.{name}.{part}.weight"] = random.to(torch.bfloat16)
    return tensors


def _config(base: Path) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": rf".*language_model.*\.({'|'.join(_TARGETS)})",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
    }
