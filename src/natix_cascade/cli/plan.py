"""``natix-cascade plan``: from records to the cheapest cascade that keeps a promise, and whether it still does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import FAILED, JsonOption, console, fail, print_json
from natix_cascade.cli.plan_throughput import throughput

if TYPE_CHECKING:
    from natix_cascade.plan.check import Check
    from natix_cascade.plan.records import Records
    from natix_cascade.plan.result import Plan
    from natix_cascade.plan.sequential import Watch
    from natix_cascade.spec.cascade import CascadeSpec
    from natix_cascade.spec.policy import Policy

__all__ = ["app"]

app = typer.Typer(
    help="Make a policy from records, check whether it keeps its promise, and predict throughput.", no_args_is_help=True
)
app.command("throughput")(throughput)

_FILE = {"dir_okay": False}
_RecordsFile = Annotated[Path, typer.Argument(help="Records: from 'natix-cascade record' or 'records import'.")]


@app.command("make")
def make(
    records: _RecordsFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Policy to write (JSON).", **_FILE)],
    max_regret: Annotated[
        float | None, typer.Option("--max-regret", help="Cheapest plan that loses at most this, as the records show.")
    ] = None,
    risk: Annotated[
        float | None, typer.Option("--risk", help="Cheapest plan that is certified to lose at most this.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", help="Chance that the certificate is wrong. With --max-regret: certify that. [0.1]"),
    ] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Best plan whose mean cost is at most this.")] = None,
    reference: Annotated[
        str, typer.Option("--reference", "-r", help="Compare with: best, a model, vote (of all) or vote:a,b,c.")
    ] = "best",
    metric: Annotated[str, typer.Option("--metric", help="accuracy, mcc or reward (of Subnet 72).")] = "accuracy",
    unit: Annotated[
        str | None, typer.Option("--unit", help="Unit of costs, one of the records' (gmacs, usd, ms). Default: theirs.")
    ] = None,
    latency: Annotated[
        float | None, typer.Option("--latency", help="Most milliseconds of a picture that goes through all levels.")
    ] = None,
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Certify also among the pictures that leave at each level.")
    ] = False,
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", help="Share of yes among the pictures to come.")
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Plan with these models only, with commas. Default: all.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", help="Take this chain: 'a > b + c > d'. Default: search one.")
    ] = None,
    keep_levels: Annotated[
        bool, typer.Option("--keep-levels", help="Keep the levels of --cascade: plan calibrators, votes and exits.")
    ] = False,
    voting: Annotated[
        str | None, typer.Option("--voting", help="log_odds or mean. Default: log_odds for yes/no records.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    cascade: Annotated[
        str | None,
        typer.Option(
            "--cascade",
            "-c",
            help="Cascade that the policy is for. Default: the shipped one that has these models, else 'planned'.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Of the policy.")] = "planned",
    seed: Annotated[int, typer.Option("--seed", help="Of folds, splits and draws.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", help="Report. Default: beside the policy.", **_FILE)] = None,
    png: Annotated[Path | None, typer.Option("--png", help="The front as a picture (extra: plots).", **_FILE)] = None,
    table: Annotated[Path | None, typer.Option("--table", help="The front as CSV.", **_FILE)] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose models, their order, calibrators, votes and exit thresholds; write the policy and a report.

    Give one aim: --max-regret (empirical), --risk (with a guarantee) or --budget. Accuracy is a share: 0.001 is a tenth
    of a point.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.files import write_whole
    from natix_cascade.plan.page import write_plan_html
    from natix_cascade.plan.planner import plan
    from natix_cascade.plan.policies import in_place
    from natix_cascade.spec.build import plain

    wish = {
        "max_regret": max_regret,
        "risk": risk,
        "budget": budget,
        "reference": reference,
        "metric": metric,
        "unit": unit,
        "latency_ms": latency,
        "conditional": conditional,
        "prevalence": prevalence,
        "voting": voting,
        "levels": _levels(levels),
        "seed": seed,
    } | ({} if delta is None else {"delta": delta})
    try:
        chosen = _read(records, split, models)
        kept = _kept(cascade or _shipped(chosen), keep_levels=keep_levels, levels=levels)
        if kept is not None:
            wish["levels"] = tuple(tuple(m.model for m in level.members) for level in kept.levels if level.members)
        made = _watched(plan, chosen, name=name, cascade=kept.name if kept else cascade or _shipped(chosen), **wish)
        if kept is not None:
            made = replace(made, policy=in_place(made.policy, kept))
        write_whole(out, (json.dumps(plain(made.policy), indent=2, ensure_ascii=False) + "\n").encode())
        page = html or out.with_suffix(".html")
        write_plan_html(made, page)
        written = [out, page]
        if png is not None:
            from natix_cascade.plan.figure import write_plan_png

            written.append(write_plan_png(made, png))
        if table is not None:
            written.append(write_whole(table, _csv(made).encode()))
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(made.as_dict() | {"files": [str(path) for path in written]})
    else:
        _print(made)
    for path in written:
        console().print(f"wrote {path}", highlight=False, markup=False)


@app.command("check")
def check(
    policy: Annotated[Path, typer.Argument(help="Policy from 'plan make'.")],
    records: _RecordsFile,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", help="Evidence of earlier days: read, added to and written; run it every day.", **_FILE
        ),
    ] = None,
    alarm: Annotated[float, typer.Option("--alarm", help="Chance of a false alarm.")] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Say whether a policy keeps its promise on new records.

    Leaves with 0 while the records do not contradict it, with 1 when they do, and with 2 when nothing could be said.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.files import write_whole
    from natix_cascade.plan.check import check as judge
    from natix_cascade.spec.library import load_cascade, load_policy

    try:
        held = load_policy(policy)
        chosen = _read(records, split, None)
        cascade = None if held.layout else load_cascade(held.cascade, policy=held)[0]
        watch = None if state is None else _watch(held, chosen, state, alarm)
        found, watch = judge(held, chosen, cascade=cascade, watch=watch, alarm=alarm)
        if state is not None and watch is not None:
            write_whole(state, (json.dumps(watch.as_dict(), indent=2) + "\n").encode())
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(found.as_dict())
    else:
        _print_check(held, found)
    if not found.holds:
        raise typer.Exit(FAILED)


def _read(path: Path, split: str | None, models: str | None) -> Records:
    from natix_cascade.errors import RecordsError
    from natix_cascade.plan.records import read_records

    records = read_records(path)
    if split is not None:
        here = records.split == split
        if not here.any():
            known = ", ".join(sorted({str(item) for item in records.split} - {""})) or "none"
            raise RecordsError(f"{path} has no rows of the split {split!r}; its splits: {known}")
        records = records.rows(here)
    if models is not None:
        names = [name.strip() for name in models.split(",") if name.strip()]
        if not names:
            raise RecordsError("--models names no model; write them with commas, or leave it out")
        records = records.only(names)
    return records


def _levels(text: str | None) -> tuple[tuple[str, ...], ...]:
    if text is None:
        return ()
    return tuple(tuple(name.strip() for name in level.split("+") if name.strip()) for level in text.split(">"))


def _kept(cascade: str, *, keep_levels: bool, levels: str | None) -> CascadeSpec | None:
    """The cascade whose levels are kept; None where the plan has its own."""
    from natix_cascade.errors import PlanError
    from natix_cascade.spec.library import find_cascade

    if not keep_levels:
        return None
    if levels is not None:
        raise PlanError("--keep-levels keeps the cascade's own levels; leave --levels out")
    return find_cascade(cascade)[0]


def _shipped(records: Records) -> str:
    """Name of the shipped cascade that has all these models, so that its runner takes the policy."""
    from natix_cascade.spec.library import bundle

    for name, cascade in bundle().cascades.items():
        if set(records.models) <= {member.model for level in cascade.levels for member in level.members}:
            return name
    return "planned"


def _watched(plan: Any, records: Records, **options: Any) -> Plan:
    """Plan, with a bar on standard error."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console(), transient=True
    ) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=share)

        made: Plan = plan(records, on_progress=show, **options)
        return made


def _watch(policy: Policy, records: Records, state: Path, alarm: float) -> Watch:
    from natix_cascade.errors import PlanError
    from natix_cascade.plan.check import new_watch
    from natix_cascade.plan.sequential import Watch

    fresh = new_watch(policy, records, alarm)
    if not state.exists():
        return fresh
    try:
        data = json.loads(state.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(f"{state} is not a watch's state: {error}; give the file that --state wrote") from None
    watch = Watch.from_dict(data)
    if (watch.alpha, watch.delta) != (fresh.alpha, fresh.delta):
        raise PlanError(
            f"{state} watches over a limit of {watch.alpha} with alarm {watch.delta}, not {fresh.alpha} and "
            f"{fresh.delta}; give each promise a state of its own"
        )
    return watch


def _csv(made: Plan) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "kind", "cost", "unit", made.metric, "low", "high", "certified"])
    for point in made.points:
        writer.writerow(
            [point.name, point.kind, point.cost, made.unit, point.metric, point.low, point.high, point.certified]
        )
    return text.getvalue()


def _print(made: Plan) -> None:
    """Print what was chosen, for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    screen = Console(highlight=False, markup=False)
    expected = made.expected
    ratio = expected.reference_cost / expected.cost if expected.cost else float("inf")
    screen.print(
        f"{expected.cost:.4g} {made.unit} a picture instead of {expected.reference_cost:.4g}: {ratio:.2f} times cheaper"
        f" than {made.reference}"
    )
    screen.print(
        f"{made.metric} {expected.metric:.4f} beside {expected.reference_metric:.4f} (regret {expected.regret:+.4f}), "
        "on pictures that did not set the thresholds"
    )
    if made.delta is not None and made.p_value is not None:
        screen.print(
            f"guaranteed: regret at most {made.limit:g} with probability {1 - made.delta:.0%} (p = {made.p_value:.3g})"
        )
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("level", "reached", "leave", "right", f"{made.unit} a picture", "exit"):
        grid.add_column(title, justify="left" if title in {"level", "exit"} else "right", overflow="fold")
    for step in made.steps:
        right = "" if step.right is None else f"{step.right:.1%}"
        grid.add_row(step.name, f"{step.reached:.1%}", f"{step.leaves:.1%}", right, f"{step.cost:.4g}", step.rule)
    screen.print(grid)
    front = Table(title="Beside it", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", f"cost ({made.unit})", made.metric, "95 % interval"):
        front.add_column(title, justify="left" if not title else "right", overflow="fold")
    for point in made.points:
        if point.kind != "plan":
            mark = "* " if point.kind == "chosen" else ""
            front.add_row(
                f"{mark}{point.name}",
                f"{point.cost:.4g}",
                f"{point.metric:.4f}",
                f"{point.low:.3f} to {point.high:.3f}",
            )
    screen.print(front)
    for note in made.notes:
        screen.print(f"note: {note}")


def _print_check(policy: Policy, found: Check) -> None:
    from rich.console import Console

    screen = Console(highlight=False, markup=False)
    figures = found.figures
    unit = policy.promise.unit if policy.promise else ""
    metric = policy.promise.metric if policy.promise else ""
    promised = (
        f"cost at most {found.budget:g} {unit}" if found.budget is not None else f"regret at most {found.limit:g}"
    )
    screen.print(f"promise ({promised}): {'holds' if found.holds else 'BROKEN'} (p = {found.p_value:.3g})")
    screen.print(
        f"cost {figures.cost:.4g} {unit} beside {figures.reference_cost:.4g}; {metric} {figures.metric:.4f} beside "
        f"{figures.reference_metric:.4f}: regret {figures.regret:+.4f}"
    )
    shares = ", ".join(f"{name} {share:.1%}" for name, share in figures.exit_shares.items())
    screen.print(f"leave at: {shares}; {found.pictures} pictures in {found.groups} groups")
