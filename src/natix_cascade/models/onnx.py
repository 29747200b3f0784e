"""The ONNX Runtime engine: CPU, fp32, fp16-stored and int8 graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers, LoadOptions
from natix_cascade.models.classify import as_input, check_classes, read_scores
from natix_cascade.models.onnx_detect import DetectionReader
from natix_cascade.models.prepared import only_dark, pixels_of, sizes_of, with_memory
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Classify, Detect

__all__ = ["GRAPH", "OnnxModel"]

GRAPH = "model.onnx"
"""The graph's name in a folder of weights."""


class OnnxModel:
    """A graph run by ONNX Runtime: a classifier or a detector.

    Parameters
    ----------
    card : ModelCard
        Names the input and outputs and says how pixels are prepared.
    weights : Path
        The ONNX file, verified by `load_model`, or a folder that holds it as ``model.onnx``.
    options : LoadOptions or None
        Of which `threads` are the intra-op threads. They do not spin, so parallel members do not fight over cores.
    """

    def __init__(self, card: ModelCard, weights: Path, options: LoadOptions | None = None) -> None:
        import onnxruntime  # noqa: PLC0415  # slow to import; not needed to read cards

        if not isinstance(card.task, Classify | Detect):
            raise ModelError(
                f"model {card.name!r}: ONNX graphs classify or detect; its card's task is {card.task.kind}, for which "
                "another engine is needed"
            )
        file = _graph_file(card, weights)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = max(1, (options or LoadOptions()).threads)
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(file), sess_options=settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(f"model {card.name!r}: ONNX Runtime cannot load {file}: {_first_line(error)}") from error
        self._card = card
        self._check_names()
        self._check_input()
        check_classes(card)
        self._dark_below = card.task.dark_below if isinstance(card.task, Classify) else None
        self._detections: DetectionReader | None = None
        if isinstance(card.task, Detect):
            self._detections = DetectionReader(card, [item.name for item in self._session.get_outputs()])

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 as the graph's input, without the batch axis.

        Detectors and night specialists need to remember more of it; see ``natix_cascade.models.prepared``.
        """
        ready = as_input(self._card.input, pixels)
        remember = self._detections is not None or self._dark_below is not None
        return with_memory(ready, pixels) if remember else ready

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures."""
        if self._session is None:
            raise ModelError(f"model {self._card.name!r} is closed; load it again to ask more")
        if self._detections is not None:
            return self._detections.read(self._run(self._detections.names, pixels_of(batch)), sizes_of(batch))
        if self._dark_below is not None:
            return only_dark(batch, self._dark_below, lambda dark: self._classify(dark, explain=explain))
        return self._classify(batch, explain=explain)

    def _classify(self, batch: Sequence[NDArray[np.generic]], *, explain: bool) -> Answers:
        output = self._card.output
        explain = explain and output.heat_map is not None
        results = self._run([output.name, output.heat_map] if explain else [output.name], batch)
        heat_maps = np.asarray(results[1], np.float32) if explain else None
        if heat_maps is not None and (heat_maps.ndim != 3 or len(heat_maps) != len(batch)):  # noqa: PLR2004  # (n, h, w)
            raise ModelError(
                f"model {self._card.name!r} gave heat maps of shape {heat_maps.shape} for {len(batch)} pictures, "
                f"wanted ({len(batch)}, h, w); mend the graph or leave heat_map out of the card"
            )
        return Answers(read_scores(self._card, np.asarray(results[0], np.float64), len(batch)), heat_maps)

    def _run(self, names: Sequence[str | None], batch: Sequence[NDArray[np.generic]]) -> list[Any]:
        try:
            return list(self._session.run(names, {self._card.input.name: np.stack(batch)}))
        except Exception as error:
            raise ModelError(f"model {self._card.name!r} failed: {_first_line(error)}") from error

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _check_names(self) -> None:
        """Names of the card must exist in the graph: better said at load than at the first picture."""
        inputs = {item.name for item in self._session.get_inputs()}
        outputs = {item.name for item in self._session.get_outputs()}
        wanted = [self._card.output.name]
        if self._card.output.heat_map:
            wanted.append(self._card.output.heat_map)
        if self._card.input.name not in inputs:
            raise ModelError(
                f"model {self._card.name!r}: the graph has no input {self._card.input.name!r}, only {sorted(inputs)}"
            )
        missing = [name for name in wanted if name not in outputs]
        if missing:
            raise ModelError(f"model {self._card.name!r}: the graph has no output {missing}, only {sorted(outputs)}")

    def _check_input(self) -> None:
        """Type and size that the graph fixes must be the card's, and it must take batches of any size."""
        spec = self._card.input
        graph = next(item for item in self._session.get_inputs() if item.name == spec.name)
        kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[spec.dtype]
        if graph.type != kind:
            raise ModelError(
                f"model {self._card.name!r}: input {spec.name!r} of the graph is {graph.type}, the card's dtype "
                f"{spec.dtype} makes {kind}; mend the card"
            )
        size = (spec.height, spec.width, 3) if spec.layout == "NHWC" else (3, spec.height, spec.width)
        given = tuple(graph.shape)
        if len(given) not in {0, 4} or any(
            isinstance(have, int) and have != want for have, want in zip(given[1:], size, strict=False)
        ):
            raise ModelError(
                f"model {self._card.name!r}: input {spec.name!r} of the graph has shape {list(given)}, the card makes "
                f"pictures of {list(size)} ({spec.layout}); mend the card"
            )
        if given and isinstance(given[0], int):
            raise ModelError(
                f"model {self._card.name!r}: the graph takes batches of {given[0]} only; export it with a dynamic "
                "first axis"
            )


def _graph_file(card: ModelCard, weights: Path) -> Path:
    file = weights / GRAPH if weights.is_dir() else weights
    if not file.is_file():
        raise ModelError(
            f"model {card.name!r}: no {GRAPH} in {weights}; export the model to ONNX once and put the file there"
            if weights.is_dir()
            else f"model {card.name!r}: no graph at {file}; give the ONNX file or a folder that holds {GRAPH}"
        )
    return file


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
