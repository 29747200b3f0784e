"""Answers of more than two kinds go by the laws of yes and no where there are two kinds of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from natix_cascade.decide import calibrate, logit, positive, replay, sigmoid, vote
from natix_cascade.decide.labels import LabelProgress, calibrate_labels, pool_labels, replay_labels
from natix_cascade.errors import CascadeError
from natix_cascade.spec.cascade import LevelSpec, MemberSpec
from natix_cascade.spec.policy import LevelPolicy, Policy
from natix_cascade.spec.resolved import ResolvedCascade, resolve_layout
from natix_cascade.spec.rules import Agreement, ByLabel, ExitRule, Identity, Platt, Temperature, Threshold, VoteSpec

law = settings(deadline=None, max_examples=60)
ABC = ("a", "b", "c")
weight = st.sampled_from([0.0, 0.3, 1.0, 2.5])


@st.composite
def ballots(draw: st.DrawFn, *, kinds: int, least: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, how sure they are (NaN: absent), and weights."""
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    answers = draw(arrays(np.int64, (n, m), elements=st.integers(-1, kinds - 1)))
    sure = draw(arrays(np.float64, (n, m), elements=st.floats(least, 1)))
    return answers, np.where(answers < 0, np.nan, sure), draw(arrays(np.float64, m, elements=weight))


def p_yes(answers: np.ndarray, sure: np.ndarray) -> np.ndarray:
    return np.where(answers == 1, sure, 1 - sure)


@law
@given(ballot=ballots(kinds=2, least=0.5))
def test_two_labels_are_the_mean_vote(ballot: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    answers, sure, weights = ballot
    winner, probability = pool_labels(answers, sure, weights, 2)
    q = vote("mean", p_yes(answers, sure), weights)
    np.testing.assert_allclose(probability, np.maximum(q, 1 - q), atol=1e-12)
    assert ((winner < 0) == np.isnan(q)).all()
    clear = np.abs(q - 0.5) > 1e-9
    assert (winner[clear] == (q[clear] > 0.5)).all()


@law
@given(ballot=ballots(kinds=4))
def test_the_winner_is_the_named_label_of_most_probability(ballot: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    answers, sure, weights = ballot
    winner, probability = pool_labels(answers, sure, weights, 4)
    for row in range(len(answers)):
        here = [j for j in range(len(weights)) if weights[j] > 0 and answers[row, j] >= 0]
        if not here:
            assert winner[row] == -1
            assert np.isnan(probability[row])
            continue
        spread = np.zeros(4)
        for j in here:
            share = np.full(4, (1 - sure[row, j]) / 3)
            share[answers[row, j]] = sure[row, j]
            spread += weights[j] * share / weights[here].sum()
        named = {int(answers[row, j]) for j in here}
        assert winner[row] in named
        assert probability[row] == pytest.approx(spread[winner[row]], abs=1e-12)
        assert probability[row] == pytest.approx(max(spread[k] for k in named), abs=1e-12)


def test_among_equals_the_earliest_member_decides() -> None:
    answers, sure = np.array([[2, 0, 1], [-1, 1, 0]]), np.array([[0.7, 0.7, 0.7], [np.nan, 0.7, 0.7]])
    assert pool_labels(answers, sure, [1, 1, 1], 3)[0].tolist() == [2, 1]
    assert pool_labels(answers, sure, [0, 1, 1], 3)[0].tolist() == [0, 1]


def test_two_that_agree_outvote_one_that_is_surer() -> None:
    winner, probability = pool_labels(np.array([[0, 1, 1]]), np.array([[0.8, 0.6, 0.6]]), [1, 1, 1], 3)
    assert winner.tolist() == [1]
    assert probability[0] == pytest.approx((0.1 + 0.6 + 0.6) / 3)


@law
@given(ballot=ballots(kinds=3), extra=st.floats(0, 1))
def test_who_is_absent_or_weighs_nothing_drops_out(
    ballot: tuple[np.ndarray, np.ndarray, np.ndarray], extra: float
) -> None:
    answers, sure, weights = ballot
    winner, probability = pool_labels(answers, sure, weights, 3)
    n = len(answers)
    for answer, p, w in ((-1, np.nan, 5.0), (1, extra, 0.0)):
        more = np.column_stack([np.full(n, answer), answers])
        again = pool_labels(more, np.column_stack([np.full(n, p), sure]), np.append(w, weights), 3)
        assert again[0].tolist() == winner.tolist()
        np.testing.assert_allclose(again[1], probability, atol=1e-12)


def test_offsets_move_only_answers_of_their_label() -> None:
    line = Platt(slope=1.5, intercept=0.2, offsets={"a": 0.7, "c": -1.0, "not there": 9.0})
    answers, sure = np.array([[0, 1], [1, 1], [2, 0], [-1, 2]]), np.array([[0.6, 0.8]] * 3 + [[0.6, np.nan]])
    p = calibrate_labels([line, Identity()], answers, sure, ABC)
    base = logit(calibrate(line, [0.6]))[0]
    np.testing.assert_allclose(p[:3, 0], sigmoid(base + np.array([0.7, 0.0, -1.0])))
    assert np.isnan(p[3]).all()
    np.testing.assert_allclose(p[:3, 1], 0.8)


def layout(*levels: tuple[list[str], ExitRule | None], **options: Any) -> ResolvedCascade:
    """A cascade of levels of mean votes over all so far."""
    over, weights = options.pop("over", "all"), options.pop("weights", {})
    specs = tuple(
        LevelSpec(
            name=f"level {k}",
            members=tuple(MemberSpec(model=model) for model in models),
            vote=VoteSpec(method="mean", over=over),
            exit=rule,
            mode=options.get("mode", "all"),
        )
        for k, (models, rule) in enumerate(levels)
    )
    own = {f"level {k}": LevelPolicy(weights=given) for k, given in weights.items()}
    calibrators = options.get("calibrators", {})
    return resolve_layout(Policy(name="p", cascade="c", layout=specs, levels=own, calibrators=calibrators))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_cascade_of_two_labels_is_the_yes_no_cascade_with_symmetric_exits(data: st.DataObject, seed: int) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    names = iter("abcdefghijkl")
    models = [[next(names) for _ in range(size)] for size in sizes]
    over = data.draw(st.sampled_from(["all", "level"]))
    least = data.draw(st.lists(st.none() | st.floats(0.5001, 1), min_size=len(sizes), max_size=len(sizes)))
    weights = {
        k: {
            model: data.draw(weight)
            for level in (models[: k + 1] if over == "all" else models[k : k + 1])
            for model in level
        }
        for k in data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    }
    symmetric = st.builds(Platt, slope=st.floats(0.2, 4)) | st.builds(Temperature, temperature=st.floats(0.3, 3))
    calibrators = data.draw(st.dictionaries(st.sampled_from("abcdefghijkl"[: sum(sizes)]), symmetric))
    options = {"over": over, "weights": weights, "calibrators": calibrators}
    by_label = [None if at is None else ByLabel(default=at) for at in least]
    by_side = [None if at is None else Threshold(yes=at, no=1 - at) for at in least]
    many = layout(*zip(models, by_label, strict=True), **options)
    two = layout(*zip(models, by_side, strict=True), **options)

    draw = np.random.default_rng(seed)
    answers = draw.integers(-1, 2, (40, sum(sizes)))
    sure = np.where(answers < 0, np.nan, draw.uniform(0.5, 1, answers.shape))
    failed = (draw.random(answers.shape) < 0.2) & (answers >= 0)
    found = replay_labels(many, ("no", "yes"), answers, sure, failed)
    wanted = replay(two, p_yes(answers, sure), failed)
    silent = np.isnan(wanted.probability)
    assert (found.answer == np.where(silent, -1, positive(two, wanted))).all()
    assert (found.exit_level == wanted.exit_level).all()
    assert (found.asked == wanted.asked).all()
    np.testing.assert_allclose(
        found.probability, np.maximum(wanted.probability, 1 - wanted.probability), atol=1e-12, equal_nan=True
    )


def played(cascade: ResolvedCascade, said: list[list[int]], sure: list[list[float]]) -> LabelProgress:
    answers = np.array(said)
    return replay_labels(cascade, ABC, answers, np.where(answers < 0, np.nan, np.array(sure)))


def test_each_label_has_its_own_exit() -> None:
    rule = ByLabel(default=0.6, labels={"b": 0.9, "c": None})
    cascade = layout((["x"], rule), (["y"], None), weights={1: {"x": 0.0, "y": 1.0}})
    done = played(
        cascade,
        [[0, 1], [0, 1], [1, 2], [1, 2], [2, 0], [-1, 0]],
        [[0.6, 0.9], [0.59, 0.9], [0.9, 0.9], [0.89, 0.9], [1.0, 0.9], [0.0, 0.9]],
    )
    assert done.exit_level.tolist() == [0, 1, 0, 1, 1, 1]
    assert done.answer.tolist() == [0, 1, 1, 2, 0, 0]
    assert done.asked[:, 1].tolist() == [False, True, False, True, True, True]
    assert done.asked[:, 0].all()


def test_two_must_agree_or_the_next_level_decides() -> None:
    cascade = layout(
        (["x", "y"], Agreement(members=2, ratio=1.0)), (["z"], None), weights={1: {"x": 0.0, "y": 0.0, "z": 1.0}}
    )
    said = [[0, 0, 2], [0, 1, 2], [-1, 1, 2], [1, 1, -1], [0, 1, -1]]
    done = played(cascade, said, [[0.5, 0.6, 0.4], [0.99, 0.98, 0.4], [0.9] * 3, [0.9] * 3, [0.6, 0.7, 0.0]])
    assert done.exit_level.tolist() == [0, 1, 1, 0, 1]
    assert done.answer.tolist() == [0, 2, 2, 1, 1]  # the last: z is silent, and the vote so far stays
    assert done.probability[4] == pytest.approx((0.7 + 0.2) / 2)
    assert done.asked[:, 2].tolist() == [False, True, True, False, True]


def test_a_majority_is_enough_where_the_rule_says_so() -> None:
    cascade = layout((["x", "y", "z"], Agreement(members=2, ratio=0.6)), (["w"], None))
    done = played(cascade, [[0, 0, 1, 2], [0, 1, 2, 2], [-1, 0, 1, 2], [-1, -1, 1, 2]], [[0.9] * 4] * 4)
    assert done.exit_level.tolist() == [0, 1, 1, 1]


def test_when_everybody_is_absent_there_is_no_answer() -> None:
    cascade = layout((["x"], ByLabel(default=0.0)), (["y"], None))
    done = replay_labels(
        cascade, ABC, np.array([[-1, -1], [1, 2]]), np.full((2, 2), 0.9), np.array([[0, 0], [1, 1]]) > 0
    )
    assert done.answer.tolist() == [-1, -1]
    assert np.isnan(done.probability).all()
    assert done.exit_level.tolist() == [1, 1]
    assert done.asked.all()


def test_no_pictures_are_no_trouble() -> None:
    done = replay_labels(layout((["x"], None)), ABC, np.empty((0, 1), np.int64), np.empty((0, 1)))
    assert done.answer.shape == done.exit_level.shape == (0,)


@law
@given(seed=st.integers(0, 2**32), at=st.floats(0.2, 1))
def test_who_leaves_early_is_asked_no_more(seed: int, at: float) -> None:
    draw = np.random.default_rng(seed)
    answers, sure = draw.integers(0, 3, (30, 4)), draw.random((30, 4))
    assume(np.abs(sure - at).min() > 1e-9)
    cascade = layout((["a", "b"], ByLabel(default=at)), (["c"], ByLabel(default=at)), (["d"], None))
    done = replay_labels(cascade, ABC, answers, sure)
    first = np.array([0, 0, 1, 2])
    assert (done.asked == (first <= done.exit_level[:, None])).all()
    alone = [replay_labels(cascade, ABC, answers[i : i + 1], sure[i : i + 1]).answer[0] for i in range(30)]
    assert done.answer.tolist() == alone


@pytest.mark.parametrize(
    ("cascade", "message"),
    [
        (layout((["x"], Threshold(yes=0.9)), (["y"], None)), "label records know the exits 'by_label' and 'agreement'"),
        (layout((["x", "y"], None), mode="until-agreement"), "label records know the mode 'all' only"),
    ],
)
def test_rules_for_yes_and_no_are_refused(cascade: ResolvedCascade, message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        replay_labels(cascade, ABC, np.zeros((2, 2), np.int64), np.ones((2, 2)))


@pytest.mark.parametrize(("answers", "sure"), [((2, 3), (2, 3)), ((2, 2), (2, 1)), ((2, 2), (3, 2))])
def test_shapes_that_do_not_fit_are_refused(answers: tuple[int, int], sure: tuple[int, int]) -> None:
    cascade = layout((["x"], None), (["y"], None))
    with pytest.raises(CascadeError, match="shape"):
        replay_labels(cascade, ABC, np.zeros(answers, np.int64), np.ones(sure))
