"""A placement as SVG: a bar for each GPU, and in words who sleeps and who stays out; for light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from natix_cascade.plan.place.result import GpuUse, Placed, Placement
from natix_cascade.plan.place.wording import KINDS, gb, headline, parts_of, where
from natix_cascade.plan.wording import shorten
from natix_cascade.report.svg import Axis, Drawing

__all__ = ["Block", "Row", "draw", "page_of"]

_WIDTH, _LEFT, _RIGHT, _BAR, _ROW, _TOP = 960.0, 116.0, 24.0, 34.0, 82.0, 92.0
_LETTER, _PAD, _GAP, _LINE, _CHARACTERS = 6.4, 10.0, 1.5, 19.0, 118

STYLE = """
svg{--paper:#ffffff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dde3;--wash:#f0f3f6;
--weights:#0b6aa8;--kv:#e69f00;--activations:#2a9d78;--graphs:#a25c8a;--reserve:#9aa4ae;--room:#56a6d6;--over:#c2500a;
background:var(--paper);
font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){svg{--paper:#14171b;--ink:#e7eaee;--soft:#a3adb8;--rule:#343b44;--wash:#1d2127;
--weights:#3d8fc9;--kv:#d9a441;--activations:#4bb592;--graphs:#c084ab;--reserve:#65707c;--room:#7cc3ef;--over:#f0955b}}
text{fill:var(--ink);font-variant-numeric:tabular-nums}.title{font-size:18px;font-weight:650}.soft{fill:var(--soft)}
.name{font-weight:650}.tick{fill:var(--soft);font-size:12px}.grid{stroke:var(--rule)}.lead{stroke:var(--soft);stroke-width:.8}
.back{fill:var(--wash)}.edge{fill:none;stroke:var(--rule)}.limit{stroke:var(--over);stroke-width:2;stroke-dasharray:5 3}
.weights{fill:var(--weights)}.kv{fill:var(--kv)}.activations{fill:var(--activations)}.graphs{fill:var(--graphs)}
.reserve{fill:var(--reserve)}.room{fill:url(#hatch)}.hatch{stroke:var(--room);stroke-width:2}.over{fill:var(--over)}
"""
_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="hatch" x1="1" y1="0" x2="1" y2="7"/></pattern></defs>'
)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a bar: a name, what it says when pointed at, and bytes by class."""

    name: str
    tip: str
    parts: tuple[tuple[str, float], ...]

    @property
    def total(self) -> float:
        """Bytes."""
        return sum(count for _, count in self.parts)


@dataclass(frozen=True, slots=True)
class Row:
    """A bar: its name, a second line, its pieces, and the bytes that fit."""

    name: str
    under: str
    blocks: tuple[Block, ...]
    size: float  # bytes that fit


def draw(placement: Placement) -> str:
    """Draw a placement.

    Returns
    -------
    str
        A whole SVG file; it follows the reader's light or dark scheme.
    """
    rows = [_gpu_row(placement, gpu) for gpu in placement.gpus]
    proof = "nothing is worth more" if placement.status == "optimal" else f"within {placement.gap:.3%} of the best"
    under = f"value {placement.value:g} ({proof}); {placement.wish.concurrency} requests at once for each server"
    return page_of(headline(placement), under, rows, legend=_legend(placement), lines=_lines(placement))


def page_of(
    title: str,
    under: str,
    rows: Sequence[Row],
    *,
    legend: Mapping[str, str],
    lines: Sequence[tuple[str, str]] = (),
    limit: float | None = None,
) -> str:
    """Lay rows out under a title, and lines (name, text) below; `limit` is a line through all rows, in bytes."""
    most = max([limit or 0.0, 1.0, *(max(row.size, sum(b.total for b in row.blocks)) for row in rows)])
    scale = 34.0 if rows else 0.0
    height = _TOP + _ROW * len(rows) + scale + _LINE * len(lines) + (_PAD if lines else 0.0)
    drawing = Drawing(_WIDTH, height, title, " ".join(_spoken(row) for row in rows))
    drawing.text(_PAD, 28, title, "title")
    drawing.text(_PAD, 48, under, "soft")
    _draw_legend(drawing, legend)
    axis = Axis(0.0, most, _LEFT, _WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(rows)
    for tick in _ticks(most) if rows else ():
        drawing.line(axis(tick), _TOP - 4, axis(tick), bottom, "grid")
        drawing.text(axis(tick), bottom + 17, f"{tick / 1e9:g}{' GB' if tick == 0 else ''}", "tick", "middle")
    for number, row in enumerate(rows):
        _draw_row(drawing, axis, row, _TOP + number * _ROW + 22)
    if limit is not None:
        drawing.line(axis(limit), _TOP - 4, axis(limit), bottom, "limit")
    for number, (name, text) in enumerate(lines):
        y = bottom + scale + _LINE * number + 13
        drawing.text(_LEFT - _PAD, y, name, "name", "end")
        drawing.text(_LEFT, y, shorten(text, _CHARACTERS))
    return _whole(drawing)


def _whole(drawing: Drawing) -> str:
    """An element of a page as a file of its own, as wide as the place that it gets."""
    head, found, rest = drawing.render().partition("<desc")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head = head.replace("style=", f'width="{drawing.width:g}" height="{drawing.height:g}" style=', 1)
    tail, close, after = (found + rest).partition("</desc>")
    return f"{head}{tail}{close}<style>{STYLE}</style>{_HATCH}{after}\n"


def _gpu_row(placement: Placement, gpu: GpuUse) -> Row:
    blocks = [_block(item) for item in placement.on(gpu.index) if item.served and not item.asleep]
    inside = [item for item in placement.on(gpu.index) if not item.served]
    if inside or gpu.process:
        held = _sum([_block(item) for item in inside])
        parts = (*held[:-1], (held[-1][0], held[-1][1] + gpu.process))
        tip = f"{len(inside)} models in the cascade's own process: " + ", ".join(item.model for item in inside)
        blocks.insert(0, Block(f"{len(inside)} in-process models", f"{tip}; {gb(sum(p[1] for p in parts))} GB", parts))
    asleep = [item for item in placement.on(gpu.index) if item.asleep]
    if asleep:
        names = ", ".join(item.model for item in asleep)
        largest = max(asleep, key=lambda item: item.parts.total - item.parts.held)
        parts = (*_sum([_block(item) for item in asleep]), ("room", float(gpu.room)))
        tip = f"asleep: {names}; one at a time wakes into {gb(gpu.room)} GB, as much as {largest.model} needs"
        blocks.append(Block(f"room to wake one of {len(asleep)}", tip, parts))
    kept = (("reserve", float(gpu.fragmentation)),)
    blocks.append(Block("", f"fragmentation: {gb(gpu.fragmentation)} GB stay unused", kept))
    return Row(f"GPU {gpu.index}", gpu.name, tuple(blocks), float(gpu.memory))


def _lines(placement: Placement) -> list[tuple[str, str]]:
    """Who is not on a GPU now."""
    lines = [
        (f"{item.model} at {item.precision}: {gb(item.host)} GB in the host's RAM, wakes on GPU {where(item)}")
        for item in placement.placed
        if item.asleep
    ]
    found = [("Asleep" if not number else "", text) for number, text in enumerate(lines)]
    on_cpu = [item for item in placement.placed if not item.gpus]
    if on_cpu:
        names = ", ".join(item.model for item in on_cpu)
        found.append(("On the CPU", f"{names}: {gb(sum(item.host for item in on_cpu))} GB"))
    for number, out in enumerate(placement.left_out):
        needs = out.need.text if out.need else "a larger machine"
        found.append(("Left out" if not number else "", f"{out.model}: needs {needs}"))
    return found


def _legend(placement: Placement) -> dict[str, str]:
    shown = dict(KINDS)
    if any(gpu.room for gpu in placement.gpus):
        shown["room"] = "room to wake a sleeper"
    return shown | {"back": "free"} if placement.gpus else {}


def _block(item: Placed) -> Block:
    parts = tuple((kind, float(count)) for kind, count in parts_of(item).items())
    told = ", ".join(f"{KINDS[kind]} {gb(count)}" for kind, count in parts if count >= 5e7)  # noqa: PLR2004 - 0.1 GB
    shared = f" on {len(item.gpus)} GPUs" if len(item.gpus) > 1 else ""
    return Block(f"{item.model} {item.precision}", f"{item.model} at {item.precision}{shared}: {told} GB", parts)


def _sum(blocks: list[Block]) -> tuple[tuple[str, float], ...]:
    return tuple((kind, sum(dict(block.parts)[kind] for block in blocks)) for kind in KINDS)


def _draw_row(drawing: Drawing, axis: Axis, row: Row, top: float) -> None:
    drawing.text(_LEFT - _PAD, top + 15, row.name, "name", "end")
    drawing.text(_LEFT - _PAD, top + 31, row.under, "tick", "end")
    if row.size:
        drawing.rect(axis(0), top, axis(row.size) - axis(0), _BAR, "back")
    at, said = 0.0, [axis(0) - _PAD, axis(0) - _PAD]
    for block in row.blocks:
        start, end = axis(at), axis(at + block.total)
        for (cls, _), (low, high) in zip(block.parts, pairwise(_edges(at, block)), strict=True):
            last = high >= at + block.total
            width = axis(high) - axis(low) - (_GAP if last else 0.0)
            if width > 0.2:  # noqa: PLR2004 - nothing to be seen
                drawing.rect(axis(low), top, width, _BAR, cls, tip=block.tip)
        if block.name:
            _name(drawing, block.name, (start + end) / 2, top, said)
        at += block.total
    if row.size:
        drawing.rect(axis(0), top, axis(row.size) - axis(0), _BAR, "edge")


def _name(drawing: Drawing, name: str, middle: float, top: float, said: list[float]) -> None:
    """Write a name above its block, else below, else (it is in the tip) not at all; `said` is where names end."""
    half = len(name) * _LETTER / 2
    left = min(max(middle - half, _LEFT), _WIDTH - _PAD - 2 * half)
    for side, (y, near, far) in enumerate(((top - 8, top - 5, top), (top + _BAR + 16, top + _BAR, top + _BAR + 5))):
        if left >= said[side] + _PAD:
            drawing.text(left, y, name, "tick")
            drawing.line(middle, near, middle, far, "lead")
            said[side] = left + 2 * half
            return


def _edges(at: float, block: Block) -> list[float]:
    edges = [at]
    for _, count in block.parts:
        edges.append(edges[-1] + count)
    return edges


def _draw_legend(drawing: Drawing, legend: Mapping[str, str]) -> None:
    at = _PAD
    for cls, text in legend.items():
        drawing.rect(at, 60, 12, 12, cls)
        drawing.text(at + 17, 70.5, text, "tick")
        at += 17 + len(text) * _LETTER + 14


def _ticks(most: float) -> list[float]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if most / 1e9 / step <= 9)  # noqa: PLR2004
    return [number * step * 1e9 for number in range(ceil(most / 1e9 / step + 1e-9))]


def _spoken(row: Row) -> str:
    return f"{row.name}: {'; '.join(block.tip for block in row.blocks)}."
