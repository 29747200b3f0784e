"""Rates of the catalogue's models on one H100: measured ones, and for the rest a stand-in that is named as one.

A model that is not a language model has the measured one that is most like it for a stand-in (see `STAND_INS`). A VLM
that was not measured lies on the straight line through the two that were, in milliseconds over active parameters, and
never below the smaller one: what a picture costs whatever the model's size (such as the server's front end) stays as it
is, and only the rest grows. A mixture of 3 billion active parameters is as fast as the dense model of four. Memory, and
reading the experts from it, are free.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common import RESULTS
from natix_cascade.plan.rates import Rate, Rates
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import bundle

__all__ = ["BEFORE", "DECODE", "GATES", "LARGE", "SMALL", "active", "rates", "served", "table"]

_BEFORE = "measured on one H100 before this project's own tables; batch size not noted, taken as 256"

Times = dict[str, dict[int, float]]
"""Model to batch to milliseconds."""

GATES = {"mobilenetv4-s": 105_000, "efficientnet-lite0": 37_000, "vit-s16": 20_700, "vit-b16": 9_100}
"""Small networks that could stand at the front, not in the catalogue, and their pictures a second at 224 x 224."""

BEFORE = {"dinov3-vith16plus": 1_290}
"""Faster than the table has it; in which mode was not noted: not used, but told."""

DECODE = {"224x224": 34_300, "640x480": 22_600, "1280x720": 9_400}
"""JPEG pictures a second that nvJPEG decodes on one H100: photographs, except 1280 x 720, which were made up."""

SMALL, LARGE = (224, 224), (448, 640)
"""Height and width of the pictures that the served models were asked about; the cards feed them the large ones."""

ENDS = ("qwen3-vl-4b", "qwen3-vl-8b-thinking")
"""The two VLMs that were measured."""


@dataclass(frozen=True, slots=True)
class Like:
    """As fast as another model."""

    model: str
    why: str


STAND_INS = {
    "yolo-master-n": Like("mobilenetv4-s", "as small; its picture is eight times larger"),
    "yolo26x": Like("yolo11x", "as many parameters, the same input"),
}
"""For models that nobody has measured."""


NAMES = {
    "yolo11-x": "yolo11x",
    "siglip2-so400m-384": "siglip2-so400m",
    "depth-anything-v2-large": "depth-anything-3",
    "qwen3-vl-8b": "qwen3-vl-8b-thinking",
    "qwen3-vl-30b-a3b": "qwen3-vl-30b-a3b-thinking",
}
"""What tables of results call a model, where it is not its card's name."""

KIN = {"depth-anything-3": "the version before it, of the same backbone"}
"""Models for which tables of results hold a close relative."""


def rates(results: Path = RESULTS, *, size: tuple[int, int] = SMALL) -> Rates:
    """The rate of every model of the catalogue, and of the gates; served models for pictures of `size`."""
    known = {name: Rate(ms={256: 256_000 / per_second}, source=_BEFORE) for name, per_second in GATES.items()}
    known |= table(results / "gpu_models.json", _in_process)
    known |= table(results / "gpu_vlm.json", lambda rows: served(rows, size))
    for name, like in STAND_INS.items():
        if name not in known and like.model in known:
            known[name] = Rate(ms=known[like.model].ms, assumed=True, source=f"as {like.model}: {like.why}")
    if known.keys() >= set(ENDS):
        cards = bundle().cards
        line = _line([(active(cards[name]), known[name].ms) for name in ENDS])
        for name, card in cards.items():
            if card.is_remote and name not in known:
                known[name] = Rate(ms=line(active(card)), assumed=True, source=_ON_THE_LINE)
    return Rates(models=known, device="one NVIDIA H100 80GB")


_ON_THE_LINE = f"on the line through {' and '.join(ENDS)} by active parameters"


def active(card: ModelCard) -> float:
    """Parameters that a token meets."""
    return float((card.serving and card.serving.active_parameters) or card.parameters)


def _line(ends: list[tuple[float, dict[int, float]]]) -> Callable[[float], dict[int, float]]:
    """Times by parameters: straight through both ends and on, and level below the first."""
    (first, low), (second, high) = ends

    def times(parameters: float) -> dict[int, float]:
        beyond = max((parameters - first) / (second - first), 0.0)
        return {
            batch: low[batch] + beyond * max(high[batch] - low[batch], 0.0)
            for batch in sorted(low.keys() & high.keys())
        }

    return times


def table(file: Path, read: Callable[[list[dict[str, Any]]], Times]) -> dict[str, Rate]:
    """Rates of a table of results; none where there is no table."""
    found: dict[str, Rate] = {}
    if not file.is_file():
        return found
    for name, ms in read(json.loads(file.read_text("utf-8"))["rows"]).items():
        card = NAMES.get(name, name)
        of = f"{KIN[card]}, in " if card in KIN else ""
        found[card] = Rate(ms=dict(sorted(ms.items())), assumed=card in KIN, source=f"{of}bench/results/{file.name}")
    return found


def _in_process(rows: list[dict[str, Any]]) -> Times:
    """The fastest mode for each batch, at the size that each model was made for."""
    times: Times = {}
    for row in rows:
        if row.get("own") and row.get("finite") and row.get("ms"):
            own = times.setdefault(row["model"], {})
            own[row["batch"]] = min(row["ms"], own.get(row["batch"], row["ms"]))
    return times


def served(rows: list[dict[str, Any]], size: tuple[int, int]) -> Times:
    """Of the server that answers most with 256 under way: that, and one question at a time (medians of rounds)."""
    rates: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in rows:
        under_way = {"rate": 256, "single": 1}.get(row.get("what", ""))
        if under_way and row.get("pictures_per_s") and (row["height"], row["width"]) == size:
            of = rates.setdefault((row["model"], row["server"]), {})
            of.setdefault(under_way, []).append(row["pictures_per_s"])
    times: Times = {}
    for (model, _), found in rates.items():
        ms = {under_way: 1000 * under_way / median(each) for under_way, each in found.items()}
        if 256 in ms and ms[256] < times.get(model, {}).get(256, float("inf")):
            times[model] = ms
    return times
