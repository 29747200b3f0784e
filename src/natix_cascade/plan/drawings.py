"""The drawings of a plan's page: the plot of cost against metric, and the stream of pictures through the levels."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

from natix_cascade.plan.result import Plan, Step
from natix_cascade.plan.scene import LOOKS, View, is_open, lay_out, legend
from natix_cascade.plan.wording import Words, plain, times
from natix_cascade.report.markup import percent
from natix_cascade.report.svg import Drawing

__all__ = ["flow", "plot", "plot_data", "symbols"]

_SIZES = ((960.0, 540.0), (680.0, 480.0), (390.0, 440.0))
_VIEWS: dict[View, str] = {"all": "everything", "front": "the front", "near": "this plan and the reference"}
_TRUNK, _OUT, _BEND, _LEAD, _THIN = 150.0, 216.0, 10.0, 12.0, 1.2


def symbols() -> str:
    """Draw the shapes of all kinds, once."""
    shapes = "".join(
        f'<path id="s-{kind}" vector-effect="non-scaling-stroke" '
        f'd="M{"L".join(f"{look.radius * x:.2f} {look.radius * y:.2f}" for x, y in look.shape)}Z"/>'
        for kind, look in LOOKS.items()
    )
    return f'<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{shapes}</defs></svg>'


def plot(plan: Plan, words: Words) -> str:
    """Draw the plot without scripts; `page.js` draws it anew from the data."""
    scene = lay_out(plan, "all", *_SIZES[0])
    left, top, right, bottom = scene.area
    spoken = "; ".join(
        f"{LOOKS[p.kind].name} {p.name}: {words.cost(p.cost)}, {words.value(p.metric)}, interval {words.interval(p)}"
        for p in plan.points
        if p.kind != "plan"
    )
    others = sum(p.kind == "plan" for p in plan.points)
    spoken += f"; and {others} other plans. All are in the table of points." if others else "."
    drawing = Drawing(scene.width, scene.height, f"Cost against {words.title}", spoken)
    for x, text in scene.x_ticks:
        drawing.line(x, top, x, bottom, "grid")
        drawing.text(x, bottom + 18, text, "tick", "middle")
    for y, text in scene.y_ticks:
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 8, y + 4.5, text, "tick", "end")
    drawing.line(left, bottom, right, bottom, "axis")
    drawing.text((left + right) / 2, bottom + 38, scene.x_title, "tick", "middle")
    drawing.text(left, top - 12, scene.y_title, "tick")
    pairs = [(p, at) for p, at in zip(plan.points, scene.points, strict=True) if at]
    for p, at in pairs:
        drawing.line(at[0], at[2], at[0], at[3], f"bar k-{p.kind}")
    if scene.front:
        drawing.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in scene.front), "front k-plan")
    for label in scene.labels:
        if label.line:
            drawing.line(*(scene.points[label.point] or label.line)[:2], *label.line, "lead")
    for p, at in sorted(pairs, key=lambda pair: -list(LOOKS).index(pair[0].kind)):
        tip = f"{p.name}: {words.cost(p.cost)}, {words.value(p.metric)} ({words.interval(p)})"
        cls = f"mark k-{p.kind}{' open' if is_open(plan, p) else ''}"
        drawing.add("use", tip=tip, href=f"#s-{p.kind}", x=at[0], y=at[1], cls=cls)
    for label in scene.labels:
        strong = " strong" if plan.points[label.point].kind == "chosen" else ""
        drawing.text(label.x, label.y, label.text, f"name{strong}", label.anchor)
    keys = "".join(
        f'<li><button type="button" disabled aria-pressed="true" data-kind="{kind}" class="k-{kind}">'
        f'<svg viewBox="-11 -11 22 22" aria-hidden="true"><use href="#s-{kind}" class="mark"/></svg>{name}'
        "</button></li>"
        for kind, name in legend(plan)
    )
    views = "".join(
        f'<button type="button" aria-pressed="{str(view == "all").lower()}" data-view="{view}">{name}</button>'
        for view, name in _VIEWS.items()
    )
    return (
        f'<figure id="pareto"><ul class="keys" aria-label="Kinds of points">{keys}</ul>'
        f'<div class="views" role="group" aria-label="Zoom" hidden><span>Show</span>{views}</div>'
        f'<div class="stage">{drawing.render()}<div class="tip" role="status" hidden></div></div>'
        f"<figcaption>Bars are 95 % intervals; the line is the front: plans that are better than every cheaper one."
        f'<span class="script" hidden> Point at a plan, or reach it with Tab and the arrow keys; Enter pins what is '
        "shown, Escape lets go.</span></figcaption></figure>"
    )


def plot_data(plan: Plan, words: Words) -> dict[str, Any]:
    """Return what the script draws from: texts of the points, and where they stand in each view and size."""
    base = plan.expected.reference_cost
    points = [
        {
            "name": p.name,
            "kind": p.kind,
            "look": LOOKS[p.kind].name,
            "open": is_open(plan, p),
            "certified": p.certified,
            "levels": [" + ".join(level) for level in p.levels],
            "cost": f"{words.cost(p.cost)} per {words.picture}",
            "metric": f"{words.title} {words.value(p.metric)}, 95 % interval {words.interval(p)}",
            "ratio": times(p.cost, base, "the reference") if p.kind != "reference" else "",
        }
        for p in plan.points
    ]
    scenes = {view: [asdict(lay_out(plan, view, *size)) for size in _SIZES] for view in _VIEWS}
    return {"points": points, "scenes": scenes}


def flow(plan: Plan, words: Words) -> str:
    """Draw the levels from top to bottom: the stream gets thinner where pictures leave."""
    rows = []
    for index, step in enumerate(plan.steps):
        goes_on = max(step.reached - step.leaves, 0.0) if index < len(plan.steps) - 1 else 0.0
        models = " + ".join(step.models)
        asked = f"asks {models}; " if models != step.name else ""
        right = f"<span>{percent(step.right)} right</span>" if step.right is not None else ""
        rows.append(
            f'<li><div class="pipe" aria-hidden="true"><i style="width:{100 * goes_on * _TRUNK / _OUT:.3f}%"></i>'
            f'{_branch(step, goes_on)}</div><div class="what"><h3>{index + 1}. {escape(step.name)}</h3>'
            f"<p>{_thousand(step.reached)} get here; {escape(asked)}adds {escape(words.cost(step.cost))} per "
            f'{words.picture}</p><p>{escape(step.rule)}</p></div><div class="out"><b>{_thousand(step.leaves)}</b> '
            f"leave here{right}</div></li>"
        )
    return (
        f"<p>Of 1,000 pictures: how many reach each level and leave there, "
        f'<span class="key right"></span>with a right answer or <span class="key wrong"></span>a wrong one.</p>'
        f'<ol class="stream">{"".join(rows)}</ol>'
    )


def _branch(step: Step, goes_on: float) -> str:
    """The part of the stream that leaves bends to the right: right answers inside, wrong ones outside."""
    if step.leaves <= 0:
        return f'<svg viewBox="0 0 {_OUT:g} {2 * _LEAD:g}"></svg>'
    edge = goes_on * _TRUNK
    thick = max(step.leaves * _TRUNK, _THIN)
    edge += thick
    good = thick * (step.right if step.right is not None else 1.0)
    level = _LEAD + _BEND
    paths = ""
    for near, far, cls in ((0.0, good, "right"), (good, thick, "wrong")):
        if far - near > 1e-9:  # noqa: PLR2004 - nothing to be seen
            paths += (
                f'<path class="{cls}" d="M{edge - near:.2f}-1V{_LEAD}a{_BEND + near:.2f} {_BEND + near:.2f} 0 0 0 '
                f"{_BEND + near:.2f} {_BEND + near:.2f}H{_OUT}V{level + far:.2f}H{edge + _BEND:.2f}"
                f'a{_BEND + far:.2f} {_BEND + far:.2f} 0 0 1-{_BEND + far:.2f}-{_BEND + far:.2f}V-1Z"/>'
            )
    return f'<svg viewBox="0 0 {_OUT:g} {level + thick + _LEAD:.2f}">{paths}</svg>'


def _thousand(share: float) -> str:
    count = 1000 * share
    return plain(count) if 0 < count < 1 else f"{count:,.0f}"
