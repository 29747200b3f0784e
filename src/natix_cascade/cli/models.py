"""``natix-cascade models``: what is known of the models, and whether their weights are the right ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, JsonOption, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.spec.library import CardFile

__all__ = ["app"]

app = typer.Typer(help="List, show and verify model cards and their weights.", no_args_is_help=True)

CardsOption = Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")]


def _known(cards: Path | None) -> dict[str, CardFile]:
    from natix_cascade.spec.library import known_cards  # `--help` does not need it

    return known_cards(cards)


@app.command("list")
def list_models(cards: CardsOption = None, json_output: JsonOption = False) -> None:  # a flag
    """List every known model."""
    known = _known(cards)
    if json_output:
        from natix_cascade.spec.build import plain

        print_json([plain(item.card) for item in known.values()])
        return
    typer.echo(f"{'name':<24}{'engine':<8}{'input':>9}{'params':>9}{'GMACs':>8}{'size':>9}  licence")
    for item in known.values():
        card = item.card
        size = card.weights.bytes / 1e6 if card.weights else 0
        typer.echo(
            f"{card.name:<24}{card.engine:<8}{card.input.width:>4}x{card.input.height:<4}"
            f"{card.parameters / 1e6:>8.2f}M{card.cost.gmacs:>8.3f}{size:>7.1f}MB  {card.licence}"
        )


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A name from `models list`.")],
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Show one model card."""
    from natix_cascade.spec.build import plain

    known = _known(cards)
    if name not in known:
        fail(f"no model {name!r}; known: {', '.join(known)}")
    data = plain(known[name].card)
    if json_output:
        print_json(data)
        return
    import yaml

    typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110).rstrip())


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Which models; default: all.")] = None,
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Check size and sha256 of the weights, and that the engine loads them and answers."""
    known = _known(cards)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        fail(f"no model {', '.join(unknown)}; known: {', '.join(known)}")
    results = [{"model": name, "problem": _problem(known[name])} for name in names or known]
    if json_output:
        print_json(results)
    else:
        for result in results:
            typer.echo(f"{result['model']:<24}{result['problem'] or 'ok'}")
    if any(result["problem"] for result in results):
        raise typer.Exit(FAILED)


def _problem(item: CardFile) -> str | None:
    import numpy as np

    from natix_cascade.errors import CascadeError
    from natix_cascade.models import load_model

    try:
        model = load_model(item.card, item.weights)
        model.predict([model.prepare(np.full((64, 64, 3), 128, np.uint8))])
        model.close()
    except CascadeError as error:
        return str(error)
    return None
