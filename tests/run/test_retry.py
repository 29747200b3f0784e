from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.run.retry import RetryBudget, backoff_s


@given(share=st.floats(0.0, 1.0), events=st.lists(st.booleans(), max_size=400))
def test_retries_are_at_most_their_share_and_the_first_burst(share: float, events: list[bool]) -> None:
    budget = RetryBudget(share)
    requests = retries = 0
    for retry in events:
        if retry:
            retries += budget.take()
        else:
            budget.request()
            requests += 1
        assert retries <= Fraction(share) * requests + 10


def test_a_model_that_always_fails_costs_a_fifth_more_calls_and_no_more() -> None:
    budget = RetryBudget(0.2)
    retries = 0
    for _ in range(1000):
        budget.request()
        retries += budget.take()
    assert 200 <= retries <= 210


def test_quiet_times_save_no_more_than_the_burst() -> None:
    budget = RetryBudget(0.5, burst=3)
    for _ in range(100):
        budget.request()
    assert budget.left == 3
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


def test_a_share_of_nothing_allows_nothing() -> None:
    budget = RetryBudget(0.0)
    budget.request()
    assert not budget.take()


def test_threads_share_one_budget() -> None:
    budget = RetryBudget(1.0, burst=100)

    def work(_: int) -> int:
        return sum(budget.take() for _ in range(50))

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(work, range(20))) == 100


@pytest.mark.parametrize(("attempt", "longest"), [(1, 0.025), (2, 0.05), (6, 0.8), (7, 1.0), (10_000, 1.0)])
def test_waits_are_spread_from_nothing_to_the_longest(attempt: int, longest: float) -> None:
    rng = random.Random(attempt)  # noqa: S311
    waits = [backoff_s(attempt, rng) for _ in range(500)]
    assert 0 <= min(waits) < 0.05 * longest
    assert 0.95 * longest < max(waits) <= longest
