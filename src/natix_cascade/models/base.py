"""The protocol that every engine fulfils."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.endpoints import Endpoints

__all__ = ["Answers", "AsyncModel", "LoadOptions", "Model"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model said of a batch.

    Attributes
    ----------
    scores : NDArray
        ``(n,)`` float64, the model's own P(positive) in [0, 1]; not yet calibrated.
    heat_maps : NDArray or None
        ``(n, h, w)`` evidence for the positive class by place, in log-odds.
    evidence : tuple or None
        What was seen, one for each picture; None where there is nothing to show.
    silent : NDArray or None
        ``(n,)`` bool: pictures of which the model has no opinion (a night specialist by day); their scores count for
        nothing. None: it has one of each.
    costs : NDArray or None
        ``(n,)`` US dollars; None: as the card says.
    """

    scores: NDArray[np.float64]
    heat_maps: NDArray[np.float32] | None = None
    evidence: tuple[Evidence | None, ...] | None = None
    silent: NDArray[np.bool_] | None = None
    costs: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a model is loaded on this machine.

    Attributes
    ----------
    threads : int
        Most CPU threads that one answer may use.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``: where torch models run.
    replica : int
        Which copy this is; remote models have a server for each.
    endpoints : Endpoints or None
        Where servers listen.
    """

    threads: int = 1
    device: str = "auto"
    replica: int = 0
    endpoints: Endpoints | None = None


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


@runtime_checkable
class AsyncModel(Model, Protocol):
    """A model that waits rather than computes: many pictures can be under way at the same time.

    The runner then calls `answer` for each picture in its event loop instead of `predict` in a thread.
    """

    @property
    def concurrency(self) -> int:
        """Most pictures under way at a time."""
        ...

    async def answer(self, prepared: NDArray[np.generic], *, explain: bool = False) -> Answers:
        """Answer one prepared picture; being cancelled frees its place at the server.

        Raises
        ------
        TransientModelError
            Worth another try: the server is away or busy.
        ModelError
            The model gave no usable answer.
        """
        ...
