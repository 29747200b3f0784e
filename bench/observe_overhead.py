"""What being observed costs: the service everything on against everything off; dead and hanging collectors.

Five services of the same build take turns at wrk's load on the same photographs (224 x 224, as Subnet 72 sends them),
the order turning around each round; those that wait are stopped (SIGSTOP). *off*: no metrics, no lines, nothing sent.
*metrics*: the default, counting for Prometheus, scraped every two seconds. *all*: metrics, JSON lines of verdicts,
traces over OTLP, annotations of Phoenix, a judge and Weave, and what is kept by default. *dead*: the same, with every
collector's port closed. *hanging*: the same, with collectors that accept and never answer.

The collectors of *all* take everything and answer at once; they run at the lowest priority on the same cores, as in
earnest they run elsewhere. Ratios are taken round by round, medians with their quartiles are given; 16 connections keep
all cores busy: nothing can be had for nothing there.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
from peers import load
from peers.load import Cell
from peers.pictures import PictureSet, small
from peers.systems import Server

ROUNDS, SECONDS = 8, 4
CONNECTIONS = (16,)
PICTURES = 200
SINKS = Path(__file__).with_name("observe_sinks.py")
OFF = "[observe]\nmetrics = false\n"
ALL = """
[observe.log]
format = "json"
verdicts_per_s = 5.0
[observe.traces]
url = "http://127.0.0.1:{port}/v1/traces"
[observe.phoenix]
url = "http://127.0.0.1:{port}"
[observe.judge]
endpoint = {{ url = "http://127.0.0.1:{port}/v1", model = "judge", timeout_s = 5.0 }}
per_minute = 30
"""
WEAVE = """
[observe.weave]
project = "local/bench"
url = "http://127.0.0.1:{port}"
api_key = "env:BENCH_KEY"
"""


@contextlib.contextmanager
def sinks() -> Iterator[tuple[int, int, int]]:
    """Ports of a collector that takes everything, one that hangs, and nothing."""
    with subprocess.Popen([sys.executable, str(SINKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        taking, hanging, dead = (int(part) for part in process.stdout.readline().split())
        yield taking, hanging, dead
        assert process.stdin is not None
        process.stdin.close()


@contextlib.contextmanager
def scraped(server: Server) -> Iterator[None]:
    """Read the metrics every two seconds; Prometheus would every fifteen."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(2.0):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as page,
            ):
                page.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def services(folder: Path, python: str, ports: tuple[int, int, int], *, weave: bool) -> dict[str, Server]:
    """The five services, started."""
    every = ALL + (WEAVE if weave else "")
    taking, hanging, dead = ports
    texts = {
        "off": OFF,
        "metrics": "",
        "all": every.format(port=taking),
        "dead": every.format(port=dead),
        "hanging": every.format(port=hanging),
    }
    found = {}
    for name, text in texts.items():
        config = folder / f"{name}.toml"
        config.write_text(text)
        command = [python, "-m", "natix_cascade", "serve", "--port", "{port}"]
        command += ["--state", str(folder / name), "--config", str(config)]
        env = {"BENCH_KEY": "0" * 40, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        found[name] = Server(name, command, "/v1/infer", folder / f"{name}.log", env)
    return found


def measure(
    servers: dict[str, Server], pictures: PictureSet, rounds: int, seconds: float
) -> dict[tuple[str, int], list[Cell]]:
    """All take turns."""
    cells: dict[tuple[str, int], list[Cell]] = {}
    for number in range(rounds):
        for connections in CONNECTIONS:
            for name in list(servers) if number % 2 == 0 else reversed(list(servers)):
                server = servers[name]
                server.resume()
                load.warm(server, pictures, connections)
                with scraped(server) if name != "off" else contextlib.nullcontext():
                    cell = load.offer(server, pictures, connections, seconds)
                server.pause()
                cells.setdefault((name, connections), []).append(cell)
                common.progress(f"round {number + 1} of {rounds}: {connections} connections, {name} {cell.per_s:.0f}/s")
    common.progress("")
    return cells


def figures_of(cells: dict[tuple[str, int], list[Cell]]) -> dict[str, Any]:
    """Ratios to *off*, by number of connections and service."""
    result: dict[str, Any] = {}
    for (name, connections), found in cells.items():
        off = cells["off", connections]
        one = load.summary(found)
        for key in ("per_s", "p50_ms", "p99_ms", "server_cpu_ms"):
            one[f"{key}_over_off"] = common.ratio(
                [getattr(cell, key) for cell in found], [getattr(cell, key) for cell in off]
            )
        result.setdefault(str(connections), {})[name] = one
    return result


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    rows = []
    for connections, systems in figures.items():
        for name, one in systems.items():
            ratios = [
                "{median:.3f} ({p25:.3f} to {p75:.3f})".format(**one[f"{key}_over_off"])
                for key in ("per_s", "p50_ms", "p99_ms", "server_cpu_ms")
            ]
            rows.append([f"{connections} connections, {name}", f"{one['per_s']:.0f}", f"{one['p99_ms']:.1f}", *ratios])
    common.table(["", "per s", "p99 ms", "per s / off", "p50 / off", "p99 / off", "CPU / off"], rows)


def main() -> None:
    """Measure, print and write."""
    parser = common.options(__doc__, "observe_overhead", manifest=True)
    parser.add_argument("--python", default=sys.executable, help="of an environment that has the observing extras")
    parser.add_argument("--without-weave", action="store_true", help="where that package is not there")
    given = parser.parse_args()
    load.need_wrk()
    rows = common.spaced(common.labelled(given.manifest), 20 if given.quick else PICTURES)
    random.Random(0).shuffle(rows)  # noqa: S311  # an order, not a secret
    with tempfile.TemporaryDirectory() as name, sinks() as ports, contextlib.ExitStack() as stack:
        folder = Path(name)
        paths = [folder / f"{number:04d}.jpg" for number in range(len(rows))]
        for path, row in zip(paths, rows, strict=True):
            path.write_bytes(small(row.path))
        listing = folder / "list.txt"
        listing.write_text("".join(f"{path}\n" for path in paths))
        pictures = PictureSet("224x224", paths, listing, {})
        servers = services(folder, given.python, ports, weave=not given.without_weave)
        for server in servers.values():
            stack.enter_context(server)
            server.wait(paths[0].read_bytes())
            server.pause()
        cells = measure(servers, pictures, 1 if given.quick else ROUNDS, 2 if given.quick else SECONDS)
        for server in servers.values():
            server.resume()
    figures = figures_of(cells)
    show(figures)
    data = {"pictures": len(rows), "rounds": len(cells["off", CONNECTIONS[0]]), "seconds": SECONDS}
    common.save(given.out, __doc__, data=data, figures=figures, quick=given.quick)


if __name__ == "__main__":
    main()
