"""The cascade adds little to the bare calls of ONNX Runtime, for one picture, warm and cold.

Warm: one picture at a time through `Cascade.detect` in a running process, against the bare calls that its verdict
names: the same decoder, the same preparation, and `session.run` for the same models in the same order, in sessions of
their own with the same options and threads. The two take turns, picture by picture; the overhead is the median of the
paired differences.

Cold: the whole process `natix-cascade detect photo.jpg --json` against `python -c "import onnxruntime, numpy"`, taking
turns, with compiled bytecode; once with a picture that the gate decides and once with one that goes furthest. Without
a manifest, pictures are rendered scenes.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import common
from natix_cascade.decide.verdict import Verdict
from natix_cascade.image import decode
from natix_cascade.models.base import Model
from natix_cascade.models.engines import load_model
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.loaded import cores
from natix_cascade.spec.library import load_cascade
from natix_cascade.testing import write_scenes

SCENES = 160
IMPORTS = "import onnxruntime, numpy"


class Bare:
    """The calls that cannot be saved, and their times in milliseconds."""

    def __init__(self, threads: int) -> None:
        self.resolved, weights = load_cascade()
        self.short_side = max(max(card.input.height, card.input.width) for card in self.resolved.cards.values())
        self.models: dict[str, tuple[Model, Any]] = {}
        for name in self.resolved.models:
            options = onnxruntime.SessionOptions()  # as natix_cascade.models.onnx sets them
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(
                str(weights[name]), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self.models[name] = (load_model(self.resolved.cards[name], weights[name]), session)

    def ask(self, path: Path, names: Sequence[str]) -> dict[str, float]:
        """Milliseconds for decoding, preparing and running, and in all."""
        began = last = time.perf_counter()
        spent = {"decode": 0.0, "prepare": 0.0, "run": 0.0}

        def lap(part: str) -> None:
            nonlocal last
            now = time.perf_counter()
            spent[part] += (now - last) * 1000
            last = now

        pixels = decode(path, short_side=self.short_side).pixels
        lap("decode")
        for name in names:
            model, session = self.models[name]
            card = model.card
            batch = np.stack([model.prepare(pixels)])
            lap("prepare")
            session.run([card.output.name], {card.input.name: batch})
            lap("run")
        return {**spent, "whole": (time.perf_counter() - began) * 1000}


def asked(verdict: Verdict) -> list[str]:
    """Models in the order in which they were asked."""
    return [opinion.model for opinion in verdict.opinions]


def warm(cascade: Cascade, bare: Bare, paths: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Paired times of each picture in each round."""
    order = [path for _ in range(rounds) for path in paths]
    random.Random(0).shuffle(order)  # noqa: S311  # an order, not a secret
    names = {path: asked(cascade.detect(path)) for path in paths}
    for path in paths[:8]:
        bare.ask(path, names[path])
    whole: list[float] = []
    calls: list[dict[str, float]] = []

    def detect(path: Path) -> None:
        began = time.perf_counter()
        cascade.detect(path)
        whole.append((time.perf_counter() - began) * 1000)

    for number, path in enumerate(order):
        if number % 2:
            detect(path)
            calls.append(bare.ask(path, names[path]))
        else:
            calls.append(bare.ask(path, names[path]))
            detect(path)
        common.progress(f"warm: {number + 1} of {len(order)}")
    common.progress("")
    ours, theirs = np.array(whole), np.array([call["whole"] for call in calls])
    first = cascade.spec.models[0]
    early = np.array([names[path] == [first] for path in order])
    result: dict[str, Any] = {"all": _compared(ours, theirs)}
    for name, chosen in (("gate_only", early), ("beyond_the_gate", ~early)):
        if chosen.any():
            result[name] = {"share": float(chosen.mean()), **_compared(ours[chosen], theirs[chosen])}
    sums = {part: float(np.sum([call[part] for call in calls])) for part in ("decode", "prepare", "run")}
    overhead = float(np.sum(ours - theirs))
    result["shares_of_time"] = {
        **{part: value / float(ours.sum()) for part, value in sums.items()},
        "runner": overhead / float(ours.sum()),
    }
    result["bare_ms"] = {part: common.spread([call[part] for call in calls]) for part in sums}
    return result


def _compared(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    return {
        "detect_ms": {"p50": float(np.percentile(ours, 50)), "p95": float(np.percentile(ours, 95))},
        "bare_ms": {"p50": float(np.percentile(theirs, 50)), "p95": float(np.percentile(theirs, 95))},
        "overhead_ms": common.spread((ours - theirs).tolist()),
        "ratio": common.spread((ours / theirs).tolist()),
    }


def cold(photo: Path, times: int) -> dict[str, Any]:
    """Whole processes, taking turns."""
    ours = [str(common.COMMAND), "detect", str(photo), "--json"]
    theirs = [common.PYTHON, "-c", IMPORTS]
    for command in (ours, theirs):  # compiles bytecode, warms the file cache
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = common.interleaved(
        {
            "imports": lambda: subprocess.run(theirs, check=True, stdout=subprocess.DEVNULL),
            "detect": lambda: subprocess.run(ours, check=True, stdout=subprocess.DEVNULL),
        },
        times,
    )
    return {
        "ratio": common.ratio(seconds["detect"], seconds["imports"]),
        "added_ms": common.spread([(a - b) * 1000 for a, b in zip(seconds["detect"], seconds["imports"], strict=True)]),
        "imports_ms": common.spread([value * 1000 for value in seconds["imports"]]),
        "detect_ms": common.spread([value * 1000 for value in seconds["detect"]]),
    }


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "latency", manifest=False)
    parser.add_argument("--rounds", type=int, default=5, help="how often each picture is asked about, warm")
    parser.add_argument("--times", type=int, default=21, help="how often each process is started, cold")
    arguments = parser.parse_args()
    rounds, times, scenes = arguments.rounds, arguments.times, SCENES
    if arguments.quick:
        rounds, times, scenes = 2, 3, 24
    with tempfile.TemporaryDirectory(prefix="natix-bench-") as name:
        rendered = common.labelled(write_scenes(name, scenes, seed=500))
        rows = common.labelled(arguments.manifest) if arguments.manifest else rendered
        if arguments.quick:
            rows = common.spaced(rows, 24)
        threads = cores()
        with Cascade.load(threads=threads) as cascade:
            cascade.warm_up()
            result = {"warm": warm(cascade, Bare(threads), [row.path for row in rows], rounds), "cold": {}}
            verdicts = {row.path: cascade.detect(row.path) for row in rendered}
        by_length = sorted(verdicts, key=lambda path: len(verdicts[path].opinions))
        for place, path in (("gate_only", by_length[0]), ("furthest", by_length[-1])):
            result["cold"][place] = {
                "exit_level": verdicts[path].exit_level,
                "models_asked": len(verdicts[path].opinions),
                **cold(path, times),
            }
    show(result)
    data = {
        "pictures": len(rows),
        "kind": "labelled photographs" if arguments.manifest else "rendered scenes",
        "rounds": rounds,
        "processes": times,
        "threads": threads,
    }
    common.save(arguments.out, __doc__, data=data, figures=result, quick=arguments.quick)


def show(result: dict[str, Any]) -> None:
    """Print the figures."""
    lines = []
    for name in ("all", "gate_only", "beyond_the_gate"):
        if name in result["warm"]:
            found = result["warm"][name]
            both = [found[side][p] for side in ("detect_ms", "bare_ms") for p in ("p50", "p95")]
            lines.append([name, *both, found["overhead_ms"]["median"], found["ratio"]["median"]])
    common.table(["warm, ms", "detect p50", "p95", "bare p50", "p95", "overhead p50", "ratio p50"], lines)
    shares = result["warm"]["shares_of_time"]
    common.table(["share of detect", *shares], [["", *(f"{value:.1%}" for value in shares.values())]])
    lines = [
        [f"{place} ({found['exit_level']})", found["ratio"]["median"], found["ratio"]["p25"], found["ratio"]["p75"]]
        for place, found in result["cold"].items()
    ]
    common.table(["cold, whole process / imports alone", "median", "p25", "p75"], lines)


if __name__ == "__main__":
    main()
