"""``natix-cascade miner``: answer Subnet 72, and simulate what that would pay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, CascadeOption, JsonOption, PolicyOption, console, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.serve.miner.simulated import Plays, Simulation

__all__ = ["app"]

app = typer.Typer(help="Answer the challenges of Subnet 72, and simulate what that would pay.", no_args_is_help=True)

_FILE = {"dir_okay": False, "writable": True}


@app.command("run")
def run(
    service_url: Annotated[
        str, typer.Option("--service-url", help="The service that is asked.")
    ] = "http://127.0.0.1:8000",
    service_key_file: Annotated[
        Path | None, typer.Option("--service-key-file", help="File with the service's key. Else: $NATIX_CASCADE_KEY.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Ask no service; the embedded cascade answers.")] = False,
    cascade: Annotated[
        str, typer.Option("--cascade", "-c", help="Answers in this process when the service does not.")
    ] = "embedded",
    model_url: Annotated[str, typer.Option("--model-url", help="Public repository with your model_card.json.")] = "",
    network: Annotated[str, typer.Option("--network", help="finney, test, or an address of a chain.")] = "finney",
    netuid: Annotated[int, typer.Option("--netuid", help="The subnet.")] = 72,
    wallet_name: Annotated[str, typer.Option("--wallet-name", help="Of the coldkey.")] = "default",
    wallet_hotkey: Annotated[str, typer.Option("--wallet-hotkey", help="Of the hotkey.")] = "default",
    wallet_path: Annotated[Path, typer.Option("--wallet-path", help="Folder of the wallets.")] = Path(
        "~/.bittensor/wallets"
    ),
    axon_host: Annotated[
        str | None, typer.Option("--axon-host", help="Listen on. Default: all addresses; offline 127.0.0.1.")
    ] = None,
    axon_port: Annotated[int, typer.Option("--axon-port", help="Listen on; 0 takes a free port.")] = 8091,
    external_ip: Annotated[
        str | None, typer.Option("--external-ip", help="What validators are told. Default: a public service is asked.")
    ] = None,
    external_port: Annotated[
        int | None, typer.Option("--external-port", help="What validators are told. Default: --axon-port.")
    ] = None,
    min_stake: Annotated[float, typer.Option("--min-stake", help="Stake in TAO that a hotkey needs to ask.")] = 0.0,
    permit: Annotated[
        bool, typer.Option("--permit/--no-permit", help="Answer hotkeys with a permit to validate only.")
    ] = True,
    allow_unregistered: Annotated[
        bool, typer.Option("--allow-unregistered", help="Answer anybody who signs: for tests.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="No chain: loopback only, keys for once, anybody who signs may ask."),
    ] = False,
) -> None:
    """Answer the challenges of Subnet 72 through the service; when it fails, from the embedded cascade.

    Needs the extra 'miner' (bittensor) in an environment of its own.
    """
    import asyncio
    import contextlib
    import tempfile

    from natix_cascade.errors import CascadeError
    from natix_cascade.serve.miner.chain import StaticChain, SubtensorChain
    from natix_cascade.serve.miner.options import MinerOptions
    from natix_cascade.serve.miner.run import need_bittensor, serve
    from natix_cascade.serve.miner.wallet import open_wallet, throwaway_wallet

    with contextlib.ExitStack() as stack:
        try:
            options = MinerOptions(
                service_url=None if alone else service_url,
                service_key=None if alone else _key(service_key_file),
                cascade=cascade,
                model_url=model_url,
                axon_host=axon_host or ("127.0.0.1" if offline else "0.0.0.0"),  # noqa: S104  # validators are outside
                axon_port=axon_port,
                external_ip=external_ip or ("127.0.0.1" if offline else None),
                external_port=external_port,
                allow_unregistered=allow_unregistered or offline,
                permit=permit,
                min_stake=min_stake,
            )
            need_bittensor()
            _log_to_stderr()
            if offline:
                wallet = throwaway_wallet(Path(stack.enter_context(tempfile.TemporaryDirectory())))
                chain: StaticChain | SubtensorChain = StaticChain()
            else:
                wallet = open_wallet(wallet_name, wallet_hotkey, wallet_path)
                chain = SubtensorChain(network, netuid)
            stack.callback(chain.close)
            judge = asyncio.run(serve(options, wallet, chain))
        except (CascadeError, OSError) as error:
            fail(error)
    console().print(f"answered: {judge.tally}", highlight=False, markup=False)


def _key(file: Path | None) -> str | None:
    """The service's key: from a file, else from the environment."""
    import os

    return file.read_text("utf-8").strip() if file is not None else os.environ.get("NATIX_CASCADE_KEY") or None


def _log_to_stderr() -> None:
    """What the miner does is seen, whatever bittensor does with the loggers of others."""
    import logging

    log = logging.getLogger("natix_cascade.miner")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)


@app.command("card")
def card(
    out: Annotated[Path, typer.Option("--out", help="Folder of your public model repository.", file_okay=False)],
    submitted_by: Annotated[str, typer.Option("--submitted-by", help="Your hotkey or name.")],
    name: Annotated[str, typer.Option("--name", help="Of the model.")] = "natix-cascade embedded",
    description: Annotated[
        str, typer.Option("--description", help="What it is.")
    ] = "A cascade of image classifiers that says whether a street picture shows roadwork.",
    version: Annotated[str | None, typer.Option("--version", help="X.Y.Z. Default: that of natix-cascade.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the model_card.json that the subnet wants in a miner's public model repository."""
    from dataclasses import asdict

    from natix_cascade import __version__
    from natix_cascade.errors import CascadeError
    from natix_cascade.serve.miner.card import SubnetCard, write_card

    try:
        made = SubnetCard(
            model_name=name, description=description, version=version or __version__, submitted_by=submitted_by
        )
        path = write_card(made, out)
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(asdict(made))
    console().print(f"wrote {path}", highlight=False, markup=False)


@app.command("simulate")
def simulate(
    manifest: Annotated[
        Path, typer.Argument(help="CSV with the columns path and label (group, split): see 'evaluate'.")
    ],
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the paths are relative to. Default: the manifest's.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Take the rows of this split only. Default: all.")
    ] = None,
    challenges: Annotated[int, typer.Option("--challenges", help="In a run; more than 100.")] = 1000,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of challenges that are played.")] = 200,
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=1, help="Augmentations of each picture at L1 to L3.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of augmentations and draws.")] = 0,
    flips: Annotated[bool, typer.Option("--flips", help="Let the subnet's flips fire.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the results as JSON.", **_FILE)] = None,
    as_json: JsonOption = False,
) -> None:
    """Play the subnet's challenges over labelled pictures: expected reward, with intervals over places.

    About half of the subnet's challenges are synthetic pictures; the simulation has none. Leaves with 1 when a picture
    could not be judged (the others are played), and with 2 when nothing could be done.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.files import write_whole
    from natix_cascade.serve.miner.simulated import Plays

    try:
        plays = Plays(challenges=challenges, runs=runs, repetitions=repetitions, seed=seed, flips=flips)
        found = _simulate(manifest, root, split, plays, cascade=cascade, policy=policy)
        if out is not None:
            text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
            write_whole(out, f"{text}\n".encode())
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    remarks = console()
    for failure in found.failures:
        remarks.print(f"{failure.name}: {failure.error}", style="red", highlight=False, markup=False)
    if out is not None:
        remarks.print(f"wrote {out}", highlight=False, markup=False)
    if found.failures:
        raise typer.Exit(FAILED)


def _simulate(
    manifest: Path, root: Path | None, split: str | None, plays: Plays, *, cascade: str, policy: str | None
) -> Simulation:
    """Judge and play, with bars on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from natix_cascade.report.manifest import read_manifest
    from natix_cascade.run.loaded import LoadedCascade
    from natix_cascade.serve.miner.simulation import simulate as play

    loaded = LoadedCascade.load(cascade, policy=policy, threads=1)
    try:
        rows = read_manifest(manifest, root=root, split=split, question=loaded.resolved.question)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(), transient=True) as bar:
            judging = bar.add_task("judging", total=len(rows))
            playing = bar.add_task("playing", total=2 * plays.runs)
            return play(
                loaded,
                rows,
                plays,
                on_judged=lambda done, _: bar.update(judging, completed=done),
                on_played=lambda done, _: bar.update(playing, completed=done),
            )
    finally:
        loaded.close()


def _print(found: Simulation) -> None:
    """Print tables for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    screen = Console(highlight=False, markup=False)
    plays = found.plays
    screen.print(
        f"{found.cascade}, policy {found.policy}: {found.pictures} pictures ({found.positives} with the label yes) in "
        f"{found.groups} groups; {plays.runs} runs of {plays.challenges} challenges"
    )
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", "expected", "95 % interval"):
        grid.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, figure in (
        ("reward", found.reward),
        ("moving average at the end", found.weight),
        ("MCC", found.mcc),
        ("accuracy", found.accuracy),
    ):
        grid.add_row(name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    screen.print(grid)
    levels = Table(title="Levels of difficulty", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("level", "challenges", "reward if all were so", "95 % interval", "MCC", "accuracy"):
        levels.add_column(title, justify="left" if title == "level" else "right")
    for level in found.levels:
        levels.add_row(
            level.level,
            f"{level.share:.0%}",
            f"{level.reward.value:.3f}",
            f"{level.reward.low:.3f} to {level.reward.high:.3f}",
            f"{level.mcc:.3f}",
            f"{level.accuracy:.1%}",
        )
    screen.print(levels)
    screen.print("answers given by: " + ", ".join(f"{name} {share:.1%}" for name, share in found.exits.items()))
    screen.print("intervals: other places drawn from these, and the luck of the challenges")
    for note in found.notes:
        screen.print(f"note: {note}")
