"""``natix-cascade scan``: many pictures to one file of verdicts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from natix_cascade.run.scan import ScanProgress, ScanSummary

__all__ = ["scan"]

_INTERRUPTED = 130
_PLAIN_LINE_S = 5.0


def scan(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder (recursively), a text file with one path a line, a CSV file with a column 'path', or '-' "
            "for paths on standard input. Paths in a file are relative to the file's folder."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .jsonl, .ndjson, .csv or .parquet.")
    ] = Path("scan.jsonl"),
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    endpoints: EndpointsOption = None,
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Pictures judged and written together.")] = 64,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Threads that decode.", show_default="fits the cores")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many pictures only.")] = None,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Throw away what an interrupted scan left, and begin anew.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Judge many pictures into one file: a row for each, errors too.

    Interrupted by Ctrl-C or in any other way, the same command goes on where it stopped; until it is through, finished
    rows wait in a folder beside the output. Exit code 1 when some pictures failed.

    Example: natix-cascade scan pictures/ --out verdicts.parquet
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.run import scan as engine
    from natix_cascade.run.loaded import LoadedCascade

    shown = _Shown()
    try:
        loaded = LoadedCascade.load(cascade, policy=policy, threads=1, endpoints=endpoints)
        try:
            summary = engine.scan(
                source,
                output,
                loaded,
                chunk=chunk,
                workers=workers,
                resume=not no_resume,
                overwrite=overwrite,
                limit=limit,
                on_progress=shown,
            )
        finally:
            shown.close()
            loaded.close()
    except CascadeError as error:
        fail(error)
    except KeyboardInterrupt:
        parts = Path(f"{output}.parts")
        told = f"what is finished is kept in {parts}; the same command goes on from there" if parts.exists() else ""
        sys.stderr.write(f"interrupted: {told or 'nothing was finished yet'}\n")
        raise typer.Exit(_INTERRUPTED) from None
    if json_output:
        print_json(summary.as_dict())
    else:
        typer.echo(_text(summary))
    if summary.errors:
        raise typer.Exit(FAILED)


class _Shown:
    """Progress on standard error: a bar in a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._next = time.monotonic() + _PLAIN_LINE_S

    def __call__(self, progress: ScanProgress) -> None:
        if sys.stderr.isatty():
            self._draw(progress)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_LINE_S
            total = f" of {progress.total}" if progress.total is not None else ""
            sys.stderr.write(f"{progress.done}{total} pictures, {progress.rate:.0f}/s, {_counts(progress)}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, progress: ScanProgress) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console(), transient=True)
            self._task = self._bar.add_task("", total=progress.total)
            self._bar.start()
        text = f"{progress.rate:.0f}/s, {_counts(progress)}"
        self._bar.update(self._task, completed=progress.done, description=text)


def _counts(state: ScanProgress | ScanSummary) -> str:
    exits = ", ".join(f"{name} {share:.0%}" for name, share in state.exit_shares.items() if share)
    return f"{state.yes} yes, {state.errors} errors" + (f"; exits: {exits}" if exits else "")


def _text(summary: ScanSummary) -> str:
    """The summary for people."""
    spent = summary.time
    before = f" ({summary.skipped} by the scan before)" if summary.skipped else ""
    lines = [f"{summary.done} pictures{before}: {_counts(summary)}"]
    if summary.repeated:
        lines.append(f"{summary.repeated} paths came more than once and have one row")
    if summary.done > summary.skipped:
        models = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.by_model.items())
        lines.append(
            f"{summary.rate:.0f} pictures a second, {summary.seconds:.1f} s: models {spent.models:.1f} s ({models}), "
            f"waiting for decoded pictures {spent.decode_wait:.1f} s, writing {spent.writing:.1f} s, "
            f"other {spent.overhead:.1f} s"
        )
    lines.append(f"written to {summary.output}")
    return "\n".join(lines)
