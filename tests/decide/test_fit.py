from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.isotonic import IsotonicRegression

from natix_cascade.decide import (
    calibrate,
    expected_calibration_error,
    fit_binning,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    logit,
    sigmoid,
)
from natix_cascade.errors import CascadeError
from natix_cascade.spec.rules import Calibrator, Platt, Temperature

Fit = Callable[..., Calibrator]
FITS: list[Fit] = [fit_temperature, fit_platt, fit_isotonic, fit_binning]
each_fit = pytest.mark.parametrize("fit", FITS)
law = settings(deadline=None, max_examples=40)


def drawn(n: int, slope: float = 1.0, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels that come true with probability ``sigmoid(slope logit(score) + shift)``."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, n)
    return scores, rng.random(n) < sigmoid(slope * logit(scores) + shift)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 40))
    scores = np.array(draw(st.lists(st.sampled_from(np.linspace(0, 1, 11).tolist()), min_size=n, max_size=n)))
    labels = np.array([True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    weights = np.array(draw(st.lists(st.floats(0.1, 5), min_size=n, max_size=n)))
    return scores, labels, weights


@each_fit
@law
@given(data=labelled())
def test_a_fit_gives_a_calibrator_that_works(fit: Fit, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, labels, weights = data
    p = calibrate(fit(scores, labels, weights), np.linspace(0, 1, 101))
    assert (np.diff(p) >= -1e-12).all()
    assert not np.isnan(p).any()


@each_fit
@law
@given(data=labelled(), seed=st.integers(0, 99))
def test_a_fit_does_not_depend_on_the_order_of_rows_and_forgets_silent_ones(
    fit: Fit, data: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int
) -> None:
    scores, labels, weights = data
    grid = np.linspace(0, 1, 23)
    result = calibrate(fit(scores, labels, weights), grid)
    order = np.random.default_rng(seed).permutation(len(scores))
    shuffled = fit(np.append(scores[order], np.nan), np.append(labels[order], True), np.append(weights[order], 1.0))
    if fit is fit_binning:  # sums in another order may move a border that is exactly at a share
        return
    np.testing.assert_allclose(calibrate(shuffled, grid), result, atol=1e-5)


@each_fit
def test_whole_weights_count_like_repeated_rows(fit: Fit) -> None:
    scores, labels = drawn(300)
    times = np.random.default_rng(1).integers(0, 4, 300)
    grid = np.linspace(0, 1, 23)
    repeated = fit(np.repeat(scores, times), np.repeat(labels, times))
    np.testing.assert_allclose(calibrate(fit(scores, labels, times), grid), calibrate(repeated, grid), atol=1e-6)


@each_fit
def test_a_fit_lowers_the_calibration_error(fit: Fit) -> None:
    scores, labels = drawn(20_000, slope=0.4)
    before = expected_calibration_error(scores, labels)
    assert expected_calibration_error(calibrate(fit(scores, labels), scores), labels) < before / 5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*drawn(40_000, 1 / temperature)).temperature == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 1.0), (2.0, -1.5)])
def test_platt_is_recovered(slope: float, shift: float) -> None:
    line = fit_platt(*drawn(40_000, slope, shift))
    assert line.slope == pytest.approx(slope, rel=0.05)
    assert line.intercept == pytest.approx(shift, abs=0.05)


def test_a_separating_score_gets_the_coldest_temperature_and_a_finite_line() -> None:
    scores, labels = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
    assert fit_temperature(scores, labels).temperature == pytest.approx(0.01)
    assert 0 < fit_platt(scores, labels).slope < 100


def test_a_score_that_points_the_wrong_way_is_flattened_not_turned() -> None:
    scores, labels = drawn(2_000, slope=-1.0)
    assert fit_temperature(scores, labels) == Temperature(temperature=pytest.approx(100.0))
    line = fit_platt(scores, labels)
    assert line == Platt(slope=0.01, intercept=line.intercept)
    assert calibrate(line, [0.5])[0] == pytest.approx(labels.mean(), abs=0.02)


@law
@given(data=labelled())
def test_isotonic_is_scikit_learns(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, labels, weights = data
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    grid = np.linspace(0, 1, 57)
    np.testing.assert_allclose(calibrate(fit_isotonic(scores, labels, weights), grid), theirs.predict(grid), atol=2e-6)


def test_isotonic_joins_small_blocks() -> None:
    scores, labels = drawn(2_000)
    fine, coarse = fit_isotonic(scores, labels), fit_isotonic(scores, labels, min_block=200)
    assert len(coarse.scores) < len(fine.scores)
    borders = np.array(coarse.scores[::2])
    assert (np.histogram(scores, np.append(borders, 1.0))[0] >= 200).all()
    one = fit_isotonic(scores, labels, min_block=1e9)
    np.testing.assert_allclose(one.probabilities, labels.mean())


def test_bins_hold_equal_mass() -> None:
    scores, labels = drawn(10_000)
    bins = fit_binning(scores, labels, bins=8)
    assert len(bins.probabilities) == 8
    counts = np.histogram(scores, [0, *bins.edges, 1])[0]
    assert (counts == 1250).all()
    assert fit_binning(np.array([0.5, 0.5]), np.array([0, 1])).probabilities == (0.5,)


@each_fit
@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], None, "labels has shape"),
        ([[0.1, 0.2]], [0, 1], None, "scores has 2 axes"),
        ([0.1, 0.2], [[0, 1]], None, "labels has 2 axes"),
        ([0.1, 0.2], [1, 1], None, "2 with label 1 and 0 with label 0"),
        ([0.1, np.nan], [1, 0], None, "both classes"),
        ([0.1, 0.2], [0, np.nan], None, "labels must be 0 or 1"),
        ([0.1, 3.0], [0, 1], None, r"in \[0, 1\]"),
        ([0.1, 0.2], [0, 1], [1.0], "weights has shape"),
        ([0.1, 0.2], [0, 1], [1.0, -1.0], "not negative"),
        ([0.1, 0.2], [0, 1], [1.0, 0.0], "both classes"),
    ],
)
def test_a_fit_says_what_is_wrong(
    fit: Fit, scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, message: str
) -> None:
    with pytest.raises(CascadeError, match=message):
        fit(scores, labels, weights)


def test_no_bins_are_refused() -> None:
    with pytest.raises(CascadeError, match="bins is 0"):
        fit_binning([0.1, 0.2], [0, 1], bins=0)
