from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import matthews_corrcoef

from natix_cascade.decide import (
    accuracy,
    best_threshold,
    bootstrap_by_group,
    confusion,
    expected_calibration_error,
    mcc,
    reliability,
    reward,
    rolling_reward,
)
from natix_cascade.errors import CascadeError

law = settings(deadline=None, max_examples=60)
pairs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(arrays(bool, n), arrays(bool, n), arrays(np.int64, n, elements=st.integers(0, 4)))
)


def noisy(n: int, wrong: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random(n) < 0.5
    return labels, labels ^ (rng.random(n) < wrong)


@law
@given(rows=pairs)
def test_mcc_is_scikit_learns(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, predictions = np.append(rows[0], [True, False]), np.append(rows[1], [True, True])  # it warns of one class
    assert mcc(labels, predictions) == pytest.approx(matthews_corrcoef(labels, predictions), abs=1e-12)


@law
@given(rows=pairs)
def test_weights_count_like_repeated_rows(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, predictions, times = rows
    again = np.repeat(labels, times), np.repeat(predictions, times)
    assert mcc(labels, predictions, times) == mcc(*again)
    if times.any():
        assert accuracy(labels, predictions, times) == accuracy(*again)


def test_counts_by_hand() -> None:
    c = confusion([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    assert (c.true_positive, c.false_negative, c.false_positive, c.true_negative) == (1, 1, 1, 2)
    assert accuracy([1, 1, 0, 0, 0], [1, 0, 1, 0, 0]) == 0.6


def test_mcc_is_zero_where_it_is_undefined() -> None:
    assert mcc([1, 1], [1, 1]) == 0.0
    assert mcc([1, 0], [1, 1]) == 0.0
    assert mcc([], []) == 0.0


@pytest.mark.parametrize(("m", "a", "expected"), [(0.90, 0.95, 0.791), (0.95, 0.98, 0.898), (0.97, 0.99, 0.941)])
def test_reward_is_the_subnets(m: float, a: float, expected: float) -> None:
    assert reward(m, a) == pytest.approx(expected, abs=1e-3)
    assert reward(-1.0, a) == (a / 2) ** 3


def test_rolling_reward_looks_at_the_last_answers_only() -> None:
    labels, predictions = noisy(260, 0.2)
    rolling = rolling_reward(labels, predictions)
    for index in (0, 5, 99, 100, 259):
        last = slice(max(index - 99, 0), index + 1)
        ten = slice(max(index - 9, 0), index + 1)
        expected = reward(mcc(labels[last], predictions[last]), accuracy(labels[ten], predictions[ten]))
        assert rolling[index] == pytest.approx(expected)


def test_bootstrap_holds_the_estimate_and_widens_with_dependence() -> None:
    labels, predictions = noisy(2_000)
    alone = bootstrap_by_group(mcc, np.arange(2_000), labels, predictions, repetitions=300)
    assert alone[0] < mcc(labels, predictions) < alone[1]
    # the same rows, each ten times over: as rows they look more certain than they are, as groups they do not
    many, answers = np.repeat(labels, 10), np.repeat(predictions, 10)
    grouped = bootstrap_by_group(mcc, np.repeat(np.arange(2_000), 10), many, answers, repetitions=300)
    ungrouped = bootstrap_by_group(mcc, np.arange(20_000), many, answers, repetitions=100)
    assert grouped == pytest.approx(alone)
    assert ungrouped[1] - ungrouped[0] < 0.6 * (grouped[1] - grouped[0])


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        labels = rng.random(300) < 0.5
        predictions = labels ^ (rng.random(300) < 0.1)
        low, high = bootstrap_by_group(accuracy, np.arange(300), labels, predictions, repetitions=100, level=0.9)
        hits += low <= 0.9 <= high
    assert 78 <= hits <= 99


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, predictions = noisy(100)
    groups = [f"place {index % 7}" for index in range(100)]
    first = bootstrap_by_group(accuracy, groups, labels, predictions, repetitions=50, seed=4)
    assert first == bootstrap_by_group(accuracy, groups, labels, predictions, repetitions=50, seed=4)


@law
@given(
    rows=st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 9).tolist()), st.booleans()), min_size=1, max_size=30),
)
def test_no_threshold_beats_the_best_one(rows: list[tuple[float, bool]]) -> None:
    p = np.array([0.3, 0.6, *(row[0] for row in rows)])
    labels = np.array([True, False, *(row[1] for row in rows)])
    best = best_threshold(p, labels)
    assert 0 < best < 1
    found = mcc(labels, p >= best)
    assert all(found >= mcc(labels, p >= t) - 1e-9 for t in np.linspace(0.001, 0.999, 333))


def test_the_best_threshold_is_the_middle_of_the_widest_stretch() -> None:
    assert best_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)
    assert best_threshold([0.1, 0.2, 0.6, 0.9], [0, 1, 1, 1]) == pytest.approx(0.15)
    assert best_threshold([0.4, 0.4], [0, 1]) == 0.5
    assert best_threshold([0.2, 0.6, 0.4, 0.4], [0, 1, 1, 0], [1, 1, 0, 3]) == pytest.approx(0.5)


def test_reliability_by_hand() -> None:
    diagram = reliability([0.1, 0.2, 0.9, 1.0, np.nan], [0, 1, 1, 1, 0], bins=2)
    np.testing.assert_allclose(diagram.probability, [0.15, 0.95])
    np.testing.assert_allclose(diagram.frequency, [0.5, 1.0])
    np.testing.assert_array_equal(diagram.weight, [2, 2])
    assert expected_calibration_error([0.1, 0.2, 0.9, 1.0], [0, 1, 1, 1], bins=2) == pytest.approx(0.2)
    assert np.isnan(reliability([0.1], [0], bins=4).frequency[1:]).all()


def test_true_probabilities_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    assert expected_calibration_error(p, rng.random(50_000) < p) < 0.01
    assert expected_calibration_error(p, rng.random(50_000) < p**3) > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcc([1, 0], [1]), "predictions has shape"),
        (lambda: mcc([1, np.nan], [1, 0]), "labels must be 0 or 1"),
        (lambda: mcc([1, 0], [1, 0], [1]), "weights has shape"),
        (lambda: accuracy([], []), "at least one row"),
        (lambda: rolling_reward([1], [1], mcc_window=0), "windows"),
        (lambda: bootstrap_by_group(mcc, [], [], []), "needs rows"),
        (lambda: bootstrap_by_group(mcc, [1, 2], [1, 0], [1]), "array has shape"),
        (lambda: bootstrap_by_group(mcc, [1], [1], [1], level=1.0), "level"),
        (lambda: best_threshold([0.5], [1]), "both classes"),
        (lambda: reliability([1.5], [1]), "probabilities in"),
        (lambda: expected_calibration_error([], []), "at least one row"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        call()
