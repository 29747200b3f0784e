"""The plot of cost against metric: the kinds of points, and where everything stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.result import Plan, Point
from natix_cascade.plan.wording import Words, plain, shorten
from natix_cascade.report.svg import Axis

__all__ = [
    "LETTER",
    "LOOKS",
    "SIZE",
    "Label",
    "Look",
    "Scene",
    "View",
    "front_of",
    "is_open",
    "lay_out",
    "legend",
    "rank_of",
]

Anchor = Literal["start", "middle", "end"]
View = Literal["all", "front", "near"]
Floats = NDArray[np.float64]
Corners = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]
Mark = tuple[float, float, float]

SIZE, LETTER = 12.5, 0.59
"""Of type, in pixels, and of a letter, in its size."""

_LOG_SPAN = 20.0
_WAYS = ((1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1))
_GAPS, _FAR = (9.0, 20.0, 34.0, 52.0, 76.0, 105.0, 140.0), 22.0
_ANCHORS: dict[int, Anchor] = {-1: "end", 0: "middle", 1: "start"}


@dataclass(frozen=True, slots=True)
class Look:
    """How points of one kind look: name, colours on light and dark paper (after Okabe and Ito), radius, shape."""

    name: str
    light: str
    dark: str
    radius: float
    shape: Corners


def _round(corners: int, *radii: float, turn: float = 0.0) -> Corners:
    """Corners on a circle, clockwise from the top; the radii take turns."""
    angles = [2 * math.pi * i / corners + turn for i in range(corners)]
    radius = [radii[i % len(radii)] for i in range(corners)]
    return tuple((round(r * math.sin(a), 3), round(-r * math.cos(a), 3)) for r, a in zip(radius, angles, strict=True))


LOOKS = {
    "chosen": Look("this plan", "#c2500a", "#f0955b", 11.0, _round(10, 1.0, 0.46)),
    "plan": Look("other plan", "#0b6aa8", "#5bb4ea", 3.6, _round(24, 1.0)),
    "reference": Look("reference", "#1b1f24", "#e7eaee", 6.0, _round(4, 1.25)),
    "model": Look("single model", "#00795a", "#3fc9a0", 5.0, _round(4, 1.25, turn=math.pi / 4)),
    "vote": Look("vote", "#a8487f", "#e79ac6", 5.5, _round(3, 1.3)),
    "agreement": Look("two agree", "#a86f00", "#e8b23a", 5.5, _round(3, 1.3, turn=math.pi)),
    "threshold": Look("plain threshold", "#2b8ac4", "#a3d8f7", 5.5, _round(8, 1.35, 0.5, turn=math.pi / 4)),
}
"""By kind of point, in the order of the legend."""


def is_open(plan: Plan, point: Point) -> bool:
    """Whether a plan is drawn hollow: others have a guarantee, and it has none."""
    return point.kind == "plan" and not point.certified and any(p.certified for p in plan.points)


def legend(plan: Plan) -> list[tuple[str, str]]:
    """Kinds that a plan's points are of, with their names."""
    kinds = {point.kind for point in plan.points}
    hollow = " (no guarantee)" if any(is_open(plan, point) for point in plan.points) else ""
    return [(kind, look.name + hollow * (kind == "plan")) for kind, look in LOOKS.items() if kind in kinds]


@dataclass(frozen=True, slots=True)
class Label:
    """A name beside a point: its end and baseline, which end that is, and where a line to the point begins."""

    point: int
    text: str
    x: float
    y: float
    anchor: Anchor
    line: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything stands, in pixels.

    Attributes
    ----------
    width, height : float
        Of all.
    area : tuple of float
        Left, top, right and bottom of the plot itself.
    x_ticks, y_ticks : tuple
        Place and text.
    x_title, y_title : str
        Names of the axes.
    points : tuple
        By point of the plan: x, y, and y of the interval's ends; None where it is out of view.
    front : tuple
        Corners of the line.
    labels : tuple of Label
        No two overlap.
    """

    width: float
    height: float
    area: Box
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_title: str
    y_title: str
    points: tuple[Box | None, ...]
    front: Corners
    labels: tuple[Label, ...]


def lay_out(plan: Plan, view: View, width: float, height: float, top: float = 30.0) -> Scene:
    """Say where everything stands.

    Parameters
    ----------
    plan : Plan
        Its points.
    view : {"all", "front", "near"}
        All points, the front and the reference, or the chosen plan and the reference.
    width, height, top : float
        Size in pixels, and where the plot begins.
    """
    words, points = Words.of(plan), plan.points
    line = front_of(points)
    shown = points
    if view != "all":
        kinds = {"chosen", "reference"}
        shown = tuple(p for p in points if p.kind in kinds or (view == "front" and p in line)) or points
    ends = [edge for p in shown for edge in ((p.metric,) if view == "front" else (p.low, p.metric, p.high))]
    area = (62.0, top, width - 14.0, height - 46.0)
    costs = [p.cost * words.per for p in shown] or [1.0]
    log = min(costs) > 0 and max(costs) / min(costs) > _LOG_SPAN
    x = _axis(costs, area[0], area[2], log=log, pad=0.3 if view == "near" else 0.07, least=0.0)
    y = _axis(ends or [0.5], area[3], area[1], pad=0.12, least=-1.0)
    placed: list[Box | None] = []
    for p in points:
        inside = x.low <= p.cost * words.per <= x.high and y.low <= p.metric <= y.high
        here = (x(p.cost * words.per), y(p.metric), y(p.low), y(p.high))
        placed.append((round(here[0], 1), round(here[1], 1), round(here[2], 1), round(here[3], 1)) if inside else None)
    front = tuple((at[0], at[1]) for p in line if (at := placed[points.index(p)]))
    x_ticks, y_ticks = _ticks(x, (area[2] - area[0]) / 88), _ticks(y, (area[3] - area[1]) / 52)
    return Scene(
        width=width,
        height=height,
        area=area,
        x_ticks=tuple((round(x(v), 1), plain(v) if log else f"{v:,.{digits}f}") for v, digits in x_ticks),
        y_ticks=tuple((round(y(v), 1), words.value(v, digits)) for v, digits in y_ticks if v < 1 + 1e-9),
        x_title=f"mean cost per {words.picture}, {words.unit}{' (logarithmic)' if log else ''}",
        y_title=words.title,
        points=tuple(placed),
        front=front,
        labels=tuple(_labels(points, placed, front, area)),
    )


def front_of(points: Sequence[Point]) -> list[Point]:
    """Plans that are better than every cheaper one."""
    best, line = -math.inf, []
    for point in sorted(points, key=lambda p: (p.cost, -p.metric)):
        if point.kind in {"plan", "chosen"} and point.metric > best:
            best = point.metric
            line.append(point)
    return line


def _axis(values: Sequence[float], start: float, end: float, *, pad: float, log: bool = False, least: float) -> Axis:
    """Give the values room at both ends; equal ones too."""
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** pad
        return Axis(low / room, high * room, start, end, log=True)
    room = (high - low) * pad if high - low > 1e-9 * max(abs(high), 1e-9) else (abs(high) * 0.1 or 1.0)
    return Axis(max(low - room, least), high + room, start, end)


def _ticks(axis: Axis, most: float) -> list[tuple[float, int]]:
    """Round values along an axis, and how many decimals they need."""
    most = max(int(most), 2)
    if not axis.log:
        rough = (axis.high - axis.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
        digits = max(0, math.ceil(-math.log10(step) - 1e-9))
        return [(i * step, digits) for i in range(math.ceil(axis.low / step), math.floor(axis.high / step) + 1)]
    decades = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    values: list[float] = []
    for firsts in ((1, 2, 5), (1, 3), (1,)):
        values = [m * 10.0**power for power in decades for m in firsts if axis.low <= m * 10.0**power <= axis.high]
        if len(values) <= most:
            break
    return [(value, 0) for value in values[:: math.ceil(len(values) / most)]]


def _labels(points: Sequence[Point], placed: Sequence[Box | None], front: Corners, area: Box) -> list[Label]:
    """Name all points but the plans of the front, where they hide little; who finds no room has no name."""
    shown = [i for i, p in enumerate(points) if p.kind != "plan" and placed[i]]
    named = sorted(shown, key=lambda i: rank_of(points[i]))
    cloud = [(at[0], at[1], 2.0) for at in placed if at]
    marks = []
    for x, y, low, high in (at for i in named if (at := placed[i])):
        marks.append((x, y))
        cloud += [(x, y, 15.0), *_along((x, low), (x, high), 0.25)]
    for start, end in pairwise(front):
        cloud += _along(start, end, 0.8)
    solid = np.array(marks).reshape(-1, 2)
    found: list[tuple[Label, Box]] = []
    for i in named:
        at, look = placed[i] or (0.0, 0.0, 0.0, 0.0), LOOKS[points[i].kind]
        letters = int(np.clip((area[2] - area[0]) / 15, 18, 40)) * (1.4 if points[i].kind == "chosen" else 1)
        text = shorten(points[i].name, int(letters))
        hides = np.array(cloud)
        most = math.inf if points[i].kind in {"chosen", "reference"} else 15 + (area[2] - area[0]) / 45
        best: tuple[float, tuple[Label, Box] | None] = most, None
        for gap, (rank, way) in product(_GAPS, enumerate(_WAYS)):
            label, box = _label(i, text, at, gap + look.radius - 4, way)
            out = box[0] < area[0] or box[2] > area[2] or box[1] < area[1] or box[3] > area[3]
            if out or any(_meet(box, other) for _, other in found):
                continue
            cost = 0.12 * gap + 0.15 * rank + _hidden(hides, box) + 5.0 * _astray(solid, at, box, label)
            cost += 40.0 * _crosses(_along(at[:2], label.line or at[:2], 0.0), [other for _, other in found])
            best = min(best, (cost, (label, box)), key=lambda pair: pair[0])
        if best[1]:
            found.append(best[1])
            cloud += _along(at[:2], best[1][0].line or at[:2], 1.0)
    return [label for label, _ in found]


def rank_of(point: Point) -> tuple[int, float]:
    """Sort key: by kind as in the legend, the best first."""
    return list(LOOKS).index(point.kind), -point.metric


def _along(start: tuple[float, float], end: tuple[float, float], weight: float) -> list[Mark]:
    """Points on a straight line, 8 pixels apart."""
    parts = math.ceil(math.dist(start, end) / 8)
    both = list(zip(start, end, strict=True))
    return [(*(a + (b - a) * k / parts for a, b in both), weight) for k in range(parts)]  # type: ignore[misc]


def _label(point: int, text: str, at: Box, gap: float, way: tuple[int, int]) -> tuple[Label, Box]:
    """Put a name beside a point; `way` is the side."""
    wide, tall = SIZE * LETTER * len(text), SIZE
    x, y = at[0] + gap * way[0] * (0.8 if way[1] else 1.0), at[1] + (gap + tall / 2 - 1) * way[1]
    left = x - wide * (1 - way[0]) / 2
    far = (round(x - 2 * way[0], 1), round(y - way[1] * tall / 2 * (way[0] == 0), 1)) if gap > _FAR else None
    label = Label(point, text, round(x, 1), round(y + tall * 0.36, 1), _ANCHORS[way[0]], far)
    return label, (left, y - tall / 2, left + wide, y + tall / 2)


def _hidden(marks: Floats, box: Box) -> float:
    """Weight of what is under a label."""
    x, y = marks[:, 0], marks[:, 1]
    inside = (x > box[0] - 5) & (x < box[2] + 5) & (y > box[1] - 4) & (y < box[3] + 4)
    return float(marks[inside, 2].sum())


def _astray(marks: Floats, at: Box, box: Box, label: Label) -> int:
    """How many named points a label could be taken for: they are nearer, or on the line that leads to it."""
    low, high = np.array(box[:2]), np.array(box[2:])
    apart = np.hypot(*(marks - np.clip(marks, low, high)).T)
    own = math.dist(at[:2], np.clip(at[:2], low, high))
    count = 0 if label.line else int((apart < own + 6).sum()) - 1
    line = np.array(_along(at[:2], label.line or at[:2], 0.0)).reshape(-1, 3)[2:, :2]
    on_line = np.hypot(*(marks[:, None] - line[None]).T) < 8  # noqa: PLR2004 - pixels
    return max(count, 0) + int(on_line.any(axis=0).sum())


def _crosses(line: Sequence[Mark], boxes: Sequence[Box]) -> int:
    return sum(any(b[0] < x < b[2] and b[1] < y < b[3] for x, y, _ in line) for b in boxes)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] + 6 and b[0] < a[2] + 6 and a[1] < b[3] + 2 and b[1] < a[3] + 2
