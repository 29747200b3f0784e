"""The protocol that every engine fulfils."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from natix_cascade.spec.card import ModelCard

__all__ = ["Answers", "Model"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model said of a batch.

    Attributes
    ----------
    scores : NDArray
        ``(n,)`` float64, the model's own P(positive) in [0, 1]; not yet calibrated.
    heat_maps : NDArray or None
        ``(n, h, w)`` evidence for the positive class by place, in log-odds.
    """

    scores: NDArray[np.float64]
    heat_maps: NDArray[np.float32] | None = None


@runtime_checkable
class Model(Protocol):
    """A loaded model.

    `prepare` and `predict` are called from several threads at a time.
    """

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        ...

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 RGB as this model's input, without the batch axis."""
        ...

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures; with `explain`, also by place where the model can.

        Raises
        ------
        ModelError
            The model gave no usable answer.
        """
        ...

    def close(self) -> None:
        """Free what it holds; calling it twice is harmless."""
        ...
