"""What observers are handed: an event, why it was kept, and the picture where somebody wants to look at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from natix_cascade.run.events import Event

__all__ = ["Kept", "Observation", "Observer"]

Kept = Literal["chance", "client", "remarkable", "always"]


@dataclass(frozen=True, slots=True)
class Observation:
    """An event that was kept.

    Attributes
    ----------
    event : Event
        What happened; of a picture's way only its end: the verdict, or the failure.
    kept : {"chance", "client", "remarkable", "always"}
        Drawn by chance; part of a trace that a client wants kept; an error, degraded or disputed; or no matter of
        choice (feedback, scores, breakers, what is loaded).
    picture : bytes or None
        JPEG, encoded anew from the pixels.
    share : float
        What share of the unremarkable verdicts was drawn at that time.
    """

    event: Event
    kept: Kept = "always"
    picture: bytes | None = field(default=None, repr=False)
    share: float = 1.0


class Observer(Protocol):
    """Sends observations on; works in a thread of its own and may be slow, or fail."""

    @property
    def name(self) -> str:
        """Short; for messages and metrics."""
        ...

    def __call__(self, observation: Observation) -> None:
        """Take one in."""
        ...

    def close(self) -> None:
        """Send what is still held, then free all."""
        ...
