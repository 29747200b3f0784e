"""Rates of the catalogue's models on one H100: measured ones, and for the rest a stand-in that is named as one.

A stand-in is the measured model that is most like it (see `STAND_INS`); the large VLMs are taken to be as fast as small
ones, up to what the GPU's arithmetic allows.
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

__all__ = ["DECODE", "GATES", "rates"]

_BEFORE = "measured on one H100 before this project's own tables; batch size not noted, taken as 256"
_VLLM = "vLLM 0.22.1, bf16, one answer token, 224 x 224, 256 at once, one H100"

Times = dict[str, dict[int, float]]
"""Model to batch to milliseconds."""

EARLIER: dict[str, tuple[float, int, str]] = {
    "mobilenetv4-s": (105_000, 256, _BEFORE),
    "efficientnet-lite0": (37_000, 256, _BEFORE),
    "vit-s16": (20_700, 256, _BEFORE),
    "vit-b16": (9_100, 256, _BEFORE),
    "dinov3-vith16plus": (1_290, 256, _BEFORE),
    "rtdetr-v2-r50": (580, 256, f"eager, {_BEFORE}"),
    "qwen3-vl-4b": (132, 256, _VLLM),
    "qwen3-vl-8b-thinking": (111, 256, f"{_VLLM}, without its thoughts"),
    "qwen3-vl-30b-a3b-thinking": (120, 256, f"{_VLLM}, without its thoughts"),
}
"""Pictures a second at 224 x 224, batch, and how it was measured."""

DECODE = {"224x224": 34_300, "640x480": 22_600, "1280x720": 9_400}
"""JPEG pictures a second that nvJPEG decodes on one H100: photographs, except 1280 x 720, which were made up."""

GATES = ("mobilenetv4-s", "efficientnet-lite0", "vit-s16", "vit-b16")
"""Small networks that could stand at the front; not in the catalogue."""


PEAK, TOKENS = 1.979e15, 100
"""Operations a second of an H100 (SXM, fp8, dense: data sheet); tokens of a 224 x 224 picture with its question."""


@dataclass(frozen=True, slots=True)
class Like:
    """As fast as another model, but no faster than the GPU's arithmetic allows for so many (active) parameters."""

    model: str
    why: str
    parameters: float = 0.0


STAND_INS = {
    "florence-2-large": Like("dinov3-vith16plus", "as many parameters; its text comes free"),
    "yolo-master-n": Like("mobilenetv4-s", "as small; its picture is eight times larger"),
    "yolo26x": Like("rtdetr-v2-r50", "a detector with more parameters"),
    "yolo11x": Like("rtdetr-v2-r50", "a detector with more parameters"),
    "d-fine-x": Like("rtdetr-v2-r50", "a detector with more parameters"),
    "rf-detr-large": Like("rtdetr-v2-r50", "a detector of about its size"),
    "grounding-dino-base": Like("rtdetr-v2-r50", "a detector with five times the parameters"),
    "sam3": Like("dinov3-vith16plus", "as many parameters; its picture is 20 times larger"),
    "adfnet": Like("vit-s16", "two ResNet-50, about twice the arithmetic"),
    "siglip2-so400m": Like("dinov3-vith16plus", "half the parameters, nearly four times the patches"),
    "depth-anything-3": Like("dinov3-vith16plus", "less than half the parameters, several times the patches"),
    "molmo2-4b": Like("qwen3-vl-4b", "as many parameters"),
    "phi-4-multimodal": Like("qwen3-vl-4b", "more parameters"),
    "molmo2-8b": Like("qwen3-vl-8b-thinking", "as many parameters"),
    "qwen3-vl-32b": Like("qwen3-vl-8b-thinking", "a VLM, at best as fast as a small one", 33e9),
    "llama-4-maverick": Like(
        "qwen3-vl-30b-a3b-thinking", "a VLM, at best as fast as one of 3 billion active parameters", 17e9
    ),
    "llama-4-scout": Like(
        "qwen3-vl-30b-a3b-thinking", "a VLM, at best as fast as one of 3 billion active parameters", 17e9
    ),
    "ovis2-6-30b-a3b": Like("qwen3-vl-30b-a3b-thinking", "as many active parameters"),
    "internvl3-5-30b-a3b": Like("qwen3-vl-30b-a3b-thinking", "as many active parameters"),
    "qwen2-5-vl-72b": Like("qwen3-vl-8b-thinking", "a VLM, at best as fast as a small one", 73e9),
    "internvl3-78b": Like("qwen3-vl-8b-thinking", "a VLM, at best as fast as a small one", 78e9),
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


def rates(results: Path = RESULTS) -> Rates:
    """The rate of every model of the catalogue, and of the gates; later measurements go before earlier ones."""
    known = {
        name: Rate(ms={batch: 1000 * batch / per_second}, source=source)
        for name, (per_second, batch, source) in EARLIER.items()
    }
    for name, read in (("gpu_models", _in_process), ("gpu_vlm", _served)):
        if (results / f"{name}.json").is_file():
            known |= measured(results / f"{name}.json", read)
    for name, like in STAND_INS.items():
        if name not in known:
            each = 1000 * 2 * like.parameters * TOKENS / PEAK
            ms = {batch: max(ms, each * batch) for batch, ms in known[like.model].ms.items()}
            known[name] = Rate(ms=ms, assumed=True, source=f"as {like.model}: {like.why}")
    return Rates(models=known, device="one NVIDIA H100 80GB")


def measured(file: Path, read: Callable[[list[dict[str, Any]]], Times]) -> dict[str, Rate]:
    """Rates of a table of results."""
    found = {}
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


def _served(rows: list[dict[str, Any]]) -> Times:
    """The fastest way to start each server, at 224 x 224: one question at a time, and 256 (median of rounds)."""
    rates: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        under_way = {"rate": 256, "single": 1}.get(row.get("what", ""))
        if under_way and row.get("pictures_per_s") and (row["height"], row["width"]) == (224, 224):
            rates.setdefault((row["model"], under_way, row["server"]), []).append(row["pictures_per_s"])
    times: Times = {}
    for (model, under_way, _), found in rates.items():
        ms = 1000 * under_way / median(found)
        own = times.setdefault(model, {})
        own[under_way] = min(ms, own.get(under_way, ms))
    return times
