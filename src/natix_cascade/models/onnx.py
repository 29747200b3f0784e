"""The ONNX Runtime engine: CPU, fp32, fp16-stored and int8 graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.image.resize import fit
from natix_cascade.models.base import Answers
from natix_cascade.spec.card import ModelCard

__all__ = ["OnnxModel"]


class OnnxModel:
    """A graph run by ONNX Runtime.

    Parameters
    ----------
    card : ModelCard
        Names the input and outputs and says how pixels are prepared.
    weights : Path
        The ONNX file; verified by `load_model`.
    threads : int
        Intra-op threads. They do not spin, so parallel members do not fight over cores.
    """

    def __init__(self, card: ModelCard, weights: Path, *, threads: int = 1) -> None:
        import onnxruntime  # noqa: PLC0415  # slow to import; not needed to read cards

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(weights), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"model {card.name!r}: ONNX Runtime cannot load {weights}: {_first_line(error)}"
            ) from error
        self._card = card
        self._check_names()

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 as the graph's input, without the batch axis."""
        spec = self._card.input
        view = fit(pixels, spec.height, spec.width, mode=spec.fit)
        if spec.dtype == "uint8":
            return view if spec.layout == "NHWC" else np.ascontiguousarray(view.transpose(2, 0, 1))
        scaled = view.astype(np.float32) / np.float32(255)
        scaled = (scaled - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
        return scaled if spec.layout == "NHWC" else np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures."""
        output = self._card.output
        explain = explain and output.heat_map is not None
        names = [output.name, output.heat_map] if explain else [output.name]
        try:
            results = self._session.run(names, {self._card.input.name: np.stack(batch)})
        except Exception as error:
            raise ModelError(f"model {self._card.name!r} failed: {_first_line(error)}") from error
        scores = self._scores(np.asarray(results[0], np.float64), len(batch))
        return Answers(scores, np.asarray(results[1], np.float32) if explain else None)

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _scores(self, raw: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        kind = self._card.output.kind
        if kind in {"logit", "probability"}:
            values = raw.reshape(n, -1)[:, 0]
            scores = _sigmoid(values) if kind == "logit" else values
        else:
            table = raw.reshape(n, -1)
            classes = self._card.classes
            if table.shape[1] != len(classes):
                raise ModelError(
                    f"model {self._card.name!r} gave {table.shape[1]} numbers a picture, the card names "
                    f"{len(classes)} classes; mend the card"
                )
            if kind == "logits":
                table = np.exp(table - table.max(axis=1, keepdims=True))
                table /= table.sum(axis=1, keepdims=True)
            scores = table[:, classes.index(self._card.positive)]
        if not np.isfinite(scores).all():
            raise ModelError(f"model {self._card.name!r} answered with NaN or infinity")
        return np.clip(scores, 0.0, 1.0)

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


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
