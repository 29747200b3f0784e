"""How plans keep their promises on pictures that they have not seen, and what they save.

On other people's records (ImageNet: 8 networks; two sets of faces: three paid services and a small network), split at
random into halves: planned on one half, judged on the other. One table per question:

* ``imagenet_*``, ``rafdb``, ``ferplus``: the cheapest plan at a limit of regret against the best single model;
* ``imagenet_vote``: the best plan at half of the cost of the best three, beside their confidence-weighted vote;
* ``certified``: the guarantee (risk 0.5 point, delta 0.1) on 10,000 pictures, one cheap and one good model: how often
  it is broken, and how many pictures leave early beside the plain empirical threshold;
* ``searched``: the same with the whole search.

Usage: python bench/planner.py RECORDS_FOLDER  (with imagenet/, rafdb/, ferplus/: one CSV per model and costs.csv)
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import multiprocessing
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from common import leave, options, save
from natix_cascade.decide.labels import pool_labels
from natix_cascade.plan import Records, plan, split_records
from natix_cascade.plan.check import check
from natix_cascade.plan.imports import import_folder
from natix_cascade.spec.policy import Policy

SMALL, LARGE = "mobilenetv3_large_100", "efficientnet_b3a"
BEST_THREE = (LARGE, "gluon_senet154", "resnext50_32x4d")
VOTE_COST = 2.515  # ms: of the best three
RISK, DELTA, CALIBRATION = 0.005, 0.1, 10_000


@cache
def load(folder: Path) -> Records:
    """Records of one folder."""
    return import_folder(folder)


def judged(policy: Policy, records: Records) -> dict[str, float]:
    """What a plan costs and loses on these records."""
    found = check(policy, records)[0].figures
    last = list(found.exit_shares)[-1]
    return {
        "regret": found.regret,
        "saved": 1 - found.cost / found.reference_cost,
        "cheaper": found.reference_cost / found.cost,
        "metric": found.metric,
        "reference_metric": found.reference_metric,
        "cost": found.cost,
        "reference_cost": found.reference_cost,
        "early": 1 - found.exit_shares[last] if len(found.exit_shares) > 1 else 0.0,
    }


def half(seed: int, *, folder: Path, wish: dict[str, Any]) -> dict[str, float]:
    """Plan on one half, judge on the other."""
    made_from, judge = split_records(load(folder), seed=seed)
    return judged(plan(made_from, seed=seed, **wish).policy, judge)


def beside_vote(seed: int, *, folder: Path, wish: dict[str, Any]) -> dict[str, float]:
    """Plan at a budget on one half; judge on the other, beside the confidence-weighted vote of the best three."""
    made_from, judge = split_records(load(folder), seed=seed)
    row = judged(plan(made_from, seed=seed, **wish).policy, judge)
    three = judge.only(BEST_THREE)
    if three.answer is None:
        leave("these are no label records")
    winner, _ = pool_labels(three.answer, three.score, np.ones(3), len(three.labels))
    row["vote_metric"] = float((winner == three.label).mean())
    row["vote_regret"] = row["vote_metric"] - row["metric"]
    row["of_vote_cost"] = row["cost"] / float(three.cost(wish["unit"]).sum())
    return row


def certified(seed: int, *, folder: Path, wish: dict[str, Any]) -> dict[str, float]:
    """Certify on some pictures; the truth is the mean over all pictures of the set."""
    records = load(folder)
    order = np.random.default_rng(seed).permutation(len(records))
    made_from, rest = records.rows(order[:CALIBRATION]), records.rows(order[CALIBRATION:])
    row: dict[str, float] = {}
    for kind, aim in (("certified", {"risk": RISK, "delta": DELTA}), ("empirical", {"max_regret": RISK})):
        policy = plan(made_from, seed=seed, **wish, **aim).policy
        everything, other = judged(policy, records), judged(policy, rest)
        row |= {f"{kind}_regret": everything["regret"], f"{kind}_rest": other["regret"]}
        row |= {f"{kind}_early": other["early"], f"{kind}_cheaper": other["cheaper"]}
    return row | plain_threshold(made_from, records, wish["reference"])


def plain_threshold(made_from: Records, records: Records, reference: str) -> dict[str, float]:
    """The threshold on the small model's confidence where the limit just holds on the calibration pictures."""

    def losses(part: Records) -> tuple[np.ndarray, np.ndarray]:
        small, large = part.column(SMALL), part.column(reference)
        said = part.answer
        if said is None:
            leave("these are no label records")
        wrong = (said[:, small] != part.label).astype(float) - (said[:, large] != part.label)
        return part.score[:, small], wrong

    confidence, loss = losses(made_from)
    order = np.argsort(-confidence, kind="stable")
    regret = np.cumsum(loss[order]) / len(loss)
    border = confidence[order[int(np.flatnonzero(regret <= RISK).max())]]
    sure, loss = losses(records)
    leaves = sure >= border
    return {"plain_regret": float(loss[leaves].sum() / len(loss)), "plain_early": float(leaves.mean())}


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Mean, standard error of the mean, smallest and largest of each figure."""
    result: dict[str, Any] = {"splits": len(rows)}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        result[name] = {
            "mean": float(values.mean()),
            "standard_error": error,
            "low": float(values.min()),
            "high": float(values.max()),
        }
    return result


def violations(rows: list[dict[str, float]], name: str) -> dict[str, float]:
    """How often a regret is above the risk, with the exact 95 % interval."""
    n, broken = len(rows), sum(row[name] > RISK for row in rows)
    low = float(beta.ppf(0.025, broken, n - broken + 1)) if broken else 0.0
    high = float(beta.ppf(0.975, broken + 1, n - broken)) if broken < n else 1.0
    return {"rate": broken / n, "low": low, "high": high}


def main() -> None:
    """All tables."""
    parser = options(__doc__, "planner")
    parser.add_argument("folder", type=Path, help="folder with imagenet/, rafdb/ and ferplus/")
    parser.add_argument("--only", help="measure this table again; the others stay as they are in --out")
    arguments = parser.parse_args()
    if not (arguments.folder / "imagenet").is_dir():
        leave(f"there is no folder {arguments.folder / 'imagenet'} of records: one CSV per model and costs.csv")
    splits, many, few = (2, 6, 2) if arguments.quick else (20, 500, 40)
    imagenet, rafdb, ferplus = (arguments.folder / name for name in ("imagenet", "rafdb", "ferplus"))
    pair = {"reference": LARGE, "unit": "ms_per_image", "levels": ((SMALL,), (LARGE,))}
    tables: dict[str, Any] = {}
    if arguments.only:
        tables = json.loads(arguments.out.read_text("utf-8"))["figures"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:

        def run(name: str, work: Any, count: int, folder: Path, **wish: Any) -> list[dict[str, float]]:
            if arguments.only not in {None, name}:
                return []
            rows = pool.map(partial(work, folder=folder, wish=wish), range(count), chunksize=1)
            tables[name] = summary(rows)
            shown = {key: round(value["mean"], 5) for key, value in tables[name].items() if key != "splits"}
            print(f"{name}: {shown}", flush=True)
            return rows

        for unit in ("ms_per_image", "gmacs"):
            run(f"imagenet_{unit}", half, splits, imagenet, reference=LARGE, unit=unit, max_regret=0.001)
        vote = f"vote:{','.join(BEST_THREE)}"
        run("imagenet_vote", beside_vote, splits, imagenet, reference=vote, unit="ms_per_image", budget=VOTE_COST / 2)
        run("rafdb", half, splits, rafdb, reference="microsoft", unit="usd_per_image", max_regret=0.001)
        run("ferplus", half, splits, ferplus, reference="microsoft", unit="usd_per_image", max_regret=0.003)
        for name, count, wish in (
            ("certified", many, pair),
            ("searched", few, {"reference": LARGE, "unit": "ms_per_image"}),
        ):
            rows = run(name, certified, count, imagenet, **wish)
            if not rows:
                continue
            for kind in ("certified_regret", "certified_rest", "empirical_regret", "plain_regret"):
                tables[name][f"{kind}_violations"] = violations(rows, kind)
                print(f"  {kind}: {tables[name][f'{kind}_violations']}")
            early = tables[name]["certified_early"]["mean"]
            tables[name]["early_ratio_plain"] = early / tables[name]["plain_early"]["mean"]
            tables[name]["early_ratio_empirical"] = early / tables[name]["empirical_early"]["mean"]
    data = {name: len(load(arguments.folder / name)) for name in ("imagenet", "rafdb", "ferplus")}
    save(arguments.out, __doc__, data=data, figures=tables, quick=arguments.quick)


if __name__ == "__main__":
    main()
