"""What is told of one picture while it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from natix_cascade.client.answers import Answer, Opinion
from natix_cascade.client.errors import problem_error

__all__ = ["Event", "Finished", "LevelFinished", "LevelStarted", "Received", "event_of"]


@dataclass(frozen=True, slots=True)
class Received:
    """The picture has arrived; `levels` maps each level that may be asked to its models."""

    verdict_id: str
    levels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class LevelStarted:
    """The models of a level are being asked."""

    level: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LevelFinished:
    """A level has answered; `exited` says that its answer stands."""

    level: str
    exited: bool
    latency_ms: float
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The verdict; always the last event."""

    answer: Answer


Event: TypeAlias = Received | LevelStarted | LevelFinished | Finished


def event_of(data: Mapping[str, Any], *, secret: str = "") -> Event | None:
    """Read one line of a stream; None for an event that is newer than this client.

    Raises
    ------
    ServiceError
        The line is the service's problem.
    """
    kind = data["event"]
    if kind == "received":
        return Received(data["verdict_id"], {level["name"]: tuple(level["models"]) for level in data["levels"]})
    if kind == "level_started":
        return LevelStarted(data["level"], tuple(data["models"]))
    if kind == "level_finished":
        opinions = tuple(Opinion.of(model, opinion) for model, opinion in data["opinions"].items())
        return LevelFinished(data["level"], bool(data["exited"]), data["latency_ms"], opinions)
    if kind == "verdict":
        return Finished(Answer.of(data["verdict"]))
    if kind == "problem":
        raise problem_error("POST /v1/infer", data["problem"], secret=secret)
    return None
