"""The plot of a plan as a PNG, for a README."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natix_cascade.errors import MissingExtraError
from natix_cascade.files import write_whole
from natix_cascade.plan.result import Plan
from natix_cascade.plan.scene import LETTER, LOOKS, SIZE, Look, Scene, front_of, is_open, lay_out, legend, rank_of
from natix_cascade.plan.wording import Words, shorten, times
from natix_cascade.report.ink import INK, PAPER, RULE, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_plan_png"]

Rgb = tuple[int, int, int]
Pair = tuple[float, float]

_PNG, _PNG_SCENE = (1600, 1000), (880, 550)
_FONT = "DejaVu Sans"  # comes with matplotlib
_SIDES = {"start": "left", "middle": "center", "end": "right"}


def write_plan_png(plan: Plan, path: str | Path) -> Path:
    """Write the plot as a PNG of 1600 x 1000 pixels.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    OSError
        The folder cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "the picture of a plan needs matplotlib, which is not installed: pip install 'natix-cascade[plots]'"
        ) from error
    sheet = Figure(figsize=(_PNG[0] / 100, _PNG[1] / 100), dpi=100, facecolor=_hex(PAPER))
    axes = sheet.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, _PNG_SCENE[0]), ylim=(_PNG_SCENE[1], 0))
    axes.set_axis_off()
    _draw(plan, axes)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the typeface has not
        FigureCanvasAgg(sheet).print_png(out, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return write_whole(path, out.getvalue())


def _draw(plan: Plan, axes: Axes) -> None:
    front = [p.metric for p in front_of(plan.points)] or [0.0]
    every = [p.metric for p in plan.points] or [0.0]
    squeezed = max(front) - min(front) < (max(every) - min(every)) / 4
    scene = lay_out(plan, "front" if squeezed else "all", *_PNG_SCENE, top=118.0)
    _draw_frame(plan, scene, _Pen(axes))
    _draw_points(plan, scene, _Pen(axes))


def _draw_frame(plan: Plan, scene: Scene, pen: _Pen) -> None:
    words, found, (left, top, right, bottom) = Words.of(plan), plan.expected, scene.area
    than = times(found.cost, found.reference_cost, plan.reference)
    heading = than or f"{words.cost(found.cost)} per {words.picture}"
    pen.text(left, 34, shorten(heading[0].upper() + heading[1:], 62), size=20, weight="bold")
    worse = words.worse(found.regret, plan.reference).removesuffix(f" than {plan.reference}")
    costs = f"{words.cost(found.cost)} per {words.picture} instead of {words.amount(found.reference_cost)}"
    sure, _, _ = words.guarantee(plan).partition(" at every level")  # there is one line
    pen.text(left, 57, shorten(f"{costs}; {sure or worse}", 112), SOFT, size=13)
    at = left + 10
    for kind, name in legend(plan):
        pen.mark(at, 82, LOOKS[kind])
        pen.text(at + 14, 86.5, name, SOFT)
        at += 30 + len(name) * SIZE * LETTER
    for x, text in scene.x_ticks:
        pen.line((x, bottom), (x, top), RULE)
        pen.text(x, bottom + 18, text, SOFT, ha="center")
    for y, text in scene.y_ticks:
        pen.line((left, y), (right, y), RULE)
        pen.text(left - 8, y + 4.5, text, SOFT, ha="right")
    pen.line((left, bottom), (right, bottom), SOFT)
    pen.text((left + right) / 2, bottom + 38, scene.x_title, SOFT, ha="center")
    hidden = scene.points.count(None)
    note = f" ({hidden} of {len(plan.points)} points are out of view)" if hidden else ""
    pen.text(left, top - 8, f"{scene.y_title}, with 95 % intervals{note}", SOFT)


def _draw_points(plan: Plan, scene: Scene, pen: _Pen) -> None:
    order = sorted(zip(plan.points, scene.points, strict=True), key=lambda pair: rank_of(pair[0]), reverse=True)
    order.sort(key=lambda pair: pair[0].kind != "plan")
    for point, here in order:
        if here:
            faint = 0.16 if point.kind == "plan" else 0.45
            pen.line((here[0], here[2]), (here[0], here[3]), LOOKS[point.kind].light, 1.4, alpha=faint)
    for start, end in pairwise(scene.front):
        pen.line(start, end, LOOKS["plan"].light, 1.6)
    for label in scene.labels:
        if label.line:
            pen.line((scene.points[label.point] or (0.0, 0.0))[:2], label.line, SOFT, 0.7)
    for point, here in order:
        if here:
            pen.mark(here[0], here[1], LOOKS[point.kind], hollow=is_open(plan, point))
    for label in scene.labels:
        strong = "bold" if plan.points[label.point].kind == "chosen" else "normal"
        pen.text(label.x, label.y, label.text, ha=_SIDES[label.anchor], weight=strong, halo=True)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws in the scene's pixels."""

    axes: Axes
    scale: float = 72 / 100 * _PNG[0] / _PNG_SCENE[0]

    def text(self, x: float, y: float, text: str, colour: Rgb = INK, size: float = SIZE, **more: Any) -> None:
        if more.pop("halo", False):
            from matplotlib.patheffects import withStroke  # noqa: PLC0415

            more["path_effects"] = [withStroke(linewidth=4, foreground=_hex(PAPER))]
        more |= {"fontsize": size * self.scale, "fontfamily": _FONT, "parse_math": False, "zorder": 5}
        self.axes.text(x, y, text, color=_hex(colour), va="baseline", **more)

    def line(self, start: Pair, end: Pair, colour: Rgb | str, width: float = 1.0, *, alpha: float = 1.0) -> None:
        colour = colour if isinstance(colour, str) else _hex(colour)
        ends = zip(start, end, strict=True)
        self.axes.plot(*ends, color=colour, linewidth=width * self.scale, alpha=alpha, zorder=1)

    def mark(self, x: float, y: float, look: Look, *, hollow: bool = False) -> None:
        from matplotlib.patches import Polygon  # noqa: PLC0415

        paper = _hex(PAPER)
        corners = [(x + look.radius * a, y + look.radius * b) for a, b in look.shape]
        face, edge = (paper, look.light) if hollow else (look.light, paper)
        self.axes.add_patch(Polygon(corners, facecolor=face, edgecolor=edge, linewidth=self.scale * 0.9, zorder=4))


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
