"""``natix-cascade observe``: what observers of the service have seen."""

from __future__ import annotations

import typer

from natix_cascade.cli import observe_judge

__all__ = ["app"]

app = typer.Typer(help="What observers of the service have seen.", no_args_is_help=True)
app.add_typer(observe_judge.app, name="judge")
