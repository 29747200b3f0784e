"""RF-DETR from its folder to the ONNX graph that its own package exports: ``input`` to ``dets`` and ``labels``."""

from __future__ import annotations

import warnings
from pathlib import Path

__all__ = ["write_detr_graph"]


def write_detr_graph(folder: Path, path: Path, size: int) -> None:
    """Trace a network of transformers into an ONNX graph that takes batches of any size.

    Parameters
    ----------
    folder : Path
        Of the network.
    path : Path
        The graph's file.
    size : int
        Pixels a side of its input.
    """
    import torch  # noqa: PLC0415  # heavy, and not everybody has it
    import transformers  # noqa: PLC0415

    network = transformers.RfDetrForObjectDetection.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True
    ).eval()

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out = self.network(pixel_values=pixels)
            return out.pred_boxes, out.logits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about its own insides
        torch.onnx.export(
            Exported(),
            (torch.zeros(2, 3, size, size),),
            str(path),
            dynamo=True,
            input_names=["input"],
            output_names=["dets", "labels"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("n", min=1, max=1024)}},
            external_data=False,
            verbose=False,
        )
