"""The runner obeys a planned policy to the bit: real models, real pictures, and the replay of what they said."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, records_of

from natix_cascade.decide import confidence, mapped_probability, positive, replay, thresholds
from natix_cascade.errors import SpecError
from natix_cascade.image import Picture, decode
from natix_cascade.plan import Records, plan
from natix_cascade.plan.opinions import fit_calibrators
from natix_cascade.plan.policies import answer
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.build import plain
from natix_cascade.spec.cascade import LevelSpec, MemberSpec
from natix_cascade.spec.policy import LevelPolicy, Policy
from natix_cascade.spec.resolved import resolve_layout
from natix_cascade.spec.rules import Threshold, VoteSpec
from natix_cascade.testing import render_scene

PICTURES = 24
GATE, LITE0, LITE1, LITE2 = "road-gate", "road-lite0", "road-lite1", "road-lite2"


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    weathers = ("clear", "rain", "fog")
    scenes = [
        render_scene(seed, roadwork=seed % 2 == 0, size=(320, 180), weather=weathers[seed % 3])
        for seed in range(PICTURES)
    ]
    return [decode(scene.jpeg(), id=f"scene {index}") for index, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def records(pictures: list[Picture]) -> Iterator[Records]:
    """Raw scores of all shipped models."""
    loaded = LoadedCascade.load("embedded", policy="none", threads=1)
    runner = BulkRunner(loaded, batch=1)  # as one picture is asked about
    scores, _ = runner.score(pictures)
    runner.close()
    cards = loaded.resolved.cards
    models = loaded.resolved.models
    yield records_of(
        scores,
        np.array([index % 2 == 0 for index in range(len(pictures))], dtype=np.int64),
        models=models,
        costs=[cards[name].cost.gmacs for name in models],
        sha256={name: cards[name].weights.sha256 for name in models},
    )
    loaded.close()


def drawn(records: Records, seed: int, method: str) -> Policy:
    """A policy with the shipped models in any order and grouping, and weights, thresholds and exits for each level."""
    draw = np.random.default_rng(seed)
    order = [records.models[k] for k in draw.permutation(4)]
    cuts = sorted(draw.choice([1, 2, 3], size=draw.integers(1, 4), replace=False).tolist())
    groups = [order[a:b] for a, b in zip([0, *cuts], [*cuts, 4], strict=True)]
    specs, own = [], {}
    for index, group in enumerate(groups):
        seen = [name for part in groups[: index + 1] for name in part]
        threshold = float(draw.uniform(0.3, 0.7))
        name = f"level {index}: {' + '.join(group)}"
        members = tuple(MemberSpec(model=model) for model in group)
        specs.append(LevelSpec(name=name, members=members, vote=VoteSpec(method=method, over="all")))  # type: ignore[arg-type]
        rule = None
        if index < len(groups) - 1:
            rule = Threshold(
                yes=threshold + (1 - threshold) * float(draw.uniform(0, 0.5)),
                no=threshold * float(draw.uniform(0.3, 0.99)),
            )
        weights = {model: float(draw.choice([0.0, 0.4, 1.0, 2.3])) for model in seen}
        weights[group[0]] = 1.0  # somebody votes
        own[name] = LevelPolicy(exit=rule, weights=weights, threshold=threshold)
    return Policy(
        name="drawn",
        cascade="embedded",
        threshold=0.5,
        calibrators=dict(zip(records.models, fit_calibrators(records), strict=True)),
        levels=own,
        layout=tuple(specs),
        models=records.sha256,
    )


def assert_same(cascade: Cascade, policy: Policy, pictures: list[Picture], records: Records) -> set[str]:
    """Compare every picture's verdict with the replay, without any tolerance; returns the levels of exit."""
    resolved = resolve_layout(policy)
    own = records.only(resolved.models)
    progress = replay(resolved, own.score, own.failed)
    told = answer(resolved, records)
    yes = positive(resolved, progress)
    probability = mapped_probability(progress.probability, thresholds(resolved, progress), yes)
    verdicts = [cascade.detect(picture) for picture in pictures]
    for i, verdict in enumerate(verdicts):
        asked = [name for name, was in zip(resolved.models, told.asked[i], strict=True) if was]
        assert [opinion.model for opinion in verdict.opinions] == asked
        assert [opinion.score for opinion in verdict.opinions] == own.score[i, : len(asked)].tolist()
        assert [opinion.probability for opinion in verdict.opinions] == progress.opinions[i, : len(asked)].tolist()
        assert verdict.detected == yes[i] == bool(told.answer[i])
        assert verdict.probability == probability[i]
        assert verdict.confidence == confidence(probability[i])
        assert verdict.consensus_ratio == progress.consensus[i]
        assert verdict.exit_level == resolved.levels[told.level[i]].name
        assert not verdict.degraded
    spent = told.cost(dict(zip(records.models, records.cost(), strict=True)))
    assert [verdict.gmacs for verdict in verdicts] == pytest.approx(spent.tolist())
    return {verdict.exit_level for verdict in verdicts}


@pytest.mark.parametrize(("seed", "method"), [(0, "log_odds"), (1, "mean")])
def test_verdicts_are_the_replay(seed: int, method: str, pictures: list[Picture], records: Records) -> None:
    policy = drawn(records, seed, method)
    with Cascade.load("embedded", policy=policy, threads=1) as cascade:
        left = assert_same(cascade, policy, pictures, records)
    assert len(left) >= 2  # some leave early and some do not


@pytest.mark.parametrize("wish", [{"budget": 0.3}, {"max_regret": 0.2, "levels": ((LITE1,), (GATE, LITE2), (LITE0,))}])
def test_a_planned_policy_from_its_file_is_obeyed(
    wish: dict[str, object], pictures: list[Picture], records: Records, tmp_path: Path
) -> None:
    policy = plan(records, cascade="embedded", reference="vote", **wish).policy
    assert policy.models
    file = tmp_path / "planned.json"
    file.write_text(json.dumps(plain(policy)))
    with Cascade.load("embedded", policy=file, threads=1) as cascade:
        assert cascade.spec.policy == "planned@1"
        assert_same(cascade, policy, pictures, records)


def test_many_at_once_are_judged_as_one_by_one(pictures: list[Picture], records: Records) -> None:
    policy = drawn(records, 0, "log_odds")
    loaded = LoadedCascade.load("embedded", policy=policy, threads=1)
    runner = BulkRunner(loaded)
    verdicts = runner.judge(pictures)
    runner.close()
    told = answer(resolve_layout(policy), records)
    for verdict, level, said in zip(verdicts, told.level, told.answer, strict=True):
        assert not isinstance(verdict, Exception)
        assert (verdict.exit_level, verdict.detected) == (policy.layout[level].name, bool(said))
    loaded.close()


def test_other_weights_are_refused(records: Records) -> None:
    policy = drawn(records, 0, "log_odds")
    other = replace(policy, models=policy.models | {LITE1: "0" * 64})
    with pytest.raises(
        SpecError, match=r"was fitted with other weights of 'road-lite1' \(sha256 000000000000"
    ) as error:
        Cascade.load("embedded", policy=other)
    assert "\n" not in str(error.value)


def test_policies_of_labels_are_refused() -> None:
    policy = plan(labelled(300, 0), max_regret=0.05, cascade="embedded").policy
    with pytest.raises(SpecError, match="records with 5 kinds of answers; a cascade answers yes or no") as error:
        Cascade.load("embedded", policy=policy)
    assert "\n" not in str(error.value)


def test_models_without_a_card_are_refused(records: Records) -> None:
    strange = replace(records, models=("a", "b", "c", "d"), sha256={})
    policy = plan(strange, budget=0.3, cascade="embedded").policy
    with pytest.raises(SpecError, match=r"no card for model '[abcd]'; known cards: .*road-gate"):
        Cascade.load("embedded", policy=policy)


def test_a_policy_for_another_cascade_is_refused(records: Records) -> None:
    policy = replace(drawn(records, 0, "log_odds"), cascade="streets")
    with pytest.raises(SpecError, match="is for cascade 'streets', not for 'embedded'"):
        Cascade.load("embedded", policy=policy)
