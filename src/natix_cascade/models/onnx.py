"""The ONNX Runtime engine: CPU, fp32, fp16-stored and int8 graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.image.resize import fit
from natix_cascade.models.base import Answers, LoadOptions
from natix_cascade.spec.card import ModelCard

__all__ = ["OnnxModel"]

_ROUNDING = 1e-3  # fp16 graphs round probabilities a little beyond 0 and 1


class OnnxModel:
    """A graph run by ONNX Runtime.

    Parameters
    ----------
    card : ModelCard
        Names the input and outputs and says how pixels are prepared.
    weights : Path
        The ONNX file; verified by `load_model`.
    options : LoadOptions or None
        Of which `threads` are the intra-op threads. They do not spin, so parallel members do not fight over cores.
    """

    def __init__(self, card: ModelCard, weights: Path, options: LoadOptions | None = None) -> None:
        import onnxruntime  # noqa: PLC0415  # slow to import; not needed to read cards

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = max(1, (options or LoadOptions()).threads)
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(weights), sess_options=settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"model {card.name!r}: ONNX Runtime cannot load {weights}: {_first_line(error)}"
            ) from error
        self._card = card
        self._check_names()
        self._check_input()
        if card.output.kind in {"logits", "probabilities"} and card.positive not in card.classes:
            raise ModelError(f"model {card.name!r}: positive {card.positive!r} is not one of {list(card.classes)}")

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
        mean: NDArray[np.float32] = np.asarray(spec.mean, np.float32)
        std: NDArray[np.float32] = np.asarray(spec.std, np.float32)
        scaled = (scaled - mean) / std
        return scaled if spec.layout == "NHWC" else np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures."""
        output = self._card.output
        explain = explain and output.heat_map is not None
        names = [output.name, output.heat_map] if explain else [output.name]
        if self._session is None:
            raise ModelError(f"model {self._card.name!r} is closed; load it again to ask more")
        try:
            results = self._session.run(names, {self._card.input.name: np.stack(batch)})
            raw = np.asarray(results[0], np.float64)
            heat_maps = np.asarray(results[1], np.float32) if explain else None
        except Exception as error:
            raise ModelError(f"model {self._card.name!r} failed: {_first_line(error)}") from error
        if heat_maps is not None and (heat_maps.ndim != 3 or len(heat_maps) != len(batch)):  # noqa: PLR2004  # (n, h, w)
            raise ModelError(
                f"model {self._card.name!r} gave heat maps of shape {heat_maps.shape} for {len(batch)} pictures, "
                f"wanted ({len(batch)}, h, w); mend the graph or leave heat_map out of the card"
            )
        return Answers(self._scores(raw, len(batch)), heat_maps)

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _scores(self, raw: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """P(positive) of each of n pictures from the graph's output, read as the card says."""
        name, classes, kind = self._card.name, self._card.classes, self._card.output.kind
        single = kind in {"logit", "probability"}
        width = 1 if single else len(classes)
        if raw.size != n * width or (raw.ndim and len(raw) != n):
            wanted = "one number" if single else f"{width} numbers, one for each of the card's classes,"
            raise ModelError(
                f"model {name!r} gave an output of shape {raw.shape} to {n} pictures; wanted {wanted} a picture "
                f"(output kind {kind!r}); mend the card"
            )
        if not np.isfinite(raw).all():
            raise ModelError(f"model {name!r} answered with NaN or infinity")
        table = raw.reshape(n, width)
        if kind == "logits":
            table = np.exp(table - table.max(axis=1, keepdims=True))
            table /= table.sum(axis=1, keepdims=True)
        scores = table[:, 0 if single else classes.index(self._card.positive)]
        if kind == "logit":
            return _sigmoid(scores)
        if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
            raise ModelError(
                f"model {name!r} answered {scores[np.abs(scores - 0.5).argmax()]:.4g}, which is no probability; if its "
                f"output is not yet squashed, write kind: {'logit' if single else 'logits'} under output in its card"
            )
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


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
