"""Laws that every calibrator, vote and exit rule obeys: a new one is tested by adding a line to its list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike

from natix_cascade.decide import EPS, VoteMethod, calibrate, consensus, exits, logit, sigmoid, vote
from natix_cascade.decide.calibration import calibrate_columns
from natix_cascade.errors import CascadeError, SpecError
from natix_cascade.spec.rules import (
    Agreement,
    Binning,
    Calibrator,
    ExitRule,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    Threshold,
    Window,
)

CALIBRATORS = [
    Identity(),
    Temperature(temperature=0.02),
    Temperature(temperature=2.5),
    Platt(slope=0.01, intercept=3.0),
    Platt(slope=40.0, intercept=-7.0),
    Isotonic(scores=(0.5,), probabilities=(0.3,)),
    Isotonic(scores=(0.0, 0.2, 0.2000001, 1.0), probabilities=(0.0, 0.1, 0.8, 1.0)),
    Isotonic(scores=(0.0, 5e-324, 1.0), probabilities=(0.0, 0.5, 0.5)),
    Binning(probabilities=(0.4,)),
    Binning(edges=(0.3, 0.6), probabilities=(0.0, 0.5, 1.0)),
]
VOTES = ["log_odds", "mean", "majority"]
RULES = [
    None,
    Threshold(yes=0.95, no=0.05),
    Threshold(yes=0.3),
    Threshold(no=0.6),
    Threshold(yes=0.4, no=0.6),
    Threshold(),
    Agreement(members=1, ratio=0.51),
    Agreement(members=2, ratio=1.0),
    Agreement(members=3, ratio=2 / 3),
    Window(half_width=0.0),
    Window(half_width=2.0),
]
law = settings(deadline=None, max_examples=50)
each_calibrator = pytest.mark.parametrize("calibrator", CALIBRATORS, ids=str)
each_vote = pytest.mark.parametrize("method", VOTES)
each_rule = pytest.mark.parametrize("rule", RULES, ids=str)

probability = st.floats(0, 1)
maybe = st.one_of(probability, st.just(np.nan))
weight = st.one_of(st.just(0.0), st.floats(0.01, 10))


@st.composite
def ballots(draw: st.DrawFn, rows: int = 5) -> tuple[np.ndarray, np.ndarray]:
    members = draw(st.integers(1, 12))
    n = draw(st.integers(1, rows))
    return draw(arrays(float, (n, members), elements=maybe)), draw(arrays(float, members, elements=weight))


@each_calibrator
@law
@given(scores=arrays(float, st.integers(0, 30), elements=maybe))
def test_a_calibrator_keeps_order_bounds_and_silence(calibrator: Calibrator, scores: np.ndarray) -> None:
    p = calibrate(calibrator, scores)
    silent = np.isnan(scores)
    assert (np.isnan(p) == silent).all()
    assert ((p[~silent] >= EPS) & (p[~silent] <= 1 - EPS)).all()
    assert (np.diff(p[~silent][np.argsort(scores[~silent])]) >= -1e-12).all()


@law
@given(scores=arrays(float, st.tuples(st.integers(0, 9), st.just(len(CALIBRATORS))), elements=maybe))
def test_calibrators_side_by_side_do_what_each_does_alone(scores: np.ndarray) -> None:
    together = calibrate_columns(CALIBRATORS, scores)
    for column, calibrator in enumerate(CALIBRATORS):
        np.testing.assert_array_equal(together[:, column], calibrate(calibrator, scores[:, column]))


def test_identity_clips_and_nothing_else() -> None:
    np.testing.assert_array_equal(calibrate(Identity(), [0.0, 0.3, 1.0]), [EPS, 0.3, 1 - EPS])


def test_isotonic_is_straight_between_knots_and_flat_outside() -> None:
    line = Isotonic(scores=(0.2, 0.4), probabilities=(0.1, 0.5))
    np.testing.assert_allclose(calibrate(line, [0.0, 0.2, 0.3, 0.4, 1.0]), [0.1, 0.1, 0.3, 0.5, 0.5])


def test_a_border_belongs_to_the_upper_bin() -> None:
    bins = Binning(edges=(0.3,), probabilities=(0.2, 0.8))
    np.testing.assert_array_equal(calibrate(bins, [0.29, 0.3]), [0.2, 0.8])


@pytest.mark.parametrize(
    "calibrator",
    [
        Isotonic(scores=(0.1, 0.2), probabilities=(0.1,)),
        Isotonic(scores=(0.2, 0.1), probabilities=(0.1, 0.2)),
        Isotonic(scores=(0.1, 0.2), probabilities=(0.2, 0.1)),
        Binning(edges=(0.1,), probabilities=(0.1,)),
        Binning(edges=(0.2, 0.1), probabilities=(0.1, 0.2, 0.3)),
    ],
)
def test_a_table_out_of_order_is_refused(calibrator: Calibrator) -> None:
    with pytest.raises(SpecError, match="calibrator"):
        calibrate(calibrator, [0.5])


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(CascadeError, match="2 axes"):
        calibrate(Identity(), [[0.5]])


@law
@given(x=st.floats(-1e300, 1e300))
def test_sigmoid_never_overflows_and_undoes_logit(x: float) -> None:
    p = float(sigmoid(x))
    assert 0 <= p <= 1
    if EPS < p < 1 - EPS:
        assert float(logit(p)) == pytest.approx(x, abs=1e-8)


@each_vote
@law
@given(ballot=ballots())
def test_a_vote_lies_between_its_members_and_is_silent_only_when_they_are(
    method: VoteMethod, ballot: tuple[np.ndarray, np.ndarray]
) -> None:
    p, w = ballot
    result = vote(method, p, w)
    counted = np.where(w > 0, p, np.nan)
    nobody = np.isnan(counted).all(axis=1)
    assert (np.isnan(result) == nobody).all()
    if method == "majority":
        counted = np.where(np.isnan(counted), np.nan, counted >= 0.5)
    if method == "log_odds":
        counted = np.clip(counted, EPS, 1 - EPS)
    for row in np.flatnonzero(~nobody):
        assert np.nanmin(counted[row]) - 1e-15 <= result[row] <= np.nanmax(counted[row]) + 1e-15


@each_vote
@law
@given(ballot=ballots(), data=st.data())
def test_a_vote_does_not_depend_on_order_or_scale_and_forgets_the_absent(
    method: VoteMethod, ballot: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    p, w = ballot
    result = vote(method, p, w)
    order = np.array(data.draw(st.permutations(range(len(w)))))
    np.testing.assert_allclose(vote(method, p[:, order], w[order]), result, rtol=1e-9)
    np.testing.assert_allclose(vote(method, p, w * 7.3), result, rtol=1e-9)
    extra = np.column_stack([p, np.full(len(p), np.nan)])
    np.testing.assert_allclose(vote(method, extra, np.append(w, 1.0)), result, rtol=1e-9)
    weightless = np.column_stack([p, np.full(len(p), 0.9)])
    np.testing.assert_allclose(vote(method, weightless, np.append(w, 0.0)), result, rtol=1e-9)


@pytest.mark.parametrize("method", [method for method in VOTES if method != "majority"])
@law
@given(p=st.floats(EPS, 1 - EPS), w=arrays(float, st.integers(1, 20), elements=st.floats(0.01, 10)))
def test_equal_opinions_give_exactly_that_opinion(method: VoteMethod, p: float, w: np.ndarray) -> None:
    assert vote(method, np.full((1, len(w)), p), w)[0] == p


@each_vote
def test_a_vote_does_not_depend_on_how_the_table_lies_in_memory(method: VoteMethod) -> None:
    rng = np.random.default_rng(0)
    p, w = rng.random((200, 13)), rng.random(13)
    np.testing.assert_array_equal(vote(method, np.asfortranarray(p), w), vote(method, p, w))
    np.testing.assert_array_equal([vote(method, row[None], w)[0] for row in p], vote(method, p, w))


def test_votes_by_hand() -> None:
    p, w = np.array([[0.9, 0.6, np.nan], [0.2, 0.6, 0.4]]), np.array([2.0, 1.0, 1.0])
    np.testing.assert_allclose(vote("mean", p, w), [0.8, 0.35])
    np.testing.assert_allclose(vote("majority", p, w), [1.0, 0.25])
    np.testing.assert_allclose(vote("majority", p, w, threshold=0.7), [2 / 3, 0.0])
    np.testing.assert_allclose(vote("log_odds", p[:1], w), sigmoid((2 * logit([0.9]) + logit([0.6])) / 3))
    assert np.isnan(vote("log_odds", np.empty((3, 0)), np.empty(0))).all()


@law
@given(ballot=ballots(), data=st.data())
def test_consensus_of_both_sides_is_one(ballot: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    p, w = ballot
    winner = data.draw(arrays(bool, len(p)))
    share = consensus(p, w, winner, 0.4)
    np.testing.assert_allclose(share + consensus(p, w, ~winner, 0.4), np.where(np.isnan(share), np.nan, 1.0))


def test_consensus_by_hand() -> None:
    share = consensus([[0.9, 0.6, 0.2], [0.9, np.nan, 0.8]], [1.0, 1.0, 2.0], np.array([True, True]), 0.5)
    np.testing.assert_array_equal(share, [0.5, 1.0])


@pytest.mark.parametrize(
    ("p", "w", "message"),
    [
        ([0.5], [1.0], "axes"),
        ([[0.5]], [1.0, 2.0], "shape"),
        ([[0.5]], [-1.0], "negative"),
        ([[0.5]], [np.nan], "finite"),
        ([[0.5]], [np.inf], "finite"),
    ],
)
def test_a_vote_refuses_what_does_not_fit(p: ArrayLike, w: ArrayLike, message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        vote("mean", p, w)


def test_an_unknown_vote_is_named() -> None:
    with pytest.raises(CascadeError, match="'median' is unknown"):
        vote("median", [[0.5]], [1.0])  # type: ignore[arg-type]


@each_rule
@law
@given(opinions=arrays(float, 4, elements=maybe), threshold=st.floats(0.1, 0.9), data=st.data())
def test_exits_rise_with_the_probability_and_silence_goes_on(
    rule: ExitRule | None, opinions: np.ndarray, threshold: float, data: st.DataObject
) -> None:
    p = np.sort(data.draw(arrays(float, 20, elements=probability)))
    side = exits(rule, p, np.tile(opinions, (20, 1)), np.ones(4), threshold)
    assert side.dtype == np.int8
    assert (np.diff(side) >= 0).all()
    assert set(side.tolist()) <= {-1, 0, 1}
    assert exits(rule, [np.nan], opinions[None], np.ones(4), threshold)[0] == 0


def test_exits_by_hand() -> None:
    nobody = np.full((3, 2), np.nan)
    p = [0.95, 0.5, 0.05]
    assert exits(Threshold(yes=0.95, no=0.05), p, nobody, [1, 1], 0.5).tolist() == [1, 0, -1]
    assert exits(Threshold(no=0.05), p, nobody, [1, 1], 0.5).tolist() == [0, 0, -1]
    assert exits(Window(half_width=2.0), p, nobody, [1, 1], 0.5).tolist() == [1, 0, -1]
    assert exits(Window(half_width=2.0), p, nobody, [1, 1], 0.9).tolist() == [0, -1, -1]
    assert exits(None, p, nobody, [1, 1], 0.5).tolist() == [0, 0, 0]


def test_agreement_counts_who_is_present_and_has_a_weight() -> None:
    opinions = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.2], [0.9, np.nan, np.nan], [0.1, 0.2, np.nan]])
    p = np.array([0.8, 0.7, 0.9, 0.15])
    unanimous = Agreement(members=2, ratio=1.0)
    assert exits(unanimous, p, opinions, [1, 1, 1], 0.5).tolist() == [1, 0, 0, -1]
    assert exits(unanimous, p, opinions, [1, 1, 0], 0.5).tolist() == [1, 1, 0, -1]
    assert exits(Agreement(members=2, ratio=2 / 3), p, opinions, [0.1, 0.1, 0.1], 0.5).tolist() == [1, 1, 0, -1]


def test_agreement_refuses_another_number_of_pictures() -> None:
    with pytest.raises(CascadeError, match="opinions has shape"):
        exits(Agreement(), [0.5, 0.5], [[0.5]], [1.0], 0.5)
