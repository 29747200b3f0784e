"""A cascade of three levels whose models cost something and of which one fails on command, for a service under test.

``--loader board_loader:scripted --cascade boards``; ``--policy promised`` promises an accuracy, ``mcc`` a correlation.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from natix_cascade.errors import SpecError, TransientModelError
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.cascade import LevelSpec, MemberSpec
from natix_cascade.spec.policy import Policy, Promise, Reference
from natix_cascade.spec.rules import Threshold
from natix_cascade.testing import ScriptedLevel, ScriptedModel, make_card, scripted_cascade

EXPECTED = {"accuracy": 0.9, "mcc": 0.7}


def scripted(cascade: str, *, policy: str | None, cards: str | None, threads: int | None) -> LoadedCascade:
    """Bright pictures are yes and dark ones no; the greyer, the later the level."""
    assert cards is None
    assert threads
    if policy == "wrong":
        raise SpecError("the policy was made for other weights")
    cheap = ScriptedModel("cheap", _bright, card=make_card("cheap", usd=1e-5))
    second = ScriptedModel("second", _sometimes_away, card=make_card("second", usd=1e-4))
    contrary = ScriptedModel("contrary", lambda pixels: 1 - _bright(pixels), card=make_card("contrary", usd=2e-4))
    dear = ScriptedModel("dear", _slow, card=make_card("dear", usd=4e-3))
    middle = ScriptedLevel(
        models=(second, contrary),
        name="middle",
        exit=Threshold(yes=0.7, no=0.3),
        weights={"second": 1.0, "contrary": 0.2, "cheap": 1.0},
    )
    front = ScriptedLevel(models=(cheap,), name="front", exit=Threshold(yes=0.9, no=0.1))
    levels = [front, middle, ScriptedLevel(models=(dear,), name="last")]
    resolved, models = scripted_cascade(levels, name=cascade, policy=_policy(cascade, policy or "accuracy"))
    return LoadedCascade(resolved, {}, models=models)


def _policy(cascade: str, metric: Any) -> Policy:
    reference = Reference(name="dear", level=LevelSpec(name="reference", members=(MemberSpec(model="dear"),)))
    expected = {"reference_metric": EXPECTED[metric] + 0.02}
    promise = Promise(metric=metric, limit=0.02, reference=reference, unit="usd", costs={}, expected=expected)
    return Policy(name=metric, cascade=cascade, promise=promise)


def _bright(pixels: np.ndarray[Any, Any]) -> float:
    return float(pixels.mean() / 255)


def _slow(pixels: np.ndarray[Any, Any]) -> float:
    time.sleep(0.03)
    return _bright(pixels)


def _sometimes_away(pixels: np.ndarray[Any, Any]) -> float:
    if Path(os.environ["NATIX_TEST_SILENT"]).exists():
        raise TransientModelError("the server of this model is away")
    return _bright(pixels)
