"""A `scan` is several times as fast as asking every model about every picture.

The plain way: picture after picture, decoded by Pillow at full size, scaled by Pillow for each model of the cascade,
every model asked, one by one, in ONNX Runtime sessions with its own defaults; the mean of the probabilities decides.
Both sides answer the same pictures and take turns within one run; models are loaded before the clock starts. The
figure is the ratio of pictures a second, round by round.

Four sets: the split `test` as it is and enlarged to 1280 pixels wide (JPEG, quality 90: what street cameras send),
each with the split's own share of roadwork and as a street has it: 5 % yes. Pictures come several times, under
different names; the file cache is warm for both.

ONNX Runtime's own defaults let idle threads spin. Where other processes want the cores, that slows the plain way far
more than `scan`: only a run on a quiet machine (see `load` under machine) is fair.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

import common
from natix_cascade.report.manifest import Row
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.scan import ScanSummary, scan
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import load_cascade

WIDE = 1280
STREET_YES = 0.05


class Plain:
    """Every model on every picture."""

    def __init__(self) -> None:
        resolved, weights = load_cascade()
        self.models: list[tuple[ModelCard, Any]] = [
            (resolved.cards[name], onnxruntime.InferenceSession(str(weights[name]), providers=["CPUExecutionProvider"]))
            for name in resolved.models
        ]

    def judge(self, path: Path) -> bool:
        """One picture."""
        with Image.open(path) as file:
            image = file.convert("RGB")
        said = []
        for card, session in self.models:
            spec = card.input
            pixels = np.asarray(image.resize((spec.width, spec.height), Image.Resampling.BILINEAR))
            if spec.dtype == "float32":
                mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
                pixels = ((pixels / np.float32(255)) - mean) / std
            if spec.layout == "NCHW":
                pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
            raw = session.run([card.output.name], {spec.name: pixels[None]})[0]
            said.append(probability(card, raw))
        return float(np.mean(said)) >= 0.5

    def all(self, paths: Sequence[Path]) -> list[bool]:
        """One picture after the other."""
        return [self.judge(path) for path in paths]


def probability(card: ModelCard, raw: Any) -> float:
    """P(positive) of one picture, read as the card says."""
    values = np.asarray(raw, np.float64).reshape(-1)
    if card.output.kind == "logit":
        return float(1 / (1 + np.exp(-values[0])))
    if card.output.kind == "logits":
        values = np.exp(values - values.max())
        values /= values.sum()
    return float(values[0 if card.output.kind == "probability" else card.classes.index(card.positive)])


def street(rows: Sequence[Row]) -> list[Row]:
    """All pictures without roadwork, and so many with it that they are 5 %."""
    yes, no = [row for row in rows if row.label], [row for row in rows if not row.label]
    wanted = max(1, round(len(no) * STREET_YES / (1 - STREET_YES)))
    return no + [yes[step] for step in np.linspace(0, len(yes), min(wanted, len(yes)), endpoint=False).astype(int)]


def as_it_is(source: Path, target: Path) -> None:
    """Another name for the file; a copy where the file system has no links between these folders."""
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def enlarged(source: Path, target: Path) -> None:
    """The picture, 1280 pixels wide."""
    with Image.open(source) as file:
        image = file.convert("RGB")
    height = max(1, round(image.height * WIDE / image.width))
    image.resize((WIDE, height), Image.Resampling.BICUBIC).save(target, "JPEG", quality=90)


def lay_out(folder: Path, rows: Sequence[Row], count: int, make: Callable[[Path, Path], None]) -> list[Path]:
    """A folder of pictures: the rows over and over, under different names, until there are `count`."""
    folder.mkdir()
    first: dict[Path, Path] = {}
    paths = []
    order = np.random.default_rng(0).permutation(count)
    for place, number in enumerate(order.tolist()):
        row = rows[number % len(rows)]
        target = folder / f"{place:06d}{row.path.suffix.lower() if make is as_it_is else '.jpg'}"
        if row.path in first:
            as_it_is(first[row.path], target)
        else:
            make(row.path, target)
            first[row.path] = target
        paths.append(target)
    return paths


def measure(folder: Path, paths: Sequence[Path], loaded: LoadedCascade, plain: Plain, rounds: int) -> dict[str, Any]:
    """Both sides on one set."""
    summaries: list[ScanSummary] = []
    answers: list[list[bool]] = []
    out = folder.with_suffix(".jsonl")
    sides = {
        "plain": lambda: answers.append(plain.all(paths)),
        "scan": lambda: summaries.append(scan(folder, out, loaded, overwrite=True)),
    }
    seconds = common.interleaved(sides, rounds)
    assert all(summary.done == len(paths) and not summary.errors for summary in summaries)
    last = summaries[-1]
    whole = [summary.seconds for summary in summaries]
    shares: dict[str, Any] = {
        part: float(
            np.median([getattr(summary.time, part) / all_ for summary, all_ in zip(summaries, whole, strict=True)])
        )
        for part in ("decode_wait", "models", "overhead", "writing")
    }
    shares["by_model"] = {
        name: float(
            np.median([s.time.by_model.get(name, 0.0) / all_ for s, all_ in zip(summaries, whole, strict=True)])
        )
        for name in last.time.by_model
    }
    return {
        "pictures": len(paths),
        "faster": common.ratio(seconds["plain"], seconds["scan"]),
        "ms_per_picture": {side: float(np.median(values)) * 1000 / len(paths) for side, values in seconds.items()},
        "shares_of_time": shares,
        "exit_shares": last.exit_shares,
        "yes": {"plain": float(np.mean(answers[-1])), "scan": last.yes / last.done},
    }


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "scan_speed", manifest=True)
    parser.add_argument("--pictures", type=int, default=500, help="pictures of each set")
    parser.add_argument("--rounds", type=int, default=4, help="how often both sides take turns")
    arguments = parser.parse_args()
    rows = common.labelled(arguments.manifest)
    count, rounds = arguments.pictures, arguments.rounds
    if arguments.quick:
        rows, count, rounds = common.spaced(rows, 40), 64, 2
    mixes = {"split": rows, "street": street(rows)}
    plain, loaded = Plain(), LoadedCascade.load()
    loaded.load_all()
    figures: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="natix-bench-") as name:
            for mix, chosen in mixes.items():
                for size, make in (("as_it_is", as_it_is), ("wide_1280", enlarged)):
                    folder = Path(name) / f"{mix}_{size}"
                    paths = lay_out(folder, chosen, count, make)
                    for path in paths[:8]:  # both sides are warm
                        plain.judge(path)
                    scan(folder, folder.with_suffix(".jsonl"), loaded, limit=16)
                    found = measure(folder, paths, loaded, plain, rounds)
                    found["share_of_yes"] = sum(row.label for row in chosen) / len(chosen)
                    figures.setdefault(mix, {})[size] = found
    finally:
        loaded.close()
    show(figures)
    data = {"pictures": len(rows), "pictures_of_a_set": count, "rounds": rounds, "split": "test"}
    common.save(arguments.out, __doc__, data=data, figures=figures, quick=arguments.quick)


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    lines, parts = [], []
    for mix, sizes in figures.items():
        for size, found in sizes.items():
            faster, shares = found["faster"], found["shares_of_time"]
            name = f"{mix}, {size}"
            exits = ", ".join(f"{level} {share:.0%}" for level, share in found["exit_shares"].items() if share)
            times = f"{faster['median']:.1f}x [{faster['min']:.1f}, {faster['max']:.1f}]"
            lines.append([name, f"{found['share_of_yes']:.0%}", times, exits])
            models = ", ".join(f"{model} {share:.0%}" for model, share in shares["by_model"].items())
            rest = [f"{shares[part]:.1%}" for part in ("decode_wait", "overhead", "writing")]
            parts.append([name, *rest, f"{shares['models']:.1%}", models])
    common.table(["scan against the plain way", "yes", "pictures/s", "exits"], lines)
    common.table(["time of scan", "waits for decode", "own overhead", "writing", "models", "by model"], parts)


if __name__ == "__main__":
    main()
