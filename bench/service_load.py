"""The service under load against bare ONNX Runtime and against peers that serve the same models.

`natix-cascade serve` with its defaults gets photographs over loopback from wrk, in two sizes: as Subnet 72 sends them
(largest square, 224 x 224, JPEG of quality 75) and 1280 x 720 (scaled by Lanczos to cover it, cut, JPEG of quality 85:
photographs of the test split are mostly smaller or larger than that, so their detail is not a camera's).

Bare: decode, prepare and `session.run` of exactly the models that the cascade asks about that picture (worked out
before), from memory, in a loop: two processes of one thread, two threads, or one process with two intra-op threads;
the fastest counts.

Peers: LitServe and BentoML serve the same ONNX files with their own batching, each in an environment of its own, as
`ensemble` (all models on every picture, their log-odds vote: what one builds without a cascade) and as `cascade` (the
same early exits called inside their predict). Bodies go in raw and answers come out as ready JSON, their cheapest ways.
A pilot tries several settings of each in both sizes at 1 and 32 connections (8 and 128 take those of 32); the settings
that are best over all are taken, others where they win by more than 5 %. Before the clock starts, every server must
give our decisions to the same pictures, eight at a time; the ensembles must decide as all models do without exits.

All take turns in one run, in rounds that turn around; the peers that wait are stopped (SIGSTOP). Figures are medians of
the rounds, ratios are taken round by round. wrk runs on the same cores; its share of them is given. Where a system
answered otherwise than 2xx (`failed`), wrk's percentiles hold those answers too. Ours stores each verdict on disk and
keeps metrics; the peers store nothing and log no access.

Overload: requests arrive at random (Poisson) at one and three times the peak rate at 32 connections, whatever is
answered; latency counts from the moment when a request was due. Goodput is 2xx a second over that peak; degraded
verdicts (none but by the deadline of 8 s) are counted apart.
"""

from __future__ import annotations

import shlex
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
from peers import load, systems
from peers.judge import FORMS
from peers.load import Cell
from peers.pictures import PictureSet, lay_out
from peers.systems import BareLoop, Server, Settings

CONNECTIONS = (1, 8, 32, 128)
PEAK = 32
PILOT = (1, PEAK)
CHOICES: dict[str, tuple[Settings, ...]] = {
    "litserve": (
        Settings(workers=2),
        Settings(workers=2, fronts=2),
        Settings(workers=1, intra=2),
        Settings(workers=2, batch=8, wait_ms=2),
        Settings(workers=1, lanes=2, batch=8, wait_ms=2),
    ),
    "bentoml": (
        Settings(workers=2),
        Settings(workers=1, lanes=2),
        Settings(workers=2, batch=8),
        Settings(workers=1, lanes=2, batch=8),
    ),
}
BARE = {
    "two processes": {"processes": 2, "threads": 1, "intra": 1},
    "two threads": {"processes": 1, "threads": 2, "intra": 1},
    "two intra-op threads": {"processes": 1, "threads": 1, "intra": 2},
}
WORTH = 1.05
LEAST = 1e-9  # where nothing was answered: a ratio that nobody overlooks
CHECKED = 50


@dataclass(slots=True)
class Plan:
    """How long, how often, and with what."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    pilot_s: float
    peers: tuple[str, ...]
    serve: tuple[str, ...]


@dataclass(slots=True)
class Bench:
    """What is measured, and what was found."""

    plan: Plan
    folder: Path
    sets: list[PictureSet]
    cells: dict[tuple[str, int, str], list[Cell]] = field(default_factory=dict)
    bare: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    chosen: dict[tuple[str, int, str], Settings] = field(default_factory=dict)
    pilots: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)

    def pilot(self) -> None:
        """Try the settings of every peer in both forms, and choose."""
        for name in self.plan.peers:
            for form in FORMS:
                rates: dict[Settings, dict[tuple[str, int], float]] = {}
                for settings in CHOICES[name] if self.plan.pilot_s else CHOICES[name][:1]:
                    rates[settings] = {}
                    if self.plan.pilot_s:
                        with systems.peer(name, form, settings, self.folder) as server:
                            server.wait(self.sets[0].paths[0].read_bytes())
                            rates[settings] = self._try(server)
                self._choose(f"{name} {form}", rates)

    def _try(self, server: Server) -> dict[tuple[str, int], float]:
        found = {}
        load.warm(server, self.sets[0], PEAK)
        for item in self.sets:
            for connections in PILOT:
                found[item.size, connections] = load.offer(server, item, connections, self.plan.pilot_s).per_s
                common.progress(f"pilot: {server.name}, {item.size}, {connections} connections")
        return found

    def _choose(self, system: str, rates: Mapping[Settings, Mapping[tuple[str, int], float]]) -> None:
        best = best_over_all(rates)
        for item in self.sets:
            for connections in self.plan.connections:
                key = (item.size, 1 if connections == 1 else PEAK)
                at = {settings: found.get(key, 0.0) for settings, found in rates.items()}
                winner = max(at, key=lambda settings: at[settings])
                taken = winner if at[winner] > WORTH * at[best] else best
                self.chosen[item.size, connections, system] = taken
        self.pilots[system] = {
            str(settings): {f"{size}, {connections}": rate for (size, connections), rate in found.items()}
            for settings, found in rates.items()
        }

    def check(self, system: str, server: Server, form: str) -> None:
        """The same decisions as the cascade in this process, or, for the form without exits, as the ensemble."""
        for item in self.sets:
            found = load.compare(server, item, form, CHECKED)
            self.checks.setdefault(system, {})[f"{item.size}, {server.name}"] = found
            if found["different"]:
                common.leave(f"{server.name} does not decide as it should, {item.size}: {found}")

    def rounds(self, servers: Mapping[tuple[str, Settings | None], Server], bare: Mapping[str, BareLoop]) -> None:
        """All take turns."""
        for number in range(self.plan.rounds):
            for item in self.sets:
                for way, loop in bare.items():
                    self.bare.setdefault((item.size, way), []).append(loop.measure(item.size, self.plan.seconds))
                for connections in self.plan.connections:
                    names = list(dict.fromkeys(system for system, _ in servers))
                    for system in names if number % 2 == 0 else reversed(names):
                        server = servers[system, self.chosen.get((item.size, connections, system))]
                        cell = self._turn(server, item, connections)
                        self.cells.setdefault((item.size, connections, system), []).append(cell)
                        common.progress(
                            f"round {number + 1} of {self.plan.rounds}: {item.size}, {connections} connections, "
                            f"{system}: {cell.per_s:.0f}/s"
                        )
        common.progress("")

    def _turn(self, server: Server, item: PictureSet, connections: int) -> Cell:
        server.resume()
        load.warm(server, item, connections)
        cell = load.offer(server, item, connections, self.plan.seconds)
        if server.name != "natix-cascade serve":
            server.pause()
        return cell

    def overload(self, server: Server) -> dict[str, Any]:
        """One and three times the peak."""
        found: dict[str, Any] = {}
        for item in self.sets:
            load.warm(server, item, PEAK)
            peak = load.offer(server, item, PEAK, self.plan.seconds)
            found[item.size] = {"peak_per_s": peak.per_s, "peak_p99_ms": peak.p99_ms}
            for times in (1, 3):
                open_loop = load.open_loop(server, item, times * peak.per_s, self.plan.seconds + 2)
                accepted = open_loop["accepted_ms"] or {"p99": float("nan")}
                found[item.size][f"{times}x"] = {
                    **open_loop,
                    "goodput": open_loop["ok_per_s"] / peak.per_s,
                    "rejected_share": open_loop["rejected"] / max(open_loop["sent"], 1),
                    "p99_over_peak_p99": accepted["p99"] / peak.p99_ms,
                }
        return found

    def figures(self) -> dict[str, Any]:
        """By size and number of connections."""
        result: dict[str, Any] = {}
        for item in self.sets:
            ways = {way: found for (size, way), found in self.bare.items() if size == item.size}
            best = max(ways, key=lambda way: common.spread([one["per_s"] for one in ways[way]])["median"])
            rates = [one["per_s"] for one in ways[best]]
            bare = {
                way: {key: common.spread([one[key] for one in found]) for key in ("per_s", "cpu_ms")}
                for way, found in ways.items()
            }
            result[item.size] = {**item.summary(), "bare": bare, "best_bare": best, "connections": {}}
            for connections in self.plan.connections:
                result[item.size]["connections"][connections] = self._figures_of(item.size, connections, rates)
        return result

    def _figures_of(self, size: str, connections: int, bare: Sequence[float]) -> dict[str, Any]:
        cells = {system: found for (s, c, system), found in self.cells.items() if (s, c) == (size, connections)}
        result: dict[str, Any] = {system: load.summary(found) for system, found in cells.items()}
        for system, one in result.items():
            if settings := self.chosen.get((size, connections, system)):
                one["settings"] = str(settings)
            one["over_bare"] = common.ratio([cell.per_s for cell in cells[system]], bare)
            if system != "ours" and "ours" in cells:
                pairs = list(zip(cells["ours"], cells[system], strict=True))
                one["ours_over_it"] = common.ratio([a.per_s for a, _ in pairs], [b.per_s or LEAST for _, b in pairs])
                one["p99_over_ours"] = common.ratio([b.p99_ms for _, b in pairs], [a.p99_ms or LEAST for a, _ in pairs])
        return result


def best_over_all(rates: Mapping[Settings, Mapping[tuple[str, int], float]]) -> Settings:
    """The settings with the highest geometric mean of rates relative to the best at each size and concurrency."""

    def mean(settings: Settings) -> float:
        product = 1.0
        for key, rate in rates[settings].items():
            product *= rate / max(1e-9, *(found[key] for found in rates.values()))
        return product

    return max(rates, key=mean)


def measure(bench: Bench, bare_file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures, and what else was found."""
    plan = bench.plan
    bench.pilot()
    servers: dict[tuple[str, Settings | None], Server] = {}
    loops: dict[str, BareLoop] = {}
    body = bench.sets[0].paths[0].read_bytes()
    try:
        servers["ours", None] = systems.ours(bench.folder, plan.serve)
        servers["ours", None].wait(body)
        bench.check("ours", servers["ours", None], "cascade")
        for (_, _, system), settings in bench.chosen.items():
            if (system, settings) not in servers:
                name, form = system.split()
                server = servers[system, settings] = systems.peer(name, form, settings, bench.folder)
                server.wait(body)
                bench.check(system, server, form)
                server.pause()
        loops = {way: BareLoop(bare_file, **settings) for way, settings in BARE.items()}
        bench.rounds(servers, loops)
        memory = {system: server.memory_mib() for (system, _), server in servers.items()}
        overload = bench.overload(servers["ours", None])
    finally:
        for server in servers.values():
            server.stop()
        for loop in loops.values():
            loop.stop()
    return bench.figures(), {
        "overload": overload,
        "memory_mib": memory,
        "same_decisions": bench.checks,
        "pilot_per_s": bench.pilots,
    }


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "service_load", manifest=True)
    parser.add_argument("--pictures", type=int, default=160, help="different pictures of each size")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--without-peers", action="store_true", help="only ours against the bare models")
    parser.add_argument("--serve", default="", metavar="OPTIONS", help="further options of natix-cascade serve")
    given = parser.parse_args()
    plan = plan_of(given)
    rows = common.spaced(common.labelled(given.manifest), 40 if given.quick else given.pictures)
    load.need_wrk()
    for name in plan.peers:
        systems.environment(name)
    with tempfile.TemporaryDirectory(prefix="natix-bench-") as name:
        sets, bare_file = lay_out(Path(name), rows)
        figures, rest = measure(Bench(plan, Path(name), sets), bare_file)
    load.show(figures, rest["overload"])
    data = {
        "pictures": len(rows),
        "share_of_yes": sum(row.label for row in rows) / len(rows),
        "split": "test",
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "serve_options": list(plan.serve),
        "wrk": load.need_wrk(),
        "peers": {name: systems.versions(name) for name in plan.peers},
    }
    common.save(given.out, __doc__, data=data, figures={"load": figures, **rest}, quick=given.quick)


def plan_of(given: Namespace) -> Plan:
    """What the options say."""
    quick = given.quick
    return Plan(
        rounds=1 if quick else given.rounds,
        seconds=1.0 if quick else given.seconds,
        connections=(1, PEAK) if quick else CONNECTIONS,
        pilot_s=0.0 if quick else 2.0,
        peers=() if given.without_peers else tuple(CHOICES),
        serve=tuple(shlex.split(given.serve)),
    )


if __name__ == "__main__":
    main()
