"""The verb ``record`` asks every model about labelled pictures and keeps the answers, to plan cascades with."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, EndpointsOption, JsonOption, console, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.image import Level
    from natix_cascade.plan.record import Recorded
    from natix_cascade.run.loaded import LoadedCascade

__all__ = ["record"]

_INTERRUPTED = 130
_PLAIN_LINE_S = 5.0


def record(
    manifest: Annotated[Path, typer.Argument(help="CSV with the columns path and label (group, split).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.", dir_okay=False)],
    cascade: Annotated[
        str | None,
        typer.Option(
            "--cascade",
            "-c",
            help="Shipped cascade by name, or a file, whose models are asked.",
            show_default="embedded",
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Models by name, with commas, not a cascade's.")
    ] = None,
    cards: Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")] = None,
    endpoints: EndpointsOption = None,
    augment: Annotated[
        str,
        typer.Option(
            "--augment", help="Challenges of Subnet 72: L0..L3, or some with commas; none: pictures as they are."
        ),
    ] = "none",
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=1, help="Augmentations of each picture at L1 to L3.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of the augmentations.")] = 0,
    flips: Annotated[bool, typer.Option("--flips", help="Let the subnet's flips fire.")] = False,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the paths are relative to. Default: the manifest's.")
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", help="Cost that plans use by default: gmacs, usd, or ms as measured here.")
    ] = "gmacs",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew: forget what an interrupted run left, replace the output.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask every model about every picture and keep the answers, to plan cascades with.

    Interrupted in any way, the same command (without --fresh) goes on where it stopped; finished parts wait in a
    folder beside the output. Leaves with 1 when a picture could not be decoded (the others are recorded).

    Example: natix-cascade record manifest.csv --split calibration --augment L0..L3 --out records.parquet
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.plan.record import cascade_of
    from natix_cascade.run.loaded import LoadedCascade

    if cascade is not None and models is not None:
        fail("--cascade and --models are both given; choose one")
    try:
        levels = _levels(augment)
        asked = cascade or "embedded"
        names = [name.strip() for name in (models or "").split(",") if name.strip()]
        chosen = asked if models is None else cascade_of(names, cards)
        loaded = LoadedCascade.load(chosen, policy="none", cards=cards, threads=1, endpoints=endpoints)
        try:
            done = _run(
                loaded,
                manifest,
                root,
                split,
                out,
                levels=levels,
                repetitions=repetitions,
                seed=seed,
                flips=flips,
                unit=unit,
                fresh=fresh,
            )
        finally:
            loaded.close()
    except (CascadeError, OSError) as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted: what is finished is kept; the same command (without --fresh) goes on from there\n"
        )
        raise typer.Exit(_INTERRUPTED) from None
    _tell(done, as_json=as_json)
    if done.failures:
        raise typer.Exit(FAILED)


def _levels(text: str) -> list[Level]:
    """Levels as ``--augment`` names them: a range, some with commas, or none.

    Raises
    ------
    RecordsError
        There is no such level, or the range is empty.
    """
    from natix_cascade.errors import RecordsError
    from natix_cascade.image import Level

    known = list(Level)
    if text.strip().lower() == "none":
        return []
    try:
        if ".." in text:
            first, last = (known.index(Level(end.strip())) for end in text.split("..", 1))
            found = known[first : last + 1]
        else:
            found = [Level(item.strip()) for item in text.split(",") if item.strip()]
    except ValueError:
        found = []
    if not found:
        raise RecordsError(f"--augment is {text!r}; write a range (L0..L3), some of {', '.join(known)}, or none")
    return sorted(set(found))


def _run(
    loaded: LoadedCascade,
    manifest: Path,
    root: Path | None,
    split: str | None,
    out: Path,
    *,
    levels: list[Level],
    repetitions: int,
    seed: int,
    flips: bool,
    unit: str,
    fresh: bool,
) -> Recorded:
    """Record, with progress on standard error: a bar in a terminal, else a line every few seconds."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from natix_cascade.plan.record import record as ask
    from natix_cascade.report.manifest import read_manifest

    rows = read_manifest(manifest, root=root, split=split, question=loaded.resolved.question)
    columns = (TextColumn("recording"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    plain, told = not sys.stderr.isatty(), time.monotonic()
    with Progress(*columns, console=console(), transient=True, disable=plain) as bar:
        task = bar.add_task("recording", total=len(rows))

        def on_progress(done: int, total: int) -> None:
            nonlocal told
            bar.update(task, completed=done)
            if plain and time.monotonic() - told > _PLAIN_LINE_S:
                told = time.monotonic()
                sys.stderr.write(f"{done} of {total} pictures\n")
                sys.stderr.flush()

        return ask(
            loaded,
            rows,
            out,
            levels=levels,
            repetitions=repetitions,
            seed=seed,
            flips=flips,
            unit=unit,
            fresh=fresh,
            on_progress=on_progress,
        )


def _tell(done: Recorded, *, as_json: bool) -> None:
    """Say what was recorded on standard output, and what was not on standard error."""
    records = done.records
    pictures, levels = len(set(records.picture.tolist())), list(dict.fromkeys(records.level.tolist()))
    failed = dict(zip(records.models, records.failed.sum(axis=0).tolist(), strict=True))
    if as_json:
        print_json(
            {
                "out": str(done.path),
                "rows": len(records),
                "pictures": pictures,
                "resumed": done.resumed,
                "levels": levels,
                "models": list(records.models),
                "failed": failed,
                "lost": [{"picture": failure.name, "error": failure.error} for failure in done.failures],
            }
        )
    else:
        before = f" ({done.resumed} of them by the run before)" if done.resumed else ""
        typer.echo(
            f"{len(records)} rows: {pictures} pictures{before} at {', '.join(levels)}; {len(records.models)} models: "
            f"{', '.join(records.models)}; written to {done.path}"
        )
    remarks = console()
    for failure in done.failures:
        remarks.print(f"{failure.name}: {failure.error}", style="red", highlight=False, markup=False)
    for model, count in failed.items():
        if count:
            text = f"note: {model} did not answer in {count} of {len(records)} rows"
            remarks.print(text, style="yellow", highlight=False, markup=False)
