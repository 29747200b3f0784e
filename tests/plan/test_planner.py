"""From records to a policy, end to end, on models that do not exist."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, yes_no

from natix_cascade.errors import CascadeError, PlanError, RecordsError
from natix_cascade.plan import Figures, Plan, Records, plan, write_records
from natix_cascade.plan import plan as plan_of
from natix_cascade.plan.policies import answer, answer_reference, figures
from natix_cascade.spec.build import plain
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import resolve_layout

LATENCY = (1.0, 3.0, 8.0)
CHAIN = (("gate",), ("small",), ("large",))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "a limit": ("yes and no", {"max_regret": 0.01}),
    "a guarantee": ("yes and no", {"risk": 0.03}),
    "a guarantee at every level": ("yes and no", {"risk": 0.12, "conditional": True, "delta": 0.2, "levels": CHAIN}),
    "a budget": ("yes and no", {"budget": 12.0}),
    "a prevalence": ("yes and no", {"max_regret": 0.01, "prevalence": 0.1, "levels": CHAIN}),
    "the correlation": ("yes and no", {"max_regret": 0.03, "metric": "mcc"}),
    "a guarantee of the correlation": ("yes and no", {"risk": 0.1, "metric": "mcc", "levels": CHAIN}),
    "the reward": ("yes and no", {"max_regret": 0.05, "metric": "reward", "levels": CHAIN}),
    "a chain": ("yes and no", {"max_regret": 0.02, "levels": (("small",), ("gate", "large"))}),
    "a vote of two as the reference": (
        "yes and no",
        {"max_regret": 0.01, "reference": "vote:small,large", "levels": CHAIN},
    ),
    "a model as the reference": ("yes and no", {"max_regret": 0.01, "reference": "small"}),
    "a bound on the time": ("yes and no", {"max_regret": 0.03, "latency_ms": 9.5, "voting": "mean"}),
    "labels": ("labels", {"max_regret": 0.01}),
    "labels with a guarantee": ("labels", {"risk": 0.05}),
    "labels in a budget": ("labels", {"budget": 20.0, "reference": "vote"}),
}


@cache
def records_of(kind: str, seed: int = 0, n: int = 1_500) -> Records:
    if kind == "labels":
        return labelled(n, seed)
    return yes_no(n, seed, group_size=3, latency=LATENCY)


@cache
def made(case: str) -> Plan:
    kind, wish = CASES[case]
    return plan(records_of(kind), **wish)


def replayed(policy: Policy, records: Records) -> Figures:
    assert policy.promise is not None
    own, base = answer(resolve_layout(policy), records), answer_reference(policy.promise.reference, records)
    return figures(own, base, records, records.cost(), policy.promise.metric)


each_case = pytest.mark.parametrize("case", CASES)


@each_case
def test_what_is_expected_comes_true_on_fresh_pictures(case: str) -> None:
    found = made(case)
    kind, wish = CASES[case]
    fresh = records_of(kind, 99, 12_000)
    if "prevalence" in wish:
        yes = fresh.label == 1
        share = wish["prevalence"]
        fresh = replace(fresh, weight=np.where(yes, share / yes.mean(), (1 - share) / (1 - yes.mean())))
    real = replayed(found.policy, fresh)
    assert found.expected.cost == pytest.approx(real.cost, rel=0.2, abs=0.5)
    assert found.expected.reference_cost == pytest.approx(real.reference_cost)
    slack = 0.02 if wish.get("metric", "accuracy") == "accuracy" else 0.06
    assert found.expected.metric == pytest.approx(real.metric, abs=slack)
    assert found.expected.reference_metric == pytest.approx(real.reference_metric, abs=slack)
    assert found.expected.regret == pytest.approx(found.expected.reference_metric - found.expected.metric)
    for name, share in found.expected.exit_shares.items():
        assert share == pytest.approx(real.exit_shares[name], abs=0.05)
    if found.limit is not None:
        assert found.expected.regret <= found.limit
        assert real.regret <= found.limit + slack / 2


@each_case
def test_the_policy_says_the_same_after_a_file(case: str, tmp_path: Path) -> None:
    policy = made(case).policy
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(plain(policy), ensure_ascii=False))
    again = read_spec(file, Policy)
    assert again == policy
    records = records_of(CASES[case][0])
    one, other = (answer(resolve_layout(each), records) for each in (policy, again))
    np.testing.assert_array_equal(one.answer, other.answer)
    np.testing.assert_array_equal(one.asked, other.asked)


@each_case
def test_the_parts_of_a_plan_fit_together(case: str) -> None:
    found = made(case)
    kind, wish = CASES[case]
    records = records_of(kind)
    assert sum(found.expected.exit_shares.values()) == pytest.approx(1)
    assert [*found.expected.exit_shares] == [step.name for step in found.steps]
    assert found.pictures == len(records)
    assert found.groups == len(set(records.group.tolist()))
    assert (found.limit, found.budget) == (wish.get("max_regret", wish.get("risk")), wish.get("budget"))
    assert found.steps[0].reached == pytest.approx(1)
    for step, after in zip(found.steps, found.steps[1:], strict=False):
        assert step.reached - step.leaves == pytest.approx(after.reached)
    assert found.steps[-1].leaves == pytest.approx(found.steps[-1].reached)
    assert [point.kind for point in found.points].count("chosen") == 1
    assert [point.kind for point in found.points].count("reference") == 1
    assert [point.cost for point in found.points] == sorted(point.cost for point in found.points)
    assert all(point.low <= point.metric + 1e-9 <= point.high + 2e-9 for point in found.points)
    promise = found.policy.promise
    assert promise is not None
    assert (promise.metric, promise.limit, promise.budget) == (found.metric, found.limit, found.budget)
    assert promise.expected["cost"] == found.expected.cost
    assert {member.model for level in found.policy.layout for member in level.members} <= set(promise.costs)
    assert json.loads(json.dumps(found.as_dict()))["expected"]["cost"] == found.expected.cost


@pytest.mark.parametrize("case", ["a limit", "a guarantee of the correlation", "labels"])
def test_planning_twice_gives_the_same(case: str) -> None:
    kind, wish = CASES[case]
    assert plan(records_of(kind), **wish).policy == made(case).policy


@pytest.mark.parametrize("case", [case for case in CASES if case != "a model as the reference"])
def test_a_plan_is_cheaper_than_its_reference(case: str) -> None:
    found = made(case).expected
    assert found.cost < 0.8 * found.reference_cost


def test_the_limit_of_a_plan_is_kept_on_average_and_used() -> None:
    """Eight data sets: by the true regret, on fresh pictures."""
    fresh = records_of("yes and no", 99, 12_000)
    found = [plan(yes_no(800, seed, group_size=2), max_regret=0.02, levels=CHAIN) for seed in range(8)]
    real = np.array([replayed(each.policy, fresh).regret for each in found])
    assert real.mean() <= 0.02
    assert real.mean() > 0.002
    saved = [each.expected.reference_cost / each.expected.cost for each in found]
    assert np.mean(saved) > 1.5


def test_a_guarantee_is_made_from_some_and_tested_on_others() -> None:
    found = made("a guarantee")
    assert found.p_value is not None
    assert 0 <= found.p_value <= found.delta == 0.1  # type: ignore[operator]  # there is one
    facts = found.policy.certificate
    assert facts["test"] == "exact"
    assert facts["p_value"] == found.p_value
    assert 0 < facts["pictures"] < found.pictures  # type: ignore[operator]  # a number
    assert found.policy.promise is not None
    assert found.policy.promise.delta == 0.1
    assert made("a guarantee of the correlation").policy.certificate["test"] == "bootstrap by group"
    assert made("a limit").policy.certificate == {}
    assert made("a limit").p_value is None
    conditional = made("a guarantee at every level").policy.promise
    assert conditional is not None
    assert conditional.conditional


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_guarantees_are_broken_as_rarely_as_they_say(size: int) -> None:
    """The whole way from records to promise, many times over: the true regret is taken from fresh pictures."""
    fresh = yes_no(30_000, 9_999)
    repeats, delta, risk = 250, 0.2, 0.04
    real = [
        replayed(plan(yes_no(900, seed, group_size=size), risk=risk, delta=delta, levels=CHAIN).policy, fresh)
        for seed in range(repeats)
    ]
    broken = sum(each.regret > risk for each in real)
    assert binom.sf(broken - 1, repeats, delta) >= 1e-3  # the lower 99.9 % limit of Clopper and Pearson
    assert np.mean([each.cost for each in real]) < 0.8 * 40


def test_max_regret_with_delta_asks_for_a_guarantee() -> None:
    records = records_of("yes and no")
    one, other = plan(records, max_regret=0.03, delta=0.1), made("a guarantee")
    assert one.policy == other.policy
    assert one.p_value == other.p_value


def test_a_guarantee_that_cannot_be_won_leaves_the_reference() -> None:
    for reference in ("large", "vote", "gate"):
        found = plan(yes_no(150, 0), risk=0.0005, reference=reference)
        assert found.expected.regret == 0
        assert found.expected.cost == found.expected.reference_cost
        assert len(found.steps) == 1
        assert any("the reference is asked alone" in note for note in found.notes)


def test_a_limit_that_nothing_keeps_leaves_the_reference() -> None:
    found = plan(yes_no(400, 3), max_regret=-0.2)
    assert found.expected.regret == 0
    assert any("the reference is asked alone" in note for note in found.notes)


def test_more_is_saved_where_more_may_be_lost_or_spent() -> None:
    records = yes_no(700, 0)
    plan = partial(plan_of, records, levels=CHAIN)
    costs = [plan(max_regret=limit).expected.cost for limit in (0.0, 0.02, 0.1)]
    assert costs == sorted(costs, reverse=True)
    metrics = [plan(budget=budget).expected.metric for budget in (2, 5, 40)]
    assert metrics == sorted(metrics)


def test_a_chain_that_is_asked_for_is_taken() -> None:
    found = made("a chain")
    assert [step.models for step in found.steps] == [("small",), ("gate", "large")]
    assert found.policy.layout[1].name == "gate + large"


def test_no_picture_takes_longer_than_allowed() -> None:
    found = made("a bound on the time")
    slowest = {"gate": LATENCY[0], "small": LATENCY[1], "large": LATENCY[2]}
    assert sum(max(slowest[model] for model in step.models) for step in found.steps) <= 9.5
    by_cost = replace(yes_no(600, 0), costs={"gmacs": np.array([1.0, 4, 40]), "ms": np.array(LATENCY)})
    found = plan(by_cost, max_regret=0.03, latency_ms=9.5)
    assert sum(max(slowest[model] for model in step.models) for step in found.steps) <= 9.5


def test_references_by_name() -> None:
    assert made("a limit").reference == "large"
    assert made("labels in a budget").reference == "vote"
    assert made("labels in a budget").expected.reference_cost == 45
    vote = made("a vote of two as the reference")
    assert vote.expected.reference_cost == 44
    assert vote.policy.promise is not None
    assert [member.model for member in vote.policy.promise.reference.level.members] == ["small", "large"]
    assert made("a model as the reference").expected.reference_cost == 4


def test_yes_that_is_rare_to_come_counts_as_rare() -> None:
    plainly, rarely = made("a limit").policy, made("a prevalence").policy
    fresh = records_of("yes and no", 99, 12_000)
    said = [float((answer(resolve_layout(policy), fresh).answer == 1).mean()) for policy in (plainly, rarely)]
    assert said[1] < said[0]


def test_a_table_is_enough() -> None:
    records = yes_no(900, 1)
    truth, one, other = records.label, records.score[:, 0], records.score[:, 2]
    found = plan({"label": truth, "small": one, "large": other}, costs={"small": 1, "large": 20}, risk=0.05, delta=0.1)
    assert found.unit == "cost"
    assert found.reference == "large"
    assert 1 <= found.expected.cost <= 21
    assert found.expected.cost < found.expected.reference_cost == 20
    named = plan({"truth": truth, "a": one, "b": other}, label="truth", max_regret=0.05)
    assert named.unit == "asks"


def test_a_file_is_enough(tmp_path: Path) -> None:
    records = records_of("labels")
    file = write_records(records, tmp_path / "r.parquet")
    assert plan(str(file), max_regret=0.01).policy == made("labels").policy
    with pytest.raises(RecordsError, match="no records at"):
        plan(tmp_path / "none.parquet", max_regret=0.01)


def test_names_and_weights_are_written_down() -> None:
    records = yes_no(500, 0, sha256={"gate": "a" * 64, "large": "b" * 64})
    found = plan(records, max_regret=0.02, levels=(("gate",), ("large",)), name="mine", cascade="streets").policy
    assert (found.name, found.cascade) == ("mine", "streets")
    assert found.models == {"gate": "a" * 64, "large": "b" * 64}
    assert set(found.calibrators) == {"gate", "large"}
    assert "500 pictures in 500 groups" in found.made_from


def test_progress_is_told_and_ends() -> None:
    heard: dict[str, list[float]] = {}
    plan(yes_no(300, 0), risk=0.1, on_progress=lambda what, share: heard.setdefault(what, []).append(share))
    assert len(heard) >= 3
    for shares in heard.values():
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1 + 1e-9


def test_another_unit_of_cost() -> None:
    records = yes_no(600, 2)
    both = replace(records, costs=records.costs | {"usd": np.array([5.0, 5.0, 0.0])})
    found = plan(both, budget=0.0, unit="usd")
    assert found.unit == "usd"
    assert found.expected.cost == 0
    assert {model for step in found.steps for model in step.models} == {"large"}


def test_models_that_answer_not_always_or_never_can_be_planned_with() -> None:
    records = yes_no(400, 0, missing=0.1)
    score = records.score.copy()
    score[:, 1] = np.nan
    never = replace(records, score=score, failed=np.isnan(score))
    for each in (records, never):
        found = plan(each, max_regret=0.02)
        assert sum(found.expected.exit_shares.values()) == pytest.approx(1)
    assert "small" not in {step.name for step in found.steps}


def test_one_model_is_a_plan_too() -> None:
    found = plan(yes_no(200, 0).only(["small"]), max_regret=0.01)
    assert [step.name for step in found.steps] == ["small"]
    assert found.expected.cost == 4


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        ({}, PlanError, "one aim, not 0 .none given."),
        ({"max_regret": 0.1, "budget": 1.0}, PlanError, "one aim, not 2 .max_regret, budget."),
        ({"risk": 0.1, "max_regret": 0.1}, PlanError, "one aim, not 2"),
        ({"risk": 0.1, "delta": 0.0}, PlanError, "delta is 0.0"),
        ({"risk": 0.1, "delta": 1.5}, PlanError, "delta is 1.5"),
        ({"max_regret": 0.1, "prevalence": 1.0}, PlanError, "prevalence is 1.0"),
        ({"max_regret": 0.1, "conditional": True}, PlanError, "conditional needs risk"),
        ({"risk": 0.1, "metric": "mcc", "conditional": True}, PlanError, "conditional needs risk, and accuracy"),
        ({"budget": 0.5}, PlanError, "no plan costs at most 0.5 gmacs; the cheapest costs 1"),
        ({"max_regret": 0.1, "reference": "huge"}, RecordsError, "'huge' is not in these records; give best, vote"),
        ({"max_regret": 0.1, "reference": "vote:gate,huge"}, RecordsError, "no model 'huge' in these records"),
        ({"max_regret": 0.1, "reference": "vote:"}, RecordsError, "name different models"),
        ({"max_regret": 0.1, "levels": (("gate",), ("huge",))}, RecordsError, "no model 'huge' in these records"),
        ({"max_regret": 0.1, "unit": "eur"}, RecordsError, "no costs in 'eur'; these records have gmacs"),
        ({"max_regret": 0.1, "latency_ms": 5.0}, RecordsError, "a bound on latency needs latencies"),
        ({"max_regret": 0.1, "voting": "veto"}, CascadeError, "'?veto'?"),
    ],
)
def test_wishes_that_cannot_be_met_are_told(wish: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan(yes_no(120, 0), **wish)


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        ({"max_regret": 0.1, "metric": "mcc"}, PlanError, "mcc is for two answers; these records have 5"),
        ({"max_regret": 0.1, "metric": "reward"}, PlanError, "reward is for two answers"),
        ({"max_regret": 0.1, "prevalence": 0.2}, PlanError, "prevalence is for two answers"),
        ({"max_regret": 0.1, "voting": "log_odds"}, PlanError, "log_odds is for yes/no records; use mean"),
    ],
)
def test_what_labels_do_not_allow(wish: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan(labelled(200, 0), **wish)


def test_records_of_one_label_are_refused() -> None:
    records = yes_no(100, 0)
    with pytest.raises(RecordsError, match="the same label"):
        plan(replace(records, label=np.ones(100, np.int64)), max_regret=0.1)
