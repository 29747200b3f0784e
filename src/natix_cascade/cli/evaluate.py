"""The verb ``evaluate`` measures how good a cascade is on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import (
    FAILED,
    CascadeOption,
    EndpointsOption,
    JsonOption,
    PolicyOption,
    console,
    fail,
    print_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from natix_cascade.report.results import Evaluation, JudgeResult
    from natix_cascade.run.loaded import LoadedCascade

__all__ = ["evaluate"]

_FILE = {"dir_okay": False, "writable": True}


def evaluate(
    manifest: Annotated[
        Path, typer.Argument(help="CSV with the columns path and label (group, split, quality, source).")
    ],
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    endpoints: EndpointsOption = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the paths are relative to. Default: the manifest's.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    levels: Annotated[str, typer.Option("--levels", help="Levels of difficulty, with commas.")] = "L0,L1,L2,L3",
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=1, help="Augmentations of each picture at L1 to L3.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of augmentations and intervals.")] = 0,
    flips: Annotated[bool, typer.Option("--flips", help="Let the subnet's flips fire.")] = False,  # a flag
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=1, help="Draws of groups for each interval.")] = 1000,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a report that needs nothing else.", **_FILE)
    ] = None,
    thumbnails: Annotated[  # a flag
        bool, typer.Option("--thumbnails", help="Show the mistakes in the report as small pictures.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the results as JSON.", **_FILE)] = None,
    as_json: JsonOption = False,  # a flag
) -> None:
    """Measure a cascade on labelled pictures, under the challenges of Subnet 72: MCC with intervals, exits, cost.

    Leaves with 1 when a picture could not be judged (the others are evaluated), and with 2 when nothing could be done.
    """
    from natix_cascade.errors import CascadeError  # this and the rest: --help must be fast
    from natix_cascade.report.html import write_html
    from natix_cascade.run.loaded import LoadedCascade

    try:
        loaded = LoadedCascade.load(cascade, policy=policy, threads=1, endpoints=endpoints)
        try:
            result = _run(
                loaded,
                manifest,
                root,
                split,
                levels=[item.strip() for item in levels.split(",") if item.strip()],
                repetitions=repetitions,
                seed=seed,
                flips=flips,
                bootstrap=bootstrap,
            )
        finally:
            loaded.close()
        if html is not None:
            write_html(result, html, thumbnails=thumbnails)
        if out is not None:
            from natix_cascade.files import write_whole

            text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
            write_whole(out, f"{text}\n".encode())
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(result.as_dict())
    else:
        _print(result)
    remarks = console()
    for note in result.notes:
        remarks.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    for failure in result.failures:
        remarks.print(f"{failure.name}: {failure.error}", style="red", highlight=False, markup=False)
    for path in (html, out):
        if path is not None:
            remarks.print(f"wrote {path}", highlight=False, markup=False)
    if result.failures:
        raise typer.Exit(FAILED)


def _run(
    loaded: LoadedCascade,
    manifest: Path,
    root: Path | None,
    split: str | None,
    *,
    levels: list[str],
    repetitions: int,
    seed: int,
    flips: bool,
    bootstrap: int,
) -> Evaluation:
    """Evaluate, with a bar on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from natix_cascade.report.evaluation import evaluate as measure
    from natix_cascade.report.manifest import read_manifest

    rows = read_manifest(manifest, root=root, split=split, question=loaded.resolved.question)
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("judging", total=len(rows))
        return measure(
            loaded,
            rows,
            levels=levels,
            repetitions=repetitions,
            seed=seed,
            flips=flips,
            bootstrap=bootstrap,
            on_progress=lambda done, _: bar.update(task, completed=done),
        )


def _print(result: Evaluation) -> None:
    """Print tables for people on standard output."""
    from rich.console import Console

    from natix_cascade.report.markup import interval, number, percent

    screen = Console(highlight=False, markup=False)
    judged = result.result
    screen.print(
        f"{result.cascade}, policy {result.policy}: {result.pictures} pictures ({result.positives} "
        f"{result.question.positive}) in {result.groups} groups"
    )
    levels = _table(
        "Levels of difficulty",
        "level",
        "answers",
        "MCC",
        "95 % interval",
        "accuracy",
        "recall",
        "specificity",
        "reward",
    )
    for level in (*judged.levels, *((judged.clean,) if judged.clean else ())):
        levels.add_row(
            level.level,
            str(level.n),
            number(level.mcc),
            interval(level.low, level.high),
            percent(level.accuracy),
            percent(level.recall),
            percent(level.specificity),
            number(level.reward),
        )
    mean = ("mean", "", number(judged.mean_mcc), interval(judged.low, judged.high), "", percent(judged.recall))
    levels.add_row(*mean, percent(judged.specificity), "", style="bold")
    screen.print(levels)

    models = _table(
        "Judges",
        "judge",
        *(level.level for level in judged.levels),
        "mean MCC",
        "95 % interval",
        "asked",
        "GMACs",
        "ms",
    )
    for judge in (judged, result.ensemble, *result.models):
        models.add_row(*_judge(result, judge))
    screen.print(models)

    exits = _table("Exits", "level", "reached", "leave", "with yes", "with no", "right")
    for item in result.exits:
        exits.add_row(
            item.level,
            percent(item.executed),
            percent(item.share),
            percent(item.yes),
            percent(item.no),
            percent(item.accuracy),
        )
    screen.print(exits)

    for title, kind, parts in (("Qualities", "quality", result.qualities), ("Sources", "source", result.sources)):
        if parts:
            table = _table(title, kind, "yes", "no", "recall", "specificity", "MCC")
            for part in parts:
                table.add_row(
                    part.name,
                    str(part.positives),
                    str(part.negatives),
                    percent(part.recall),
                    percent(part.specificity),
                    number(part.mcc),
                )
            screen.print(table)
    screen.print(
        f"one picture (mean): models {judged.ms:.1f} ms, decoding {result.decode_ms:.1f} ms, {judged.gmacs:.3f} GMACs, "
        f"{judged.usd:.6f} USD; calibration error {number(result.calibration.ece)}"
    )
    screen.print("models alone: calibrated and decided as the policy says; no threshold was chosen on these pictures")


def _judge(result: Evaluation, judge: JudgeResult) -> tuple[str, ...]:
    from natix_cascade.report.markup import DASH, interval, number, percent

    by_level = {level.level: number(level.mcc) for level in judge.levels}
    return (
        "the cascade" if judge is result.result else judge.name,
        *(by_level.get(level.level, DASH) for level in result.result.levels),
        number(judge.mean_mcc) if judge.levels else DASH,
        interval(judge.low, judge.high) if judge.levels else DASH,
        percent(judge.asked, 0) if judge.place else "",
        f"{judge.gmacs:.3f}",
        f"{judge.ms:.1f}",
    )


def _table(title: str, first: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
