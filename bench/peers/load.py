"""Load on a running server: wrk, the open-loop generator, and the check that its decisions are the right ones."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import common
from peers.pictures import PictureSet
from peers.systems import Server

__all__ = ["Cell", "compare", "need_wrk", "offer", "open_loop", "show", "summary", "warm"]

SCRIPT = Path(__file__).with_name("wrk.lua")
OPEN_LOOP = Path(__file__).with_name("open_loop.py")
AT_ONCE = 8
SAME = 2e-3
"""Probabilities may differ so far: batches of another size add up in another order."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One turn of one system.

    Attributes
    ----------
    per_s : float
        2xx answers a second.
    p50_ms, p95_ms, p99_ms : float
        As the client sees it.
    failed : int
        Answers other than 2xx, lost connections, timeouts.
    server_cpu_ms : float
        CPU of all the server's processes for each answer.
    wrk_cores : float
        Cores that wrk took.
    """

    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int
    server_cpu_ms: float
    wrk_cores: float


def need_wrk() -> str:
    """The version of wrk."""
    if shutil.which("wrk") is None:
        common.leave("wrk is missing; install it (Debian: apt-get install wrk)")
    return subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split("[")[0].strip()  # noqa: S607


def offer(server: Server, pictures: PictureSet, connections: int, seconds: float) -> Cell:
    """Closed loop: each connection sends its next picture when it has its answer."""
    out = pictures.listing.with_name("wrk.json")
    env = {**os.environ, "WRK_LIST": str(pictures.listing), "WRK_OUT": str(out)}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", str(SCRIPT)]
    cpu, own = server.cpu_s(), _children_cpu()
    subprocess.run([*command, server.url], env=env, check=True, stdout=subprocess.DEVNULL)
    cpu, own = server.cpu_s() - cpu, _children_cpu() - own
    server.settle(pictures.paths[0].read_bytes())
    found = json.loads(out.read_text("utf-8"))
    good = found["requests"] - found["not_2xx"]
    return Cell(
        per_s=good / found["seconds"],
        p50_ms=found["p50_ms"],
        p95_ms=found["p95_ms"],
        p99_ms=found["p99_ms"],
        failed=sum(found[key] for key in ("not_2xx", "connect", "read", "write", "timeout")),
        server_cpu_ms=cpu * 1000 / max(good, 1),
        wrk_cores=own / found["seconds"],
    )


def warm(server: Server, pictures: PictureSet, connections: int) -> None:
    """A second of the same load, not counted."""
    offer(server, pictures, connections, 1)


def open_loop(
    server: Server, pictures: PictureSet, rate: float, seconds: float, *, connections: int = 384
) -> dict[str, Any]:
    """Poisson arrivals at a rate of their own; the first two seconds do not count."""
    command = [sys.executable, str(OPEN_LOOP), str(server.port), server.path, str(pictures.listing)]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections)]
    cpu = server.cpu_s()
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(text)
    found["server_cpu_s"] = server.cpu_s() - cpu
    server.settle(pictures.paths[0].read_bytes())
    found["sent"] = found["ok"] + found["rejected"] + found["other"] + found["lost"]
    return found


def compare(server: Server, pictures: PictureSet, form: str, count: int) -> dict[str, Any]:
    """Ask about the first pictures, several at a time, and compare with what this process answers.

    Answer, way through the levels and probability must be the same.
    """
    paths, expected = pictures.paths[:count], pictures.expected[form][:count]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda path: server.post(path.read_bytes()), paths))
    different: Counter[str] = Counter()
    furthest = 0.0
    for (status, body), wanted in zip(answers, expected, strict=True):
        if status != HTTPStatus.OK:
            different[f"status {status}"] += 1
            continue
        got = json.loads(body)
        apart = abs(got["probability"] - wanted["probability"])
        furthest = max(furthest, apart)
        found = [
            key for key in ("roadwork_detected", "exit_level", "levels_executed", "sha256") if got[key] != wanted[key]
        ]
        if found or apart > SAME:
            different["; ".join(f"{key} {got[key]} for {wanted[key]}" for key in (*found, "probability"))] += 1
    return {"pictures": len(paths), "different": dict(different), "largest_difference": furthest}


def summary(cells: Sequence[Cell]) -> dict[str, Any]:
    """Medians over the rounds; failures are summed."""
    names = ("per_s", "p50_ms", "p95_ms", "p99_ms", "server_cpu_ms", "wrk_cores")
    result: dict[str, Any] = {name: common.spread([getattr(cell, name) for cell in cells])["median"] for name in names}
    result["failed"] = sum(cell.failed for cell in cells)
    return result


def show(figures: Mapping[str, Any], overload: Mapping[str, Any]) -> None:
    """Print the figures."""
    for size, found in figures.items():
        ways = ", ".join(f"{way} {one['per_s']['median']:.0f}/s" for way, one in found["bare"].items())
        print(f"{size} ({found['mean_kb']:.0f} kB, {found['models_a_picture']:.2f} models a picture); bare: {ways}\n")
        lines = []
        for connections, systems in found["connections"].items():
            for system, one in systems.items():
                latency = [f"{one[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
                ratio = f"{one['ours_over_it']['median']:.2f}x" if "ours_over_it" in one else "-"
                name = f"{connections} connections, {system}"
                over_bare = f"{one['over_bare']['median']:.2f}"
                cpu, wrk = f"{one['server_cpu_ms']:.2f}", f"{one['wrk_cores']:.2f}"
                lines.append([name, f"{one['per_s']:.0f}", *latency, over_bare, ratio, cpu, wrk, one["failed"]])
        header = ["", "per s", "p50 ms", "p95", "p99", "/ bare", "ours / it", "CPU ms", "wrk cores", "failed"]
        common.table([size, *header[1:]], lines)
    lines = []
    for size, found in overload.items():
        for times in ("1x", "3x"):
            one = found[times]
            p99 = f"{one['accepted_ms']['p99']:.1f}" if one["accepted_ms"] else "-"
            shares = [f"{one['goodput']:.2f}", f"{one['rejected_share']:.2f}", p99, f"{one['p99_over_peak_p99']:.2f}"]
            lines.append([f"{size}, {times}", f"{one['offered_per_s']:.0f}", *shares, f"{one['cpu_cores']:.2f}"])
    header = ["overload", "offered per s", "goodput", "rejected", "p99 ms", "/ peak p99", "generator cores"]
    common.table(header, lines)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
