"""``natix-cascade spec``: check cards, cascades and policies, show a cascade, write schemas for editors."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import UNUSABLE, JsonOption, PolicyOption, print_json

if TYPE_CHECKING:
    from natix_cascade.spec.card import ModelCard
    from natix_cascade.spec.policy import Policy
    from natix_cascade.spec.resolved import Level, ResolvedCascade
    from natix_cascade.spec.rules import ExitRule

__all__ = ["app"]

app = typer.Typer(help="Check and show cards, cascades and policies.", no_args_is_help=True)

CardsOption = Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")]


class Kind(StrEnum):
    """What a file can be."""

    card = "card"
    cascade = "cascade"
    policy = "policy"


_OWN_KEYS = {
    Kind.card: {"input", "output", "weights", "licence", "engine", "classes", "positive", "parameters", "family"},
    Kind.cascade: {"question", "policy", "deadline_ms", "description"},
    Kind.policy: {"cascade", "calibrators", "models", "certificate", "made_from"},
}
"""Keys that no other kind has."""


@app.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(help="YAML or JSON files.")],
    kind: Annotated[Kind | None, typer.Option("--kind", help="What they are. Default: told from their keys.")] = None,
    cards: CardsOption = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Check a cascade's file only, not whether its cards and policy fit.")
    ] = False,
) -> None:
    """Check files: each problem is one line, file:line: key: what is wrong."""
    from natix_cascade.errors import CascadeError

    bad = False
    for path in files:
        try:
            found, problems = _examine(path, kind, cards, alone=alone)
        except CascadeError as error:
            found, problems = None, str(error).splitlines()
        for problem in problems:
            typer.echo(problem if problem.startswith(str(path)) else f"{path}: {problem}", err=True)
        if found is not None and not problems:
            typer.echo(f"{path}: ok, a {found.value}")
        bad |= bool(problems)
    if bad:
        raise typer.Exit(UNUSABLE)


@app.command("schema")
def schema(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to; made if missing.")],
) -> None:
    """Write JSON schemas of cards, cascades and policies, so that editors complete and check them."""
    from natix_cascade.cli.common import fail
    from natix_cascade.spec.library import write_json_schema

    try:
        written = write_json_schema(out)
    except OSError as error:
        fail(f"cannot write schemas to {out}: {error.strerror or error}")
    for path in written:
        typer.echo(path)


@app.command("show")
def show(
    cascade: Annotated[str, typer.Argument(help="Shipped cascade by name, or a YAML or JSON file.")] = "embedded",
    policy: PolicyOption = None,
    cards: CardsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show a cascade with its policy applied: levels, models, weights, exits and thresholds."""
    from natix_cascade.spec.library import load_cascade

    resolved, _ = load_cascade(cascade, policy=policy, cards=cards)
    if json_output:
        print_json(_as_dict(resolved))
        return
    _print_table(resolved)


def _examine(path: Path, kind: Kind | None, cards: Path | None, *, alone: bool) -> tuple[Kind, list[str]]:
    from natix_cascade.spec.card import ModelCard
    from natix_cascade.spec.cascade import CascadeSpec
    from natix_cascade.spec.files import read_spec
    from natix_cascade.spec.library import load_cascade
    from natix_cascade.spec.policy import Policy

    kind = kind or _guess(path)
    if kind is Kind.card:
        return kind, list(_odd_card(path, read_spec(path, ModelCard)))
    if kind is Kind.policy:
        return kind, list(_odd_policy(path, read_spec(path, Policy)))
    read_spec(path, CascadeSpec)
    if not alone:
        load_cascade(path, cards=cards)
    return kind, []


def _guess(path: Path) -> Kind:
    """Tell what a file is from its keys."""
    from natix_cascade.errors import SpecError
    from natix_cascade.spec.parse import parse

    document = parse(path)
    data: dict[Any, Any] = document.data if isinstance(document.data, dict) else {}
    counts = {kind: len(own & data.keys()) for kind, own in _OWN_KEYS.items()}
    levels = data.get("levels")
    counts[Kind.cascade] += isinstance(levels, list)
    counts[Kind.policy] += isinstance(levels, dict)
    best = max(counts, key=lambda kind: counts[kind])
    if list(counts.values()).count(counts[best]) > 1:
        line = document.line(())
        raise SpecError(
            f"{path}{f':{line}' if line else ''}: cannot tell from its keys whether this is a card, a cascade or a "
            "policy; say which with --kind"
        )
    return best


def _odd_card(path: Path, card: ModelCard) -> Iterator[str]:
    from natix_cascade.models.engines import ENGINES

    if card.positive not in card.classes:
        yield f"{_at(path, 'positive')}: positive: {card.positive!r} is not one of classes ({', '.join(card.classes)})"
    if len(set(card.classes)) < len(card.classes):
        yield f"{_at(path, 'classes')}: classes: a name stands twice; names must differ"
    if card.engine not in ENGINES:
        yield f"{_at(path, 'engine')}: engine: no engine {card.engine!r}; known: {', '.join(ENGINES)}"


def _odd_policy(path: Path, policy: Policy) -> Iterator[str]:
    from natix_cascade.decide import calibrate
    from natix_cascade.errors import CascadeError

    for name, calibrator in policy.calibrators.items():
        try:
            calibrate(calibrator, [0.5])
        except CascadeError as error:
            yield f"{_at(path, 'calibrators', name)}: calibrators.{name}: {error}"


def _at(path: Path, *keys: str) -> str:
    from natix_cascade.spec.parse import parse

    line = parse(path).line(keys)
    return f"{path}:{line}" if line else str(path)


def _as_dict(cascade: ResolvedCascade) -> dict[str, Any]:
    from natix_cascade.spec.build import plain

    question = cascade.question
    return {
        "cascade": cascade.name,
        "policy": cascade.policy,
        "question": {each: getattr(question, each) for each in ("id", "text", "positive", "negative")},
        "deadline_ms": cascade.deadline_ms,
        "levels": [
            {
                "name": level.name,
                "mode": level.mode,
                "vote": {"method": level.vote.method, "over": level.vote.over},
                "exit": plain(level.exit) if level.exit else None,
                "threshold": level.threshold,
                "budget_ms": level.budget_ms,
                "on_failure": level.on_failure,
                "members": [
                    {
                        "model": member.model,
                        "weight": member.weight,
                        "calibrator": plain(member.calibrator),
                        "band": member.band,
                        "required": member.required,
                        "gmacs": cascade.cards[member.model].cost.gmacs,
                        "usd": cascade.cards[member.model].cost.usd,
                    }
                    for member in level.members
                ],
            }
            for level in cascade.levels
        ],
    }


def _print_table(cascade: ResolvedCascade) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    question = cascade.question
    title = f"{cascade.name}, policy {cascade.policy}: {question.text} ({question.positive} or {question.negative})"
    model = Column("model", no_wrap=True)
    table = Table("level", model, "weight", "calibrator", "GMACs", "exit", "threshold", title=Text(title))
    for level in cascade.levels:
        last = level.index == len(cascade.levels) - 1
        ends = "always" if last else _in_words(level.exit, level.threshold)
        for place, member in enumerate(level.members):
            head = (Text(_heading(level)), ends, f"{level.threshold:.4g}") if not place else (Text(""), "", "")
            card = cascade.cards[member.model]
            table.add_row(
                head[0],
                Text(member.model + ("" if member.required else " (optional)")),
                f"{member.weight:.3g}",
                member.calibrator.kind,
                f"{card.cost.gmacs:.3g}",
                *head[1:],
            )
        if not level.members:
            table.add_row(Text(_heading(level)), "(counts the votes)", "", "", "", ends, f"{level.threshold:.4g}")
        table.add_section()
    Console().print(table)


def _heading(level: Level) -> str:
    return level.name if level.mode == "all" else f"{level.name} ({level.mode})"


def _in_words(rule: ExitRule | None, threshold: float) -> str:
    """Write an exit rule as a person would."""
    from natix_cascade.spec.rules import Agreement, Threshold, Window

    if isinstance(rule, Threshold):
        yes = "" if rule.yes is None else f"yes >= {rule.yes:.4g}"
        no = "" if rule.no is None else f"no <= {rule.no:.4g}"
        return ", ".join(part for part in (yes, no) if part) or "never"
    if isinstance(rule, Agreement):
        return f"{rule.members} or more answers, {rule.ratio:.0%} of one mind"
    if isinstance(rule, Window):
        return f"{rule.half_width:.3g} log-odds or more from {threshold:.3g}"
    return "never"
