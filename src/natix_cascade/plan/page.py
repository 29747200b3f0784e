"""A plan as one HTML file that needs nothing else: it can be mailed, kept, printed, and used without a mouse."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from natix_cascade.files import write_whole
from natix_cascade.plan.figure import LOOKS, View, Words, is_open, lay_out, legend, plain, times
from natix_cascade.plan.result import Plan, Step
from natix_cascade.report.markup import DASH, Markup, facts, percent, section, table
from natix_cascade.report.svg import Drawing

__all__ = ["render_plan_html", "write_plan_html"]

_HERE = Path(__file__).parent
_SIZES = ((960.0, 540.0), (680.0, 480.0), (390.0, 440.0))
_VIEWS: dict[View, str] = {"all": "everything", "front": "the front", "near": "this plan and the reference"}
_SECTIONS = (
    ("plot", "Cost and {metric}"),
    ("flow", "How pictures flow"),
    ("levels", "Levels"),
    ("points", "All points"),
    ("method", "How it was made"),
)
_TRUNK, _OUT, _BEND, _LEAD, _THIN = 150.0, 216.0, 10.0, 12.0, 1.2
_MANY = 60


def write_plan_html(plan: Plan, path: str | Path) -> Path:
    """Write the page; see `render_plan_html`.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    return write_whole(path, render_plan_html(plan).encode())


def render_plan_html(plan: Plan) -> str:
    """Return a plan as one HTML page: no address outside, light and dark, fit for print, and of use without scripts.

    Parameters
    ----------
    plan : Plan
        What was planned.
    """
    words = Words.of(plan)
    titles = {name: title.format(metric=words.title) for name, title in _SECTIONS}
    body = (
        section("plot", titles["plot"], _plot(plan, words)),
        section("flow", titles["flow"], _flow(plan, words)),
        section("levels", titles["levels"], _levels(plan, words)),
        section("points", titles["points"], _points(plan, words)),
        section("method", titles["method"], _method(plan, words)),
    )
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in titles.items())
    # "<" is written as an escape, so that no name in the data can end the script
    data = json.dumps(_data(plan, words), ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Plan {escape(plan.policy.name)}</title>\n<style>\n{_style()}</style></head>\n<body>"
        f'<a class="skip" href="#plot">Skip to the plot</a>{_symbols()}'
        f'<header>{_header(plan, words)}<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f"<main>{_tiles(plan, words)}{_notes(plan)}\n{chr(10).join(body)}</main>\n"
        f"<footer>natix-cascade, {escape(_when(plan))}. This file holds everything it shows.</footer>\n"
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>\n{(_HERE / 'page.js').read_text('utf-8')}</script></body></html>\n"
    )


def _style() -> str:
    """The report's style, the plan's own, and a colour by kind for light and dark paper."""
    light = "".join(f" --{kind}: {look.light};" for kind, look in LOOKS.items())
    dark = "".join(f" --{kind}: {look.dark};" for kind, look in LOOKS.items())
    kinds = "".join(f".k-{kind} {{ --kind: var(--{kind}); }}\n" for kind in LOOKS)
    return (
        (_HERE.parent / "report" / "page.css").read_text("utf-8")
        + f":root {{{light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{kinds}"
        + (_HERE / "page_plan.css").read_text("utf-8")
    )


def _symbols() -> str:
    """The shapes of all kinds, drawn once."""
    shapes = "".join(
        f'<path id="s-{kind}" vector-effect="non-scaling-stroke" '
        f'd="M{"L".join(f"{look.radius * x:.2f} {look.radius * y:.2f}" for x, y in look.shape)}Z"/>'
        for kind, look in LOOKS.items()
    )
    return f'<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{shapes}</defs></svg>'


def _header(plan: Plan, words: Words) -> str:
    found, reference = plan.expected, plan.reference
    guarantee = words.guarantee(plan)
    cheaper = times(found.cost, found.reference_cost)
    cost = f"costs {words.cost(found.cost)} per {words.picture}"
    if words.amount(found.cost) != words.amount(found.reference_cost):
        cost += f" instead of {words.amount(found.reference_cost)} ({cheaper})"
    else:
        cost += ", as much as the reference,"
    estimate = words.worse(found.regret, reference)
    if guarantee:
        told = f"is {words.at_most(plan.limit or 0.0, reference)}"
    elif plan.limit is not None:
        told = f"is expected to be {words.at_most(plan.limit, reference)}"
    else:
        told = f"is expected to be {estimate}"
    sure = f" {guarantee[0].upper()}{guarantee[1:]} ({_p(plan)})." if guarantee else ""
    if not guarantee and plan.delta is not None:
        sure = f" A guarantee was asked for and not won{f' ({_p(plan)})' if plan.p_value is not None else ''}."
    elif not guarantee:
        sure = " It is an estimate, not a guarantee."
    budget = f" The budget was {words.cost(plan.budget)}." if plan.budget is not None else ""
    return (
        f'<p class="kicker">Plan {escape(plan.policy.name)}, version {escape(plan.policy.version)}, '
        f"for {escape(plan.policy.cascade)}</p><h1>This plan {escape(f'{cost} and {told}')}.</h1>"
        f'<p class="lead">On pictures that had no part in its thresholds it was {escape(estimate)}.'
        f"{escape(sure + budget)}</p>"
    )


def _p(plan: Plan) -> str:
    p = plan.p_value or 0.0
    return f"p\u00a0=\u00a0{plain(p)}" if p >= 0.001 else "p\u00a0<\u00a00.001"  # noqa: PLR2004 - nobody wants more zeros


def _tiles(plan: Plan, words: Words) -> str:
    found, first = plan.expected, next(iter(plan.expected.exit_shares.items()), ("", 1.0))
    cheaper = times(found.cost, found.reference_cost)
    limit = f"the limit was {words.signed(plan.limit)}" if plan.limit is not None else "no limit was set"
    later = [f"{name}: {percent(share)}" for name, share in found.exit_shares.items()][1:]
    more = ", ".join([*later[:3], "\u2026"] if len(later) > 3 else later)  # noqa: PLR2004 - lines of a tile
    per = f", {words.unit} per {words.picture}"
    guarantee = words.guarantee(plan)
    tiles = [
        (f"Cost{per}", words.amount(found.cost), f"reference {words.amount(found.reference_cost)}; {cheaper}"),
        (
            words.title.capitalize() if words.metric != "mcc" else "MCC",
            words.value(found.metric),
            "reference " + words.value(found.reference_metric),
        ),
        ("Regret", words.signed(found.regret), f"the reference's {words.title} less the plan's; {limit}"),
        (f"Leave at '{first[0]}'", percent(first[1]), f"then {more}" if more else "there is one level"),
        ("Made from", f"{plan.pictures:,}", f"labelled pictures, in {plan.groups:,} groups"),
        (
            "Guarantee",
            f"{plain(100 * (1 - (plan.delta or 0)))} %" if guarantee else "none",
            f"{guarantee}; {_p(plan)}" if guarantee else "an estimate only",
        ),
    ]
    shown = "".join(
        f"<div><dt>{escape(a)}</dt><dd>{escape(b)}<small>{escape(c)}</small></dd></div>" for a, b, c in tiles
    )
    return f'<dl class="tiles">{shown}</dl>'


def _notes(plan: Plan) -> str:
    items = "".join(f"<li>{escape(note.rstrip('.'))}.</li>" for note in plan.notes)
    return f'<aside class="notes" aria-label="Notes"><ul>{items}</ul></aside>' if items else ""


def _plot(plan: Plan, words: Words) -> str:
    """The plot, drawn without scripts; `page.js` draws it anew from the data."""
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


def _data(plan: Plan, words: Words) -> dict[str, Any]:
    """What the script draws from: texts of the points, and where they stand in each view and size."""
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


def _flow(plan: Plan, words: Words) -> str:
    """The levels from top to bottom: the stream gets thinner where pictures leave."""
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


def _levels(plan: Plan, words: Words) -> str:
    told = any(" + ".join(step.models) != step.name for step in plan.steps)  # or the names say it all
    models = ("~models",) if told else ()
    head = ("level", *models, "get there", "leave", "right", f"adds, {words.unit}", "~when pictures leave")
    rows = [
        (
            _wrapped(step.name),
            *((_wrapped(" + ".join(step.models)),) if told else ()),
            percent(step.reached),
            percent(step.leaves),
            percent(step.right),
            words.amount(step.cost),
            _wrapped(step.rule),
        )
        for step in plan.steps
    ]
    caption = f"The plan, level by level. Shares are of all pictures; costs are means per {words.picture}."
    return table(caption, head, rows)


def _points(plan: Plan, words: Words) -> str:
    base = plan.expected.reference_cost
    head = ("name", "~kind", f"cost, {words.unit}", words.title, "95 % interval", "times cheaper")
    rows = [
        (
            _wrapped(p.name),
            LOOKS[p.kind].name + (", certified" if p.certified else ""),
            _sorted(p.cost, words.amount(p.cost)),
            _sorted(p.metric, words.value(p.metric)),
            _sorted(p.low, words.interval(p)),
            _sorted(base / p.cost, plain(base / p.cost)) if p.cost > 0 else DASH,
        )
        for p in plan.points
    ]
    chosen = next((i for i, p in enumerate(plan.points) if p.kind == "chosen"), None)
    caption = (
        f"What the plot shows, by rising cost per {words.picture}; the last column is the reference's cost "
        f"({words.cost(base)}) divided by this one."
    )
    shown = table(caption, head, rows, main=chosen)
    return f'<div class="sortable{" tall" if len(rows) > _MANY else ""}">{shown}</div>'


def _sorted(value: float, text: str) -> Markup:
    """A cell that sorts by its value."""
    return Markup(f'<data value="{value!r}">{escape(text)}</data>')


def _wrapped(text: str) -> Markup:
    return Markup(f'<span class="wrap">{escape(text)}</span>')


def _method(plan: Plan, words: Words) -> str:
    policy = plan.policy
    asked = [
        f"{words.at_most(plan.limit, plan.reference)}" if plan.limit is not None else "",
        f"at most {words.cost(plan.budget)} per {words.picture}" if plan.budget is not None else "",
        f"with {plain(100 * (1 - plan.delta))} % confidence" if plan.delta is not None else "",
    ]
    pairs = [
        ("Policy", f"{policy.name}, version {policy.version}, for {policy.cascade}"),
        ("Asked for", ", ".join(filter(None, asked)) or DASH),
        ("Reference", plan.reference),
        ("Metric", words.title),
        ("Unit of costs", plan.unit),
        ("Pictures", f"{plan.pictures:,} in {plan.groups:,} groups"),
        ("Intervals", "95 %, bootstrap by group"),
        ("Made from", policy.made_from or DASH),
        *((f"Guarantee: {name}", str(value)) for name, value in policy.certificate.items()),
        ("When", _when(plan)),
    ]
    return facts(pairs)


def _when(plan: Plan) -> str:
    return plan.created.replace("T", " ").replace("+00:00", " UTC")
