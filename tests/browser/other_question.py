"""Loads a cascade that asks about something else, of models that fail or wait on command."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.cascade import Question
from natix_cascade.spec.rules import Agreement, Threshold
from natix_cascade.testing import ScriptedLevel, ScriptedModel, scripted_cascade

QUESTION = Question(id="fog", text="Is it foggy?", positive="fog", negative="clear air")
BRIGHT = 200
SECONDS = 30.0


def bright(pixels: NDArray[np.uint8]) -> float:
    """Sure of bright pictures only."""
    return 0.99 if pixels.mean() > BRIGHT else 0.5


def breaks_on_red(pixels: NDArray[np.uint8]) -> float:
    """Fails for red pictures; for others it waits while there is a file named by HOLD."""
    red, green, _ = pixels.reshape(-1, 3).mean(axis=0)
    if red > 2 * green:
        raise ModelError("the lens is wet")
    hold = Path(os.environ["HOLD"])
    until = time.monotonic() + SECONDS
    while hold.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return 0.2


def load(cascade: str, *, policy: str | None, cards: str | None, threads: int | None) -> LoadedCascade:
    """For ``--loader``."""
    del cascade, policy, cards, threads
    glance = ScriptedModel("glance", bright, positive="fog", negative="clear air")
    first = ScriptedModel("first", 0.3, positive="fog", negative="clear air")
    second = ScriptedModel("second", breaks_on_red, positive="fog", negative="clear air")
    resolved, models = scripted_cascade(
        [
            ScriptedLevel(models=(glance,), name="glance", exit=Threshold(yes=0.9, no=0.1)),
            ScriptedLevel(models=(first, second), name="both", exit=Agreement(members=1)),
            ScriptedLevel(models=(), name="count"),
        ],
        question=QUESTION,
    )
    return LoadedCascade(resolved, {}, models=models)
