"""``natix-cascade plan throughput``: how many pictures a second a cascade can judge, by measured rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import JsonOption, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.plan.simulate import Simulated
    from natix_cascade.plan.stages import Stage
    from natix_cascade.plan.throughput import Prediction
    from natix_cascade.spec.cascade import CascadeSpec

__all__ = ["throughput"]

_SIMULATED, _UNDER_WAY = 30_000, 2_048  # pictures


def throughput(
    cascade: Annotated[str, typer.Argument(help="Shipped cascade by name, or a YAML or JSON file.")],
    rates: Annotated[Path, typer.Option("--rates", help="Milliseconds by batch of each model (JSON).", dir_okay=False)],
    leave: Annotated[
        str, typer.Option("--leave", help="Share of all pictures that leaves after a level: 'gate=0.9,second=0.05'.")
    ] = "",
    asked: Annotated[
        str, typer.Option("--asked", help="Share of a level's pictures that asks a model: 'adfnet=0.2'. Default: all.")
    ] = "",
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="How many; each model has a copy on each.")] = 1,
    wanted: Annotated[
        float | None, typer.Option("--wanted", min=0.001, help="Pictures a second: say what it would take.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="Models without a rate cost nothing: an upper bound.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Also let 30,000 pictures through, one by one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict pictures a second: 1 / sum over models of (share of the pictures that ask it / its rate), on each GPU.

    Batches are taken to be full and memory, network and decoding to be free, so it is what can be had at most. What no
    --leave names goes through to the last level.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.plan.rates import read_rates
    from natix_cascade.plan.simulate import Arrivals, Settings
    from natix_cascade.plan.simulate import simulate as let_through
    from natix_cascade.plan.stages import reach_of, stages_of
    from natix_cascade.plan.throughput import predict
    from natix_cascade.spec.library import find_cascade

    try:
        spec = find_cascade(cascade)[0]
        stages = stages_of(
            spec,
            read_rates(rates),
            reach_of(_leaving(spec, leave), len(spec.levels)),
            gpus=[f"GPU {number}" for number in range(gpus)],
            asked=_shares(asked, [member.model for level in spec.levels for member in level.members], "--asked"),
            free=free,
        )
        found = predict(stages)
        takes = _takes(stages, found, wanted) if wanted else {}
        seen = None
        if simulate:
            come = Arrivals(under_way=_UNDER_WAY)
            seen = let_through(stages, come, pictures=_SIMULATED, settings=Settings(max_delay_s=0.02))
    except CascadeError as error:
        fail(error)
    if as_json:
        more = {"wanted": takes} if wanted else {}
        print_json(found.as_dict() | more | ({"simulated": seen.as_dict()} if seen else {}))
    else:
        _print(stages, found, takes, seen)


def _shares(text: str, known: list[str], option: str) -> dict[str, float]:
    """``name=share`` with commas."""
    from natix_cascade.errors import PlanError

    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.rpartition("="))
        if name not in known:
            raise PlanError(f"{option} {part!r} names none of {', '.join(known)}; write name=share, with commas")
        try:
            shares[name] = float(value)
        except ValueError:
            raise PlanError(f"{option} {part!r} has no number as its share; write {name}=0.5") from None
    return shares


def _leaving(cascade: CascadeSpec, leave: str) -> list[float]:
    shares = _shares(leave, [level.name for level in cascade.levels], "--leave")
    return [shares.get(level.name, 0.0) for level in cascade.levels]


def _takes(stages: tuple[Stage, ...], found: Prediction, wanted: float) -> dict[str, Any]:
    """What would have to be true, one thing at a time."""
    import math

    from natix_cascade.plan.throughput import needed_rate, needed_reach, work_of

    return {
        "throughput": wanted,
        "gpus": math.ceil(wanted * work_of(stages)),
        "reach": {stage.name: needed_reach(stages, stage.name, wanted) for stage in stages if stage.reach},
        "rate": {model: needed_rate(stages, model, wanted) for model in found.devices[found.bound_by].models},
    }


def _print(stages: tuple[Stage, ...], found: Prediction, takes: dict[str, Any], seen: Simulated | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    screen = Console(highlight=False, markup=False)
    screen.print(
        f"at most {_number(found.throughput)} pictures a second; {found.bound_by} is busy, most of all with ", end=""
    )
    screen.print(f"{found.heaviest}. A picture takes at least {1000 * found.floor_s:.3g} ms on average")
    needed = takes.get("reach", {})
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("level", "model", "pictures that ask it", "pictures/s", f"time of {found.bound_by}"):
        grid.add_column(title, justify="left" if title in {"level", "model"} else "right", overflow="fold")
    busy = found.devices[found.bound_by]
    for stage in stages:
        for number, station in enumerate(stage.stations):
            part = busy.models.get(station.model, 0.0) / busy.seconds
            rate = f"{_number(station.rate.per_second)}{' (assumed)' if station.rate.assumed else ''}"
            name = "" if number else stage.name
            grid.add_row(name, station.model, f"{stage.reach * station.share:.3%}", rate, f"{part:.1%}")
    screen.print(grid)
    if seen:
        screen.print(
            f"simulated with {_UNDER_WAY:,} pictures under way: {_number(seen.throughput)} a second "
            f"({seen.throughput / found.throughput:.1%} of that)"
        )
    if takes:
        screen.print(
            f"for {takes['throughput']:,g} pictures a second: {takes['gpus']:,} GPUs like these; or, on these,"
        )
        for level, share in needed.items():
            screen.print(f"  {level}: {_may(share)}")
        for model, rate in takes["rate"].items():
            if rate is not None:
                screen.print(f"  {model}: {_number(rate)} pictures a second on each")


def _may(share: float | None) -> str:
    return (
        "out of reach even if no picture came here"
        if share is None
        else f"at most {share:.3%} of the pictures may reach it"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
