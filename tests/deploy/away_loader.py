"""A cascade whose first model loses its server while a file is there: ``--loader away_loader:away``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from natix_cascade.errors import TransientModelError
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import ScriptedModel, scripted_cascade


def away(cascade: str, *, policy: str | None, cards: str | None, threads: int | None) -> LoadedCascade:
    """P(yes) is the brightness; the file of ``NATIX_TEST_AWAY`` silences the first model."""
    assert (policy, cards) == (None, None)
    assert threads
    resolved, models = scripted_cascade(
        [ScriptedModel("first", _first), ScriptedModel("second", _bright)], name=cascade
    )
    return LoadedCascade(resolved, {}, models=models)


def _first(pixels: np.ndarray[Any, Any]) -> float:
    if Path(os.environ["NATIX_TEST_AWAY"]).exists():
        raise TransientModelError("the server of this model is away")
    return _bright(pixels)


def _bright(pixels: np.ndarray[Any, Any]) -> float:
    return float(pixels.mean() / 255)
