"""A cascade with its models: loaded when they are first asked, so an early exit never pays for late levels."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from natix_cascade.models.base import LoadOptions, Model
from natix_cascade.models.engines import load_model
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.endpoints import Endpoints, servers_of
from natix_cascade.spec.library import load_cascade, load_endpoints
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["LoadedCascade", "cores"]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LoadedCascade:
    """What runners share: the resolved cascade and its models.

    Parameters
    ----------
    resolved : ResolvedCascade
        Levels, cards and policy.
    weights : dict
        Model name to file of weights.
    threads : int or None
        Most intra-op threads for each model; by default the cores divided by the members that work at the same time.
    models : dict or None
        Ready models by name instead of loading (tests, and engines of one's own).
    endpoints : Endpoints or None
        Where the servers of remote models listen.
    device : str
        Where torch models run: ``"auto"``, ``"cpu"``, ``"cuda:0"``.
    """

    def __init__(
        self,
        resolved: ResolvedCascade,
        weights: dict[str, Path],
        *,
        threads: int | None = None,
        models: dict[str, Model] | None = None,
        endpoints: Endpoints | None = None,
        device: str = "auto",
    ) -> None:
        self.resolved = resolved
        self._weights = weights
        self._threads = threads
        self._endpoints = endpoints
        self._device = device
        self._models: dict[str, Model] = dict(models or {})
        self._locks = {name: threading.Lock() for name in resolved.models}

    @classmethod
    def load(
        cls,
        cascade: str | Path | CascadeSpec = "embedded",
        *,
        policy: str | Path | Policy | None = None,
        cards: str | Path | None = None,
        threads: int | None = None,
        endpoints: str | Path | Endpoints | None = None,
    ) -> LoadedCascade:
        """Find a cascade by shipped name or file, and the servers that its remote models need.

        See `natix_cascade.spec.library.load_cascade` and `load_endpoints`.
        """
        resolved, weights = load_cascade(cascade, policy=policy, cards=cards)
        return cls(resolved, weights, threads=threads, endpoints=load_endpoints(endpoints))

    @property
    def short_side(self) -> int:
        """Pixels that the shorter side of a decoded picture must have at least: the largest input of any model."""
        return max(max(card.input.height, card.input.width) for card in self.resolved.cards.values())

    def model(self, name: str, replica: int = 0) -> Model:
        """The model of this name, loaded at the first call; each replica is loaded for itself.

        Raises
        ------
        ModelError
            It cannot be loaded, or its weights are not the ones that the card names.
        """
        key = f"{name}#{replica}" if replica else name
        with self._locks[name]:
            model = self._models.get(key)
            if model is None:
                options = LoadOptions(
                    threads=self._threads_for(name), device=self._device, replica=replica, endpoints=self._endpoints
                )
                model = load_model(self.resolved.cards[name], self._weights[name], options)
                self._models[key] = model
            return model

    def replicas(self, name: str) -> int:
        """How many servers answer for a model; 1 for one that is computed here."""
        card = self.resolved.cards[name]
        return len(servers_of(card, self._endpoints)) or 1 if card.is_remote else 1

    def load_all(self) -> None:
        """Load every model now, so that no picture has to wait for it."""
        for name in self.resolved.models:
            self.model(name)

    def close(self) -> None:
        """Free all models."""
        for model in self._models.values():
            model.close()
        self._models.clear()

    def _threads_for(self, name: str) -> int:
        if self._threads is not None:
            return self._threads
        level = next(level for level in self.resolved.levels if any(m.model == name for m in level.members))
        together = len(level.members) if level.mode == "all" else 1
        return max(1, cores() // together)
