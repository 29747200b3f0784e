"""Promises on new pictures: kept where nothing changed, seen to be broken where something did."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, relabelled, yes_no

from natix_cascade.errors import CascadeError, PlanError, RecordsError
from natix_cascade.plan import Records, plan
from natix_cascade.plan.check import Check, check, new_watch
from natix_cascade.plan.policies import answer, answer_reference
from natix_cascade.plan.records import join
from natix_cascade.plan.sequential import Watch
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import resolve_layout

CHAIN = (("gate",), ("large",))
KEYS = {
    "cost",
    "reference_cost",
    "metric",
    "reference_metric",
    "regret",
    "exit_shares",
    "holds",
    "within",
    "p_value",
    "alarm",
    "limit",
    "budget",
    "pictures",
    "groups",
    "sequential",
}
WISHES: dict[str, dict[str, Any]] = {
    "a limit": {"max_regret": 0.02},
    "a guarantee": {"risk": 0.03},
    "a budget": {"budget": 14.0},
    "the correlation": {"max_regret": 0.05, "metric": "mcc"},
}


@cache
def made(wish: str) -> Policy:
    return plan(yes_no(2_400, 3, group_size=2), levels=CHAIN, **WISHES[wish]).policy


def fresh(seed: int, n: int = 2_000, **options: Any) -> Records:
    return yes_no(n, 1_000 + seed, group_size=2, **options)


def checked(policy: Policy, records: Records, **options: Any) -> Check:
    return check(policy, records, **options)[0]


@pytest.mark.parametrize("wish", WISHES)
def test_a_promise_is_kept_while_nothing_changes(wish: str) -> None:
    found = [checked(made(wish), fresh(seed)) for seed in range(5)]
    assert all(each.holds for each in found)
    for each in found:
        assert set(each.as_dict()) == KEYS
        assert not each.sequential
        assert (each.pictures, each.groups) == (2_000, 1_000)
        assert sum(each.figures.exit_shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("wish", ["a limit", "a guarantee", "the correlation"])
def test_a_cheap_model_that_got_worse_breaks_it(wish: str) -> None:
    found = checked(made(wish), fresh(0, drift=0.7))
    assert not found.holds
    assert not found.within
    assert found.p_value < 0.001
    assert found.limit == next(iter(WISHES[wish].values()))


def test_harder_pictures_break_a_budget() -> None:
    policy = made("a budget")
    easier, harder = checked(policy, fresh(0)), checked(policy, fresh(0, drift=0.5))
    assert (easier.holds, harder.holds, harder.within) == (True, False, False)
    assert harder.figures.cost > 14.0 > easier.figures.cost - 1.5
    assert (harder.budget, harder.limit) == (14.0, None)


def test_figures_are_those_of_the_replay() -> None:
    policy, records = made("a limit"), fresh(3)
    found = checked(policy, records).figures
    assert policy.promise is not None
    own, base = answer(resolve_layout(policy), records), answer_reference(policy.promise.reference, records)
    assert found.metric == pytest.approx((own.answer == records.label).mean())
    assert found.reference_metric == pytest.approx((base.answer == records.label).mean())
    assert found.regret == pytest.approx(found.reference_metric - found.metric)
    assert found.cost == pytest.approx(1 + 40 * own.asked[:, 1].mean())
    assert found.reference_cost == 40


def test_labels_are_checked_too() -> None:
    policy = plan(labelled(1_500, 0), max_regret=0.02, levels=CHAIN).policy
    records = labelled(1_500, 7)
    assert checked(policy, records).holds
    wrong = answer(resolve_layout(policy), records)
    early = np.flatnonzero((wrong.level == 0) & (wrong.answer == records.label))[:200]
    broken = checked(policy, relabelled(records, np.isin(np.arange(1_500), early)))
    assert broken.figures.regret > checked(policy, records).figures.regret


def test_false_alarms_are_rare() -> None:
    """A promise that is just kept: the true regret is the limit."""
    policy = made("a limit")
    assert policy.promise is not None
    true = checked(policy, fresh(99, 60_000)).figures.regret
    just = replace(policy, promise=replace(policy.promise, limit=true))
    alarms = [not checked(just, fresh(seed, 600)).holds for seed in range(60)]
    assert np.mean(alarms) <= 0.15  # 0.05 are allowed: more than 9 of 60 come once in 1,000


def test_rows_that_count_nothing_change_nothing() -> None:
    policy = made("a limit")
    good, bad = fresh(0, 1_000), fresh(1, 1_000, drift=1.0)
    both = join([good, replace(bad, group=np.char.add("b", bad.group), picture=np.char.add("b", bad.picture))])
    weight = np.repeat([1.0, 0.0], 1_000)
    found = checked(policy, replace(both, weight=weight))
    assert found.figures.regret == pytest.approx(checked(policy, good).figures.regret)
    assert found.holds
    assert not checked(policy, both).holds


def day(seed: int, **options: Any) -> Records:
    return fresh(seed, 300, **options)


def test_a_watch_gathers_evidence_over_days() -> None:
    policy = made("a limit")
    watch: Watch | None = new_watch(policy, day(0))
    assert watch is not None
    assert (watch.alpha, watch.delta, watch.max_group) == (0.02, 0.05, 8)
    for number in range(6):
        found, watch = check(policy, day(number), watch=watch)
        assert found.holds
        assert found.sequential
        assert (found.pictures, found.groups) == (300 * (number + 1), 150 * (number + 1))
    broken_at = None
    for number in range(6, 20):
        found, watch = check(policy, day(number, drift=0.6), watch=watch)
        if not found.holds:
            broken_at = number
            break
    assert broken_at is not None
    assert broken_at > 6  # a single day does not tell
    assert watch is not None
    assert watch.broken
    later, _ = check(policy, day(50), watch=watch)
    assert not later.holds  # it stays broken


def test_a_watch_comes_back_from_its_file() -> None:
    policy = made("a limit")
    _, watch = check(policy, day(0), watch=new_watch(policy, day(0)))
    assert watch is not None
    again = Watch.from_dict(watch.as_dict())
    assert check(policy, day(1), watch=again) == check(policy, day(1), watch=watch)


def test_single_pictures_need_no_room_for_groups() -> None:
    policy = made("a limit")
    assert new_watch(policy, yes_no(50, 0), alarm=0.01).max_group == 1
    assert new_watch(policy, yes_no(50, 0), alarm=0.01).delta == 0.01


@pytest.mark.parametrize("wish", ["a budget", "the correlation"])
def test_a_watch_is_for_accuracy(wish: str) -> None:
    with pytest.raises(PlanError, match="a watch over many days is for promises of accuracy"):
        new_watch(made(wish), day(0))
    watch = new_watch(made("a limit"), day(0))
    with pytest.raises(PlanError, match="a watch over many days is for promises of accuracy"):
        check(made(wish), day(0), watch=watch)


def test_what_cannot_be_checked_is_told() -> None:
    policy = made("a limit")
    with pytest.raises(PlanError, match="promises nothing; make one with 'natix-cascade plan make'"):
        check(replace(policy, promise=None), day(0))
    with pytest.raises(RecordsError, match="no model 'large' in these records, which have gate, small"):
        check(policy, day(0).only(["gate", "small"]))
    with pytest.raises(RecordsError, match="no costs in 'gmacs'"):
        check(policy, replace(day(0), costs={"usd": np.ones(3)}, unit="usd"))


def test_other_weights_are_refused() -> None:
    one = {"gate": "a" * 64, "small": "b" * 64, "large": "c" * 64}
    policy = plan(yes_no(600, 0, sha256=one), max_regret=0.02, levels=CHAIN).policy
    assert set(policy.models) == {"gate", "large"}
    checked(policy, day(0, sha256=one))
    checked(policy, day(0, sha256=one | {"small": "d" * 64}))  # it is not asked
    checked(policy, day(0))  # nothing is known of the weights
    with pytest.raises(PlanError, match=r"made with other weights of 'large' .*; record again, or plan again") as error:
        check(policy, day(0, sha256=one | {"large": "d" * 64}))
    assert "\n" not in str(error.value)


def test_a_cascade_of_its_own_is_needed_where_the_policy_has_no_levels() -> None:
    policy = made("a limit")
    bare = replace(policy, layout=())
    with pytest.raises(CascadeError, match="has no levels of its own"):
        check(bare, day(0))
    assert checked(bare, day(0), cascade=resolve_layout(policy)) == checked(policy, day(0))
