"""``natix-cascade place``: which models fit on which GPUs, and what sleeps or stays out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from natix_cascade.cli.common import JsonOption, PolicyOption, console, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.plan.records import Records

__all__ = ["place"]

_FILE = {"dir_okay": False}


def place(
    cascade: Annotated[str, typer.Argument(help="Shipped cascade by name, or a YAML or JSON file.")] = "dual-h100",
    gpus: Annotated[
        str, typer.Option("--gpus", "-g", help="2xH100-80GB, several kinds joined by '+', cpu, or a TOML file.")
    ] = "2xH100-80GB",
    host_ram: Annotated[
        float | None, typer.Option("--host-ram", help="GiB of the host's RAM. Default: the file's, or twice the GPUs'.")
    ] = None,
    objective: Annotated[
        Literal["accuracy", "throughput"], typer.Option("--objective", help="accuracy or throughput (needs --rates).")
    ] = "accuracy",
    keep: Annotated[float, typer.Option("--keep", help="throughput: share of the most value that must be kept.")] = 1.0,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Requests at once for each server.")] = 16,
    batched_tokens: Annotated[
        int, typer.Option("--batched-tokens", help="Tokens of a server's step (its activations grow with them).")
    ] = 4096,
    batch: Annotated[int, typer.Option("--batch", help="Pictures of a batch of an in-process model.")] = 8,
    kv: Annotated[Literal["bf16", "fp8"], typer.Option("--kv", help="Precision of the key-value cache.")] = "bf16",
    precisions: Annotated[
        str, typer.Option("--precisions", help="What servers may load, with commas.")
    ] = "bf16,fp8,int4",
    sleep: Annotated[bool, typer.Option("--sleep/--no-sleep", help="Whether servers may sleep.")] = True,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records", help="Records: models are worth their measured accuracy, levels are reached as there."
        ),
    ] = None,
    policy: PolicyOption = None,
    shares: Annotated[
        list[str] | None, typer.Option("--share", help="LEVEL=PART: share of the pictures that reach a level.")
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option("--rates", help="Milliseconds by batch of each model (JSON), as for 'plan throughput'.", **_FILE),
    ] = None,
    cards: Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="Time limit of the solver.")] = 20.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the servers' places (JSON), for 'engines plan'.", **_FILE)
    ] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw it (SVG).", **_FILE)] = None,
    design: Annotated[bool, typer.Option("--design", help="Add up what the design says of memory, and leave.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which models of a cascade fit on a machine: precision, GPUs, who sleeps, who stays out and what it lacks.

    Every placement is added up a second time, by code that did not make it.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.files import write_whole

    try:
        if design:
            _design(picture, as_json=as_json)
            return
        from natix_cascade.plan.place import place as solve
        from natix_cascade.plan.place import read_machine
        from natix_cascade.plan.place.drawing import draw
        from natix_cascade.spec.library import load_cascade

        wish = _wish(
            objective=objective,
            keep=keep,
            concurrency=concurrency,
            batched_tokens=batched_tokens,
            batch=batch,
            kv_bytes={"bf16": 2, "fp8": 1}[kv],
            precisions=[name.strip() for name in precisions.split(",") if name.strip()],
            sleep=sleep,
            shares=_shares(shares or []),
            rates=_rates(rates),
            seconds=seconds,
        )
        machine = read_machine(gpus, host_gib=host_ram)
        resolved, _ = load_cascade(cascade, policy=policy, cards=cards)
        made = solve(resolved, machine, wish, records=_records(records))
        if picture is not None:
            write_whole(picture, draw(made).encode())
        if out is not None:
            write_whole(out, (json.dumps(made.servers(), indent=2) + "\n").encode())
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(made.as_dict())
    else:
        from rich.console import Console

        from natix_cascade.plan.place.terminal import show

        show(made, Console(highlight=False, markup=False))
    _wrote(out)
    _wrote(picture)


def _wish(**given: Any) -> Any:
    from natix_cascade.plan.place.wish import Wish
    from natix_cascade.spec.files import validate

    return validate(Wish, given, source="options")


def _shares(given: list[str]) -> dict[str, float]:
    from natix_cascade.errors import PlanError

    found = {}
    for text in given:
        level, equals, part = text.partition("=")
        try:
            found[level.strip()] = float(part)
        except ValueError:
            equals = ""
        if not equals:
            raise PlanError(f"--share {text!r} is no share; write LEVEL=PART such as precision=0.02")
    return found


def _rates(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    from natix_cascade.plan.rates import read_rates

    return {model: rate.per_second for model, rate in read_rates(path).models.items()}


def _records(path: Path | None) -> Records | None:
    if path is None:
        return None
    from natix_cascade.plan.records import read_records

    return read_records(path)


def _design(picture: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from natix_cascade.files import write_whole
    from natix_cascade.plan.place.design import draw_design, examine

    found = examine()
    if picture is not None:
        write_whole(picture, draw_design().encode())
    if as_json:
        print_json([asdict(item) for item in found])
    else:
        for item in found:
            typer.echo(f"{'holds ' if item.holds else 'BREAKS'} {item.said}\n       {item.sum}")
        typer.echo(
            "The design's own table of GPU memory is missing; these are "
            "its statements\nelsewhere, added up from the cards. What does fit: natix-cascade place dual-h100 --gpus "
            "2xH100-80GB"
        )
    _wrote(picture)


def _wrote(path: Path | None) -> None:
    if path is not None:
        console().print(f"wrote {path}", highlight=False, markup=False)
