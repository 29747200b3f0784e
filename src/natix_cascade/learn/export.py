"""Trained networks to small ONNX files with their cards."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from natix_cascade.learn.network import RoadNet

__all__ = ["count_gmacs", "export_onnx", "sha256_of"]

Storage = Literal["fp32", "fp16", "int8"]
_OPSET = 17
_SMALLEST = 1024  # weights with fewer numbers stay fp32: nothing is saved there


class _Served(nn.Module):
    """The network as it is served: raw uint8 pixels in, logit and heat map out."""

    def __init__(self, network: RoadNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        logit, heat = self.network(pixels.permute(0, 3, 1, 2).float())
        return logit, heat


def export_onnx(network: RoadNet, side: int, path: Path, *, storage: Storage = "fp16") -> None:
    """Write a network as ONNX, atomically.

    Parameters
    ----------
    network : RoadNet
        Built with ``image_size=side``, in evaluation mode.
    side : int
        Pixels a side of the input ``pixels``: ``(n, side, side, 3)`` uint8, n free.
    path : Path
        The file.
    storage : {"fp32", "fp16", "int8"}
        How weights are stored. They become fp32 again when the session is made, so a smaller file costs no speed;
        int8 has one scale for each output channel.
    """
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = Path(folder) / "raw.onnx"
        with warnings.catch_warnings():
            # The exporter by tracing is deprecated but needs no further package; sizes are constants here on purpose.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Served(network).eval(),
                (example,),
                str(raw),
                input_names=["pixels"],
                output_names=["logit", "heat_map"],
                dynamic_axes={"pixels": {0: "n"}, "logit": {0: "n"}, "heat_map": {0: "n"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        model = onnx.load(str(raw))
        if storage != "fp32":
            _shrink(model.graph, storage)
        onnx.checker.check_model(model)
        done = Path(folder) / "done.onnx"
        onnx.save(model, str(done))
        done.replace(path)


def _shrink(graph: Any, storage: Storage) -> None:
    """Store large weights as fp16 or int8 with the nodes that make them fp32 again (folded when a session is made)."""
    nodes = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _SMALLEST:
            continue
        name, small = tensor.name, f"{tensor.name}.small"
        graph.initializer.remove(tensor)
        if storage == "fp16":
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), small))
            nodes.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
            continue
        axes = tuple(range(1, values.ndim))
        scale = np.maximum(np.abs(values).max(axis=axes, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
        graph.initializer.append(numpy_helper.from_array(np.round(values / scale).astype(np.int8), small))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        nodes.append(helper.make_node("Cast", [small], [f"{name}.wide"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + kept)


def count_gmacs(network: RoadNet, side: int) -> float:
    """Multiply-accumulates of one picture, in units of 1e9, counted over all convolutions."""
    total = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        total += output.shape[2] * output.shape[3] * weight.numel()  # type: ignore[union-attr,operator]

    handles = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, side, side))
    for handle in handles:
        handle.remove()
    return total / 1e9


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
