"""Small models on torch for tests: cards that fit the tiny instances, and two that see how bright a picture is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from natix_cascade.models import LoadOptions, Model, load_model
from natix_cascade.spec.card import InputSpec, ModelCard
from natix_cascade.spec.task import Classify, Depth, Detect, Find, Task, Tell, ZeroShot

CPU = LoadOptions(device="cpu")
BRIGHT = 1e6  # so that a white picture makes ADFNet answer yes and a black one no
CONES = {"traffic cone": 0.8, "arrow board": 0.9, "worker in vest": 0.5}
TASKS: dict[str, Task] = {
    "florence2": Tell(prompt="<OCR_WITH_REGION>", terms={"road work": 0.9}, max_tokens=12, low=0.0, high=1.0),
    "dinov3_vit": Classify(),
    "rt_detr_v2": Detect(evidence={"truck": 0.4, "person": 0.2}, min_score=0.05, low=0.0, high=1.0),
    "d_fine": Detect(evidence={"truck": 0.4, "person": 0.2}, min_score=0.05, low=0.0, high=1.0),
    "rf_detr": Detect(evidence=CONES, min_score=0.3, low=0.0, high=1.0),
    "grounding-dino": Find(prompts=CONES, min_score=0.3, low=0.0, high=1.0),
    "sam3": Find(prompts=CONES, min_score=0.4, masks=True, low=0.0, high=1.0),
    "siglip": ZeroShot(positive=("cones on a road", "a digger"), negative=("a road", "a house")),
    "depth_anything": Depth(height=0.02, low=0.0, high=1.0),
}


def needs_torch() -> None:
    for package in ("torch", "transformers", "onnx"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'natix-cascade[torch]'")


def card_for(
    architecture: str, *, task: Task | None = None, engine: str = "transformers", name: str = "tiny"
) -> ModelCard:
    return ModelCard(
        name=name, engine=engine, licence="MIT", input=InputSpec(height=64, width=64), task=task or TASKS[architecture]
    )


def fitted(model: Model, features: Callable[[list[np.ndarray]], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A linear head ``(1, hidden)`` and its bias that see brightness in a network's features."""
    rng = np.random.default_rng(1)
    grey = [(rng.integers(0, 30, (24, 32, 3)) + 225 * i // 6).astype(np.uint8) for i in range(7)]
    seen = features([model.prepare(pixels) for pixels in grey])
    wanted = np.array([pixels.mean() for pixels in grey]) * 0.05 - 6.4
    solved = np.linalg.lstsq(np.c_[seen, np.ones(7)], wanted, rcond=None)[0]
    return solved[None, :-1].astype(np.float32), solved[-1:].astype(np.float32)


def bright_dinov3(folder: Path) -> Model:
    """DINOv3 with random weights and a head that was fitted to brightness."""
    needs_torch()
    import torch
    from safetensors.numpy import save_file

    from natix_cascade.rehearse.tiny_vision import build_tiny_vision

    build_tiny_vision("dinov3_vit", folder)
    card = card_for("dinov3_vit")
    model = load_model(card, folder, CPU)

    def features(batch: list[np.ndarray]) -> np.ndarray:
        how = model._preprocess
        pixels = model._bench.pixels(batch, how.scale, how.mean, how.std)
        with torch.inference_mode():
            return model._network.module(pixel_values=pixels).pooler_output.numpy()

    weight, bias = fitted(model, features)
    save_file({"weight": weight, "bias": bias}, str(folder / "head.safetensors"))
    return load_model(card, folder, CPU)


def bright_adfnet(folder: Path, *, dark_below: float | None = None) -> Model:
    """ADFNet whose every weight is positive: the brighter the picture, the more it answers."""
    needs_torch()
    from safetensors.numpy import load_file, save_file

    from natix_cascade.rehearse.tiny_vision import build_tiny_vision

    build_tiny_vision("adfnet", folder)
    tensors = {name: np.abs(values) for name, values in load_file(str(folder / "model.safetensors")).items()}
    tensors |= {name: values / values[0].size for name, values in tensors.items() if values.ndim > 1}
    tensors |= {name: values * 0 for name, values in tensors.items() if name.endswith(("running_mean", ".bias"))}
    tensors["out.weight"] = tensors["out.weight"] * BRIGHT
    tensors["out.bias"] = tensors["out.bias"] - 3
    save_file(tensors, str(folder / "model.safetensors"))
    card = card_for("adfnet", task=Classify(dark_below=dark_below), engine="torch", name="owl")
    return load_model(card, folder, CPU)
