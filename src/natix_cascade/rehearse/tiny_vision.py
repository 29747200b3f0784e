"""Tiny random-weight instances of every in-process architecture of the catalogue: offline, a few MB at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.models import cpu_torchvision
from natix_cascade.rehearse.tiny_export import write_detr_graph
from natix_cascade.rehearse.tiny_graphs import Layout, write_yolo
from natix_cascade.rehearse.tiny_networks import NETWORKS, labels_of, write_network

__all__ = ["ARCHITECTURES", "build_tiny_vision"]

_GRAPHS: dict[str, tuple[Layout, str]] = {
    "yolo": ("yolo", "yolo11x"),
    "yolo26": ("yolo_end_to_end", "yolo11x"),
    "yolo_master": ("yolo", "yolo-master-n"),
}
"""Architecture to the layout of its output, and the card that says what it knows."""
ARCHITECTURES = (*NETWORKS, "adfnet", *_GRAPHS)
"""What `build_tiny_vision` can build: ``serving.architecture`` of the cards that run in process."""
_SIZES = {"yolo": 640, "yolo26": 640, "yolo_master": 640, "rf_detr": 704}
_HIDDEN = 32  # of the tiny DINOv3
_WIDTHS, _DEPTHS = (4, 8, 12, 16), (3, 4, 6, 3)


def build_tiny_vision(
    architecture: str, folder: Path, *, labels: Sequence[str] = (), size: int | None = None, seed: int = 0
) -> None:
    """Write a complete tiny instance of an architecture.

    Networks of the model hub get their configuration, safetensors, tokenizer and picture settings; DINOv3 also a head;
    ONNX detectors ``model.onnx``; RF-DETR both; ADFNet ``model.safetensors``. The same seed gives the same weights.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`.
    folder : Path
        Where to; it is made.
    labels : sequence of str
        What a detector is to know; none: COCO's for published ones, the roadwork labels for trained ones.
    size : int or None
        Pixels a side of an ONNX graph's input; None: as the catalogue's cards say.
    seed : int
        Of the random weights.

    Raises
    ------
    ModelError
        There is no such architecture.
    MissingExtraError
        torch, transformers or onnx is not installed.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(f"no tiny {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    folder.mkdir(parents=True, exist_ok=True)
    cpu_torchvision.install()
    try:
        if architecture in _GRAPHS:
            layout, card = _GRAPHS[architecture]
            columns = len(labels or labels_of(card))
            pixels = size or _SIZES[architecture]
            write_yolo(folder / "model.onnx", columns, layout=layout, size=pixels, seed=seed)
        elif architecture == "adfnet":
            _write_adfnet(folder / "model.safetensors", seed)
        else:
            write_network(architecture, folder, labels, seed)
            if architecture == "dinov3_vit":
                _write_head(folder / "head.safetensors", seed)
            if architecture == "rf_detr":
                write_detr_graph(folder, folder / "model.onnx", size or _SIZES[architecture])
    except ImportError as error:
        raise MissingExtraError(
            f"a tiny {architecture} cannot be built without {error.name}: pip install 'natix-cascade[torch]'"
        ) from error


def _write_head(path: Path, seed: int) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415  # not everybody has it

    rng = np.random.default_rng(seed)
    save_file({"weight": _random(rng, 1, _HIDDEN), "bias": np.zeros(1, np.float32)}, str(path))


def _write_adfnet(path: Path, seed: int) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415  # not everybody has it

    rng = np.random.default_rng(seed)
    tensors = dict(_stream(rng, "plain.")) | dict(_stream(rng, "bright."))
    features = 2 * 4 * _WIDTHS[-1]
    tensors |= {"fuse.weight": _random(rng, _HIDDEN, features), "fuse.bias": np.zeros(_HIDDEN, np.float32)}
    tensors |= {"out.weight": _random(rng, 1, _HIDDEN), "out.bias": np.zeros(1, np.float32)}
    save_file(tensors, str(path))


def _stream(rng: np.random.Generator, prefix: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """A ResNet-50 in every block and name, but narrow."""
    yield f"{prefix}conv1.weight", _random(rng, _WIDTHS[0], 3, 7, 7)
    yield from _norm(rng, f"{prefix}bn1", _WIDTHS[0])
    given = _WIDTHS[0]
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _DEPTHS, strict=True), start=1):
        for block in range(depth):
            name, wide = f"{prefix}layer{stage}.{block}.", 4 * width
            shapes = ((width, given, 1, 1), (width, width, 3, 3), (wide, width, 1, 1))
            for place, shape in enumerate(shapes, start=1):
                yield f"{name}conv{place}.weight", _random(rng, *shape)
                yield from _norm(rng, f"{name}bn{place}", shape[0])
            if block == 0:
                yield f"{name}downsample.0.weight", _random(rng, wide, given, 1, 1)
                yield from _norm(rng, f"{name}downsample.1", wide)
            given = wide


def _norm(rng: np.random.Generator, name: str, width: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield f"{name}.weight", rng.uniform(0.5, 1.0, width).astype(np.float32)
    yield f"{name}.bias", rng.normal(0, 0.1, width).astype(np.float32)
    yield f"{name}.running_mean", rng.normal(0, 0.1, width).astype(np.float32)
    yield f"{name}.running_var", rng.uniform(0.5, 1.5, width).astype(np.float32)


def _random(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Weights whose products keep the size of what they are given."""
    spread = (2 / np.prod(shape[1:])) ** 0.5
    return rng.normal(0, spread, shape).astype(np.float32)
