from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from natix_cascade.errors import CascadeError
from natix_cascade.plan.sequential import Watch

law = settings(deadline=None, max_examples=50)
days = st.lists(st.lists(st.tuples(st.integers(1, 5), st.floats(-1, 1)), max_size=6), min_size=1, max_size=6)


def day(groups: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Losses of groups that are alike inside, and which group each belongs to (later groups sort first)."""
    sizes = [size for size, _ in groups]
    losses = np.repeat(np.array([loss for _, loss in groups]), sizes)
    return losses, np.repeat(-np.arange(len(groups)), sizes)


def trinomial(rng: np.random.Generator, n: int, worse: float, better: float) -> np.ndarray:
    return rng.choice([1.0, -1.0, 0.0], p=[worse, better, 1 - worse - better], size=n)


@law
@given(week=days, alpha=st.floats(-0.5, 0.5))
def test_resumed_is_uninterrupted_to_the_last_bit(week: list[list[tuple[int, float]]], alpha: float) -> None:
    start = Watch(alpha, max_group=5)
    at_once = start.update(*day([group for groups in week for group in groups]))
    resumed = start
    for groups in week:
        resumed = Watch.from_dict(json.loads(json.dumps(resumed.update(*day(groups)).as_dict())))
    assert resumed == at_once
    assert 0 < at_once.p_value <= 1
    assert at_once.evidence <= at_once.peak
    assert at_once.broken == (at_once.p_value <= at_once.delta)
    assert at_once.groups == sum(len(groups) for groups in week)
    assert at_once.pictures == sum(size for groups in week for size, _ in groups)


@law
@given(
    losses=st.lists(st.floats(-1, 1), min_size=1, max_size=30), alpha=st.floats(-0.5, 0.4), more=st.floats(0.01, 0.1)
)
def test_a_weaker_promise_is_not_broken_by_good_days(losses: list[float], alpha: float, more: float) -> None:
    good = [min(loss, alpha) for loss in losses]
    assert Watch(alpha).update(good).peak == pytest.approx(1.0)
    assert Watch(alpha).update(good).evidence <= 1 + 1e-12
    bad = [max(loss, alpha) for loss in losses]
    assert Watch(alpha).update(bad).evidence >= 1 - 1e-12
    assert Watch(alpha + more).update(good).evidence <= Watch(alpha).update(good).evidence + 1e-12


def test_one_group_by_hand() -> None:
    watch = Watch(0.0, max_group=2).update([1.0, 1.0], ["a", "a"])
    after = 0.5 / (1 + math.log(2))
    gained = 1 + 0.9 * (2 - 0.5**10) / 11  # the mean factor: 1 + the mean fraction
    assert watch.evidence == pytest.approx((1 - after) * gained + after)
    assert (watch.groups, watch.pictures) == (1, 2)
    half = Watch(0.0, max_group=4).update([1.0, 1.0], ["a", "a"])
    assert half.evidence - 1 == pytest.approx((watch.evidence - 1) / 2)


def false_alarms(draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], watch: Watch) -> int:
    """How many of 1,000 watches are ever broken, each of one long stretch (looked at after every group)."""
    rng = np.random.default_rng(0)
    return sum(watch.update(*draw(rng)).broken for _ in range(1_000))


def single(worse: float, better: float, n: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    return lambda rng: (trinomial(rng, n, worse, better), np.arange(n))


def drives(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Drives of 1 or 10 pictures, alike inside; the long ones are worse."""
    sizes = rng.choice([1, 10], p=[0.7, 0.3], size=100)
    worse = rng.random(100) < np.where(sizes == 10, 0.08, 0.02)
    groups = np.repeat(np.arange(100), sizes)
    return worse[groups].astype(np.float64), groups


DRIVES = (0.3 * 10 * 0.08 + 0.7 * 0.02) / (0.3 * 10 + 0.7)  # the mean loss per picture


@pytest.mark.parametrize(
    ("draw", "watch"),
    [
        (single(0.06, 0.05, 100), Watch(0.01, delta=0.1)),
        (single(0.01, 0.0, 100), Watch(0.01, delta=0.1, low=0)),
        (single(0.4, 0.3, 100), Watch(0.1, delta=0.2)),
        (drives, Watch(DRIVES, delta=0.2, low=0, max_group=10)),
    ],
)
def test_a_promise_that_just_holds_is_seldom_called_broken(
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], watch: Watch
) -> None:
    assert binom.sf(false_alarms(draw, watch) - 1, 1_000, watch.delta) > 1e-3


def test_a_broken_promise_is_found_and_stays_broken() -> None:
    rng = np.random.default_rng(1)
    watch = Watch(0.01)
    for _ in range(15):
        watch = watch.update(trinomial(rng, 100, 0.1, 0.03))
    assert watch.broken
    assert watch.p_value < 0.01
    later = watch.update(np.full(3_000, -0.2))
    assert later.broken
    assert later.evidence < 1


def test_a_promise_that_breaks_after_long_is_found_too() -> None:
    rng = np.random.default_rng(2)
    watch = Watch(0.01).update(trinomial(rng, 10_000, 0.040, 0.042))
    assert not watch.broken
    needed = 0
    while not watch.broken and needed < 3_000:
        watch, needed = watch.update(trinomial(rng, 100, 0.15, 0.03)), needed + 100
    assert needed < 1_000


def test_endless_evidence_does_not_overflow() -> None:
    watch = Watch(1e-9, low=0).update(np.ones(500))
    assert watch.broken
    assert 0 < watch.p_value < 1e-90
    assert Watch.from_dict(watch.as_dict()) == watch
    assert Watch(0.5).update(np.full(5_000, -1.0)).update(np.ones(100)).broken  # nor is all wealth ever lost


def test_nothing_new_changes_nothing() -> None:
    watch = Watch(0.02).update([0.0, 1.0])
    assert watch.update([]) == watch
    assert Watch(0.02).evidence == Watch(0.02).p_value == 1


STATE = Watch(0.02).as_dict()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Watch(1.0), "alpha is 1.0"),
        (lambda: Watch(math.nan), "alpha is nan"),
        (lambda: Watch(0.1, delta=0.0), "delta is 0.0"),
        (lambda: Watch(0.1, max_group=0), "max_group is 0"),
        (lambda: Watch(0.1, wealth=(1.0,)), "wealth must be"),
        (lambda: Watch(0.1, groups=2, pictures=1), "2 groups, 1 pictures"),
        (lambda: Watch(0.1).update([2.0]), "losses must be within"),
        (lambda: Watch(0.1).update([math.nan]), "NaN"),
        (lambda: Watch(0.1).update([0.0, 0.0], ["a"]), "groups has shape"),
        (lambda: Watch(0.1).update([0.0, 0.0], ["a", "a"]), "2 pictures, but max_group is 1"),
        (lambda: Watch.from_dict({}), "has the keys alpha"),
        (lambda: Watch.from_dict([1]), "has the keys alpha"),  # type: ignore[arg-type]
        (lambda: Watch.from_dict({**STATE, "more": 1}), "has the keys alpha"),
        (lambda: Watch.from_dict({**STATE, "alpha": "0.1"}), "alpha is '0.1'"),
        (lambda: Watch.from_dict({**STATE, "groups": 1.5}), "groups is 1.5"),
        (lambda: Watch.from_dict({**STATE, "delta": True}), "delta is True"),
        (lambda: Watch.from_dict({**STATE, "wealth": 1.0}), "wealth is 1.0"),
        (lambda: Watch.from_dict({**STATE, "wealth": [1.0, None]}), "list of numbers"),
        (lambda: Watch.from_dict({**STATE, "wealth": [1.0]}), "wealth must be"),
        (lambda: Watch.from_dict({**STATE, "peak": 0.5}), "peak of 0.5"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        call()
