"""``natix-cascade miner``: answer Subnet 72, and simulate what that would pay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, CascadeOption, JsonOption, PolicyOption, console, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.serve.miner.simulation import Plays, Simulation

__all__ = ["app"]

app = typer.Typer(help="Answer the challenges of Subnet 72, and simulate what that would pay.", no_args_is_help=True)

_FILE = {"dir_okay": False, "writable": True}


@app.command("simulate")
def simulate(
    manifest: Annotated[
        Path, typer.Argument(help="CSV with the columns path and label (group, split): see 'evaluate'.")
    ],
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the paths are relative to. Default: the manifest's.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    challenges: Annotated[int, typer.Option("--challenges", help="In a run; more than 100.")] = 1000,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of challenges that are played.")] = 200,
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=1, help="Augmentations of each picture at L1 to L3.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of augmentations and draws.")] = 0,
    flips: Annotated[bool, typer.Option("--flips", help="Let the subnet's flips fire.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the results as JSON.", **_FILE)] = None,
    as_json: JsonOption = False,
) -> None:
    """Play the subnet's challenges over labelled pictures: expected reward, with intervals over places.

    About half of the subnet's challenges are synthetic pictures; the simulation has none. Leaves with 1 when a picture
    could not be judged (the others are played), and with 2 when nothing could be done.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.files import write_whole
    from natix_cascade.serve.miner.simulation import Plays

    try:
        plays = Plays(challenges=challenges, runs=runs, repetitions=repetitions, seed=seed, flips=flips)
        found = _simulate(manifest, root, split, plays, cascade=cascade, policy=policy)
        if out is not None:
            text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
            write_whole(out, f"{text}\n".encode())
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    remarks = console()
    for failure in found.failures:
        remarks.print(f"{failure.name}: {failure.error}", style="red", highlight=False, markup=False)
    if out is not None:
        remarks.print(f"wrote {out}", highlight=False, markup=False)
    if found.failures:
        raise typer.Exit(FAILED)


def _simulate(
    manifest: Path, root: Path | None, split: str | None, plays: Plays, *, cascade: str, policy: str | None
) -> Simulation:
    """Judge and play, with bars on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from natix_cascade.report.manifest import read_manifest
    from natix_cascade.run.loaded import LoadedCascade
    from natix_cascade.serve.miner.simulation import simulate as play

    loaded = LoadedCascade.load(cascade, policy=policy, threads=1)
    try:
        rows = read_manifest(manifest, root=root, split=split, question=loaded.resolved.question)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(), transient=True) as bar:
            judging = bar.add_task("judging", total=len(rows))
            playing = bar.add_task("playing", total=2 * plays.runs)
            return play(
                loaded,
                rows,
                plays,
                on_judged=lambda done, _: bar.update(judging, completed=done),
                on_played=lambda done, _: bar.update(playing, completed=done),
            )
    finally:
        loaded.close()


def _print(found: Simulation) -> None:
    """Print tables for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    screen = Console(highlight=False, markup=False)
    plays = found.plays
    screen.print(
        f"{found.cascade}, policy {found.policy}: {found.pictures} pictures ({found.positives} with the label yes) in "
        f"{found.groups} groups; {plays.runs} runs of {plays.challenges} challenges"
    )
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", "expected", "95 % interval"):
        grid.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, figure in (
        ("reward", found.reward),
        ("moving average at the end", found.weight),
        ("MCC", found.mcc),
        ("accuracy", found.accuracy),
    ):
        grid.add_row(name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    screen.print(grid)
    levels = Table(title="Levels of difficulty", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("level", "challenges", "reward if all were so", "95 % interval", "MCC", "accuracy"):
        levels.add_column(title, justify="left" if title == "level" else "right")
    for level in found.levels:
        levels.add_row(
            level.level,
            f"{level.share:.0%}",
            f"{level.reward.value:.3f}",
            f"{level.reward.low:.3f} to {level.reward.high:.3f}",
            f"{level.mcc:.3f}",
            f"{level.accuracy:.1%}",
        )
    screen.print(levels)
    screen.print("answers given by: " + ", ".join(f"{name} {share:.1%}" for name, share in found.exits.items()))
    screen.print("intervals: other places drawn from these, and the luck of the challenges")
    for note in found.notes:
        screen.print(f"note: {note}")
