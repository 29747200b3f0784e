"""Cascades of scripted models for services under test: ``--loader serve_loaders:scripted --cascade NAME``."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

from natix_cascade.errors import ModelError, SpecError
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import ScriptedModel, scripted_cascade


def scripted(cascade: str, *, policy: str | None, cards: str | None, threads: int | None) -> LoadedCascade:
    """A cascade by the name of what its models do.

    ``bright``: P(yes) is the brightness; ``dark``: it is the darkness; ``gated``: as bright, but red pictures wait at
    the test's gate; ``silent``: no answer while the file of ``NATIX_TEST_SILENT`` is there; ``cats``: another question;
    ``wrong``, ``broken``: cannot be loaded.
    """
    assert cards is None
    assert threads
    if cascade == "wrong" or policy == "wrong":
        raise SpecError("the policy was made for other weights")
    if cascade == "broken":
        raise ValueError("the loader has a fault")
    answers = {"dark": lambda pixels: 1 - _bright(pixels), "gated": _gated, "silent": _silent}.get(cascade, _bright)
    yes, no = ("cat", "no cat") if cascade == "cats" else ("roadwork", "none")
    first = ScriptedModel("first", answers, positive=yes, negative=no)
    second = ScriptedModel("second", _bright, positive=yes, negative=no)
    resolved, models = scripted_cascade([first, second], name=cascade)
    return LoadedCascade(resolved, {}, models=models)


def _bright(pixels: np.ndarray[Any, Any]) -> float:
    return float(pixels.mean() / 255)


def _gated(pixels: np.ndarray[Any, Any]) -> float:
    red, green, blue = pixels.reshape(-1, 3).mean(axis=0)
    if red > green + 100 and red > blue + 100:
        where = "127.0.0.1", int(os.environ["NATIX_TEST_GATE"])
        with contextlib.suppress(ConnectionError), socket.create_connection(where) as gate:  # one that is gone is open
            gate.recv(1)
        return 0.95
    return _bright(pixels)


def _silent(pixels: np.ndarray[Any, Any]) -> float:
    if Path(os.environ["NATIX_TEST_SILENT"]).exists():
        raise ModelError("the server of this model is away")
    return _bright(pixels)
