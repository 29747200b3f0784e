"""``natix-cascade observe``: look at what a cascade said, in programs made for that."""

from __future__ import annotations

import typer

from natix_cascade.cli import observe_phoenix

__all__ = ["app"]

app = typer.Typer(help="Look at verdicts in programs made for that.", no_args_is_help=True)
app.add_typer(observe_phoenix.app, name="phoenix")


@app.callback()
def _root() -> None:
    """A group, so that more programs fit in."""
