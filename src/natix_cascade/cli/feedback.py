"""``natix-cascade feedback``: what users said of verdicts, for the learning loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natix_cascade.cli.common import JsonOption, fail, print_json

__all__ = ["app"]

app = typer.Typer(help="What users of the service said of its verdicts.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """A group, so that more verbs fit in."""


@app.command("export")
def export(
    state: Annotated[Path, typer.Option("--state", help="Folder of the service's state.")] = Path(
        "natix-cascade-state"
    ),
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest, a CSV.")] = Path("feedback.csv"),
    wrong_only: Annotated[bool, typer.Option("--wrong-only", help="Only wrong verdicts.")] = False,  # a flag
    json_output: JsonOption = False,
) -> None:
    """Write kept pictures with their truth as a manifest for `evaluate`, `record` and training."""
    from dataclasses import asdict

    try:
        from natix_cascade.serve.export import export_feedback
    except ImportError as error:
        fail(f"the service's packages are needed ({error.name} is missing): pip install 'natix-cascade[serve]'")
    done = export_feedback(state, out, wrong_only=wrong_only)
    if json_output:
        print_json({**asdict(done), "out": str(out)})
    else:
        typer.echo(f"{done.rows} labelled pictures in {out}, {done.wrong} of them were judged wrong")
        if done.without_picture:
            typer.echo(f"{done.without_picture} came without a picture and are left out")
