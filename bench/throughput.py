"""Pictures a second that the design can judge on two H100s, by measured rates: in closed form and simulated.

The cascade is `dual-h100`, as the design has it, at the one exit share that the design states: 70 % of the pictures
leave at "Level 1-2". Taken at its best: all of them after level 1. Of the rest, half leaves after each later level
(nothing is stated there); the neighbouring cases are all of the rest after level 3, and all pictures after level 1.

Everything that is not known is taken in the design's favour: each model stands on both GPUs, whatever the memory; in
the closed form batches are full; the network, the processors and the exits' arithmetic are free; JPEG decoding runs
beside the models, on engines of its own. A model that was not measured has a stand-in, the measured one that is most
like it, a VLM the line through the two that were measured (see throughput_rates.py); `others_free` lets those models
cost nothing instead, and `level_0_alone` has only the faster model of level 0: bounds that no stand-in can be blamed
for. VLMs are asked about pictures of 224 x 224; `large` asks them about 640 x 448, which is what their cards feed them.

The simulation lets pictures through one by one with the same rates: `saturated` keeps 4096 under way, `open` lets them
come at random at 35,000/s. Models on one GPU take turns, and a batch waits at most 20 ms for company. It is compared
with the closed form at the shares that were drawn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import throughput_figures
from common import options, save, table
from natix_cascade.files import write_whole
from natix_cascade.plan.rates import Rate, Rates
from natix_cascade.plan.simulate import Arrivals, Settings, simulate
from natix_cascade.plan.stages import Stage, Station, reach_of, stages_of
from natix_cascade.plan.throughput import needed_rate, needed_reach, predict, work_of
from natix_cascade.spec.build import plain
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec
from natix_cascade.spec.library import bundle, find_cascade
from throughput_rates import BEFORE, DECODE, GATES, LARGE, rates

CLAIM = {"low": 35_000, "high": 45_000, "latency_ms_low": 18, "latency_ms_high": 25}
WANTED = CLAIM["low"]
GPUS = ("GPU 0", "GPU 1")
STATED = {"detection": 0.7, "fast-vlms": 0.15, "mixture-of-experts": 0.075, "precision": 0.075}
LEAVING: dict[str, dict[str, float]] = {
    "stated": STATED,
    "all_after_level_3": {"detection": 0.7, "fast-vlms": 0.3},
    "all_after_level_1": {"detection": 1.0},
    "all_through": {},
}
SLOWEST = ("grounding-dino-base", "sam3", "florence-2-large")
"""The slowest three that run in process, measured in plain PyTorch: `slowest_free` lets them cost nothing."""
PASSING = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LEAN = (("mobilenetv4-s", 1.0), ("vit-b16", 0.1), ("dinov3-vith16plus", 0.02), ("qwen3-vl-4b", 0.002))
"""A line of four models, and the share of the pictures that each would see."""
STATED_MS = {"mean": 155.0, "all_through": 1920.0, "leave": 0.7}
"""The design, section "Early Exit Optimization": 70 % leave at level 1-2, 155 ms on average instead of 1920 ms."""


def with_decode(stages: Sequence[Stage], size: str = "224x224") -> tuple[Stage, ...]:
    """The same behind a JPEG decoder beside each GPU."""
    rate = Rate(ms={256: 256_000 / DECODE[size]})
    decoder = Station(model="jpeg", rate=rate, replicas=tuple((f"decoder of {gpu}",) for gpu in GPUS))
    return (Stage(name="decode", reach=1.0, stations=(decoder,)), *stages)


def design(cascade: CascadeSpec, known: Rates, leaving: Mapping[str, float], passing: float = 1.0) -> tuple[Stage, ...]:
    """Levels of the design, for a share of all pictures; models without a rate cost nothing."""
    reach = reach_of([leaving.get(level.name, 0.0) for level in cascade.levels], len(cascade.levels))
    return stages_of(cascade, known, [passing * share for share in reach], gpus=GPUS, free=True)


def gated(gate: str, stages: Sequence[Stage], known: Rates) -> tuple[Stage, ...]:
    """The same behind a gate that sees every picture."""
    return (line(((gate, 1.0),), known)[0], *stages)


def line(models: Sequence[tuple[str, float]], known: Rates) -> tuple[Stage, ...]:
    """One model after the other."""
    cascade = CascadeSpec(
        name="line", levels=tuple(LevelSpec(name=name, members=(MemberSpec(model=name),)) for name, _ in models)
    )
    return stages_of(cascade, known, [share for _, share in models], gpus=GPUS)


def told(stages: Sequence[Stage], wanted: float = WANTED) -> dict[str, Any]:
    """What the closed form says."""
    found = predict(with_decode(stages))
    return {
        "per_second": found.throughput,
        "h100s": max(math.ceil(wanted * work_of(stages)), math.ceil(wanted / DECODE["224x224"])),
        "times_too_slow": wanted / found.throughput,
        "bound_by": found.heaviest,
        "work_ms": 1000 * work_of(stages),
        "floor_ms": 1000 * found.floor_s,
        "furthest_floor_ms": 1000 * found.furthest_floor_s,
    }


def simulated(stages: Sequence[Stage], *, rate: float | None, pictures: int) -> dict[str, Any]:
    """What the simulation says."""
    come = Arrivals(kind="poisson", rate=rate) if rate else Arrivals(under_way=4096)
    staged = with_decode(stages)
    found = simulate(staged, come, pictures=pictures, settings=Settings(max_delay_s=0.02))
    return {
        "per_second": found.throughput,
        "of_closed_form": found.throughput / predict(as_drawn(staged, found.leave_at)).throughput,
        "latency_ms": {key: 1000 * value for key, value in found.as_dict()["latency"].items()},
        "utilisation": found.utilisation,
        "batch": {model: queue.batch for model, queue in found.queues.items()},
        "pictures": found.pictures,
    }


def as_drawn(stages: Sequence[Stage], leave_at: Mapping[str, float]) -> tuple[Stage, ...]:
    """The same with the shares that chance made of the wanted ones."""
    reach = reach_of(list(leave_at.values())[:-1], len(stages))
    return tuple(replace(stage, reach=share) for stage, share in zip(stages, reach, strict=True))


def share_each(known: Rates) -> dict[str, Any]:
    """What share of 35,000 pictures a second each model could see if two H100s did nothing else."""
    return {
        name: {
            "per_second": rate.per_second,
            "assumed": rate.assumed,
            "share_at_claim": min(len(GPUS) * rate.per_second / WANTED, 1.0),
            "batch_ms": rate.ms[rate.best_batch],
            "single_ms": rate.ms.get(1),
            "source": rate.source,
        }
        for name, rate in sorted(known.models.items(), key=lambda item: -item[1].per_second)
    }


def measure(known: Rates, large: Rates, *, quick: bool) -> dict[str, Any]:
    """All figures."""
    cascade = find_cascade("dual-h100")[0]
    one_vlm = replace(
        cascade,
        levels=tuple(replace(level, mode="one") if level.name == "fast-vlms" else level for level in cascade.levels),
    )
    pictures = 24_000 if quick else 80_000
    cases = {name: design(cascade, known, leaving) for name, leaving in LEAVING.items()}
    cases["one_vlm"] = design(one_vlm, known, STATED)
    cases["large"] = design(cascade, large, STATED)
    sure = Rates(models={name: rate for name, rate in known.models.items() if not rate.assumed})
    cases["others_free"] = design(cascade, sure, STATED)
    cases["level_0_alone"] = line((("dinov3-vith16plus", 1.0),), sure)
    cases["slowest_free"] = design(cascade, without(known, SLOWEST), STATED)
    found: dict[str, Any] = {name: told(stages) for name, stages in cases.items()}
    found["stated"]["work_shares"] = work_shares(cases["stated"])
    for name in ("stated", "all_after_level_1"):
        found[name]["saturated"] = simulated(cases[name], rate=None, pictures=pictures)
    full = design(cascade, known, STATED)
    lean = line(LEAN, known)
    lean_found = told(lean)
    lean_found["saturated"] = simulated(lean, rate=None, pictures=6 * pictures)
    lean_found["open"] = simulated(lean, rate=WANTED, pictures=4 * pictures)
    lean_found["reach"] = dict(LEAN)
    behind = {
        gate: {
            "may_pass": needed_reach(gated(gate, full, known), full[0].name, WANTED),
            "gate_only": told(line(((gate, 1.0),), known))["per_second"],
        }
        for gate in GATES
    }
    grid = [
        {
            "pass": share,
            "full": told(gated(next(iter(GATES)), design(cascade, known, STATED, share), known)),
            "lean": told([lean[0], *(replace(s, reach=s.reach / lean[1].reach * share) for s in lean[1:])]),
        }
        for share in PASSING
    ]
    return {
        "claim": CLAIM,
        "decode": {
            size: {"per_second": rate, "two": 2 * rate, "h100s": math.ceil(WANTED / rate)}
            for size, rate in DECODE.items()
        },
        "models": share_each(known),
        "large": {name: large.models[name].per_second for name in known.models if is_served(name)},
        "before": BEFORE,
        "compiled_would_be": {name: rate / known.models[name].per_second for name, rate in BEFORE.items()},
        "measured": sum(not known.models[card].assumed for card in cards(cascade)),
        "assumed": sum(known.models[card].assumed for card in cards(cascade)),
        "design": found,
        "needed": {
            "detection_reach": needed_reach(full, "detection", WANTED),
            "level_3_reach": needed_reach(full, "fast-vlms", WANTED),
            "dinov3": needed_rate(line((("dinov3-vith16plus", 1.0),), known), "dinov3-vith16plus", WANTED),
        },
        "gates": behind,
        "behind_gate": grid,
        "lean": lean_found,
        "lean_may_pass": needed_reach(lean, LEAN[1][0], WANTED),
        "own_latency_claim": {
            **STATED_MS,
            "mean_at_least": (1 - STATED_MS["leave"]) * STATED_MS["all_through"],
            "most_may_go_through": STATED_MS["mean"] / STATED_MS["all_through"],
        },
    }


def without(known: Rates, free: Sequence[str]) -> Rates:
    """The same, with some models that cost nothing."""
    return replace(known, models={name: rate for name, rate in known.models.items() if name not in free})


def work_shares(stages: Sequence[Stage]) -> dict[str, float]:
    """Share of a picture's time on the GPU that goes to each model, the largest first."""
    each = {s.model: work_of([replace(stage, stations=(s,))]) for stage in stages for s in stage.stations}
    each["slowest_three"] = sum(time for model, time in each.items() if model.partition(":")[0] in SLOWEST)
    return {name: time / work_of(stages) for name, time in sorted(each.items(), key=lambda item: -item[1])}


def is_served(name: str) -> bool:
    """Whether a model of the catalogue is asked over HTTP."""
    return name in bundle().cards and bundle().cards[name].is_remote


def cards(cascade: CascadeSpec) -> list[str]:
    """Cards of a cascade, each once."""
    names = [member.model.partition(":")[0] for level in cascade.levels for member in level.members]
    return list(dict.fromkeys(names))


def main() -> None:
    """All figures, the two drawings, and the figures on the page."""
    parser = options(__doc__, "throughput")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs", help="where the page is")
    arguments = parser.parse_args()
    known = rates()
    figures = measure(known, rates(size=LARGE), quick=arguments.quick)
    table(
        ["", "pictures/s", "H100s for 35,000/s", "bound by", "simulated"],
        [
            [
                name,
                round(case["per_second"], 1),
                case["h100s"],
                case["bound_by"],
                case.get("saturated", {}).get("of_closed_form"),
            ]
            for name, case in [*figures["design"].items(), ("lean", figures["lean"])]
        ],
    )
    save(
        arguments.out,
        __doc__,
        data={
            "pictures": figures["lean"]["open"]["pictures"],
            "rates": known.device,
            "sources": sorted({r.source for r in known.models.values()}),
        },
        figures=figures,
        quick=arguments.quick,
    )
    if not arguments.quick:
        text = json.dumps(plain(known), indent=2, ensure_ascii=False)
        write_whole(Path(__file__).with_name("rates.json"), (text + "\n").encode())
        throughput_figures.write(figures, arguments.docs / "images")
        page, written = arguments.docs / "explanation" / "throughput.md", json.loads(arguments.out.read_text("utf-8"))
        write_whole(page, throughput_figures.refreshed(page.read_text("utf-8"), written["figures"]).encode())


if __name__ == "__main__":
    main()
