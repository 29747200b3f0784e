"""Choosing among many plans that chance made look good."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import yes_no

from natix_cascade.plan import choose
from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.choose import Candidate, Tried, cheapest, draws_of, join, settle, try_out
from natix_cascade.plan.exits import fit_exits, walk
from natix_cascade.plan.loss import Prices
from natix_cascade.plan.opinions import folds_of, held_out

PRICES = 40.0 * np.geomspace(0.5, 100.0, 12)
CHAINS: list[Levels] = [((0,), (2,)), ((1,), (2,)), ((0,), (1,), (2,)), ((2,),)]


def board_of(n: int = 1_200, seed: int = 0, **options: object) -> Board:
    opinions = held_out(yes_no(n, seed, **options))  # type: ignore[arg-type]  # as yes_no has them
    return Board(opinions, np.array([1.0, 4.0, 40.0]), np.zeros(3), Prices(), "log_odds")


def tried_of(cost: np.ndarray, loss: np.ndarray) -> Tried:
    plans = [Candidate(((j,),), 1.0) for j in range(len(cost))]
    return Tried(plans, cost, np.zeros(loss.shape, np.int16), loss.astype(np.float32))


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_draws_take_whole_groups(sizes: list[int], seed: int) -> None:
    group = np.repeat(np.arange(len(sizes)), sizes)
    weight = np.random.default_rng(seed).uniform(0.5, 2, len(group))
    draws = draws_of(group, weight, seed=seed, draws=20)
    np.testing.assert_allclose(draws.sum(axis=1), 1, atol=1e-5)
    for row in draws:
        times = row / weight
        for name in range(len(sizes)):
            here = times[group == name]
            np.testing.assert_allclose(here, here[0], rtol=1e-5)
    np.testing.assert_array_equal(draws, draws_of(group, weight, seed=seed, draws=20))


def test_draws_scatter_as_the_mean_of_groups_does() -> None:
    draw = np.random.default_rng(0)
    group = np.repeat(np.arange(300), 4)
    x = np.repeat(draw.normal(size=300), 4)  # one value per group: 300 facts, not 1,200
    shown = draws_of(group, np.ones(1_200), seed=0, draws=1_000) @ x.astype(np.float32)
    assert shown.mean() == pytest.approx(x.mean(), abs=0.01)
    assert shown.std() == pytest.approx(x.std() / np.sqrt(300), rel=0.1)


def noise_only(seed: int) -> tuple[float, bool, float]:
    """Choose among 150 plans that all truly lose 0.03 more than the reference, where 0.02 is allowed.

    Returns the true regret of the choice (0 where the reference is asked alone), whether a plan was chosen, and by how
    much the limit was lowered.
    """
    draw = np.random.default_rng(seed)
    n, plans = 600, 150
    hard = draw.random(n)
    reference = (draw.random(n) < 0.1).astype(np.float64)
    loss = (draw.random((n, plans)) < 0.05 + 0.16 * hard[:, None]).astype(np.float64)  # 0.13 on average
    draws = draws_of(np.arange(n), np.ones(n), seed=seed, draws=100)
    at, optimism = cheapest(tried_of(np.sort(draw.random(plans)), loss), reference, np.ones(n), draws, 0.02)
    return (0.03 if at >= 0 else 0.0), at >= 0, optimism


def mixed(seed: int, limit: float) -> float:
    """Choose among 120 plans, the cheaper the worse (true regret 0.06 to 0); returns the true regret of the choice."""
    draw = np.random.default_rng(seed)
    n, plans = 600, 120
    true = np.linspace(0.06, 0.0, plans)
    reference = (draw.random(n) < 0.08).astype(np.float64)
    loss = (draw.random((n, plans)) < 0.08 + true).astype(np.float64)
    draws = draws_of(np.arange(n), np.ones(n), seed=seed, draws=100)
    at, _ = cheapest(tried_of(np.arange(plans, dtype=np.float64), loss), reference, np.ones(n), draws, limit)
    return float(true[at]) if at >= 0 else 0.0


def test_luck_is_not_mistaken_for_merit(monkeypatch: pytest.MonkeyPatch) -> None:
    fair = [noise_only(seed) for seed in range(40)]
    monkeypatch.setattr(choose, "_LUCK", 0.0)
    fooled = [noise_only(seed) for seed in range(40)]
    assert np.mean([each[0] for each in fair]) < 0.02 < np.mean([each[0] for each in fooled])
    assert np.mean([each[1] for each in fooled]) > 0.7  # some of the 150 always looks good
    assert np.mean([each[2] for each in fair]) > 0.002
    assert all(each[2] == 0 for each in fooled)


def test_the_corrected_choice_keeps_the_limit_on_average_and_still_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    fair = np.array([mixed(seed, 0.03) for seed in range(60)])
    monkeypatch.setattr(choose, "_LUCK", 0.0)
    fooled = np.array([mixed(seed, 0.03) for seed in range(60)])
    assert fooled.mean() > 0.033
    assert fair.mean() < 0.03
    assert fair.mean() > 0.008  # it does not give up either


def test_the_cheapest_that_keeps_the_limit_is_chosen_where_nothing_is_left_to_luck() -> None:
    n = 400
    reference = np.zeros(n)
    loss = np.zeros((n, 4))
    for plan, wrong in enumerate((40, 20, 8, 0)):  # regret 0.1, 0.05, 0.02, 0
        loss[:wrong, plan] = 1
    tried = tried_of(np.array([1.0, 2.0, 3.0, 4.0]), loss)
    certain = np.full((10, n), 1 / n, dtype=np.float32)  # draws that show what all pictures show
    for limit, wanted in ((0.1, 0), (0.07, 1), (0.03, 2), (0.0, 3), (-0.01, -1)):
        at, optimism = cheapest(tried, reference, np.ones(n), certain, limit + 1e-6)
        assert (at, optimism) == (wanted, pytest.approx(0, abs=1e-7))


def test_weights_count_in_the_choice() -> None:
    loss = np.zeros((100, 2))
    loss[:10, 0] = 1
    tried = tried_of(np.array([1.0, 2.0]), loss)
    weight = np.where(np.arange(100) < 10, 0.1, 1.0)
    for w, wanted in ((np.ones(100), 1), (weight, 0)):
        draws = np.tile((w / w.sum()).astype(np.float32), (4, 1))
        assert cheapest(tried, np.zeros(100), w, draws, 0.05)[0] == wanted


def test_tried_is_cross_validation_by_group() -> None:
    """Each chain at each price: thresholds of the other folds, walked by this one."""
    board = board_of(800, 1, group_size=4)
    opinions = board.opinions
    fold = folds_of(opinions.group, 5, 7)
    tried = try_out(board, CHAINS, PRICES, seed=7)
    assert tried.cost.tolist() == sorted(tried.cost.tolist())
    assert tried.loss.shape == tried.answer.shape == (800, len(tried.plans))
    for index in range(0, len(tried.plans), 4):
        plan = tried.plans[index]
        chain = board.chain(plan.levels)
        cost, answer = np.zeros(800), np.zeros(800, np.int64)
        for k in range(5):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            borders = None
            for price in PRICES[plan.price >= PRICES]:
                borders = fit_exits(chain.rows(train), float(price), opinions.weight[train], borders)
            way = walk(chain.rows(test), borders or [])
            cost[test] = way.cost
            answer[test] = board.winners(plan.levels)[test, way.level]
        assert tried.cost[index] == pytest.approx(cost.mean())
        np.testing.assert_array_equal(tried.answer[:, index], answer)
        np.testing.assert_array_equal(tried.loss[:, index], board.prices.loss(opinions.truth, answer))


def test_all_that_nothing_beats_is_kept() -> None:
    draw = np.random.default_rng(0)
    cost, loss = draw.integers(0, 40, 500) / 4, draw.integers(0, 40, 500) / 4
    entries = [
        choose._Entry(float(c), float(v), Candidate(((0,),), 1.0), np.zeros(1, np.int16))
        for c, v in zip(cost, loss, strict=True)
    ]
    kept = choose._near_front(entries, 40)
    assert len(kept) == 40
    left = {(each.cost, each.loss) for each in kept}
    for each in entries:
        if not any(
            (o.cost <= each.cost) & (o.loss <= each.loss) & ((o.cost, o.loss) != (each.cost, each.loss))
            for o in entries
        ):
            assert (each.cost, each.loss) in left


def test_progress_is_told() -> None:
    heard: list[float] = []
    try_out(board_of(300), CHAINS, PRICES, seed=0, on_progress=heard.append)
    assert heard == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_joined_candidates_stand_by_cost() -> None:
    board = board_of(400)
    one, other = (try_out(board, chains, PRICES, seed=0) for chains in (CHAINS[:2], CHAINS[2:]))
    both = join([one, other])
    assert both.cost.tolist() == sorted([*one.cost, *other.cost])
    assert len(both.plans) == len(one.plans) + len(other.plans)
    for index, plan in enumerate(both.plans):
        part = one if plan in one.plans else other
        at = part.plans.index(plan)
        assert both.cost[index] == part.cost[at]
        np.testing.assert_array_equal(both.loss[:, index], part.loss[:, at])
        np.testing.assert_array_equal(both.answer[:, index], part.answer[:, at])


def test_settled_thresholds_cost_about_what_was_tried() -> None:
    board, fine = board_of(2_000, 3), 40.0 * np.geomspace(0.5, 100.0, 40)
    tried = try_out(board, CHAINS, fine, seed=0)
    off, simply_off = [], []
    for plan, cost in zip(tried.plans, tried.cost.tolist(), strict=True):
        chain, weight = board.chain(plan.levels), board.opinions.weight
        settled = walk(chain, settle(board, plan, cost, fine)).cost.mean()
        off.append(abs(settled / cost - 1))
        simply_off.append(abs(walk(chain, fit_exits(chain, plan.price, weight)).cost.mean() / cost - 1))
    assert np.median(off) < 0.03
    assert np.quantile(off, 0.9) < 0.12
    assert all(one <= other + 1e-12 for one, other in zip(off, simply_off, strict=True))
