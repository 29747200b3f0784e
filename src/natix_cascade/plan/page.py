"""A plan as one HTML file that needs nothing else: it can be mailed, kept, printed, and used without a mouse."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from natix_cascade.files import write_whole
from natix_cascade.plan.drawings import flow, plot, plot_data, symbols
from natix_cascade.plan.result import Plan
from natix_cascade.plan.scene import LOOKS
from natix_cascade.plan.wording import Words, plain, times
from natix_cascade.report.markup import DASH, Markup, facts, page, percent, section, table

__all__ = ["render_plan_html", "write_plan_html"]

_HERE = Path(__file__).parent
_SECTIONS = (
    ("plot", "Cost and {metric}"),
    ("flow", "How pictures flow"),
    ("levels", "Levels"),
    ("points", "All points"),
    ("method", "How it was made"),
)
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
        section("plot", titles["plot"], plot(plan, words)),
        section("flow", titles["flow"], flow(plan, words)),
        section("levels", titles["levels"], _levels(plan, words)),
        section("points", titles["points"], _points(plan, words)),
        section("method", titles["method"], _method(plan, words)),
    )
    # "<" is written as an escape, so that no name in the data can end the script
    data = json.dumps(plot_data(plan, words), ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return page(
        f"Plan {plan.policy.name}",
        _header(plan, words),
        titles,
        f"{_tiles(plan, words)}{_notes(plan)}\n{chr(10).join(body)}",
        skip="the plot",
        made=f"natix-cascade, {_when(plan)}",
        style=_style(),
        shapes=symbols(),
        scripts=(
            f'<script type="application/json" id="data">{data}</script>',
            f"<script>\n{(_HERE / 'page.js').read_text('utf-8')}</script>",
        ),
    )


def _style() -> str:
    """A colour by kind for light and dark paper, and the plan's own style."""
    light = "".join(f" --{kind}: {look.light};" for kind, look in LOOKS.items())
    dark = "".join(f" --{kind}: {look.dark};" for kind, look in LOOKS.items())
    kinds = "".join(f".k-{kind} {{ --kind: var(--{kind}); }}\n" for kind in LOOKS)
    own = (_HERE / "page_plan.css").read_text("utf-8")
    return f":root {{{light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{kinds}{own}"


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
