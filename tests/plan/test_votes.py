"""Votes, where yes begins, and what a wrong answer counts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, matthews_corrcoef

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import opinions_of, sigmoid, yes_no

from natix_cascade.decide import logit, vote
from natix_cascade.plan.loss import Prices, metric_draws, metric_of, prices
from natix_cascade.plan.opinions import Opinions, held_out
from natix_cascade.plan.votes import Ballot, Voting, count, decision_threshold, fit_ballot
from natix_cascade.spec.policy import Metric

law = settings(deadline=None, max_examples=60)
each_voting = pytest.mark.parametrize("voting", ["log_odds", "mean"])
METRICS: tuple[Metric, ...] = ("accuracy", "mcc", "reward")
each_metric = pytest.mark.parametrize("metric", METRICS)
ONE = Prices()


def made(skills: list[float], n: int = 2_000, seed: int = 0) -> Opinions:
    """Calibrated models of independent noise: log-odds are ``2 skill evidence``."""
    draw = np.random.default_rng(seed)
    truth = (draw.random(n) < 0.5).astype(np.int64)
    skill = np.array(skills)
    evidence = (2 * truth - 1)[:, None] * skill + draw.normal(size=(n, len(skills)))
    return opinions_of(sigmoid(2 * skill * evidence), truth)


def likelihood(opinions: Opinions, weights: np.ndarray) -> float:
    """What the mixture maximises: log-likelihood with 25 pictures of prior on equal weights."""
    share = weights / weights.sum()
    given_to_truth = np.where(opinions.truth[:, None] == 1, opinions.p, 1 - opinions.p)
    prior = 25 / len(share) * np.log(np.maximum(share, 1e-300)).sum()
    return float(opinions.weight @ np.log(given_to_truth @ share) + prior)


@each_voting
def test_who_knows_nothing_weighs_little(voting: Voting) -> None:
    opinions = made([1.5, 1.0])
    p = opinions.p.copy()
    p[:, 1] = np.random.default_rng(1).permutation(p[:, 1])  # as sure as before, of anything
    weights = fit_ballot(opinions_of(p, opinions.truth), (0, 1), ONE, voting).weights
    assert weights[1] < 0.1 * weights[0]
    assert np.mean(weights) == pytest.approx(1, rel=1e-5)


@each_voting
def test_twins_weigh_the_same(voting: Voting) -> None:
    opinions = made([1.0, 0.5, 1.0])
    p = opinions.p.copy()
    p[:, 2] = p[:, 0]
    weights = fit_ballot(opinions_of(p, opinions.truth), (0, 1, 2), ONE, voting).weights
    assert weights[0] == pytest.approx(weights[2], rel=1e-4)
    assert weights[0] > 0.1
    assert sum(weights) == pytest.approx(3, rel=1e-4)


def test_independent_calibrated_models_add_their_log_odds() -> None:
    weights = fit_ballot(made([1.5, 1.0, 0.5], 20_000), (0, 1, 2), ONE, "log_odds").weights
    np.testing.assert_allclose(weights, 1, atol=0.1)


@each_voting
def test_one_alone_decides(voting: Voting) -> None:
    assert fit_ballot(made([1.0, 0.5]), (1,), ONE, voting).weights == (1.0,)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), m=st.integers(2, 5), shared=st.floats(0, 0.99), n=st.integers(5, 300))
def test_no_model_votes_against_itself(seed: int, m: int, shared: float, n: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, n)
    common = draw.normal(size=(n, 1))
    skill = draw.normal(0, 1.5, m)  # some know better than nothing, some worse
    x = (2 * truth - 1)[:, None] * skill + shared * 3 * common + draw.normal(size=(n, m))
    p = sigmoid(x)
    p[draw.random(p.shape) < 0.1] = np.nan
    opinions = opinions_of(p, truth)
    for voting in ("log_odds", "mean"):
        ballot = fit_ballot(opinions, range(m), ONE, voting)  # type: ignore[arg-type]  # a literal
        assert min(ballot.weights) >= 0
        assert max(ballot.weights) > 0
        assert 0 < ballot.threshold < 1


def test_a_contrarian_drops_out_of_the_log_odds() -> None:
    opinions = made([1.0, 1.5])
    p = opinions.p.copy()
    p[:, 0] = 1 - p[:, 0]
    assert fit_ballot(opinions_of(p, opinions.truth), (0, 1), ONE, "log_odds").weights == (0.0, 2.0)


def test_log_odds_weights_are_the_best_ones_that_are_not_negative() -> None:
    """Karush, Kuhn and Tucker: no slope where a weight is free, and none downhill where it is held at 0."""
    opinions = made([1.2, 0.8, 0.5, 0.3], 1_500, 4)
    opinions.p[:, 2] = 1 - opinions.p[:, 2]
    x, truth = logit(opinions.p), opinions.truth
    weights = np.array(fit_ballot(opinions, range(4), ONE, "log_odds").weights)

    def slope(scale: float) -> np.ndarray:
        w = scale * weights
        return np.asarray(x.T @ (sigmoid(x @ w) - truth) + 25 * (w - 0.25))

    scales = np.linspace(0.1, 2, 2_000)  # weights are given up to their scale
    best = min(scales, key=lambda scale: abs(float(weights @ slope(scale))))
    found = slope(best)
    assert np.abs(found[weights > 0]).max() < 2.0  # of sums over 1,500 pictures
    assert (found[weights == 0] > 0).all()
    assert (weights == 0).tolist() == [False, False, True, False]


@law
@given(skills=st.lists(st.floats(0, 2), min_size=2, max_size=4), seed=st.integers(0, 100))
def test_the_mixture_is_likelier_than_others(skills: list[float], seed: int) -> None:
    opinions = made(skills, 300, seed)
    found = np.array(fit_ballot(opinions, range(len(skills)), ONE, "mean").weights)
    best = likelihood(opinions, found)
    draw = np.random.default_rng(seed)
    others = [np.ones(len(skills)), *draw.dirichlet(np.ones(len(skills)), 5)]
    assert all(best >= likelihood(opinions, other) - 0.05 for other in others)


def test_weights_of_rows_are_like_repeated_rows() -> None:
    opinions = made([1.0, 0.6], 500)
    times = np.random.default_rng(1).integers(0, 4, 500)
    weighed = opinions_of(opinions.p, opinions.truth, weight=times.astype(np.float64))
    again = opinions.rows(np.repeat(np.arange(500), times))
    for voting in ("log_odds", "mean"):
        one, other = (fit_ballot(each, (0, 1), ONE, voting) for each in (weighed, again))  # type: ignore[arg-type]
        assert one.weights == pytest.approx(other.weights, rel=1e-4)
        assert one.threshold == pytest.approx(other.threshold, abs=1e-3)


@law
@given(
    rows=st.lists(st.tuples(st.integers(1, 39), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
    false_yes=st.sampled_from([0.3, 1.0, 2.0, 7.0]),
    missed=st.sampled_from([0.3, 1.0, 2.0, 7.0]),
)
def test_no_threshold_loses_less(rows: list[tuple[int, bool, int]], false_yes: float, missed: float) -> None:
    """By brute force over all thresholds, up to the quarter of one picture's loss that the widest stretch may cost."""
    p = np.array([row[0] for row in rows]) / 40
    yes, weight = np.array([row[1] for row in rows]), np.array([float(row[2]) for row in rows])
    price = Prices(false_yes=false_yes, missed=missed)

    def loss(threshold: float) -> float:
        return float(weight @ price.loss(yes.astype(np.int64), (p >= threshold).astype(np.int64)))

    found = decision_threshold(p, yes, weight, price)
    assert 0 < found < 1
    least = min(loss(at) for at in (np.arange(41) + 0.5) / 40)
    assert loss(found) <= least + 0.25 * min(false_yes, missed) + 1e-9
    if false_yes == missed == 1.0:
        assert loss(found) == least


def test_yes_begins_in_the_middle_of_the_widest_stretch() -> None:
    p, yes = np.array([0.1, 0.3, 0.6, 0.9, np.nan]), np.array([False, False, True, True, False])
    found = decision_threshold(p, yes, np.ones(5), ONE)
    assert float(logit(found)) == pytest.approx(float(logit(0.3) + logit(0.6)) / 2, abs=1e-3)
    assert decision_threshold(np.array([np.nan]), np.array([True]), np.ones(1), ONE) == pytest.approx(0.5)


def test_dear_misses_lower_the_threshold() -> None:
    opinions = made([1.0], 40_000)
    found = [
        decision_threshold(opinions.p[:, 0], opinions.truth == 1, opinions.weight, Prices(1.0, missed))
        for missed in (0.25, 1.0, 4.0)
    ]
    assert found == pytest.approx([0.8, 0.5, 0.2], abs=0.06)  # calibrated: yes begins at 1 / (1 + missed)


@law
@given(seed=st.integers(0, 2**32), m=st.integers(1, 4), at=st.floats(0.1, 0.9))
def test_what_is_known_after_a_ballot(seed: int, m: int, at: float) -> None:
    draw = np.random.default_rng(seed)
    p = draw.random((50, m))
    p[draw.random(p.shape) < 0.3] = np.nan
    opinions = opinions_of(p, draw.integers(0, 2, 50))
    ballot = Ballot(tuple(range(m)), tuple(draw.uniform(0.1, 2, m).tolist()), "log_odds", at)
    state = count(opinions, ballot, Prices(2.0, 3.0))
    q = vote("log_odds", p, ballot.weights)
    silent = np.isnan(q)
    assert (state.winner[silent] == -1).all()
    assert (state.strength[silent] == -1).all()
    assert (state.winner[~silent] == (q[~silent] >= at)).all()
    np.testing.assert_allclose(state.strength[~silent], np.abs(logit(q[~silent]) - logit(at)))
    wrong = state.winner != opinions.truth
    assert (state.loss[~wrong] == 0).all()
    assert (state.loss[wrong] == np.where((state.winner == 1)[wrong], 2.0, 3.0)).all()


@law
@given(
    rows=arrays(np.int64, st.tuples(st.integers(1, 60), st.just(3)), elements=st.integers(0, 1)),
    seed=st.integers(0, 2**32),
)
def test_metrics_are_scikit_learns(rows: np.ndarray, seed: int) -> None:
    truth, answer = np.append(rows[:, 0], [0, 1]), np.append(rows[:, 1], [1, 1])  # it warns of one class
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(truth))
    right = accuracy_score(truth, answer, sample_weight=weight)
    correlation = matthews_corrcoef(truth, answer, sample_weight=weight)
    assert metric_of("accuracy", truth, answer, weight) == pytest.approx(right)
    assert metric_of("mcc", truth, answer, weight) == pytest.approx(correlation, abs=1e-9)
    wanted = ((max(correlation, 0) + right) / 2) ** 3
    assert metric_of("reward", truth, answer, weight) == pytest.approx(wanted, abs=1e-9)


def test_accuracy_of_many_labels_and_of_silence() -> None:
    truth, answer = np.array([3, 1, 0, 2]), np.array([3, 1, -1, 0])
    assert metric_of("accuracy", truth, answer, np.ones(4)) == 0.5
    assert metric_of("accuracy", truth, answer, np.array([2.0, 0, 1, 1])) == 0.5
    assert prices("accuracy", truth, answer, np.ones(4)) == ONE
    assert ONE.loss(truth, answer).tolist() == [0, 0, 1, 1]


@each_metric
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 80))
def test_draws_count_like_weights(metric: Metric, seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    truth, answer = np.append(draw.integers(0, 2, n), [0, 1]), np.append(draw.integers(0, 2, n), [0, 1])
    times = draw.integers(0, 4, (6, n + 2))
    times[:, -2:] += 1
    draws = (times / times.sum(axis=1, keepdims=True)).astype(np.float32)
    found = metric_draws(metric, truth, answer, draws)
    wanted = [metric_of(metric, truth, answer, row.astype(np.float64)) for row in times]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("metric", ["mcc", "reward"])
@law
@given(
    cells=st.tuples(*[st.integers(100, 800)] * 4),
    first=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    second=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
)
def test_prices_order_small_changes_as_the_metric_does(
    metric: Metric, cells: tuple[int, int, int, int], first: tuple[int, int], second: tuple[int, int]
) -> None:
    """More false yeses and more misses (fewer: negative) than the reference, priced, against the metric itself."""
    tp, fp, fn, tn = cells
    if tp * tn < 4 * fp * fn:  # worse than a correlation that anybody would start from
        tp, fp, fn, tn = max(tp, fp) + 200, min(tp, fp), min(fn, tn), max(fn, tn) + 200
    truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
    n = len(truth)

    def value(more: tuple[int, int]) -> float:
        counts = np.array([tp - more[1], fp + more[0], fn + more[1], tn - more[0]], dtype=np.float64)
        return metric_of(metric, np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0]), counts)

    reference = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    price = prices(metric, truth, reference, np.ones(n))
    here = value((0, 0))
    lost = [here - value(more) for more in (first, second)]
    priced = [(more[0] * price.false_yes + more[1] * price.missed) / n for more in (first, second)]
    gross = [(abs(more[0]) * price.false_yes + abs(more[1]) * price.missed) / n for more in (first, second)]
    for real, told, size in zip(lost, priced, gross, strict=True):
        assert real == pytest.approx(told, abs=0.15 * size + 1e-9)
    if abs(priced[0] - priced[1]) > 0.3 * max(gross):
        assert (lost[0] < lost[1]) == (priced[0] < priced[1])


def test_prices_of_mcc_by_hand() -> None:
    truth, answer = np.repeat([1, 0, 1, 0], [95, 5, 5, 895]), np.repeat([1, 1, 0, 0], [95, 5, 5, 895])
    price = prices("mcc", truth, answer, np.ones(1_000))

    def correlation(tp: int, fp: int, fn: int, tn: int) -> float:
        return float((tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))))

    here = correlation(95, 5, 5, 895)
    assert price.false_yes == pytest.approx((here - correlation(95, 6, 5, 894)) * 1_000)
    assert price.missed == pytest.approx((here - correlation(94, 5, 6, 895)) * 1_000)
    assert price.missed > price.false_yes > 1  # yes is rare: each wrong answer counts more than in accuracy


def test_thresholds_for_mcc_lose_less_mcc_than_those_for_accuracy() -> None:
    opinions = held_out(yes_no(6_000, 1, yes=0.08))
    column = 0

    def correlation(price: Prices) -> float:
        state = count(opinions, fit_ballot(opinions, (column,), price, "log_odds"), price)
        return metric_of("mcc", opinions.truth, state.winner, opinions.weight)

    plain = count(opinions, fit_ballot(opinions, (column,), ONE, "log_odds"), ONE).winner
    assert correlation(prices("mcc", opinions.truth, plain, opinions.weight)) > correlation(ONE) + 0.01
