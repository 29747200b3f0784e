from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, multinomial, norm

from natix_cascade.errors import CascadeError
from natix_cascade.plan import pvalues
from natix_cascade.plan.pvalues import (
    betting,
    binomial,
    clusters,
    hoeffding_bentkus,
    paired,
    pictures_needed,
    regret,
)

law = settings(deadline=None, max_examples=50, derandomize=True)  # laws that are found numerically, not proved
limits = st.floats(-0.5, 0.5)
counts = st.integers(1, 400).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda d: st.tuples(st.integers(0, d), st.just(d), st.just(n)))
)
SHAPES = [  # P(worse), P(better), n; the limit is the difference, so that it is met exactly
    (0.02, 0.0, 150),
    (0.011, 0.001, 1_000),
    (0.05, 0.04, 1_000),
    (0.30, 0.20, 200),
    (0.50, 0.10, 60),
    (0.001, 0.0, 4_000),
    (0.03, 0.05, 400),
]
LEVELS = (0.01, 0.05, 0.1, 0.2)


def too_often(p_values: np.ndarray, delta: float) -> bool:
    """Whether even the lower 99.9 % limit (Clopper and Pearson) of the rate of ``p <= delta`` is above delta."""
    hits = int((p_values <= delta).sum())
    return bool(binom.sf(hits - 1, len(p_values), delta) < 1e-3)


def by_normal(losses: np.ndarray, alpha: float) -> float:
    return float(norm.cdf((losses.mean() - alpha) / losses.std() * math.sqrt(len(losses))))


def signs(worse: int, better: int, n: int) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [worse, better, n - worse - better])


@law
@given(mean=st.floats(0, 1), n=st.integers(0, 5_000), alpha=st.floats(-0.1, 1.1), more=st.floats(0, 0.2))
def test_hoeffding_bentkus_falls_with_the_limit(mean: float, n: int, alpha: float, more: float) -> None:
    p = hoeffding_bentkus(mean, n, alpha)
    assert 0 <= hoeffding_bentkus(mean, n, alpha + more) <= p + 1e-12 <= 1 + 1e-12
    assert hoeffding_bentkus(min(mean + more, 1.0), n, alpha) >= p - 1e-12


@law
@given(counts=counts, alpha=limits, more=st.floats(0, 0.2))
def test_paired_falls_with_the_limit_and_rises_with_the_worse(
    counts: tuple[int, int, int], alpha: float, more: float
) -> None:
    worse, differ, n = counts
    p = paired(differ - worse, worse, n, alpha)
    assert 1e-4 <= p <= 1
    assert paired(differ - worse, worse, n, alpha + more) <= p + 1e-9
    assert differ == n or paired(differ - worse, worse + 1, n, alpha) >= p - 1e-9
    assert worse == differ or paired(differ - worse - 1, worse + 1, n, alpha) >= p - 1e-9


@law
@given(n=st.integers(1, 600), at=st.floats(0, 1), share=st.floats(0.001, 1), sd=st.floats(-3, 0), seed=st.integers(0))
def test_no_share_of_discordant_pictures_is_worse_than_paired_says(
    n: int, at: float, share: float, sd: float, seed: int
) -> None:
    alpha = (2 * at - 1) * share / 2
    differ = int(np.random.default_rng(seed).binomial(n, share))
    worse = min(max(math.floor((differ + n * alpha + sd * math.sqrt(n * share)) / 2), 0), differ)
    score = (2 * worse - differ - n * alpha) / math.sqrt(pvalues._spread(differ, n, alpha))
    sure = beta.ppf([5e-5, 1 - 5e-5], [max(differ, 0.1), differ + 1], [n - differ + 1, max(n - differ, 0.1)])
    low, high = max(sure[0], abs(alpha), 1e-9), max(sure[1], abs(alpha), 1e-9)
    tails = [pvalues._tail(score, n, alpha, float(q)) for q in np.linspace(low, high, 40)]
    assert max(tails) <= paired(differ - worse, worse, n, alpha) + 1e-9


@law
@given(n=st.integers(1, 25), at=st.floats(-1, 1), share=st.floats(0.001, 1), score=st.floats(-4, 1))
def test_the_tail_is_the_sum_over_all_outcomes(n: int, at: float, share: float, score: float) -> None:
    alpha = at * share
    better, worse = (grid.ravel() for grid in np.mgrid[0 : n + 1, 0 : n + 1])
    better, worse = better[better + worse <= n], worse[better + worse <= n]
    scores = (worse - better - n * alpha) / np.sqrt(pvalues._spread(better + worse, n, alpha))
    chances = np.array([(share - alpha) / 2, (share + alpha) / 2, 1 - share])
    mass = multinomial.pmf(np.column_stack([better, worse, n - better - worse]), n, chances / chances.sum())
    least, most = mass[scores <= score - 1e-8].sum(), mass[scores <= score + 1e-8].sum()
    assert least - 1e-9 <= pvalues._tail(score, n, alpha, share) <= most + 1e-9


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
def test_paired_is_valid_for_every_distribution(n: int) -> None:
    cells = np.array([(b, w) for b in range(n + 1) for w in range(n + 1 - b)])
    table = np.column_stack([cells, n - cells.sum(1)])
    for alpha in (-0.2, 0.0, 0.05, 0.3, 0.6):
        p = np.array([paired(int(b), int(w), n, alpha) for b, w in cells])
        better = np.linspace(max(0.0, -alpha), (1 - alpha) / 2, 40)
        chances = np.stack([better, better + alpha, np.maximum(1 - 2 * better - alpha, 0.0)], axis=1)
        mass = multinomial.pmf(table[None], n, (chances / chances.sum(1, keepdims=True))[:, None])
        for delta in np.unique(p[p < 1]):
            assert (mass @ (p <= delta)).max() <= delta + 1e-12


@pytest.mark.parametrize(("worse", "better", "n"), SHAPES)
def test_the_exact_tests_are_valid_at_the_limit(worse: float, better: float, n: int) -> None:
    alpha = worse - better
    drawn = np.random.default_rng(1).multinomial(n, [better, worse, 1 - worse - better], size=2_000)
    kinds, times = np.unique(drawn, axis=0, return_counts=True)
    plain = np.repeat([paired(int(b), int(w), n, alpha) for b, w, _ in kinds], times)
    means = (1 + (kinds[:, 1] - kinds[:, 0]) / n) / 2
    crude = np.repeat([hoeffding_bentkus(float(m), n, (1 + alpha) / 2) for m in means], times)
    for delta in LEVELS:
        assert not too_often(plain, delta)
        assert not too_often(crude, delta)


@pytest.mark.parametrize(("worse", "better", "n"), SHAPES[::3])
def test_betting_is_valid_at_the_limit(worse: float, better: float, n: int) -> None:
    alpha = worse - better
    rng = np.random.default_rng(2)
    n = min(n, 120)
    rows = rng.choice([1.0, -1.0, 0.0], p=[worse, better, 1 - worse - better], size=(1_000, n)) - alpha
    p = np.array([betting(row, -1 - alpha, 1 - alpha, seed=i) for i, row in enumerate(rows)])
    assert not any(too_often(p, delta) for delta in LEVELS)


@pytest.mark.parametrize(("shape", "aim"), [((0.2, 1.8), 0.01), ((5.0, 5.0), 0.2), ((0.02, 0.5), 0.05)])
def test_betting_is_valid_for_continuous_losses(shape: tuple[float, float], aim: float) -> None:
    mean = shape[0] / sum(shape)
    rows = np.random.default_rng(3).beta(*shape, size=(1_000, 80))
    p = np.array([regret(row, mean, low=0, seed=i, aim=aim) for i, row in enumerate(rows)])
    assert not any(too_often(p, delta) for delta in LEVELS)


def grouped(
    rng: np.random.Generator, number: int, *, informative: bool
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Losses, groups and the true mean per picture: groups of 1, 3 or 12, alike inside; weights 1 and 2."""
    sizes = rng.choice([1, 3, 12], p=[0.6, 0.3, 0.1], size=number)
    worse = np.where(sizes == 12, 0.2, 0.02) if informative else np.full(number, 0.08)
    first, second = rng.random(number) < 0.5, rng.random(number)
    groups = np.repeat(np.arange(number), sizes)
    base = np.where(second < worse, 1.0, np.where(second > 0.95, -1.0, 0.0))[groups]
    weights = np.where(first, 1.0, 2.0)[groups]
    mean = (0.6 * 0.02 + 0.9 * 0.02 + 1.2 * 0.2) / 2.7 - 0.05 if informative else 0.08 - 0.05
    return base, groups, mean, weights


@pytest.mark.parametrize(("informative", "weighted"), [(False, True), (True, False)])
def test_betting_is_valid_for_groups_of_unequal_size(*, informative: bool, weighted: bool) -> None:
    rng = np.random.default_rng(4)
    p, as_if_single = [], []
    for seed in range(1_000):
        losses, groups, alpha, weights = grouped(rng, 150, informative=informative)
        p.append(regret(losses, alpha, groups=groups, weights=weights if weighted else None, seed=seed))
        if seed < 200:
            as_if_single.append(regret(losses, alpha))
    assert not any(too_often(np.array(p), delta) for delta in LEVELS)
    assert too_often(np.array(as_if_single), 0.05)  # groups do matter


def test_exact_and_betting_are_near_the_normal_p_value_and_hoeffding_is_not() -> None:
    losses = signs(420, 400, 10_000)
    for alpha in (0.005, 0.008):
        normal = by_normal(losses, alpha)
        assert normal < regret(losses, alpha) < 1.05 * normal
    assert regret(losses, 0.008, method="hoeffding") > 30 * normal
    bets = [regret(losses, 0.008, method="betting", seed=seed) for seed in range(15)]
    assert float(np.median(bets)) < 4 * normal
    assert regret(losses, 0.008, method="hoeffding") > 8 * float(np.median(bets))


def test_betting_certifies_nearly_as_often_as_the_normal_test() -> None:
    rng = np.random.default_rng(5)
    rows = rng.choice([1.0, -1.0, 0.0], p=[0.042, 0.040, 0.918], size=(150, 4_000))
    found = {
        "normal": np.mean([by_normal(row, 0.012) <= 0.05 for row in rows]),
        "paired": np.mean([regret(row, 0.012) <= 0.05 for row in rows]),
        "betting": np.mean([regret(row, 0.012, method="betting") <= 0.05 for row in rows]),
        "hoeffding": np.mean([regret(row, 0.012, method="hoeffding") <= 0.05 for row in rows]),
    }
    assert found["normal"] > 0.6
    assert found["paired"] > 0.95 * found["normal"]
    assert found["betting"] > 0.8 * found["normal"]
    assert found["hoeffding"] < 0.05


def test_about_half_of_the_plans_are_certified_with_the_pictures_needed() -> None:
    variance = 0.08 - 0.001**2
    n = pictures_needed(0.001, variance, 0.01, 0.05)
    assert n is not None
    drawn = np.random.default_rng(6).multinomial(n, [0.0395, 0.0405, 0.92], size=400)
    assert 0.35 < np.mean([paired(int(b), int(w), n, 0.01) <= 0.05 for b, w, _ in drawn]) < 0.65
    assert pictures_needed(0.0, 0.0, 0.01, 0.05) == 300  # the rule of three
    assert pictures_needed(0.01, 0.1, 0.01, 0.05) is None


@law
@given(
    rows=st.lists(st.floats(-1, 1), min_size=1, max_size=60),
    power=st.integers(-20, 20),
    high=st.floats(1, 4),
    seed=st.integers(0, 9),
)
def test_betting_does_not_depend_on_the_unit(rows: list[float], power: int, high: float, seed: int) -> None:
    p = betting(rows, -1, high, seed=seed)
    assert 0 <= p <= 1
    scale = 2.0**power
    assert betting(np.array(rows) * scale, -scale, high * scale, seed=seed) == p
    assert betting(rows, np.full(len(rows), -1.0), np.full(len(rows), high), seed=seed) == p


def test_a_longer_run_of_good_rows_is_stronger_evidence() -> None:
    p = [betting(np.full(n, -0.02), -1.02, 0.98) for n in (0, 10, 100, 200, 1_000, 10_000)]
    assert p == sorted(p, reverse=True)
    assert p[0] == 1
    assert p[3] < 0.05
    assert betting(np.full(500, 0.98), -1.02, 0.98) == 1


def test_rows_of_groups_by_hand() -> None:
    values, low, high = clusters([1, 0, -1, 0], ["b", "a", "b", "b"], 0.5, [1, 2, 1, 0])
    np.testing.assert_allclose(values, [-1.0, 0.5 - 1.5])
    np.testing.assert_allclose(low, [-3.0, -3.0])
    np.testing.assert_allclose(high, [1.0, 1.0])
    values, low, high = clusters([1, 0], [0, 0], 0.25, low=0)
    assert (values.tolist(), low.tolist(), high.tolist()) == ([0.5], [-0.5], [1.5])


def test_the_front_door_takes_the_right_test() -> None:
    losses = signs(10, 20, 600)
    assert regret(losses, 0.02) == paired(20, 10, 600, 0.02)
    assert regret(losses, 0.02, groups=[f"drive {i}" for i in range(600)]) == paired(20, 10, 600, 0.02)
    assert regret(losses, 0.02, groups=np.arange(600) // 2) == betting(*clusters(losses, np.arange(600) // 2, 0.02))
    assert regret(losses, 0.02, weights=np.ones(600)) == regret(losses, 0.02, method="betting")
    assert regret(losses / 2, 0.02) == betting(losses / 2 - 0.02, -1.02, 0.98)
    assert regret(losses, 0.02, method="hoeffding") == pytest.approx(hoeffding_bentkus(590 / 1200, 600, 0.51))
    assert regret(losses, 0.02, method="betting", aim=0.001) != regret(losses, 0.02, method="betting")


def test_what_the_data_cannot_tell() -> None:
    assert regret([], 0.1) == regret([], 0.1, method="betting") == regret([0, 0], 0.1, weights=[0, 0]) == 1
    assert paired(0, 0, 0, 0.1) == binomial(0, 0, 0.1) == hoeffding_bentkus(0.0, 0, 0.1) == 1
    assert regret([-1.0] * 50, -1.0) == regret([-0.5] * 50, -1.0) == hoeffding_bentkus(0.0, 50, 0.0) == 1
    assert regret([1.0] * 50, 1.0) == regret([0.5] * 50, 2.0) == binomial(50, 50, 1.0) == 0
    assert paired(0, 5, 5, 0.2) == paired(2, 3, 5, 0.2) == paired(0, 0, 1_000, 0.0) == 1
    assert paired(0, 0, 1_000, 0.01) < 0.01
    assert paired(600, 0, 1_000, -0.5) < 0.001


def test_binomial_is_the_tail() -> None:
    assert binomial(3, 20, 0.3) == pytest.approx(binom.cdf(3, 20, 0.3))


def test_large_samples_are_cheap_and_exact_enough() -> None:
    p = paired(40_000, 41_000, 1_000_000, 0.0015)
    assert 0 < p - by_normal(signs(41_000, 40_000, 1_000_000), 0.0015) < 0.003


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hoeffding_bentkus(-0.1, 9, 0.1), "rescale"),
        (lambda: hoeffding_bentkus(0.1, -1, 0.1), "n is -1"),
        (lambda: binomial(3, 2, 0.1), "3 of 2"),
        (lambda: paired(2, 2, 3, 0.1), "disjoint"),
        (lambda: paired(-1, 2, 3, 0.1), "disjoint"),
        (lambda: paired(0, 0, 3, math.nan), "alpha nan"),
        (lambda: betting([0.1], 0.0, 1.0), "between"),
        (lambda: betting([0.1], -1.0, math.nan), "between"),
        (lambda: betting([2.0], -1.0, 1.0), "within their bounds"),
        (lambda: betting([math.nan], -1.0, 1.0), "within their bounds"),
        (lambda: betting([0.1], -1.0, 1.0, aim=0.0), "aim"),
        (lambda: betting([0.1, 0.2], [-1.0], 1.0), "low has shape"),
        (lambda: clusters([0.1], [1, 2], 0.0), "groups has shape"),
        (lambda: clusters([0.1], [1], 0.0, [-1.0]), "weights"),
        (lambda: regret([2.0], 0.1), "losses must be within"),
        (lambda: regret([math.nan], 0.1), "NaN"),
        (lambda: regret([0.0], 0.1, groups=[1, 2]), "groups has shape"),
        (lambda: regret([0.0, 1.0], 0.1, groups=[1, 1], method="paired"), "use betting"),
        (lambda: regret([0.5], 0.1, method="paired"), "-1, 0 and 1"),
        (lambda: regret([0.5], 0.1, weights=[1.0], method="hoeffding"), "use betting"),
        (lambda: regret([0.5], 0.1, method="best"), "method is 'best'"),  # type: ignore[arg-type]
        (lambda: pictures_needed(0.0, -1.0, 0.1, 0.1), "variance"),
        (lambda: pictures_needed(0.0, 1.0, 0.1, 1.0), "delta"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        call()
