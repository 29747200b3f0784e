"""How long it takes to place the 26 models of dual-h100, and how near the answer is to the best.

For each machine: seconds of the solver (limit 20 s), its status, the value (vote weights of the cascade as a prior,
less what a precision and sleep cost) with the most that anything could be worth, and who is asleep or left out. Every
placement is added up again by the independent adder. The solver runs on one core with a fixed seed; each round is a run
of its own, and all rounds must agree.

The host's RAM is assumed to be twice that of the GPUs. Needs OR-tools (extra: place).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import common
from natix_cascade.plan.place import Placement, Wish, check, place, read_machine
from natix_cascade.spec.library import load_cascade

MACHINES = {
    "h100_x1": ("dual-h100", "1xH100-80GB"),
    "h100_x2": ("dual-h100", "2xH100-80GB"),
    "h100_x8": ("dual-h100", "8xH100-80GB"),
    "rtx4060_8gb": ("dual-h100", "1xRTX4060-8GB"),
    "rtx4060_8gb_own": ("single-gpu-8gb", "1xRTX4060-8GB"),
}
SMALL = Wish(seconds=20.0, concurrency=4, batched_tokens=2048, batch=1)
"""What a small card is asked for: with 16 requests at once the VLM's cache does not fit beside the detectors."""
ROUNDS = 3
LIMIT = 20.0


def told(made: Placement) -> dict[str, Any]:
    """What a placement came to."""
    return {
        "optimal": int(made.status == "optimal"),
        "value": made.value,
        "bound": made.bound,
        "gap": made.gap,
        "resident": sum(not item.asleep for item in made.placed),
        "asleep": [item.model for item in made.placed if item.asleep],
        "left_out": {out.model: out.need.text if out.need else "" for out in made.left_out},
        "required": list(made.required),
        "free_gb": [gpu.free / 1e9 for gpu in made.gpus],
    }


def main() -> None:
    """Measure, print and write."""
    given = common.options(__doc__, "placement").parse_args()
    rounds = 1 if given.quick else ROUNDS
    machines = dict(list(MACHINES.items())[-2:]) if given.quick else MACHINES
    figures: dict[str, Any] = {}
    for name, (which, text) in machines.items():
        cascade, _ = load_cascade(which)
        runs = []
        for number in range(rounds):
            runs.append(place(cascade, read_machine(text), SMALL if name.endswith("_own") else Wish(seconds=LIMIT)))
            check(runs[-1], cascade)
            common.progress(f"{text}: round {number + 1} of {rounds}")
        same = all(made.as_dict() == runs[0].as_dict() for made in runs)
        seconds = common.spread([made.seconds for made in runs])
        figures[name] = {"cascade": which, "machine": text, "seconds": seconds, "same": int(same), **told(runs[0])}
        common.progress("")
        print(
            f"{which} on {text}: {seconds['median']:.1f} s, {runs[0].status}, value {runs[0].value:g} of at most "
            f"{runs[0].bound:g}, {len(runs[0].left_out)} left out, rounds {'agree' if same else 'DIFFER'}"
        )
    data = {
        "pictures": 26,
        "what": "sets of weights",
        "rounds": rounds,
        "limit_s": LIMIT,
        "ortools": version("ortools"),
    }
    common.save(given.out, __doc__, data=data, figures=figures, quick=given.quick)


if __name__ == "__main__":
    main()
