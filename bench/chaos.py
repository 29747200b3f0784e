"""The real service under every kind of bad luck at once keeps its promises.

`natix-cascade serve` runs with several workers, Redis, and models that break on command, and is asked at a steady
rate: good pictures whose right verdicts are known, tight deadlines, streams, batches, feedback, and every kind of bad
request: damaged, too large, too slow, cut off, not even HTTP. Meanwhile models hang, crash, lose their connection or
answer NaN; the cascade is reloaded; a worker is killed; Redis goes; the whole service is sent away and comes back.

Each answer is judged against the promise that it falls under. Any broken promise is listed and makes the exit code 1.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

import common
from chaos_events import MODELS, Events
from chaos_ledger import Ledger
from chaos_traffic import Expected, Sample, Traffic
from chaos_world import World
from natix_cascade.errors import PictureError
from natix_cascade.image import decode
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.runner import Runner
from natix_cascade.spec.library import load_cascade
from natix_cascade.testing import render_scene

MINUTES, QUICK = 30.0, 2.0
SETTINGS: dict[str, Any] = {
    "max_in_flight": 24,
    "deadline_ms": 5000.0,
    "max_body_bytes": 2 * 1024 * 1024,
    "header_timeout_s": 3.0,
    "body_timeout_s": 4.0,
    "idle_timeout_s": 10.0,
    "runner": {"default": {"timeout_ms": 2000.0, "breaker": {"open_s": 2.0}}},
}
_LEAST_LIFE_S = 240.0  # a younger process is still filling its caches
_MOST_GROWTH = 0.15
_MOST_DEGRADED = 0.02
_PATIENCE_S = 2.0


async def samples(manifest: Path | None, count: int) -> list[Sample]:
    """Pictures with their right verdicts: photographs of a manifest, or rendered scenes."""
    if manifest is None:
        contents = [render_scene(seed, roadwork=seed % 2 == 0, size=(320, 240)).jpeg() for seed in range(3 * count)]
    else:
        contents = [row.path.read_bytes() for row in common.spaced(common.labelled(manifest), count)]
    runner = Runner(LoadedCascade.load("embedded"))

    async def right(content: bytes, max_level: str | None = None) -> Expected:
        verdict = await runner.detect(content, max_level=max_level)
        return Expected(verdict.detected, verdict.probability, verdict.exit_level)

    levels = [level.name for level in load_cascade("embedded")[0].levels]
    found: list[Sample] = []
    for content in contents:
        answer = await right(content)
        alike = sum(sample.right.exit_level == answer.exit_level for sample in found)
        if manifest is not None or alike < (count // 2 if answer.exit_level == levels[0] else 3):
            found.append(Sample(content, answer, {level: await right(content, level) for level in levels}))
    runner.close()
    return found


def damaged(contents: list[bytes]) -> list[bytes]:
    """Pictures that the decoder gives up on."""
    mutate = common.module_of_tests("image/mutate.py").mutate
    found = []
    for number in range(400):
        content = mutate(contents[number % len(contents)], random.Random(f"chaos:{number}"))  # noqa: S311
        try:
            decode(content)
        except PictureError as error:
            if error.status == 422:
                found.append(content)
    return found


def schedule(rng: random.Random, seconds: float, *, with_redis: bool) -> list[tuple[float, str]]:
    """What happens when. The last 40 % is without restarts, so that memory can be seen over a while."""
    faults = [f"fault {model} {mode}" for model in MODELS for mode in ("hang", "crash", "lost", "nan", "slow")]
    first = ["fault road-gate hang", "reload", "kill", "mismatch", "redis", "fault road-lite1 hang", "burst", "restart"]
    step = min(12.0, seconds * 0.85 / (len(first) + 1))
    rounds = [first]
    while sum(map(len, rounds)) * step < seconds:
        more = ["reload", "reload policy", "mismatch", "redis", "burst", "burst", "kill", *rng.sample(faults, 8)]
        if len(rounds) % 2 == 0:
            more.append("restart")
        rng.shuffle(more)
        rounds.append(more)
    found: list[tuple[float, str]] = []
    at = 3.0
    for number, one in enumerate(rounds):
        for what in one:
            late = number > 0 and at > 0.6 * seconds and what in {"restart", "kill"}
            if at < seconds - 5 and not late and (with_redis or what != "redis"):
                found.append((at, what))
                at += step
    return found


async def sample_memory(world: World, series: dict[int, list[tuple[float, float]]], began: float) -> None:
    """Write down the memory of each process once a second."""
    while True:
        for pid, mib in (await asyncio.to_thread(world.memory)).items():
            series.setdefault(pid, []).append((time.monotonic() - began, mib))
        await asyncio.sleep(1)


def judge_memory(series: dict[int, list[tuple[float, float]]], ledger: Ledger) -> list[dict[str, float]]:
    """See whether each process that lived long enough stayed as large as it was."""
    found = []
    for points in series.values():
        at, mib = np.array(points).T
        life = at[-1] - at[0]
        half = at >= at[0] + life / 2
        summary = {
            "seconds": life,
            "first_mib": float(mib[0]),
            "last_mib": float(mib[-1]),
            "most_mib": float(mib.max()),
        }
        if life >= _LEAST_LIFE_S:
            thirds = np.array_split(mib, 3)
            ratio = float(np.median(thirds[2]) / np.median(thirds[1]))
            slope = float(theilslopes(mib[half][::3], at[half][::3])[0])
            growth = slope * life / 2 / float(np.median(thirds[1]))
            summary |= {"last_to_middle_third": ratio, "growth_in_second_half": growth}
            good = growth < _MOST_GROWTH and ratio < 1 + _MOST_GROWTH
            ledger.check(15, "a process stays as large as it was", good=good, **summary)
        found.append(summary)
    return found


def check_store(world: World, traffic: Traffic, ledger: Ledger) -> None:
    """Open the store as any tool would."""
    with sqlite3.connect(f"file:{world.store / 'service.sqlite'}?mode=ro", uri=True) as store:
        whole = store.execute("PRAGMA integrity_check").fetchone()[0]
        ids = {row[0] for row in store.execute("SELECT id FROM feedback")}
        verdicts = {row[0] for row in store.execute("SELECT id FROM verdicts")}
    store.close()
    ledger.check(13, "the store is whole", good=whole == "ok", said=whole)
    lost = set(traffic.acknowledged) - ids
    ledger.check(13, "no acknowledged feedback is lost", good=not lost, lost=len(lost), of=len(traffic.acknowledged))
    gone = traffic.stored - verdicts
    ledger.check(13, "no stored verdict is lost", good=not gone, lost=len(gone), of=len(traffic.stored))


async def show(traffic: Traffic, ledger: Ledger, events: Events, seconds: float) -> None:
    """One line of progress."""
    while True:
        at = time.monotonic() - events.began
        last = events.done[-1][1] if events.done else "-"
        broken = sum(ledger.broken.values())
        common.progress(f"{at:.0f} of {seconds:.0f} s  open {traffic.open}  broken {broken}  last event: {last}")
        await asyncio.sleep(1)


async def run(folder: Path, arguments: Any, seconds: float) -> tuple[dict[str, Any], Ledger]:
    """All of it: the figures, and the books."""
    rng = random.Random(arguments.seed)  # noqa: S311  # a reproducible schedule, no secret
    ledger = Ledger()
    chosen = await samples(arguments.manifest, 24)
    world = World(folder, SETTINGS | {"workers": arguments.workers, "threads": 1}, with_redis=not arguments.no_redis)
    policy = load_policy(folder)
    traffic = Traffic(
        world, ledger, chosen, SETTINGS["deadline_ms"], SETTINGS["header_timeout_s"], SETTINGS["body_timeout_s"],
        SETTINGS["max_body_bytes"], damaged([each.content for each in chosen]), rng, patience_s=arguments.patience,
    )  # fmt: skip
    series: dict[int, list[tuple[float, float]]] = {}
    code: int | None = None
    try:
        world.start_redis()
        await world.start()
        events = Events(world, traffic, ledger, rng, *policy)
        watching = [
            asyncio.create_task(sample_memory(world, series, events.began)),
            asyncio.create_task(world.watch()),
            asyncio.create_task(show(traffic, ledger, events, seconds)),
        ]
        asking = asyncio.create_task(traffic.run(events.began + seconds, arguments.rate))
        for at, what in schedule(rng, seconds, with_redis=not arguments.no_redis):
            await asyncio.sleep(max(0.0, events.began + at - time.monotonic()))
            if time.monotonic() > events.began + seconds:
                break
            await events.happen(what)
            await events.happen("metrics")
        await asking
        await traffic.finish()
        await events.settle()
        await events.verify()
        for task in watching:
            task.cancel()
        code, took = await world.stop()
        ledger.check(8, "exit code 0 within the limit", good=code == 0, code=code, seconds=round(took, 1))
    finally:
        world.end()
    common.progress("")
    check_store(world, traffic, ledger)
    log = world.log.read_text("utf-8", "replace")
    ledger.check(14, "no traceback in the log", good="Traceback" not in log, log=_first_traceback(log))
    degraded, right = (ledger.counts[f"{how} without a disturbance"] for how in ("degraded", "right"))
    few = arguments.patience > _PATIENCE_S or degraded <= _MOST_DEGRADED * (degraded + right)
    ledger.check(1, "hardly a degraded answer without a disturbance", good=few, degraded=degraded, right=right)
    by_exit = {level: sum(each.right.exit_level == level for each in chosen) for level in chosen[0].right_up_to}
    figures = {
        **ledger.figures(),
        "seconds": seconds,
        "events": [{"at_s": at, "what": what} for at, what in events.done if what != "metrics"],
        "right_exits_of_the_pictures": by_exit,
        "acknowledged_feedback": len(traffic.acknowledged),
        "stored_verdicts": len(traffic.stored),
        "largest_difference_of_a_right_probability": traffic.largest_difference,
        "slowest_health_s": world.slowest_health_s,
        "stalls_of_the_machine_s": [span.ended - span.began for span in world.stalls],
        "memory": judge_memory(series, ledger),
    }
    return figures | ledger.figures(), ledger


def load_policy(folder: Path) -> tuple[Path, Path]:
    """Two files: a policy that was made for another cascade, and the one at work."""
    import natix_cascade.spec

    text = (Path(natix_cascade.spec.__file__).parent / "policies" / "embedded.json").read_text("utf-8")
    own, other = folder / "own.json", folder / "other.json"
    own.write_text(text, "utf-8")
    other.write_text(json.dumps({**json.loads(text), "cascade": "another"}), "utf-8")
    return other, own


def _first_traceback(log: str) -> str:
    lines = log.splitlines()
    first = next((number for number, line in enumerate(lines) if "Traceback" in line), None)
    return "" if first is None else "\n".join(lines[max(0, first - 2) : first + 40])


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "chaos", manifest=False)
    parser.add_argument("--minutes", type=float, help=f"how long (default: {MINUTES:g}; with --quick {QUICK:g})")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--workers", type=int, default=2, help="of the service")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule and the traffic")
    parser.add_argument(
        "--patience", type=float, default=_PATIENCE_S, help="seconds after a deadline that are no hang yet; more where "
        "others use the machine, and then degraded answers are only counted",
    )  # fmt: skip
    parser.add_argument("--no-redis", action="store_true", help="leave Redis out")
    parser.add_argument("--folder", type=Path, help="keep the service's state and log here; must not exist yet")
    arguments = parser.parse_args()
    if not arguments.no_redis and shutil.which("redis-server") is None:
        common.leave("redis-server is missing; install it (apt-get install redis-server) or give --no-redis")
    seconds = 60 * (arguments.minutes or (QUICK if arguments.quick else MINUTES))
    with tempfile.TemporaryDirectory(prefix="natix-chaos-") as temporary:
        folder = arguments.folder or Path(temporary)
        figures, ledger = asyncio.run(run(folder, arguments, seconds))
    common.table(["promise", "kept", "broken"], ledger.rows())
    requests = sum(number for key, number in ledger.counts.items() if ": " in key)
    print(f"{requests} requests, {len(figures['events'])} events, {len(ledger.violations)} violations\n")
    for violation in ledger.violations[:20]:
        print(f"  {violation}")
    data = {
        "pictures": arguments.manifest.name if arguments.manifest else "rendered",
        "seed": arguments.seed,
        "rate_per_s": arguments.rate,
        "patience_s": arguments.patience,
        "workers": arguments.workers,
        "settings": SETTINGS,
    }
    common.save(arguments.out, __doc__, data=data, figures=figures, quick=arguments.quick)
    if ledger.violations:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
