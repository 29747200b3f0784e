"""Write docs/reference/gpu-rates.md from the tables that were measured on one GPU: it cannot say anything else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from card_costs import RESULTS, USD_PER_GPU_HOUR, costs, unmeasured
from natix_cascade.files import write_whole

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "gpu-rates.md"

Row = Mapping[str, Any]
_BATCHES = (1, 32, 256)
_LINE = 118
_SMALL, _LARGE = (224, 224), (448, 640)


def page(results: Path = RESULTS) -> str:
    """The page's text."""
    models, served, macs = (json.loads((results / f"gpu_{name}.json").read_text("utf-8")) for name in _FILES)
    parts = [*_head(models, served), *_networks(models), *_front(served), *_costs(results, macs)]
    return "\n\n".join(map(_laid_out, parts)) + "\n"


_FILES = ("models", "vlm", "macs")


def _head(models: Row, served: Row) -> Iterable[str]:
    machine, vllm = models["machine"], served["machine"]["vllm"]
    yield "# Rates on one GPU"
    yield (
        "Written by `make docs` from [`gpu_models.json`](../../bench/results/gpu_models.json), "
        "[`gpu_vlm.json`](../../bench/results/gpu_vlm.json) and [`gpu_macs.json`](../../bench/results/gpu_macs.json). "
        f"Measured on {models['date'][:10]} on one {machine['gpu']} ({machine['gpu_memory_gib']:g} GiB) with "
        f"{machine['cores']} cores: torch {machine['torch']}, transformers {machine['transformers']}, vLLM {vllm}, "
        f"CUDA {machine['cuda']}, driver {machine['driver']}. Full-size networks with random weights, bfloat16 "
        "(DETRs: float32 under autocast). Accuracy cannot be read from this page."
    )


def _networks(models: Row) -> Iterable[str]:
    yield "## Models that run here"
    yield (
        "Pictures lie on the GPU already: decoding and resizing are not counted. For each batch the faster of a plain "
        "call (e) and a replayed CUDA graph (g). The first size of a model, in bold, is the input that it was made "
        "for, which is what a cascade feeds it whatever the picture's size."
    )
    rows = [row for row in models["rows"] if row.get("ms") and row["finite"]]
    sizes: dict[tuple[str, int, int, bool], dict[int, Row]] = {}
    for row in rows:
        best = sizes.setdefault((row["model"], row["height"], row["width"], row["own"]), {})
        if row["batch"] not in best or row["ms"] < best[row["batch"]]["ms"]:
            best[row["batch"]] = row
    shown = [
        [name, f"**{height} x {width}**" if own else f"{height} x {width}", *map(_cell, map(best.get, _BATCHES))]
        for (name, height, width, own), best in sizes.items()
    ]
    yield _table(["model", "height x width", "1 picture", "batch of 32", "batch of 256"], shown)
    yield "What else there is to know:"
    yield _list(
        [
            *models["notes"],
            *(f"{row['model']}: {row['note']}" for row in models["rows"] if "note" in row and "batch" not in row),
        ]
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{_short(row['pictures_per_s'])}/s ({_short(row['ms'])} ms, {row['mode'][0]})"


def _front(served: Row) -> Iterable[str]:
    yield "## Vision-language models: the server's front end, not the GPU"
    yield (
        "Qwen3-VL in vLLM, as a cascade asks it: one JPEG as data URL and one constrained answer token with "
        "log-probabilities, 256 questions under way, every picture another one. Medians of the rounds of one run."
    )
    groups = _groups(served["rows"])
    yield _table(
        [
            "model",
            "height x width",
            "server",
            "pictures/s",
            "of `one`",
            "cores: front, engine",
            "GPU busy",
            "one alone",
        ],
        [_served(key, groups) for key in groups if key[3] == "rate"],
    )
    yield _finding(groups, served["rows"])
    yield "Caveats:"
    yield _list(served["notes"])


Key = tuple[str, tuple[int, int], str, str]
Groups = Mapping[Key, Sequence[Row]]


def _groups(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        if "pictures_per_s" in row:
            key = (row["model"], (row["height"], row["width"]), row["server"], row["what"])
            found.setdefault(key, []).append(row)
    return found


def _served(key: Key, groups: Groups) -> list[str]:
    model, (height, width), server, _ = key
    rows, single = groups[key], groups.get((model, key[1], server, "single"))
    front, engine = (median(_cores(row, process) for row in rows) for process in ("APIServer", "EngineCore"))
    return [
        model,
        f"{height} x {width}",
        f"`{server}`",
        _short(_rate(groups, key)),
        f"{_gain(groups, key):.2g}",
        f"{front:.1f}, {engine:.1f}",
        f"{median(row['gpu_busy_percent'] for row in rows):.0f} %",
        f"{single[0]['ms_median']:.0f} ms" if single else "-",
    ]


def _finding(groups: Groups, rows: Sequence[Row]) -> str:
    def gain(server: str, size: tuple[int, int], model: str = "qwen3-vl-4b") -> str:
        return f"{_gain(groups, (model, size, server, 'rate')):.2g}"

    def busy(server: str, size: tuple[int, int]) -> str:
        return f"{median(row['gpu_busy_percent'] for row in groups['qwen3-vl-4b', size, server, 'rate']):.0f} %"

    small = _rate(groups, ("qwen3-vl-4b", _LARGE, "many", "small"))
    large = _rate(groups, ("qwen3-vl-4b", _LARGE, "many", "rate"))
    processor = _stack(rows, "api", "BaseRenderer._process_multimodal (vllm/renderers/base.py)")
    return (
        f"**What bounded it.** With vLLM's defaults (`one`) a single process takes the pictures in, and it fills one "
        f"core: in {processor} of its samples it prepares pictures (decoding, resizing, patches), under one lock. "
        f"The engine beside it keeps many cores busy and little of the GPU: {busy('one', _SMALL)} at 224 x 224.\n\n"
        f"**What removed it.** Ten processes in front (`--api-server-count=10`), one OpenMP thread each, no processor "
        f"cache (`many`): {gain('many', _SMALL)} times as many pictures at 224 x 224 and {gain('many', _LARGE)} times "
        f"at 448 x 640; of the 8B model {gain('many', _SMALL, 'qwen3-vl-8b')} and "
        f"{gain('many', _LARGE, 'qwen3-vl-8b')} times. The GPU is then busy for {busy('many', _SMALL)} of the time, "
        f"and the answers' log-probabilities are the same. What the OpenMP "
        f"threads alone cost was not separated. Threads in place of processes (`threads`) do not do it: "
        f"{gain('threads', _SMALL)} and {gain('threads', _LARGE)} times. A question that comes alone gains nothing "
        f"from either.\n\n"
        f"**What is left.** At 448 x 640 a quarter of the picture's pixels (`small` in the table of results) makes "
        f"{small / large:.2g} times as many answers again, {_short(small)}/s: whether they are as good is for the "
        f"pictures to say. The engine's own core is full at that point."
    )


def _stack(rows: Sequence[Row], process: str, function: str) -> str:
    found = next(r for r in rows if r.get("what") == "stacks" and r["server"] == "one" and r["process"] == process)
    return f"{100 * found['found']['anywhere'][function]:.0f} %"


def _rate(groups: Groups, key: Key) -> float:
    return float(median(row["pictures_per_s"] for row in groups[key]))


def _gain(groups: Groups, key: Key) -> float:
    return _rate(groups, key) / _rate(groups, (*key[:2], "one", "rate"))


def _cores(row: Row, process: str) -> float:
    cores = row["cores"][process]
    return float(cores["sum"] if isinstance(cores, Mapping) else cores)


def _costs(results: Path, macs: Row) -> Iterable[str]:
    known = costs(results)
    yield "## What an answer costs"
    yield (
        f"**Assumed: {USD_PER_GPU_HOUR:.2f} US dollars for an hour of one H100.** The dollars of an answer are that, "
        "divided by the pictures that the GPU answers in an hour in full batches at the card's own input; VLMs at "
        "448 x 640 from the server `many`. They stand in the cards as `cost`, and the planner reckons with them. GPUs "
        "that wait cost as much as GPUs that work: at half the load an answer costs twice this."
    )
    yield _table(
        ["card", "pictures/s", "USD for a million answers", "GMACs a picture"],
        [
            [
                f"`{name}`",
                _short(cost.per_second),
                _short(1e6 * cost.usd),
                "-" if cost.gmacs is None else _short(cost.gmacs),
            ]
            for name, cost in sorted(known.items(), key=lambda item: item[1].usd)
        ],
    )
    yield (
        "`qwen3-vl-8b-thinking` was measured with one answer token and without its thought, which costs many times "
        "that: its figure is a lower bound. `grounding-dino-base` was measured at 800 x 1152, a 448 x 640 picture "
        "scaled as its processor does. GMACs were counted by torch " + str(macs["machine"]["torch"]) + ", with "
        "random weights; of VLMs, with nothing ready in the server's cache."
    )
    names = ", ".join(f"`{name}`" for name in unmeasured(known))
    yield f"**Not measured, and without a cost** (the planner takes them for free until they have one): {names}."


def _laid_out(part: str) -> str:
    if part[0] in "|#-":
        return part
    return "\n\n".join(map(_wrapped, part.split("\n\n")))


def _wrapped(text: str) -> str:
    lines, words = [""], text.split()
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= _LINE:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join("- " + _wrapped(item).replace("\n", "\n  ") for item in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value: float) -> str:
    """Three significant digits; all of them above a thousand."""
    return f"{value:,.0f}" if value >= 1000 else f"{float(f'{value:.3g}'):g}"  # noqa: PLR2004


if __name__ == "__main__":
    write_whole(PAGE, page().encode())
