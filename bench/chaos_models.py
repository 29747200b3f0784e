"""The embedded cascade with models that break on command; loaded by the service as ``chaos_models:load``.

A JSON file, named by the environment variable CHAOS_CONTROL, says for each model what it does now: ``{"road-gate":
"hang"}``. Models that are not named work as they should. The file is read again whenever it changes.

- ``hang``: no answer until the file says otherwise
- ``slow``: 0.3 s a call
- ``crash``: a RuntimeError, as from a bug in an engine
- ``lost``: a lost connection
- ``nan``: NaN for every picture
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import TransientModelError
from natix_cascade.models.base import Answers, LoadOptions, Model
from natix_cascade.models.engines import load_model
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import load_cascade

__all__ = ["CONTROL", "MODES", "load"]

CONTROL = "CHAOS_CONTROL"
MODES = ("hang", "slow", "crash", "lost", "nan")
_SLOW_S, _LOOK_S = 0.3, 0.02


class Control:
    """The file that says what each model does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = -1
        self._modes: dict[str, str] = {}

    def mode(self, model: str) -> str | None:
        """What a model does now."""
        changed = self._path.stat().st_mtime_ns
        if changed != self._seen:
            self._modes = json.loads(self._path.read_text("utf-8"))
            self._seen = changed
        return self._modes.get(model)


class Breakable:
    """A model that does as the control file says."""

    def __init__(self, model: Model, control: Control) -> None:
        self._model = model
        self._control = control

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._model.card

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture as the model's input."""
        return self._model.prepare(pixels)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer, or break."""
        name = self.card.name
        mode = self._control.mode(name)
        if mode == "slow":
            time.sleep(_SLOW_S)
        elif mode == "crash":
            raise RuntimeError(f"{name} crashes on command")
        elif mode == "lost":
            raise TransientModelError(f"{name}: connection reset by peer, on command")
        elif mode == "nan":
            return Answers(np.full(len(batch), np.nan))
        while self._control.mode(name) == "hang":
            time.sleep(_LOOK_S)
        return self._model.predict(batch, explain=explain)

    def close(self) -> None:
        """Free what it holds."""
        self._model.close()


def load(
    cascade: Any = "embedded", *, policy: Any = None, cards: Any = None, threads: int | None = None
) -> LoadedCascade:
    """Load a cascade as `LoadedCascade.load` does, each model made breakable."""
    resolved, weights = load_cascade(cascade, policy=policy, cards=cards)
    control = Control(Path(os.environ[CONTROL]))
    models: dict[str, Model] = {
        name: Breakable(load_model(card, weights[name], LoadOptions(threads=threads or 1)), control)
        for name, card in resolved.cards.items()
    }
    return LoadedCascade(resolved, weights, threads=threads, models=models)
