"""``natix-cascade models``: what is known of the models, and whether their weights are the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, JsonOption, console, fail, print_json
from natix_cascade.cli.models_get import CardsOption, fetch, known, link

if TYPE_CHECKING:
    from natix_cascade.models.here import Verified, WeightsHere
    from natix_cascade.spec.library import CardFile

__all__ = ["app"]

app = typer.Typer(help="List, show, fetch, link and verify models and their weights.", no_args_is_help=True)


@app.command("list")
def list_models(
    level: Annotated[str | None, typer.Option("--level", help="Only models of this level, such as 3.")] = None,
    trained: Annotated[
        bool, typer.Option("--trained", help="Only those that the project or its user trained.")
    ] = False,
    here: Annotated[bool, typer.Option("--here", help="Only those whose weights are on this machine.")] = False,
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """List every known model: what it is for, what it takes, and whether its weights are here."""
    from natix_cascade.cli.models_table import in_order, lines
    from natix_cascade.models.here import weights_here
    from natix_cascade.spec.library import models_folder

    states = {name: weights_here(item, models_folder()) for name, item in known(cards).items()}
    chosen = [
        item
        for name, item in known(cards).items()
        if (level is None or _stands_in(item, level))
        and (not trained or item.card.trained)
        and (not here or states[name].ready)
    ]
    if json_output:
        from natix_cascade.spec.build import plain

        print_json([plain(item.card) | {"weights_here": _state(states[item.card.name])} for item in in_order(chosen)])
        return
    if not chosen:
        fail("no model is like that; see natix-cascade models list", code=FAILED)
    for line in lines(chosen, {item.card.name: states[item.card.name] for item in chosen}):
        typer.echo(line)


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A name from `models list`.")],
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Show all of one model card; what nobody has confirmed is marked."""
    from natix_cascade.cli.models_table import as_yaml
    from natix_cascade.models.here import weights_here
    from natix_cascade.spec.build import plain
    from natix_cascade.spec.library import models_folder

    found = known(cards)
    if name not in found:
        fail(f"no model {name!r}; known: {', '.join(found)}")
    state = weights_here(found[name], models_folder())
    if json_output:
        print_json(plain(found[name].card) | {"weights_here": _state(state)})
    else:
        typer.echo(as_yaml(found[name].card, state))


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Which models; default: all that are here.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only.")] = False,
    threads: Annotated[int, typer.Option("--threads", help="Files read at a time.", min=1, max=64)] = 4,
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Hash the weights again, against their card or manifest; small models are also asked a picture."""
    from natix_cascade.models.here import weights_here
    from natix_cascade.spec.library import models_folder

    found = known(cards)
    unknown = [name for name in names or () if name not in found]
    if unknown:
        fail(f"no model {', '.join(unknown)}; known: {', '.join(found)}")
    if names:
        items = [found[name] for name in names]
    else:
        folder = models_folder()
        items = [
            item
            for item in found.values()
            if item.card.weights is not None
            or {"here", "unfinished"} & {(s := weights_here(item, folder)).base, s.trained}
        ]
    results = _verified(items, quick=quick, threads=threads)
    if json_output:
        print_json([_told(one) for one in results])
    else:
        for one in results:
            extra = f" (extra: {', '.join(one.files.extra[:5])})" if one.files.extra else ""
            typer.echo(f"{one.model:<27}{one.problem or f'{one.status}: {one.says}'}{extra}")
    if any(one.status in {"failed", "missing"} for one in results):
        raise typer.Exit(FAILED)


app.command("fetch")(fetch)
app.command("link")(link)


def _stands_in(item: CardFile, level: str) -> bool:
    origin = item.card.origin
    return origin is not None and any(part.strip().startswith(level) for part in origin.level.split(","))


def _state(state: WeightsHere) -> dict[str, object]:
    return {"ready": state.ready, "base": state.base, "trained": state.trained}


def _told(one: Verified) -> dict[str, object]:
    files = {kind: list(getattr(one.files, kind)) for kind in ("missing", "changed", "extra")}
    return {"model": one.model, "status": one.status, "problem": one.problem, **files, "says": one.says}


def _verified(items: list[CardFile], *, quick: bool, threads: int) -> list[Verified]:
    from rich.progress import Progress

    from natix_cascade.models.here import bytes_to_hash, verify_model
    from natix_cascade.spec.library import models_folder

    folder = models_folder()
    total = 0 if quick else sum(bytes_to_hash(item, folder) for item in items)
    results = []
    with Progress(console=console(), transient=True, disable=not total or not console().is_terminal) as bar:
        task = bar.add_task("hashing", total=total)
        for item in items:
            bar.update(task, description=item.card.name)
            results.append(
                verify_model(
                    item, folder, quick=quick, threads=threads, progress=lambda count: bar.advance(task, count)
                )
            )
    return results
