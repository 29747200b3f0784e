"""Exit thresholds against brute force, and the way of pictures against a loop over them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from natix_cascade.plan.exits import Chain, Walk, edges_of, fit_exits, walk

law = settings(deadline=None, max_examples=60)


@st.composite
def chains(draw: st.DrawFn, *, levels: int, most: int = 30, bins: int = 4) -> tuple[Chain, np.ndarray]:
    """A chain of whole numbers (sums are exact, and ties are frequent), and weights."""
    n, kinds, bins = draw(st.integers(1, most)), draw(st.integers(1, 2)), draw(st.integers(1, bins))
    whole = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = [whole.integers(0, kinds * bins, n) for _ in range(levels - 1)]
    loss = [whole.integers(0, 3, n).astype(np.float64) for _ in range(levels)]
    cost = np.cumsum(whole.integers(0, 6, levels)).astype(np.float64)
    return Chain(cells, loss, cost, kinds, bins), whole.integers(0, 4, n).astype(np.float64)


def value(chain: Chain, borders: list[np.ndarray], price: float, weight: np.ndarray) -> float:
    way = walk(chain, borders)
    return float(weight @ (way.cost + price * way.loss))


def all_borders(chain: Chain) -> list[list[np.ndarray]]:
    one = [np.array(each) for each in product(range(chain.bins + 1), repeat=chain.kinds)]
    return [list(each) for each in product(one, repeat=len(chain.cells))]


prices = st.integers(0, 20).map(float)


@law
@given(drawn=chains(levels=2), price=prices)
def test_two_levels_get_the_best_thresholds_there_are(drawn: tuple[Chain, np.ndarray], price: float) -> None:
    chain, weight = drawn
    found = fit_exits(chain, price, weight)
    assert value(chain, found, price, weight) == min(value(chain, b, price, weight) for b in all_borders(chain))
    assert all(((border >= 0) & (border <= chain.bins)).all() for border in found)


@law
@given(drawn=chains(levels=3), price=prices)
def test_three_levels_get_thresholds_that_none_alone_improves(drawn: tuple[Chain, np.ndarray], price: float) -> None:
    chain, weight = drawn
    found = fit_exits(chain, price, weight)
    best = value(chain, found, price, weight)
    nobody = [np.full(chain.kinds, chain.bins)] * 2
    assert best <= value(chain, nobody, price, weight)
    again = fit_exits(chain, price, weight, found)
    assert [b.tolist() for b in again] == [b.tolist() for b in found]
    for level in range(2):
        for other in product(range(chain.bins + 1), repeat=chain.kinds):
            moved = [*found]
            moved[level] = np.array(other)
            assert value(chain, moved, price, weight) >= best


@law
@given(drawn=chains(levels=4, bins=3), price=prices, data=st.data())
def test_no_start_is_made_worse(drawn: tuple[Chain, np.ndarray], price: float, data: st.DataObject) -> None:
    chain, weight = drawn
    border = arrays(np.int64, chain.kinds, elements=st.integers(0, chain.bins))
    start = [data.draw(border) for _ in range(3)]
    kept = [each.copy() for each in start]
    found = fit_exits(chain, price, weight, start)
    assert value(chain, found, price, weight) <= value(chain, start, price, weight)
    assert [each.tolist() for each in start] == [each.tolist() for each in kept]


def test_three_levels_of_many_pictures_come_near_the_best() -> None:
    draw = np.random.default_rng(0)
    gaps = []
    for _ in range(30):
        n = 200
        hard = draw.random(n)
        cells = [
            np.minimum((np.clip(1 - hard + draw.normal(0, s, n), 0, 0.999) * 4).astype(int), 3) for s in (0.3, 0.15)
        ]
        loss = [(draw.random(n) < hard * k).astype(np.float64) for k in (0.6, 0.3, 0.1)]
        chain = Chain(cells, loss, np.array([1.0, 4.0, 20.0]), 1, 4)
        weight = np.ones(n)
        best = min(value(chain, b, 60.0, weight) for b in all_borders(chain))
        gaps.append(value(chain, fit_exits(chain, 60.0, weight), 60.0, weight) / best - 1)
    assert max(gaps) < 0.05
    assert np.mean(np.array(gaps) < 1e-9) >= 0.8


@law
@given(drawn=chains(levels=2, most=60), first=prices, more=st.integers(1, 20))
def test_dearer_loss_is_never_more_loss(drawn: tuple[Chain, np.ndarray], first: float, more: int) -> None:
    chain, weight = drawn
    cheap, dear = (walk(chain, fit_exits(chain, price, weight)) for price in (first, first + more))
    assert weight @ dear.loss <= weight @ cheap.loss
    assert weight @ dear.cost >= weight @ cheap.cost


def one_by_one(chain: Chain, borders: list[np.ndarray]) -> Walk:
    cost, loss, level = [], [], []
    for i in range(len(chain.loss[0])):
        at = 0
        while at < len(chain.cells):
            kind, strength = divmod(int(chain.cells[at][i]), chain.bins)
            if strength >= borders[at][kind]:
                break
            at += 1
        cost.append(float(chain.cost[at]))
        loss.append(float(chain.loss[at][i]))
        level.append(at)
    return Walk(np.array(cost), np.array(loss), np.array(level))


@law
@given(levels=st.integers(1, 4), data=st.data())
def test_pictures_leave_at_the_first_level_that_lets_them(levels: int, data: st.DataObject) -> None:
    chain, _ = data.draw(chains(levels=levels))
    border = arrays(np.int64, chain.kinds, elements=st.integers(0, chain.bins))
    borders = [data.draw(border) for _ in range(levels - 1)]
    found, wanted = walk(chain, borders), one_by_one(chain, borders)
    assert found.cost.tolist() == wanted.cost.tolist()
    assert found.loss.tolist() == wanted.loss.tolist()
    assert found.level.tolist() == wanted.level.tolist()
    chosen = np.flatnonzero(np.arange(len(found.cost)) % 2 == 0)
    assert walk(chain.rows(chosen), borders).level.tolist() == found.level[chosen].tolist()


def test_nobody_leaves_where_going_on_is_free_and_better() -> None:
    chain = Chain([np.array([0, 1])], [np.array([1.0, 1.0]), np.zeros(2)], np.array([1.0, 1.0]), 1, 2)
    assert fit_exits(chain, 5.0, np.ones(2))[0].tolist() == [2]
    everybody = fit_exits(Chain(chain.cells, chain.loss, np.array([1.0, 9.0]), 1, 2), 5.0, np.ones(2))
    assert everybody[0].tolist() == [0]


def test_kinds_of_answers_have_thresholds_of_their_own() -> None:
    cells = np.array([0, 1, 2, 3])  # two kinds of two bins
    loss = [np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(4)]
    chain = Chain([cells], loss, np.array([1.0, 2.0]), 2, 2)
    assert fit_exits(chain, 10.0, np.ones(4))[0].tolist() == [1, 2]


@law
@given(
    strength=arrays(np.float64, st.integers(1, 80), elements=st.integers(-3, 12).map(lambda k: k / 4)),
    bins=st.integers(1, 12),
)
def test_edges_cut_between_values_that_occur(strength: np.ndarray, bins: int) -> None:
    edges = edges_of(strength, bins)
    values = np.unique(strength)
    assert len(edges) < bins
    assert (np.diff(edges) > 0).all()
    for edge in edges:
        below, above = values[values < edge].max(), values[values > edge].min()
        assert edge == (below + above) / 2
        assert edge not in values


@given(n=st.integers(1, 300), bins=st.integers(1, 40))
def test_bins_are_of_one_size_where_values_differ(n: int, bins: int) -> None:
    strength = np.random.default_rng(n).permutation(n) / 7
    mass = np.bincount(np.searchsorted(edges_of(strength, bins), strength, side="right"))
    assert len(mass) == min(bins, n)
    assert mass.max() - mass.min() <= 1


@pytest.mark.parametrize("strength", [np.full(9, 0.3), np.array([2.0])])
def test_one_value_is_one_bin(strength: np.ndarray) -> None:
    assert len(edges_of(strength, 8)) == 0
