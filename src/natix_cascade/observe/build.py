"""From options to observers; each is imported only where it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from natix_cascade.observe.observation import Observer
from natix_cascade.observe.options import ObserveOptions
from natix_cascade.run.events import Event

__all__ = ["observers"]


def observers(options: ObserveOptions, state: Path, tell: Callable[[Event], None]) -> list[Observer]:  # noqa: ARG001
    """The observers that are wanted.

    Parameters
    ----------
    options : ObserveOptions
        What is observed.
    state : Path
        Folder in which an observer may keep what it must not forget.
    tell : callable
        Takes events that an observer makes itself, such as scores.

    Raises
    ------
    CascadeError
        One of them cannot be made: its package is missing, or a reference to a secret cannot be read.
    """
    made: list[Observer] = []
    if options.weave is not None:
        from natix_cascade.observe.weave import WeaveLog  # noqa: PLC0415  # only where it is wanted

        made.append(WeaveLog(options.weave))
    return made
