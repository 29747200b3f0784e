"""Records of models that do not exist, drawn from distributions in which everything is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from natix_cascade.plan.opinions import Opinions
from natix_cascade.plan.records import Records

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SKILLS = {"gate": 0.9, "small": 1.3, "large": 2.0}
COSTS = {"gate": 1.0, "small": 4.0, "large": 40.0}


def sigmoid(x: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-x))
    return result


def records_of(
    score: Floats,
    label: Ints,
    *,
    answer: Ints | None = None,
    group: Ints | None = None,
    models: Sequence[str] = (),
    costs: Mapping[str, float] | Sequence[float] | None = None,
    labels: Sequence[str] = (),
    latency: Sequence[float] | None = None,
    weight: Floats | None = None,
    sha256: Mapping[str, str] | None = None,
) -> Records:
    """Records of arrays; everything else is filled in."""
    n, m = score.shape
    names = tuple(models) or tuple(f"m{j}" for j in range(m))
    price = np.ones(m) if costs is None else np.array([*(costs.values() if isinstance(costs, Mapping) else costs)])
    kinds = 2 if answer is None else max(int(label.max()), int(answer.max())) + 1
    failed = np.isnan(score) if answer is None else answer < 0
    times = np.full((n, m), np.nan) if latency is None else np.tile(latency, (n, 1))
    return Records(
        picture=np.array([f"p{i:06d}" for i in range(n)]),
        group=np.char.add("g", (np.arange(n) if group is None else group).astype(str)),
        split=np.full(n, ""),
        level=np.full(n, ""),
        label=label.astype(np.int64),
        labels=tuple(labels) or (("none", "roadwork") if answer is None else tuple(f"l{k:02d}" for k in range(kinds))),
        models=names,
        score=np.where(failed, np.nan, score),
        answer=answer,
        failed=failed,
        latency_ms=times.astype(np.float32),
        weight=np.ones(n) if weight is None else weight,
        costs={"gmacs": price.astype(np.float64)},
        unit="gmacs",
        sha256=dict(sha256 or {}),
    )


def yes_no(
    n: int,
    seed: int,
    *,
    skills: Mapping[str, float] = SKILLS,
    costs: Mapping[str, float] = COSTS,
    group_size: int = 1,
    yes: float = 0.4,
    shared: float = 0.6,
    drift: float = 0.0,
    missing: float = 0.0,
    latency: Sequence[float] | None = None,
    sha256: Mapping[str, str] | None = None,
) -> Records:
    """Models of rising skill that find the same pictures hard; pictures of a group are hard together.

    `shared` is the share of the noise that all models have in common; `drift` takes from the skill of the cheapest.
    """
    draw = np.random.default_rng(seed)
    group = np.arange(n) // group_size
    label = (draw.random(n) < yes).astype(np.int64)
    sign = 2.0 * label - 1.0
    common = 0.4 * draw.normal(size=group[-1] + 1)[group] + np.sqrt(1 - 0.16) * draw.normal(size=n)
    own = draw.normal(size=(n, len(skills)))
    skill = np.array([*skills.values()])
    skill = skill - drift * (np.arange(len(skill)) == 0)
    evidence = sign[:, None] * skill + np.sqrt(shared) * common[:, None] + np.sqrt(1 - shared) * own
    score = sigmoid(1.4 * evidence + 0.3)  # over-confident or not, and shifted: calibration has work to do
    if missing:
        score[draw.random(score.shape) < missing] = np.nan
    return records_of(score, label, group=group, models=tuple(skills), costs=costs, latency=latency, sha256=sha256)


def labelled(
    n: int, seed: int, *, kinds: int = 5, skills: Mapping[str, float] = SKILLS, costs: Mapping[str, float] = COSTS
) -> Records:
    """Answers of several kinds with confidences; pictures are hard for all models together."""
    draw = np.random.default_rng(seed)
    label = np.minimum(draw.geometric(0.35, n) - 1, kinds - 1)
    hard = draw.normal(size=n)
    answer = np.empty((n, len(skills)), dtype=np.int64)
    score = np.empty((n, len(skills)))
    for column, skill in enumerate(skills.values()):
        sure = 1.6 * skill + 1.5 * hard + 0.5 * draw.normal(size=n)
        right = draw.random(n) < sigmoid(sure)
        other = (label + draw.integers(1, kinds, n)) % kinds
        answer[:, column] = np.where(right, label, other)
        score[:, column] = sigmoid(0.8 * sure + 0.3 * draw.normal(size=n))
    return records_of(score, label, answer=answer, models=tuple(skills), costs=costs)


def opinions_of(
    p: Floats,
    truth: Ints,
    *,
    answer: Ints | None = None,
    kinds: int = 2,
    weight: Floats | None = None,
    group: Ints | None = None,
) -> Opinions:
    """Opinions as they are, without a fit."""
    said = np.where(np.isnan(p), -1, p >= 0.5).astype(np.int64) if answer is None else answer
    n = len(truth)
    return Opinions(
        p=p,
        answer=said,
        truth=truth.astype(np.int64),
        kinds=kinds,
        yes_no=answer is None,
        weight=np.ones(n) if weight is None else weight,
        group=np.arange(n) if group is None else group,
    )


def relabelled(records: Records, rows: NDArray[np.bool_]) -> Records:
    """The same scores of other truths: labels of some rows are turned over."""
    kinds = len(records.labels)
    return replace(records, label=np.where(rows, (records.label + 1) % kinds, records.label))
