"""``natix-cascade observe``: what was judged, looked at with other people's tools."""

from __future__ import annotations

import typer

from natix_cascade.cli import observe_phoenix
from natix_cascade.cli.observe_fiftyone import fiftyone

__all__ = ["app"]

app = typer.Typer(help="Verdicts in other people's tools.", no_args_is_help=True)
app.add_typer(observe_phoenix.app, name="phoenix")
app.command("fiftyone")(fiftyone)


@app.callback()
def _root() -> None:
    """A group, so that more verbs fit in."""
