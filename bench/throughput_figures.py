"""Drawings of docs/explanation/throughput.md: readable on light and dark ground."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from natix_cascade.files import write_whole
from natix_cascade.report.svg import Axis, Drawing

__all__ = ["refreshed", "write"]

_MARK = re.compile(r"(<!-- bench: throughput figures\.(\S+) -->)([\d,.]+)( %)?(<!-- /bench -->)")

STYLE = """
svg{--paper:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dde3;--yes:#c2500a;--no:#0b6aa8;background:var(--paper);
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
@media(prefers-color-scheme:dark){svg{--paper:#14171b;--ink:#e7eaee;--soft:#a3adb8;--rule:#343b44;--yes:#f0955b;--no:#5bb4ea}}
.paper{fill:var(--paper)}text{font-size:13px;fill:var(--ink);font-variant-numeric:tabular-nums}
.tick{fill:var(--soft);font-size:12px}.head{font-size:16px;font-weight:650}
.strong{font-weight:650;paint-order:stroke;stroke:var(--paper);stroke-width:5px}
.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}.claim{fill:var(--yes);opacity:.16}
.limit{stroke:var(--soft);stroke-dasharray:4 4}
.full,.lean{fill:none;stroke-width:2.4}.full{stroke:var(--yes)}.lean{stroke:var(--no)}
.fullmark{fill:var(--yes)}.leanmark{fill:var(--no)}
.fulltext{fill:var(--yes);font-weight:650}.leantext{fill:var(--no);font-weight:650}
.claimtext{fill:var(--yes)}
"""


def write(figures: Mapping[str, Any], folder: Path) -> None:
    """Write both."""
    for name, drawing in (("throughput_gate", _gate(figures)), ("throughput_gpus", _gpus(figures))):
        text = drawing.render().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        size = f'width="{drawing.width:g}" height="{drawing.height:g}" style='
        text = text.replace("style=", size, 1).replace("</desc>", f"</desc><style>{STYLE}</style>", 1)
        write_whole(folder / f"{name}.svg", (text + "\n").encode())


def refreshed(page: str, figures: Any) -> str:
    """A page with its marked figures written anew, each with as many decimals as before."""

    def again(found: re.Match[str]) -> str:
        value = figures
        for step in found[2].split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        step_size = Decimal(1).scaleb(-len(found[3].partition(".")[2]))
        shown = (Decimal(str(value)) * (100 if found[4] else 1)).quantize(step_size, ROUND_HALF_UP)
        return f"{found[1]}{shown:,}{found[4] or ''}{found[5]}"

    return _MARK.sub(again, page)


def _gate(figures: Mapping[str, Any]) -> Drawing:
    """Share that passes the gate, and what two H100s then do."""
    grid, claim = figures["behind_gate"], figures["claim"]
    x, y = Axis(1e-4, 1.0, 84, 640, log=True), Axis(10, 200_000, 372, 64, log=True)
    drawing = Drawing(760, 430, "Pictures a second on two H100s, by the share that passes the gate", _spoken(figures))
    drawing.rect(0, 0, drawing.width, drawing.height, "paper")
    drawing.text(20, 30, "Pictures a second on two H100s, by the share that passes a small gate", "head")
    drawing.rect(x.start, y(claim["high"]), x.end - x.start, y(claim["low"]) - y(claim["high"]), "claim")
    for value, label in ((1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (0.1, "10 %"), (1.0, "100 %")):
        drawing.line(x(value), y.end, x(value), y.start, "grid")
        drawing.text(x(value), y.start + 20, label, "tick", "middle")
    for value in (10, 100, 1_000, 10_000, 100_000):
        drawing.line(x.start, y(value), x.end, y(value), "grid")
        drawing.text(x.start - 8, y(value) + 4, f"{value:,}", "tick", "end")
    drawing.line(x.start, y.start, x.end, y.start, "axis")
    drawing.text((x.start + x.end) / 2, y.start + 44, "pictures that the gate passes on", "tick", "middle")
    two = figures["decode"]["224x224"]["two"]
    drawing.line(x.start, y(two), x.end, y(two), "limit")
    drawing.text(x.end + 8, y(two) + 4, "JPEG decoding", "tick")
    drawing.text(x.end + 8, y(claim["low"]) + 4, "the claim", "claimtext")
    for kind in ("full", "lean"):
        _curve(drawing, x, y, [(row["pass"], row[kind]["per_second"]) for row in grid], kind)
    last = grid[-1]
    drawing.text(x.end + 8, y(last["lean"]["per_second"]) + 4, "three models", "leantext")
    drawing.text(x.end + 8, y(last["lean"]["per_second"]) + 20, "behind it", "leantext")
    drawing.text(x.end + 8, y(last["full"]["per_second"]) + 4, "the design", "fulltext")
    drawing.text(x.end + 8, y(last["full"]["per_second"]) + 20, "behind it", "fulltext")
    return drawing


def _curve(drawing: Drawing, x: Axis, y: Axis, points: Sequence[tuple[float, float]], kind: str) -> None:
    places = [(x(share), y(rate)) for share, rate in points]
    drawing.path("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places), kind)
    for (share, rate), (a, b) in zip(points, places, strict=True):
        drawing.circle(a, b, 3.5, f"{kind}mark", f"{share:.2%} pass: {rate:,.0f} pictures a second")


def _spoken(figures: Mapping[str, Any]) -> str:
    rows = "; ".join(
        f"{row['pass']:.2%} pass: {row['full']['per_second']:,.0f} with the design behind the gate, "
        f"{row['lean']['per_second']:,.0f} with three models"
        for row in figures["behind_gate"]
    )
    return f"Both fall with the share that passes. {rows}. The claim is 35,000 to 45,000."


def _gpus(figures: Mapping[str, Any]) -> Drawing:
    """H100s that 35,000 pictures a second take."""
    design, grid = figures["design"], {row["pass"]: row for row in figures["behind_gate"]}
    rows = [
        ("the design, at the share it states", design["stated"]["h100s"], "full"),
        ("the same with one VLM of six at level 3", design["one_vlm"]["h100s"], "full"),
        ("without its three slowest models", design["slowest_free"]["h100s"], "full"),
        ("all pictures leave after level 1", design["all_after_level_1"]["h100s"], "full"),
        ("behind a gate that passes 10 %", grid[0.1]["full"]["h100s"], "full"),
        ("behind a gate that passes 1 %", grid[0.01]["full"]["h100s"], "full"),
        ("behind a gate that passes 0.1 %", grid[0.001]["full"]["h100s"], "full"),
        ("four models, ever fewer pictures", figures["lean"]["h100s"], "lean"),
    ]
    x = Axis(1, 10_000, 300, 690, log=True)
    spoken = "; ".join(f"{name}: {count:,}" for name, count, _ in rows)
    drawing = Drawing(760, 96 + 32 * len(rows), "H100s that 35,000 pictures a second take", spoken)
    drawing.rect(0, 0, drawing.width, drawing.height, "paper")
    drawing.text(20, 30, "H100s that 35,000 pictures a second take", "head")
    bottom = 56 + 32 * len(rows)
    for value in (1, 10, 100, 1_000, 10_000):
        drawing.line(x(value), 50, x(value), bottom, "grid")
        drawing.text(x(value), bottom + 18, f"{value:,}", "tick", "middle")
    drawing.line(x(2), 50, x(2), bottom, "limit")
    drawing.text(x(2), 46, "the design has two", "tick", "middle")
    for index, (name, count, kind) in enumerate(rows):
        top = 58 + 32 * index
        drawing.text(x.start - 12, top + 15, name, "", "end")
        drawing.rect(x.start, top, x(count) - x.start, 20, f"{kind}mark", tip=f"{name}: {count:,}")
        drawing.text(x(count) + 8, top + 15, f"{count:,}", "strong")
    return drawing
