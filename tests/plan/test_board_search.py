"""The board on which chains are tried, and the search over it: it finds what was planted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, opinions_of, yes_no

from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.exits import fit_exits, walk
from natix_cascade.plan.loss import Prices
from natix_cascade.plan.opinions import Opinions, held_out
from natix_cascade.plan.search import _neighbours, search

law = settings(deadline=None, max_examples=20)
PRICES = np.geomspace(5.0, 1_000.0, 8)


def board_of(opinions: Opinions, cost: list[float], latency: list[float] | None = None, **options: object) -> Board:
    times = np.zeros(len(cost)) if latency is None else np.array(latency, dtype=np.float64)
    voting = "log_odds" if opinions.yes_no else "mean"
    given = {"voting": voting, "prices": Prices()} | options
    return Board(opinions, np.array(cost, dtype=np.float64), times, **given)  # type: ignore[arg-type]  # as Board has


def best_at(board: Board, price: float, **options: object) -> Levels:
    return search(board, np.array([price]), **options)[0].levels  # type: ignore[arg-type]  # as search has them


def planted(n: int = 4_000, seed: int = 0) -> Opinions:
    """Three models: cheap, perfect on easy pictures; middling on all; dear, perfect on hard ones and on the rest not.

    Each says how sure it can be.
    """
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, n)
    easy = draw.random(n) < 0.7

    def said(right: np.ndarray) -> np.ndarray:
        return np.where(
            draw.random(n) < right, np.where(truth == 1, right, 1 - right), np.where(truth == 1, 1 - right, right)
        )

    cheap = said(np.where(easy, 0.999, 0.5))
    middling = said(np.full(n, 0.8))
    dear = said(np.where(easy, 0.75, 0.999))
    return opinions_of(np.column_stack([cheap, middling, dear]), truth)


def test_the_planted_chain_is_found() -> None:
    board = board_of(planted(), [1.0, 5.0, 20.0])
    (best, *_) = search(board, np.array([100.0]))
    assert best.levels == ((0,), (2,))
    assert best.value == pytest.approx(1.0 + 0.3 * 20.0 + 100.0 * 0.001, rel=0.1)


def test_a_dearer_model_that_is_worse_comes_last_where_it_knows_what_others_do_not() -> None:
    opinions = planted()
    accuracy = [(opinions.answer[:, j] == opinions.truth).mean() for j in range(3)]
    assert accuracy[2] < accuracy[0]  # 0.82 and 0.85
    board = board_of(opinions, [1.0, 5.0, 20.0])
    assert best_at(board, 100.0)[-1] == (2,)
    borders = fit_exits(board.chain(((0,), (2,))), 100.0, opinions.weight)
    way = walk(board.chain(((0,), (2,))), borders)
    assert 1 - way.loss.mean() > 0.99
    assert way.cost.mean() < 8.0


@pytest.mark.parametrize(("price", "wanted"), [(2.0, ((0,),)), (100.0, ((0,), (2,)))])
def test_the_price_of_loss_says_how_far_to_go(price: float, wanted: Levels) -> None:
    assert best_at(board_of(planted(), [1.0, 5.0, 20.0]), price) == wanted


def test_a_model_that_is_cheaper_and_better_than_all_stands_alone() -> None:
    opinions = planted()
    p = opinions.p.copy()
    p[:, 1] = np.where(opinions.truth == 1, 0.999, 0.001)
    for price in PRICES:
        assert best_at(board_of(opinions_of(p, opinions.truth), [1.0, 0.5, 20.0]), float(price)) == ((1,),)


def test_three_specialists_make_three_levels() -> None:
    draw = np.random.default_rng(1)
    n = 6_000
    truth, kind = draw.integers(0, 2, n), draw.choice(3, n, p=[0.6, 0.3, 0.1])
    known = kind[:, None] == np.arange(3)
    right = np.where(truth == 1, 0.999, 0.001)[:, None]
    board = board_of(opinions_of(np.where(known, right, 0.5), truth), [1.0, 3.0, 9.0])
    best = search(board, np.array([200.0]))[0]
    assert best.levels == ((0,), (1,), (2,))
    assert best.value == pytest.approx(1 + 0.4 * 3 + 0.1 * 9, rel=0.05)


def test_chains_grow_at_any_place() -> None:
    base: Levels = ((0,), (2,))
    grown = {((1,), (0,), (2,)), ((0,), (1,), (2,)), ((0,), (2,), (1,))}
    assert set(_neighbours(base, range(3), merge=False)) == grown
    assert set(_neighbours(base, range(3), merge=True)) == grown | {((0, 1), (2,)), ((0,), (1, 2))}


def test_what_is_found_is_ordered_and_valued_right() -> None:
    opinions = held_out(yes_no(1_500, 0))
    board = board_of(opinions, [1.0, 4.0, 40.0])
    heard: list[float] = []
    found = search(board, PRICES, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)
    for price in PRICES:
        here = [each for each in found if each.price == price]
        assert [each.rank for each in here] == list(range(len(here)))
        values = [each.value for each in here]
        assert values == sorted(values)
        singles = [float((board.cost[j] + price * board.know((j,)).state.loss).mean()) for j in range(3)]
        assert values[0] <= min(singles) + 1e-9
        for each in here:
            way = walk(board.chain(each.levels), fit_exits(board.chain(each.levels), price, opinions.weight))
            assert each.value == pytest.approx(float((way.cost + price * way.loss).mean()))
            assert len({column for level in each.levels for column in level}) == sum(map(len, each.levels))
    fresh = search(board_of(opinions, [1.0, 4.0, 40.0]), PRICES)
    assert fresh == found  # nothing depends on what the board remembers


@pytest.mark.parametrize("bound", [1.0, 3.0, 5.0, 6.0, 9.0])
def test_no_way_is_slower_than_allowed(bound: float) -> None:
    board = board_of(held_out(yes_no(1_000, 0)), [1.0, 4.0, 40.0], [1.0, 3.0, 5.0])
    found = search(board, PRICES, latency=bound)
    assert found
    for each in found:
        assert board.slowest(each.levels) == sum(max((1.0, 3.0, 5.0)[c] for c in level) for level in each.levels)
        assert board.slowest(each.levels) <= bound


def test_where_time_is_short_models_are_asked_side_by_side() -> None:
    draw = np.random.default_rng(2)
    n = 3_000
    truth = draw.integers(0, 2, n)
    known = draw.integers(0, 2, n)[:, None] == np.arange(2)  # half of the pictures each, and neither knows which
    p = np.where(known, np.where(truth == 1, 0.99, 0.01)[:, None], 0.5)
    board = board_of(opinions_of(p, truth), [1.0, 1.0], [10.0, 10.0])
    assert len(best_at(board, 100.0)) == 2
    assert best_at(board, 100.0, latency=15.0) == ((0, 1),)
    assert len(best_at(board, 100.0, latency=20.0)) == 2


@law
@given(seed=st.integers(0, 1_000), price=st.floats(1, 500), data=st.data())
def test_judging_the_same_pictures_is_walking_the_chain(seed: int, price: float, data: st.DataObject) -> None:
    opinions = held_out(yes_no(300, seed, missing=0.1))
    board = board_of(opinions, [1.0, 4.0, 40.0])
    order = data.draw(st.permutations(range(3)))
    levels = data.draw(
        st.sampled_from([tuple((c,) for c in order), ((order[0],), tuple(sorted(order[1:]))), (tuple(sorted(order)),)])
    )
    borders = fit_exits(board.chain(levels), price, opinions.weight)
    walked, judged = walk(board.chain(levels), borders), board.judge(opinions, levels, borders)
    np.testing.assert_array_equal(judged.cost, walked.cost)
    np.testing.assert_array_equal(judged.loss, walked.loss)
    np.testing.assert_array_equal(judged.level, walked.level)
    some = np.arange(0, 300, 3)
    np.testing.assert_array_equal(board.judge(opinions.rows(some), levels, borders).level, walked.level[some])
    answers = board.winners(levels)[np.arange(300), walked.level]
    np.testing.assert_array_equal(board.prices.loss(opinions.truth, answers), walked.loss)


def test_once_the_anchor_has_spoken_it_decides_alone() -> None:
    opinions = held_out(yes_no(1_500, 0))
    board = board_of(opinions, [1.0, 4.0, 40.0], anchor=(2,))
    alone = board.know((2,)).state.winner
    for others in ((0, 2), (1, 2), (0, 1, 2)):
        np.testing.assert_array_equal(board.know(others).state.winner, alone)
        assert board.know(others).ballot.columns == (2,)
    assert board.know((0, 1)).ballot.columns == (0, 1)
    free = board_of(opinions, [1.0, 4.0, 40.0])
    assert (free.know((0, 1, 2)).state.winner != alone).any()
    assert board.on(opinions.rows(np.arange(100))).anchor == (2,)


def test_what_is_known_does_not_depend_on_the_order_of_asking() -> None:
    board = board_of(held_out(yes_no(500, 0)), [1.0, 4.0, 40.0])
    assert board.know((2, 0)) is board.know((0, 2))
    before = board.know((0, 1, 2)).state.winner
    board.shed()
    assert (0, 1, 2) not in board._known
    np.testing.assert_array_equal(board.know((0, 1, 2)).state.winner, before)


def test_frequent_labels_have_thresholds_of_their_own_and_rare_ones_share_theirs() -> None:
    opinions = held_out(labelled(3_000, 0, kinds=6))
    board = board_of(opinions, [1.0, 4.0, 40.0])
    often = np.bincount(opinions.truth, minlength=6)
    kinds = [board.kind_of(label) for label in range(6)]
    assert [kind > 0 for kind in kinds] == (often >= 150).tolist()
    assert sorted(kind for kind in kinds if kind) == list(range(1, board.kinds))
    small = board_of(held_out(labelled(120, 0)), [1.0, 4.0, 40.0])
    assert small.kinds == 1


def test_yes_and_no_have_a_threshold_each() -> None:
    board = board_of(held_out(yes_no(500, 0)), [1.0, 4.0, 40.0])
    assert (board.kind_of(0), board.kind_of(1), board.kinds) == (0, 1, 2)
    known = board.know((0,))
    assert (known.cells // board.bins == known.state.winner).all()
    np.testing.assert_array_equal(
        known.cells % board.bins, np.searchsorted(known.edges, known.state.strength, side="right")
    )


def test_a_search_over_labels_does_better_than_any_model() -> None:
    opinions = held_out(labelled(2_000, 1))
    board = board_of(opinions, [1.0, 4.0, 40.0])
    price = 200.0
    best = search(board, np.array([price]))[0]
    assert len(best.levels) >= 2
    assert best.value < 0.9 * min(float((board.cost[j] + price * board.know((j,)).state.loss).mean()) for j in range(3))
