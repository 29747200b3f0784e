"""The Typer application; verbs import what they need when they are called."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from natix_cascade.cli import (
    demo,
    detect,
    doctor,
    engines,
    evaluate,
    feedback,
    keys,
    miner,
    models,
    observe,
    place,
    plan,
    record,
    records,
    rehearse,
    scan,
    secrets,
    serve,
    spec,
)
from natix_cascade.cli.common import UNUSABLE
from natix_cascade.errors import CascadeError

__all__ = ["app", "run"]

app = typer.Typer(
    name="natix-cascade",
    help="Is there roadwork in this street picture? Cheap models look first, costly ones only where they are needed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("detect")(detect.detect)
app.command("scan")(scan.scan)
app.command("serve")(serve.serve)
app.add_typer(feedback.app, name="feedback")
app.command("evaluate")(evaluate.evaluate)
app.command("record")(record.record)
app.add_typer(records.app, name="records")
app.add_typer(plan.app, name="plan")
app.command("rehearse")(rehearse.rehearse)
app.command("place")(place.place)
app.add_typer(miner.app, name="miner")
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")
app.add_typer(observe.app, name="observe")
app.add_typer(spec.app, name="spec")
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,  # a flag
) -> None:
    if version:
        from natix_cascade import __version__  # read from the installed package, only when asked

        typer.echo(__version__)
        raise typer.Exit


def run() -> None:
    """Run the command line; errors that are raised on purpose are one sentence, not a traceback."""
    try:
        app(prog_name="natix-cascade")
    except CascadeError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(UNUSABLE) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
