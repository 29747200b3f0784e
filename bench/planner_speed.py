"""How long planning takes and how much memory: made-up records of many models and pictures, two cores.

Models and pictures grow one at a time; every size is planned in a process of its own, whose peak memory is read at the
end. Times are the machine's of that moment: what counts is how they grow.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import PYTHON, options, save, table
from natix_cascade.plan import Records, plan, read_records, write_records

SIZES = [(26, 5_000), (26, 20_000), (26, 50_000), (26, 100_000), (4, 100_000), (8, 100_000), (16, 100_000)]


def made(models: int, pictures: int, seed: int = 0) -> Records:
    """Make yes/no records: costlier models are mostly better, and models err together on hard pictures."""
    draw = np.random.default_rng(seed)
    label = (draw.random(pictures) < 0.3).astype(np.int64)
    hard = draw.normal(size=pictures)
    scores = np.empty((pictures, models))
    for column in range(models):
        skill = 1.0 + 2.5 * column / models + draw.normal() * 0.2
        z = skill * (2 * label - 1) + 0.9 * hard + draw.normal(size=pictures) * 1.3
        scores[:, column] = 1 / (1 + np.exp(-1.5 * z))
    names = np.array([f"p{i}" for i in range(pictures)])
    empty = np.full(pictures, "")
    return Records(
        picture=names,
        group=np.array([f"g{i // 4}" for i in range(pictures)]),
        split=empty,
        level=empty,
        label=label,
        labels=("none", "roadwork"),
        models=tuple(f"m{column}" for column in range(models)),
        score=scores,
        answer=None,
        failed=np.zeros(scores.shape, dtype=np.bool_),
        latency_ms=np.full(scores.shape, np.nan, dtype=np.float32),
        weight=np.ones(pictures),
        costs={"gmacs": 0.05 * 1.35 ** np.arange(models)},
        unit="gmacs",
    )


def child(path: str) -> None:
    """Read, plan, and say how long and how much."""
    began = time.perf_counter()
    records = read_records(path)
    read = time.perf_counter() - began
    found = plan(records, max_regret=0.001, metric="mcc")
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"read_s": read, "seconds": took, "peak_mib": peak, "levels": len(found.steps)}))


def main() -> None:
    """All sizes."""
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        child(sys.argv[2])
        return
    parser = options(__doc__, "planner_speed")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    file = Path(tempfile.mkdtemp()) / "records.parquet"
    for models, pictures in SIZES[:2] if arguments.quick else SIZES:
        write_records(made(models, pictures), file)
        done = subprocess.run([PYTHON, __file__, "--child", str(file)], check=True, capture_output=True, text=True)
        rows.append({"models": models, "pictures": pictures, **json.loads(done.stdout)})
        print(rows[-1], flush=True)
    shutil.rmtree(file.parent)
    table(
        ["models", "pictures", "seconds", "peak MiB"],
        [[row["models"], row["pictures"], round(row["seconds"], 1), round(row["peak_mib"])] for row in rows],
    )
    largest = next(row for row in rows if row["models"] == 26 and row["pictures"] == max(r["pictures"] for r in rows))
    save(
        arguments.out, __doc__, data={"made": True}, figures={"sizes": rows, "largest": largest}, quick=arguments.quick
    )


if __name__ == "__main__":
    main()
