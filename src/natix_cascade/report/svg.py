"""A little SVG, for plots inside a page: colours and fonts come from the page's own classes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Drawing"]


@dataclass(frozen=True, slots=True)
class Axis:
    """A straight (or logarithmic) way from values to pixels.

    Attributes
    ----------
    low, high : float
        Values at the two ends.
    start, end : float
        Pixels there; `end` may be the smaller one.
    log : bool
        Equal factors take equal space.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixels of a value, kept within the ends."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        part = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(part, 0.0), 1.0) * (self.end - self.start)


class Drawing:
    """An SVG that is a picture to readers: with a title, and a description for those who cannot see it.

    Parameters
    ----------
    width, height : float
        Pixels of the drawing's own coordinates; the page scales it.
    title, description : str
        What it shows, and what there is to be seen.
    """

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width, self.height = width, height
        self.title, self.description = title, description
        self._parts: list[str] = []

    def add(self, tag: str, content: str | None = None, /, *, tip: str | None = None, **attributes: object) -> None:
        """Add an element; ``cls`` is its class, underscores in names are hyphens, `tip` shows when pointed at."""
        pairs = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
        inner = (f"<title>{escape(tip)}</title>" if tip else "") + (escape(content) if content is not None else "")
        self._parts.append(f"<{tag}{pairs}>{inner}</{tag}>" if inner else f"<{tag}{pairs}/>")

    def text(self, x: float, y: float, content: str, cls: str = "", anchor: str = "start") -> None:
        """Write text; `anchor` is start, middle or end."""
        self.add("text", content, x=x, y=y, cls=cls, text_anchor=anchor)

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str) -> None:
        """Draw a straight line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)

    def rect(self, x: float, y: float, width: float, height: float, cls: str, *, tip: str | None = None) -> None:
        """Fill a rectangle."""
        self.add("rect", tip=tip, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), cls=cls)

    def circle(self, x: float, y: float, radius: float, cls: str, tip: str | None = None) -> None:
        """Fill a circle."""
        self.add("circle", tip=tip, cx=x, cy=y, r=radius, cls=cls)

    def diamond(self, x: float, y: float, radius: float, cls: str, tip: str | None = None) -> None:
        """Draw a square that stands on its corner."""
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        self.path("M" + "L".join(f"{_value(a)} {_value(b)}" for a, b in corners) + "Z", cls, tip)

    def path(self, data: str, cls: str, tip: str | None = None) -> None:
        """Draw a path."""
        self.add("path", tip=tip, d=data, cls=cls)

    def render(self) -> str:
        """Return the element, to be put into a page."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return (
            f'<svg viewBox="0 0 {_value(self.width)} {_value(self.height)}" role="img" '
            f'style="max-width:{_value(self.width)}px" aria-labelledby="{slug}-t {slug}-d">'
            f'<title id="{slug}-t">{escape(self.title)}</title><desc id="{slug}-d">{escape(self.description)}</desc>'
            f"{''.join(self._parts)}</svg>"
        )


def _name(key: str) -> str:
    return "class" if key == "cls" else key.replace("_", "-")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value), quote=True)
