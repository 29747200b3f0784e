"""What engines share for classifiers whose card describes input and output: pixels in, P(positive) out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.image.resize import fit
from natix_cascade.models.boxes import sigmoid
from natix_cascade.spec.card import InputSpec, ModelCard

__all__ = ["as_input", "check_classes", "read_scores"]

_ROUNDING = 1e-3  # fp16 graphs round probabilities a little beyond 0 and 1


def as_input(spec: InputSpec, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
    """One picture ``(H, W, 3)`` uint8 as the card's input, without the batch axis."""
    view = fit(pixels, spec.height, spec.width, mode=spec.fit)
    if spec.dtype == "uint8":
        return view if spec.layout == "NHWC" else np.ascontiguousarray(view.transpose(2, 0, 1))
    scaled = view.astype(np.float32) / np.float32(255)
    mean: NDArray[np.float32] = np.asarray(spec.mean, np.float32)
    std: NDArray[np.float32] = np.asarray(spec.std, np.float32)
    scaled = (scaled - mean) / std
    return scaled if spec.layout == "NHWC" else np.ascontiguousarray(scaled.transpose(2, 0, 1))


def check_classes(card: ModelCard) -> None:
    """See that the positive class is one of the columns.

    Raises
    ------
    ModelError
        It is not.
    """
    if card.output.kind in {"logits", "probabilities"} and card.positive not in card.classes:
        raise ModelError(f"model {card.name!r}: positive {card.positive!r} is not one of {list(card.classes)}")


def read_scores(card: ModelCard, raw: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """P(positive) of each of n pictures from a model's output, read as the card says.

    Raises
    ------
    ModelError
        The output has another shape, holds NaN or infinity, or is no probability where the card says so.
    """
    name, classes, kind = card.name, card.classes, card.output.kind
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
    scores = table[:, 0 if single else classes.index(card.positive)]
    if kind == "logit":
        return sigmoid(scores)
    if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
        raise ModelError(
            f"model {name!r} answered {scores[np.abs(scores - 0.5).argmax()]:.4g}, which is no probability; if its "
            f"output is not yet squashed, write kind: {'logit' if single else 'logits'} under output in its card"
        )
    return np.clip(scores, 0.0, 1.0)
