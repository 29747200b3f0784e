"""The memory of a `scan` stays flat, however many pictures there are.

`natix-cascade scan` runs as a process of its own over a folder of 20,000 JPEG files (200 rendered scenes, linked under
many names) and, for comparison, over 2,000. Its resident memory is sampled every half second, its peak is the
kernel's own (VmHWM). How far it is follows from the finished chunks in its journal.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import common
from natix_cascade.testing import write_scenes

MANY, FEW, SCENES = 20_000, 2_000, 200
SETTLED = 0.2
"""The slope is taken after this part of the way: models are loaded and the allocator has grown."""


def lay_out(folder: Path, scenes: list[Path], count: int) -> None:
    """So many names for the scenes."""
    for number in range(count):
        part = folder / f"{number // 1000:03d}"
        part.mkdir(parents=True, exist_ok=True)
        os.link(scenes[number % len(scenes)], part / f"{number:06d}.jpg")


def finished(journal: Path) -> int:
    """Rows on disk, by the scan's journal."""
    try:
        lines = journal.read_text("utf-8").splitlines()
    except OSError:
        return 0
    done = 0
    for line in lines:
        try:
            done += int(json.loads(line)["done"])
        except (ValueError, KeyError, TypeError):  # the last line may still be under way
            continue
    return done


def watch(folder: Path, out: Path, count: int, every: float) -> dict[str, Any]:
    """Run a scan and look at its memory."""
    command = [str(common.COMMAND), "scan", str(folder), "--out", str(out), "--json"]
    samples: list[tuple[float, float]] = []
    peak = 0.0
    journal = out.with_name(f"{out.name}.parts") / "journal.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            done, now = finished(journal), common.memory_of(process.pid)
            peak = max(peak, common.memory_of(process.pid, "VmHWM"))
            if done and now:
                samples.append((done / count, now))
                common.progress(f"{done} of {count} pictures, {now:.0f} MiB")
            time.sleep(every)
        common.progress("")
        text = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, f"the scan ended with {process.returncode}"
    summary = json.loads(text)
    assert summary["done"] == count, summary
    assert not summary["errors"], summary
    assert samples, "the scan was over before its memory was seen: give more pictures"
    way, rss = np.array(samples).T
    late = way >= SETTLED
    slope = float(np.polyfit(way[late] * count / 10_000, rss[late], 1)[0]) if late.sum() > 2 else None
    return {
        "pictures": count,
        "peak_mib": peak,
        "rss_mib": {f"at_{part}": float(rss[np.abs(way - part / 100).argmin()]) for part in (10, 50, 100)},
        "slope_mib_per_10000": slope,
        "samples": len(samples),
    }


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "memory")
    arguments = parser.parse_args()
    many, few, scenes, every = (2_000, 500, 24, 0.05) if arguments.quick else (MANY, FEW, SCENES, 0.5)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="natix-bench-") as name:
        root = Path(name)
        pictures = [row.path for row in common.labelled(write_scenes(root / "scenes", scenes, seed=900))]
        for side, count in (("few", few), ("many", many)):
            lay_out(root / side, pictures, count)
            figures[side] = watch(root / side, root / f"{side}.jsonl", count, every)
    figures["peak_ratio"] = figures["many"]["peak_mib"] / figures["few"]["peak_mib"]
    at = figures["many"]["rss_mib"]
    figures["end_over_beginning"] = at["at_100"] / at["at_10"]
    lines = [
        [f"{found['pictures']} pictures", *found["rss_mib"].values(), found["peak_mib"], found["slope_mib_per_10000"]]
        for found in (figures["few"], figures["many"])
    ]
    common.table(["resident memory, MiB", "at 10 %", "at 50 %", "at 100 %", "peak", "slope per 10,000"], lines)
    print(f"peak of {many} over peak of {few} pictures: {figures['peak_ratio']:.3f}\n")
    data = {"pictures": many, "compared_with": few, "distinct": scenes, "kind": "rendered scenes"}
    common.save(arguments.out, __doc__, data=data, figures=figures, quick=arguments.quick)


if __name__ == "__main__":
    main()
