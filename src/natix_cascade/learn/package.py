"""Checkpoints to what is shipped: ONNX files, cards, records of the calibration split, the policy, the bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml

from natix_cascade.files import write_whole
from natix_cascade.image import Level
from natix_cascade.learn.export import Storage, count_gmacs, export_onnx, sha256_of
from natix_cascade.learn.network import RoadNet
from natix_cascade.learn.policy import fit_policy
from natix_cascade.learn.recipe import RECIPE, Member
from natix_cascade.learn.train import NetworkSettings, build
from natix_cascade.models import load_model
from natix_cascade.plan.record import record
from natix_cascade.report.manifest import Row
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.build import plain
from natix_cascade.spec.card import Cost, InputSpec, ModelCard, OutputSpec, WeightsSpec
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.resolved import resolve

__all__ = ["BUDGET", "make_policy", "members_shipped", "restore", "ship_member"]

BUDGET = 0.25
"""GMACs that the shipped cascade may spend on a picture on average: a seventh of what all its models take."""

USD_PER_CORE_HOUR = 0.04
"""Price of one CPU core for an hour; a typical on-demand price, for the `cost` of the cards."""

_DATA = (
    "1,465 labelled street photographs (train split; dashcam clips, web and phone pictures of seven public sources, "
    "445 with roadwork or cones) and 8,000 composites of rendered roadwork and harmless objects on them. Backbone: "
    "ImageNet-pretrained EfficientNet-Lite (Apache-2.0)."
)
_NOTES = (
    "Sees objects of roadwork: cones, drums, barriers, work signs, machines. Weak: machines without cones or "
    "barriers, night and rain (almost none in the data), works that fill less than about 6 pixels of the input."
)


def restore(settings: NetworkSettings, checkpoint: Path, *, image_size: int | None = None) -> RoadNet:
    """A trained network from its checkpoint (read with ``weights_only``)."""
    network = build(settings, image_size=image_size)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval()


def ship_member(member: Member, checkpoint: Path, weights: Path, catalogue: Path) -> ModelCard:
    """Export one member and write its card.

    Parameters
    ----------
    member : Member
        Of the recipe.
    checkpoint : Path
        Its trained state.
    weights, catalogue : Path
        Folders for the ONNX file and for the card.
    """
    network = restore(member.network, checkpoint, image_size=member.network.side)
    target = weights / f"{member.name}.onnx"
    export_onnx(network, member.network.side, target, storage=cast("Storage", member.storage))
    gmacs = count_gmacs(network, member.network.side)
    card = ModelCard(
        name=member.name,
        title=member.title,
        family="EfficientNet-Lite with log-sum-exp pooling of a heat map",
        licence="MIT (weights of the backbone: Apache-2.0)",
        parameters=sum(p.numel() for p in network.parameters()),
        input=InputSpec(height=member.network.side, width=member.network.side),
        output=OutputSpec(heat_map="heat_map"),
        weights=WeightsSpec(
            file=target.name,
            sha256=sha256_of(target),
            bytes=target.stat().st_size,
            precision=cast("Storage", member.storage),
        ),
        cost=Cost(gmacs=round(gmacs, 4)),
        trained=True,
        data=_DATA,
        notes=_NOTES,
    )
    seconds = _seconds(card, target)
    priced = {"gmacs": round(gmacs, 4), "usd": float(f"{seconds / 3600 * USD_PER_CORE_HOUR:.3g}")}
    data = plain(card) | {"cost": priced}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    write_whole(catalogue / f"{member.name}.yaml", text.encode())
    return read_spec(catalogue / f"{member.name}.yaml", ModelCard)


def make_policy(
    cascade: CascadeSpec,
    cards: dict[str, ModelCard],
    weights: dict[str, Path],
    rows: Sequence[Row],
    records: Path,
    *,
    budget: float,
    made_from: str,
    repetitions: int = 3,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Record every model on the calibration split at all levels of difficulty, and plan; plain data, ready for JSON.

    Parameters
    ----------
    records : Path
        Where the records go; work that was begun there goes on.
    budget : float
        GMACs that a picture may cost on average.
    """
    loaded = LoadedCascade(resolve(cascade, cards), weights, threads=1)
    try:
        made = record(
            loaded,
            rows,
            records,
            levels=tuple(Level),
            repetitions=repetitions,
            fresh=records.exists(),
            on_progress=on_progress,
        )
    finally:
        loaded.close()
    return cast("dict[str, Any]", plain(fit_policy(cascade, made.records, budget=budget, made_from=made_from)))


def members_shipped() -> list[Member]:
    """The members of the recipe that are shipped."""
    return [member for member in RECIPE if member.shipped]


def _seconds(card: ModelCard, weights: Path, calls: int = 20) -> float:
    """Seconds of one core for one picture: the fastest of some calls."""
    model = load_model(card, weights)
    batch = [model.prepare(np.full((224, 224, 3), 128, np.uint8))]
    best = float("inf")
    for _ in range(calls):
        began = time.perf_counter()
        model.predict(batch)
        best = min(best, time.perf_counter() - began)
    model.close()
    return best
