"""What happens on a picture's way, as frozen facts for listeners (metrics, traces, logs)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from natix_cascade.decide.verdict import Opinion, Verdict

__all__ = [
    "BreakerChanged",
    "Event",
    "LevelFinished",
    "LevelStarted",
    "Listener",
    "Listeners",
    "PictureFailed",
    "VerdictGiven",
]


@dataclass(frozen=True, slots=True)
class LevelStarted:
    """Models of one level are about to be asked about one picture.

    Attributes
    ----------
    picture : str
        The picture's id.
    level : str
        The level's name.
    models : tuple of str
        Who is asked.
    """

    picture: str
    level: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LevelFinished:
    """A level's opinions are in.

    Attributes
    ----------
    picture, level : str
        Which picture, which level.
    opinions : tuple of Opinion
        Answers and failures.
    exited : bool
        Whether the verdict was given here.
    latency_ms : float
        Of the level.
    """

    picture: str
    level: str
    opinions: tuple[Opinion, ...]
    exited: bool
    latency_ms: float


@dataclass(frozen=True, slots=True)
class VerdictGiven:
    """A picture has its verdict.

    Attributes
    ----------
    verdict : Verdict
        The verdict.
    """

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PictureFailed:
    """A picture has no verdict.

    Attributes
    ----------
    picture : str
        The picture's id.
    error : Exception
        Why.
    """

    picture: str
    error: Exception


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A model's breaker has opened, half opened or closed.

    Attributes
    ----------
    model : str
        Whose.
    replica : int
        Which copy of it.
    state : str
        ``closed``, ``open`` or ``half_open``.
    """

    model: str
    replica: int
    state: str


Event = LevelStarted | LevelFinished | VerdictGiven | PictureFailed | BreakerChanged
Listener = Callable[[Event], None]

_log = logging.getLogger("natix_cascade.events")


class Listeners:
    """Hands events to listeners; one that raises is logged once and taken off, and never breaks an answer."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def with_one(self, listener: Listener) -> Listeners:
        """These and one more, which is heard first and taken off with its picture."""
        return Listeners((listener, self) if self else (listener,))

    def __call__(self, event: Event) -> None:
        """Hand an event to every listener."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001  # a listener may fail in any way and must never break an answer
                try:
                    self._listeners.remove(listener)
                except ValueError:  # another thread has just taken it off
                    continue
                _log.exception("listener %r raised and was taken off", listener)
