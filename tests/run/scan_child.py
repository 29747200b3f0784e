"""A scan in a process of its own, to be killed: ``scan_child.py SOURCE OUTPUT DELAY``; or the command line.

``scan_child.py cli DELAY ARGUMENTS...`` is ``natix-cascade scan ARGUMENTS...`` with scripted models.
"""

from __future__ import annotations

import sys

import numpy as np
import typer
from numpy.typing import NDArray

from natix_cascade.cli import scan as verb
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.scan import scan
from natix_cascade.testing.models import ScriptedModel, scripted_cascade


def brightness(pixels: NDArray[np.uint8]) -> float:
    """P(yes) is how bright the picture is."""
    return float(pixels.mean()) / 255


def steep(pixels: NDArray[np.uint8]) -> float:
    """The same answer, surer of itself."""
    return float(brightness(pixels) > 0.5) * 0.98 + 0.01


def cascade(*, delay_s: float = 0.0, name: str = "scripted", fault: str | None = None) -> LoadedCascade:
    """A cheap level by brightness, a second level for the middle."""
    cheap = ScriptedModel("cheap", brightness, delay_s=delay_s)
    dear = ScriptedModel("dear", steep, fault=fault)  # type: ignore[arg-type]  # one of the literals
    resolved, models = scripted_cascade([cheap, dear], name=name)
    return LoadedCascade(resolved, {}, models=models)


def command_line(delay_s: float, arguments: list[str]) -> None:
    """Run the verb; leaves by SystemExit with its exit code."""
    app = typer.Typer()
    app.command()(verb.scan)
    LoadedCascade.load = lambda *_, **__: cascade(delay_s=delay_s)  # type: ignore[method-assign]  # this process only
    app(arguments)


if __name__ == "__main__":
    if sys.argv[1] == "cli":
        command_line(float(sys.argv[2]), sys.argv[3:])
    summary = scan(sys.argv[1], sys.argv[2], cascade(delay_s=float(sys.argv[3])), chunk=8, workers=1)
    sys.stdout.write(f"{summary.done} {summary.skipped}\n")
