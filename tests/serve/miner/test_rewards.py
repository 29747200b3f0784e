from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, matthews_corrcoef

from natix_cascade.decide import reward
from natix_cascade.errors import CascadeError
from natix_cascade.serve.miner.rewards import MCC_WINDOW, Answered, average_at_end, draw_places, play

bits = st.lists(st.booleans(), min_size=1, max_size=260)


def answered(labels: list[int], answers: list[int], *, levels: str = "0123", augmentations: int = 2) -> Answered:
    """Every picture at each level, once at L0 and `augmentations` times at the others; a picture is a place."""
    rows = [
        (row, f"L{level}")
        for row in range(len(labels))
        for level in levels
        for _ in range(1 if level == "0" else augmentations)
    ]
    row = np.array([number for number, _ in rows])
    return Answered.of(
        np.array(labels, bool)[row],
        np.array(answers, bool)[row],
        row=row,
        level=np.array([level for _, level in rows]),
        group=np.array([f"place {number}" for number in row]),
        exit_level=np.zeros(len(row), np.int64),
    )


def test_labels_levels_pictures_and_augmentations_come_as_the_subnet_draws_them() -> None:
    one = answered([1, 0, 0, 0], [1, 0, 0, 1])
    chances = one.chances(np.ones(4, np.int64))
    assert chances.sum() == pytest.approx(1)
    assert chances[one.label].sum() == pytest.approx(0.5)
    for level in ("L0", "L1", "L2", "L3"):
        assert chances[one.level == level].sum() == pytest.approx(0.25)
    for row in (1, 2, 3):
        assert chances[one.row == row].sum() == pytest.approx(1 / 6)
    assert chances[(one.row == 2) & (one.level == "L2")] == pytest.approx([1 / 48, 1 / 48])
    alone = one.chances(np.array([1, 0, 2, 0]), "L3")
    assert alone[(one.row == 2) & (one.level == "L3")].sum() == pytest.approx(0.5)
    assert alone[one.level != "L3"].sum() == 0


def test_challenges_come_by_their_chances() -> None:
    one = answered([1, 0, 0], [1, 0, 1])
    chances = one.chances(np.array([1, 2, 1]))
    came, rewards = play(one, chances, 20_000, np.random.default_rng(0))
    found = np.bincount(came, minlength=len(chances)) / len(came)
    assert np.abs(found - chances).max() < 5 * np.sqrt(chances.max() / len(came))
    assert rewards.shape == (20_000,)


def test_what_has_no_chance_never_comes() -> None:
    one = answered([1, 0, 0], [1, 0, 1])
    came, _ = play(one, one.chances(np.array([1, 1, 0]), "L0"), 5000, np.random.default_rng(1))
    assert set(one.row[came]) == {0, 1}
    assert set(one.level[came]) == {"L0"}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=2, max_size=6).filter(lambda it: len(set(it)) == 2))
def test_a_miner_that_is_always_right_earns_all_and_one_that_never_is_nothing(seed: int, labels: list[bool]) -> None:
    truth = [int(label) for label in labels]
    for answers, wanted in ((truth, 1.0), ([1 - label for label in truth], 0.0)):
        one = answered(truth, answers)
        came, rewards = play(one, one.chances(np.ones(len(truth), np.int64)), 150, np.random.default_rng(seed))
        assert len(set(one.label[came])) == 2
        assert rewards[MCC_WINDOW:] == pytest.approx(np.full(50, wanted))


def check_each_reward(truth: np.ndarray, said: np.ndarray, spots: set[int]) -> None:
    n = len(truth)
    one = Answered.of(
        truth,
        said,
        row=np.arange(n),
        level=np.full(n, "L0"),
        group=np.arange(n),
        exit_level=np.zeros(n, np.int64),
    )
    came, rewards = play(one, np.full(n, 1 / n), n, np.random.default_rng(n))
    for at in spots:
        last, ten = came[max(at - 99, 0) : at + 1], came[max(at - 9, 0) : at + 1]
        one_class = len(set(truth[last])) < 2 or len(set(said[last])) < 2
        correlation = 0.0 if one_class else matthews_corrcoef(truth[last], said[last])
        assert rewards[at] == pytest.approx(reward(correlation, accuracy_score(truth[ten], said[ten])))


@settings(deadline=None)
@given(bits, bits)
def test_each_reward_is_that_of_the_last_answers_by_scikit_learn(labels: list[bool], answers: list[bool]) -> None:
    n = min(len(labels), len(answers))
    check_each_reward(np.array(labels[:n]), np.array(answers[:n]), {0, n // 2, n - 1})


def test_the_reward_looks_back_on_a_hundred_answers() -> None:
    rng = np.random.default_rng(7)
    truth = rng.random(300) < 0.5
    check_each_reward(truth, truth ^ (rng.random(300) < 0.2), set(range(95, 300)))


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=50),
    st.floats(0.01, 1),
    st.floats(0, 1),
)
def test_the_average_is_the_recursion(rewards: list[float], alpha: float, start: float) -> None:
    state = start
    for value in rewards:
        state = (1 - alpha) * state + alpha * value
    assert average_at_end(np.array(rewards), alpha=alpha, start=start) == pytest.approx(state)


def test_the_average_forgets_the_start() -> None:
    assert average_at_end(np.ones(14)) == pytest.approx(1 - 0.95**14)
    assert average_at_end(np.full(1000, 0.7)) == pytest.approx(0.7)


def test_places_are_drawn_until_both_labels_are_there() -> None:
    one = answered([1, 0], [1, 0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert draw_places(one, rng).tolist() == [1, 1]
    with pytest.raises(CascadeError, match="places are too few"):
        draw_places(answered([1, 1], [1, 0]), rng)


def test_one_label_alone_is_no_subnet() -> None:
    with pytest.raises(CascadeError, match="label 'no'"):
        answered([1, 1], [1, 0]).chances(np.ones(2, np.int64))
