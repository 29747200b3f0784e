from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.observe.judge.budget import Budget, Purse


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_kept_over_any_minute() -> None:
    clock = Clock()
    budget = Budget(10, 1e9, clock=clock)
    entered = []
    for _ in range(500):
        if isinstance(budget.enter(0.0, by_chance=True), Purse):
            entered.append(clock.now)
        clock.now += 1.0
    assert all(sum(at - 60 < other <= at for other in entered) <= 10 for at in entered)
    assert len(entered) >= 80


def test_less_than_one_a_minute() -> None:
    clock = Clock()
    budget = Budget(0.5, 1.0, clock=clock)
    assert isinstance(budget.enter(0.0, by_chance=True), Purse)
    clock.now += 119
    assert budget.enter(0.0, by_chance=True) == "pace"
    clock.now += 2
    assert isinstance(budget.enter(0.0, by_chance=True), Purse)


def test_remarkable_ones_leave_half_of_pace_and_money_to_chance() -> None:
    budget = Budget(10, 1.0, clock=Clock())
    assert [isinstance(budget.enter(0.0, by_chance=False), Purse) for _ in range(10)].count(True) == 5
    assert [isinstance(budget.enter(0.0, by_chance=True), Purse) for _ in range(10)].count(True) == 5
    budget = Budget(1000, 1.0, clock=Clock())
    assert [budget.enter(0.1, by_chance=False) == "money" for _ in range(6)] == [False] * 5 + [True]
    assert isinstance(budget.enter(0.5, by_chance=True), Purse)


def test_what_is_left_over_goes_back_and_what_it_cost_more_counts() -> None:
    budget = Budget(1000, 1.0, clock=Clock())
    purse = budget.enter(0.4, by_chance=True)
    assert isinstance(purse, Purse)
    assert purse.take(0.3)
    assert budget.spent == pytest.approx(0.4)
    purse.settle(0.3, 0.1)
    assert purse.take(0.5)
    assert budget.spent == pytest.approx(0.6)  # 0.1 spent, 0.5 reserved
    assert not purse.take(0.5)
    purse.settle(0.5, 0.7)
    purse.close()
    purse.close()
    assert budget.spent == pytest.approx(0.8)
    assert purse.spent == pytest.approx(0.8)


def test_a_new_day_has_new_money_and_yesterdays_change_is_none_of_its() -> None:
    clock = Clock(10 * 86_400 - 1.0)
    budget = Budget(1000, 1.0, spent=(0.9, 0.0), clock=clock)
    purse = budget.enter(0.1, by_chance=True)
    assert isinstance(purse, Purse)
    assert budget.enter(0.1, by_chance=True) == "money"
    clock.now += 2
    assert budget.spent == 0
    assert isinstance(budget.enter(0.5, by_chance=True), Purse)
    purse.close()
    assert budget.spent == pytest.approx(0.5)


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    clock = Clock()
    budget = Budget(1, 1.0, clock=clock)
    budget.enter(0.0, by_chance=True)
    clock.now -= 100_000
    assert isinstance(budget.enter(0.0, by_chance=True), Purse)


def test_what_was_before_counts() -> None:
    clock = Clock()
    budget = Budget(2, 1.0, entered=[(clock.now - 5, True), (clock.now - 3, False)], clock=clock)
    assert budget.enter(0.0, by_chance=True) == "pace"
    assert Budget(9, 1.0, spent=(0.95, 0.0), clock=clock).enter(0.1, by_chance=True) == "money"


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.booleans(), st.booleans()), max_size=40))
def test_reserved_and_spent_never_exceed_the_days_money_by_more_than_surprises(
    steps: list[tuple[float, float, bool, bool]],
) -> None:
    budget, spent = Budget(1e6, 1.0, clock=Clock()), 0.0
    for most, share, by_chance, takes in steps:
        before = budget.spent
        purse = budget.enter(most, by_chance=by_chance)
        if isinstance(purse, str):
            assert before + most > (1.0 if by_chance else 0.5) - 1e-9 or not by_chance
            continue
        if takes:
            assert purse.take(most)
            purse.settle(most, most * share)
            spent += most * share
        purse.close()
    assert budget.spent == pytest.approx(spent, abs=1e-9)
    assert budget.spent <= 1.0 + 1e-9
