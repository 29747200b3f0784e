"""What a miner with the embedded cascade would earn from Subnet 72 on photographs of streets that no model has seen.

The subnet's challenges are played over the test split: labels balanced, one of four levels of augmentation, a real JPEG
round trip, the reward of the last 100 and the last 10 answers, and its moving average. Every picture is judged at every
level with several augmentations once; 200 runs of 1,000 challenges draw from these answers. Intervals come from as many
runs that each drew their places anew.

About half of the subnet's challenges are synthetic pictures. This simulation has none.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import common
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.serve.miner.simulated import Plays, Simulation
from natix_cascade.serve.miner.simulation import simulate


def figures(found: Simulation) -> dict[str, Any]:
    """Everything that is claimed."""
    plain = found.as_dict()
    return {
        **{name: plain[name] for name in ("reward", "weight", "mcc", "accuracy", "exits")},
        "levels": {level["level"]: level for level in plain["levels"]},
        "failures": len(found.failures),
    }


def main() -> None:
    """Play, print, save."""
    arguments = common.options(__doc__, "miner_simulate", manifest=True).parse_args()
    rows, plays = common.labelled(arguments.manifest), Plays()
    if arguments.quick:
        rows, plays = common.spaced(rows, 32), Plays(challenges=150, runs=10, repetitions=1)
    loaded = LoadedCascade.load(threads=1)
    try:
        found = simulate(
            loaded,
            rows,
            plays,
            on_judged=lambda done, total: common.progress(f"{done} of {total} pictures"),
            on_played=lambda done, total: common.progress(f"{done} of {total} runs"),
        )
    finally:
        loaded.close()
    common.progress("")
    result = figures(found)
    common.table(
        ["", "expected", "95 %: low", "high"],
        [[name, *result[name].values()] for name in ("reward", "weight", "mcc", "accuracy")],
    )
    common.table(
        ["level", "reward", "low", "high", "MCC", "accuracy"],
        [
            [name, *level["reward"].values(), level["mcc"], level["accuracy"]]
            for name, level in result["levels"].items()
        ],
    )
    data = {
        "pictures": found.pictures,
        "positives": found.positives,
        "groups": found.groups,
        "split": "test",
        "cascade": found.cascade,
        "policy": found.policy,
        "plays": asdict(found.plays),
        "notes": list(found.notes),
    }
    common.save(arguments.out, __doc__, data=data, figures=result, quick=arguments.quick)


if __name__ == "__main__":
    main()
