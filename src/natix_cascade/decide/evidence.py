"""What a model saw: boxes, text and masks behind an opinion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Evidence"]


@dataclass(frozen=True, slots=True)
class Box:
    """A thing and its place.

    Attributes
    ----------
    label : str
        What it is.
    score : float
        How sure the model is, 0 to 1.
    x0, y0, x1, y1 : float
        Corners as shares of the upright picture's width and height, 0 to 1.
    """

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        corners = [round(value, 4) for value in (self.x0, self.y0, self.x1, self.y1)]
        return {"label": self.label, "score": round(self.score, 4), "box": corners}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote."""
        x0, y0, x1, y1 = (float(value) for value in data["box"])
        return cls(str(data["label"]), float(data["score"]), x0, y0, x1, y1)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Why a model thinks so, about one picture.

    Attributes
    ----------
    boxes : tuple of Box
        The strongest first.
    text : str or None
        A caption, what signs say, or a sentence of reasons. Written by a model: never to be executed or trusted.
    mask : NDArray or None
        ``(h, w)`` bool, over the whole picture.
    """

    boxes: tuple[Box, ...] = ()
    text: str | None = None
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; of the mask only the share of the picture that it covers."""
        parts: dict[str, Any] = {}
        if self.boxes:
            parts["boxes"] = [box.as_dict() for box in self.boxes]
        if self.text:
            parts["text"] = self.text
        if self.mask is not None:
            parts["mask_share"] = round(float(self.mask.mean()), 4)
        return parts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote; the mask is not in it."""
        return cls(tuple(Box.from_dict(box) for box in data.get("boxes", ())), data.get("text"))
