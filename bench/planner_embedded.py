"""The planned embedded cascade beside thresholds set by hand, on the test split at L0 to L3.

By hand: pictures leave at confidence .95, .90 and .85, as cascades in design documents do; once on calibrated opinions
and once on the models' raw scores. The full vote asks every model. Intervals: 95 %, bootstrap by group.

Usage: python bench/planner_embedded.py RECORDS
(natix-cascade record MANIFEST --split test --augment L0..L3 --out RECORDS)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common import options, save, table
from natix_cascade.decide import bootstrap_by_group, mcc
from natix_cascade.plan import read_records
from natix_cascade.plan.policies import answer
from natix_cascade.report.study import without_exits
from natix_cascade.spec.library import load_cascade
from natix_cascade.spec.resolved import ResolvedCascade
from natix_cascade.spec.rules import Identity, Threshold

BY_HAND = (0.95, 0.90, 0.85)


def by_hand(cascade: ResolvedCascade, *, raw: bool) -> ResolvedCascade:
    """The same levels with thresholds set by hand."""
    exits = [Threshold(yes=at, no=round(1 - at, 2)) for at in BY_HAND]
    levels = []
    for level in cascade.levels:
        members = tuple(replace(m, calibrator=Identity(), weight=1.0) if raw else m for m in level.members)
        rule = exits.pop(0) if exits else None
        weights = (1.0,) * len(level.weights) if raw else level.weights
        levels.append(replace(level, members=members, exit=rule, weights=weights, threshold=0.5))
    return replace(cascade, levels=tuple(levels))


def main() -> None:
    """Cost and MCC side by side."""
    parser = options(__doc__, "planner_embedded")
    parser.add_argument("records", type=Path)
    arguments = parser.parse_args()
    records = read_records(arguments.records)
    cascade, _ = load_cascade("embedded")
    cards = cascade.cards
    rows: dict[str, Any] = {}
    for name, judge in (
        ("planned", cascade),
        ("by_hand", by_hand(cascade, raw=False)),
        ("by_hand_raw", by_hand(cascade, raw=True)),
        ("full_vote", without_exits(cascade)),
    ):
        own = answer(judge, records)
        yes, said = records.label == 1, own.answer == 1
        spent = own.cost({model: cards[model].cost.gmacs for model in cascade.models})
        low, high = bootstrap_by_group(mcc, records.group, yes, said, repetitions=50 if arguments.quick else 1000)
        by_level = {
            level: mcc(yes[at], said[at]) for level in ("L0", "L1", "L2", "L3") for at in [records.level == level]
        }
        rows[name] = {
            "gmacs": float(spent.mean()),
            "mcc": mcc(yes, said),
            "low": low,
            "high": high,
            "mean_mcc": float(np.mean(list(by_level.values()))),
            "by_level": by_level,
            "exit_shares": own.exit_shares(records.weight),
        }
    for row in rows.values():
        row["share_of_full"] = row["gmacs"] / rows["full_vote"]["gmacs"]
    table(
        ["", "GMACs", "of full", "mean MCC", "MCC", "interval"],
        [
            [
                name,
                f"{r['gmacs']:.3f}",
                f"{r['share_of_full']:.1%}",
                f"{r['mean_mcc']:.3f}",
                f"{r['mcc']:.3f}",
                f"{r['low']:.3f}-{r['high']:.3f}",
            ]
            for name, r in rows.items()
        ],
    )
    data = {
        "pictures": len(set(records.picture.tolist())),
        "rows": len(records),
        "groups": len(set(records.group.tolist())),
    }
    save(arguments.out, __doc__, data=data, figures=rows, quick=arguments.quick)


if __name__ == "__main__":
    main()
