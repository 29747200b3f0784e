"""``natix-cascade observe``: what observers of the service have seen, and verdicts in other people's tools."""

from __future__ import annotations

import typer

from natix_cascade.cli import observe_judge, observe_phoenix
from natix_cascade.cli.observe_fiftyone import fiftyone

__all__ = ["app"]

app = typer.Typer(help="What was judged, looked at: in FiftyOne, in Phoenix, by a judge.", no_args_is_help=True)
app.command("fiftyone")(fiftyone)
app.add_typer(observe_judge.app, name="judge")
app.add_typer(observe_phoenix.app, name="phoenix")
