"""``python -m natix_cascade.learn``: train the shipped models from a manifest, and package them.

Both steps resume: members with a checkpoint are not trained again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from natix_cascade.files import write_whole
from natix_cascade.learn.data import composites, load_pictures, sample_weights
from natix_cascade.learn.network import RoadNet
from natix_cascade.learn.package import BUDGET, make_policy, members_shipped, restore, ship_member
from natix_cascade.learn.recipe import COMPOSITES, RECIPE
from natix_cascade.learn.train import TrainSettings, teach, train
from natix_cascade.report.manifest import read_manifest
from natix_cascade.run.loaded import cores
from natix_cascade.spec import library
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.files import read_spec

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)

ManifestArg = Annotated[Path, typer.Argument(help="CSV with path, label, group, split, source and quality.")]
CheckpointsOption = Annotated[Path, typer.Option("--checkpoints", help="Folder of trained states.")]


@app.command("train")
def train_members(
    manifest: ManifestArg,
    checkpoints: CheckpointsOption = Path("runs/checkpoints"),
    split: Annotated[str, typer.Option(help="Rows to train on.")] = "train",
    scale: Annotated[
        float, typer.Option(min=1e-4, help="Factor on the number of steps; 1 is the shipped recipe.")
    ] = 1.0,
    batch: Annotated[int | None, typer.Option(help="Pictures in a step; default: the recipe's 96.")] = None,
    rendered: Annotated[int, typer.Option(help="Composited pictures to make.")] = COMPOSITES,
    only: Annotated[list[str] | None, typer.Option(help="Train only these members.")] = None,
) -> None:
    """Train every member of the recipe: about 9 minutes on one H200, most of a day on two CPU cores."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    checkpoints.mkdir(parents=True, exist_ok=True)
    rows = read_manifest(manifest, split=split)
    typer.echo(f"{len(rows)} pictures, {sum(row.label for row in rows)} of them yes; training on {device}")
    pixels, real = load_pictures(rows, workers=cores())
    made = composites(pixels, [row.label for row in rows], rendered, workers=cores())
    typer.echo(f"{rendered} composites made")
    real, made, chances = real.to(device), made.to(device), sample_weights(rows)
    for member in RECIPE:
        target = checkpoints / f"{member.name}.pt"
        if target.exists() or (only and member.name not in only):
            continue
        students = [_restored(name, checkpoints, device) for name in member.teachers]
        settings = _scaled(member.train, scale, batch)
        network = train(
            member.network,
            settings,
            real,
            chances,
            made,
            device=device,
            teacher=teach(students) if students else None,
            start=restore(member.network, checkpoints / f"{member.start}.pt") if member.start else None,
            on_step=_printer(member.name, settings.steps),
        )
        part = target.with_suffix(".part")
        torch.save({k: v.half() if v.is_floating_point() else v for k, v in network.cpu().state_dict().items()}, part)
        part.replace(target)
        typer.echo(f"{member.name}: {target}")


@app.command("package")
def package(
    manifest: ManifestArg,
    checkpoints: CheckpointsOption = Path("runs/checkpoints"),
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: into the package itself.")] = None,
    split: Annotated[str, typer.Option(help="Rows that calibrators and thresholds are fitted on.")] = "calibration",
    repetitions: Annotated[int, typer.Option(help="Augmentations of each row at L1, L2 and L3.")] = 3,
    budget: Annotated[float, typer.Option(help="GMACs that a picture may cost on average.")] = BUDGET,
) -> None:
    """Export ONNX files, write cards, fit the policy."""
    weights = out / "weights" if out else library.WEIGHTS
    catalogue, policies = (out / "catalogue", out / "policies") if out else (library.CATALOGUE, library.POLICIES)
    for folder in (weights, catalogue, policies):
        folder.mkdir(parents=True, exist_ok=True)
    cards, files = {}, {}
    for member in members_shipped():
        card = ship_member(member, checkpoints / f"{member.name}.pt", weights, catalogue)
        cards[card.name], files[card.name] = card, weights / f"{card.name}.onnx"
        typer.echo(f"{card.name}: {files[card.name].stat().st_size / 1e6:.1f} MB, {card.cost.gmacs:.3f} GMACs")
    cascade = read_spec(library.CASCADES / "embedded.yaml", CascadeSpec)
    rows = read_manifest(manifest, split=split)
    made_from = f"{len(rows)} pictures of the {split} split at L0-L3; the best MCC at {budget:g} GMACs a picture"
    policy = make_policy(
        cascade,
        cards,
        files,
        rows,
        checkpoints / "records.parquet",
        budget=budget,
        made_from=made_from,
        repetitions=repetitions,
        on_progress=lambda done, total: typer.echo(f"scored {done}/{total}", err=True),
    )
    write_whole(policies / "embedded.json", (json.dumps(policy, indent=2) + "\n").encode())
    if out is None:
        typer.echo(f"wrote {library.write_bundle()}")


def _restored(name: str, checkpoints: Path, device: str) -> tuple[RoadNet, int]:
    member = next(item for item in RECIPE if item.name == name)
    network = restore(member.network, checkpoints / f"{name}.pt").to(device)
    return network.to(memory_format=torch.channels_last), member.network.side  # type: ignore[call-overload]


def _scaled(settings: TrainSettings, scale: float, batch: int | None) -> TrainSettings:
    return replace(settings, steps=max(2, round(settings.steps * scale)), batch=batch or settings.batch)


def _printer(name: str, steps: int) -> Callable[[int, float, float], None]:
    def show(step: int, loss: float, seconds: float) -> None:
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            typer.echo(f"{name} {step + 1}/{steps} loss {loss:.3f} {seconds:.0f} s", err=True)

    return show


if __name__ == "__main__":
    app()
