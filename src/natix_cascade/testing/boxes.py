"""Where an object stands in a picture."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Box"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around one object, in pixels of the picture, clipped to it.

    Attributes
    ----------
    kind : str
        What the object is, one of :data:`natix_cascade.testing.WORK_KINDS`.
    left, top : int
        First column and row that belong to it.
    right, bottom : int
        First column and row behind it.
    """

    kind: str
    left: int
    top: int
    right: int
    bottom: int
