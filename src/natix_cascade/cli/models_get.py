"""``natix-cascade models fetch`` and ``link``: how weights come to this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, JsonOption, console, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.models.linking import Linked
    from natix_cascade.spec.card import ModelCard
    from natix_cascade.spec.library import CardFile

__all__ = ["CardsOption", "fetch", "known", "link"]

CardsOption = Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")]


def known(cards: Path | None) -> dict[str, CardFile]:
    """All known cards."""
    from natix_cascade.spec.library import known_cards  # `--help` does not need it

    return known_cards(cards)


def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Which models; or --cascade, or --all.")] = None,
    cascade: Annotated[str | None, typer.Option("--cascade", "-c", help="All models of a cascade.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that the hub has.")] = False,
    workers: Annotated[int, typer.Option("--workers", help="Files at a time.", min=1, max=16)] = 4,
    update: Annotated[bool, typer.Option("--update", help="Pin the newest commit where a card names none.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Hash what is here already; mend what differs.")] = False,
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Fetch weights from the hub at a pinned commit, check them, and note their checksums.

    What is here already stays; run it again to go on after an interruption. Never fetches pickles.
    """
    from natix_cascade.models.fetching import FetchOptions, fetch_models
    from natix_cascade.spec.build import plain
    from natix_cascade.spec.library import models_folder

    chosen = _chosen(names or [], cascade, cards, everything=everything)
    options = FetchOptions(workers=workers, update=update, check=check, show=not json_output and console().is_terminal)
    results = []
    for one in fetch_models(chosen, models_folder(), options):
        results.append(one)
        if not json_output:
            at = f" at {one.commit[:12]}, {one.bytes / 1e9:.3g} GB" if one.status in {"fetched", "here"} else ""
            typer.echo(f"{one.model:<27}{one.status}{at}{f': {one.problem}' if one.problem else ''}")
    if json_output:
        print_json([{"model": one.model, "status": one.status} | plain(one) for one in results])
    if any(one.status == "failed" for one in results):
        raise typer.Exit(FAILED)


def link(
    outputs: Annotated[Path, typer.Argument(help="The training project's folder of outputs.")],
    convert: Annotated[
        bool, typer.Option("--convert/--no-convert", help="Convert a .pt to safetensors where there is nothing better.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and check only.")] = False,
    cards: CardsOption = None,
    json_output: JsonOption = False,  # a flag
) -> None:
    """Link what a training project left behind, after checking it; nothing that was not linked here is replaced."""
    from natix_cascade.models.linking import LinkOptions, link_outputs
    from natix_cascade.spec.build import plain
    from natix_cascade.spec.library import models_folder

    every = [item.card for item in known(cards).values()]
    options = LinkOptions(convert=convert, dry_run=dry_run)
    results = []
    for one in link_outputs(every, outputs, models_folder(), options):
        results.append(one)
        if not json_output:
            said = "would be linked" if dry_run and one.status == "linked" else one.status
            typer.echo(f"{one.model:<27}{said}: {one.source}{f' ({one.says})' if one.says else ''}")
    if json_output:
        told = [{"model": one.model, "status": one.status} | plain(one) for one in results]
        print_json({"dry_run": dry_run, "saved_bytes": _saved(results), "models": told})
    else:
        written = sum(one.converted for one in results)
        typer.echo(
            f"{_saved(results) / 1e6:,.1f} MB saved by linking rather than copying"
            + (f"; {written / 1e6:,.1f} MB written by converting" if written else "")
        )
    if any(one.status == "refused" for one in results):
        raise typer.Exit(FAILED)


def _saved(results: list[Linked]) -> int:
    return sum(one.bytes for one in results if one.status in {"linked", "already"})


def _chosen(names: list[str], cascade: str | None, cards: Path | None, *, everything: bool) -> list[ModelCard]:
    if bool(names) + (cascade is not None) + everything != 1:
        fail("say what to fetch: names from `models list`, or --cascade, or --all")
    found = known(cards)
    if everything:
        from natix_cascade.models.hub import is_on_hub

        return [item.card for item in found.values() if is_on_hub(item.card)]
    if cascade is not None:
        from natix_cascade.spec.library import load_cascade

        resolved, _ = load_cascade(cascade, policy="none", cards=cards)
        own = {name.partition(":")[0]: card for name, card in resolved.cards.items() if name in resolved.models}
        return [found[name].card if name in found else replace(card, name=name) for name, card in own.items()]
    unknown = [name for name in names if name not in found]
    if unknown:
        fail(f"no model {', '.join(unknown)}; known: {', '.join(found)}")
    return [found[name].card for name in dict.fromkeys(names)]
