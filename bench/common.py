"""What the benchmarks share: options, the machine, results on disk, and timing two things side by side.

Speed is only ever told as a ratio of two sides that took turns in one run (ABBA...): the machine's mood of the
moment then hits both. A ratio is taken round by round; the result names its median and its quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole
from natix_cascade.report.manifest import Row, read_manifest
from natix_cascade.run.loaded import cores

RESULTS = Path(__file__).parent / "results"
PYTHON = sys.executable
COMMAND = Path(sys.executable).with_name("natix-cascade")
_LOAD = round(os.getloadavg()[0], 2)
"""Processes that wanted a core in the minute before the script began: what else the machine was busy with."""
_PACKAGES = ("natix-cascade", "numpy", "onnxruntime", "pillow")


def options(doc: str | None, name: str, *, manifest: bool | None = None) -> argparse.ArgumentParser:
    """Return a parser with what every script takes.

    Parameters
    ----------
    doc : str or None
        The script's docstring.
    name : str
        Of the file of results.
    manifest : bool or None
        Whether a manifest is needed (True), welcome (False) or not taken (None).
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if manifest is not None:
        text = "CSV of labelled pictures: path, label, and if there are: group, split, quality, source_repo"
        parser.add_argument("manifest", type=Path, nargs=None if manifest else "?", help=text, metavar="MANIFEST")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="where the figures go")
    parser.add_argument("--quick", action="store_true", help="few pictures and rounds: to see that it works")
    return parser


def leave(message: str) -> NoReturn:
    """Say what is missing, and end with 2."""
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(2)


def labelled(manifest: Path, *, split: str = "test") -> list[Row]:
    """Rows of a split whose pictures are all there."""
    if not manifest.is_file():
        leave(
            f"there is no manifest {manifest}. The labelled photographs are not part of this repository; name a CSV "
            "with the columns path and label (make bench MANIFEST=...)."
        )
    try:
        rows = read_manifest(manifest, split=split)
    except CascadeError as error:
        leave(str(error))
    missing = [row.key for row in rows if not row.path.is_file()]
    if missing:
        leave(
            f"{len(missing)} of the {len(rows)} pictures of {manifest} are not there, the first: {missing[0]}; paths "
            "are relative to the manifest's folder"
        )
    return rows


def spaced(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, evenly spaced over each label, so that a few are still a fair sample."""
    yes, no = [row for row in rows if row.label], [row for row in rows if not row.label]
    wanted = round(count * len(yes) / max(len(rows), 1))
    chosen = []
    for part, number in ((yes, wanted), (no, count - wanted)):
        steps = np.linspace(0, len(part), min(number, len(part)), endpoint=False).astype(int)
        chosen += [part[step] for step in steps]
    return chosen


def module_of_tests(path: str) -> ModuleType:
    """A helper module of the tests, such as ``image/mutate.py``."""
    file = Path(__file__).parents[1] / "tests" / path
    if not file.is_file():
        leave(f"{path} is missing below tests/: run this from a checkout, not from an installed package")
    sys.path.insert(0, str(file.parent))
    try:
        return import_module(file.stem)
    finally:
        sys.path.remove(str(file.parent))


def machine() -> dict[str, Any]:
    """What it was measured on; nothing that names this one machine."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "load": {"before": _LOAD, "after": round(os.getloadavg()[0], 2)},
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def save(out: Path, doc: str | None, *, data: Mapping[str, Any], figures: Mapping[str, Any], quick: bool) -> None:
    """Write the results, whole or not at all; numbers are rounded to what they are worth."""
    paragraphs = (doc or "").strip().split("\n\n")
    result = {
        "what": " ".join(paragraphs[0].split()),
        "how": [" ".join(text.split()) for text in paragraphs[1:]],
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "data": data,
        "figures": _plain(figures),
    }
    write_whole(out, (json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    sys.stdout.write(f"figures in {out}\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles, extremes and number."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": median, "p25": low, "p75": high, "min": min(values), "max": max(values), "n": len(values)}


def interleaved(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, round by round; the order turns around every round: A B, B A, A B."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            began = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - began)
            progress(f"round {number + 1} of {rounds}: {name} {seconds[name][-1]:.2f} s")
    progress("")
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, Any]:
    """The ratio of two sides, round by round."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def progress(text: str) -> None:
    """One line that is written over, in a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns; numbers to the right."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    for row in cells:
        line = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        sys.stdout.write("  ".join(line).rstrip() + "\n")
    sys.stdout.write("\n")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def memory_of(pid: int, key: str = "VmRSS") -> float:
    """MiB of a running process by the kernel's account: ``VmRSS`` (now) or ``VmHWM`` (the peak so far); 0 when gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    found = next((line for line in lines if line.startswith(f"{key}:")), "")
    return int(found.split()[1]) / 1024 if found else 0.0
