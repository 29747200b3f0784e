"""The guarantee, by simulation: of many data sets, in how many is the promised plan worse than promised?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
from scipy.stats import binom

from natix_cascade.plan.certify import Certificate, Trial, certify
from natix_cascade.plan.choose import draws_of
from natix_cascade.plan.loss import metric_of

DELTA = 0.1
ABOVE = 1.002  # by so much the plan that must not be promised is above the limit

Draw = Callable[[np.random.Generator], tuple[Certificate, list[float]]]


def promises(draw: Draw, repeats: int, risk: float) -> tuple[float, float, float]:
    """Shares of the data sets in which the promise is broken, in which anything and in which two plans are promised.

    `draw` makes a certificate, and says what the true regrets of its plans are.
    """
    broken = some = two = 0
    for seed in range(repeats):
        certificate, true = draw(np.random.default_rng(seed))
        count = certificate.promised
        broken += count > 0 and true[count - 1] > risk
        some += count > 0
        two += count > 1
    return broken / repeats, some / repeats, two / repeats


def too_often(rate: float, repeats: int) -> bool:
    """Whether even the lower 99.9 % limit (Clopper and Pearson) of a rate is above delta."""
    return bool(binom.sf(round(rate * repeats) - 1, repeats, DELTA) < 1e-3)


def answers(u: np.ndarray, better: float, worse: list[np.ndarray | float]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Of a reference that is wrong where u is above ``1 - better``, and of plans that are wrong where u is below.

    All truths are 1. A plan's regret is its `worse` less what it mends: half of the reference's errors.
    """
    reference = (u <= 1 - better).astype(np.int64)
    mended = u > 1 - better / 2
    return reference, [np.where(u < each, 0, np.where(mended, 1, reference)) for each in worse]


def single(rng: np.random.Generator, *, better: float, risk: float) -> tuple[Certificate, list[float]]:
    """1,000 independent pictures; the second of three plans is just above the limit."""
    n, true = 1_000, [0.2 * risk, ABOVE * risk, 2.5 * risk]
    reference, plans = answers(rng.random(n), better, [each + better / 2 for each in true])
    trials = [Trial(plan, np.zeros(n, np.int64)) for plan in plans]
    args = reference, np.ones(n, np.int64), np.arange(n), np.ones(n)
    return certify(trials, *args, metric="accuracy", risk=risk, delta=DELTA), true


def grouped(rng: np.random.Generator, *, risk: float) -> tuple[Certificate, list[float]]:
    """About 1,000 pictures in groups of 1, 2 and 8; a group's pictures go together, and large groups are worse."""
    sizes, chance, badness = np.array([1, 2, 8]), np.array([0.6, 0.25, 0.15]), np.array([0.2, 0.6, 1.3])
    badness = badness / (chance * sizes @ badness) * (chance @ sizes)  # 1 per picture
    kind = rng.choice(3, 440, p=chance)
    group = np.repeat(np.arange(440), sizes[kind])
    u, bad, n = rng.random(440)[group], badness[kind][group], len(group)
    true = [0.2 * risk, ABOVE * risk, 2 * risk]
    reference, plans = answers(u, 0.0, [each * bad for each in true])
    trials = [Trial(plan, np.zeros(n, np.int64)) for plan in plans]
    args = reference, np.ones(n, np.int64), group, np.ones(n)
    return certify(trials, *args, metric="accuracy", risk=risk, delta=DELTA), true


def by_level(
    rng: np.random.Generator, *, risk: float, conditional: bool, good: bool = False
) -> tuple[Certificate, list[float]]:
    """A plan that keeps the limit over all, but is just above it among those that leave at the second level."""
    n = 450
    level = (rng.random(n) < 0.4).astype(np.int64)
    each = np.array([0.1, 0.1] if good else [0.2, ABOVE]) * risk
    reference, plans = answers(rng.random(n), 0.02, [each[level] + 0.01])
    args = reference, np.ones(n, np.int64), np.arange(n), np.ones(n)
    given = {"risk": risk, "delta": DELTA, "conditional": conditional}
    return certify([Trial(plans[0], level)], *args, metric="accuracy", **given), [float(each.max())]  # type: ignore[arg-type]


def shifted(rng: np.random.Generator, *, risk: float, weighted: bool) -> tuple[Certificate, list[float]]:
    """Hard pictures are 30 % here and 70 % where the promise is to hold; the true regret is the one there."""
    n, here, there = 1_000, np.array([0.7, 0.3]), np.array([0.3, 0.7])
    hard = (rng.random(n) < here[1]).astype(np.int64)
    plain = 0.1 * risk
    true = [0.2 * risk, ABOVE * risk, 2 * risk]
    each = [np.array([plain, (t - there[0] * plain) / there[1]]) for t in true]
    reference, plans = answers(rng.random(n), 0.0, [regret[hard] for regret in each])
    trials = [Trial(plan, np.zeros(n, np.int64)) for plan in plans]
    weight = (there / here)[hard] if weighted else np.ones(n)
    args = reference, np.ones(n, np.int64), np.arange(n), weight
    return certify(trials, *args, metric="accuracy", risk=risk, delta=DELTA), true


SCENES: dict[str, tuple[Draw, float]] = {
    "single pictures, plan never better": (partial(single, better=0.0, risk=0.05), 0.05),
    "single pictures, often better and often worse": (partial(single, better=0.1, risk=0.05), 0.05),
    "single pictures, small limit": (partial(single, better=0.02, risk=0.02), 0.02),
    "groups of unequal size": (partial(grouped, risk=0.1), 0.1),
    "by level": (partial(by_level, risk=0.1, conditional=True), 0.1),
    "shifted": (partial(shifted, risk=0.1, weighted=True), 0.1),
}


@cache
def of_many(name: str, repeats: int) -> tuple[float, float, float]:
    draw, risk = SCENES[name]
    return promises(draw, repeats, risk)


def assert_valid(name: str, repeats: int) -> None:
    broken, some, _ = of_many(name, repeats)
    assert not too_often(broken, repeats), f"{name}: broken in {broken:.2%} of {repeats} data sets"
    assert some > 0.95 or name == "by level", f"{name}: the good plan is promised in {some:.2%} only"


@pytest.mark.parametrize("name", ["single pictures, often better and often worse", *list(SCENES)[3:]])
def test_promises_are_broken_as_rarely_as_they_say(name: str) -> None:
    assert_valid(name, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_promises_are_broken_as_rarely_as_they_say_in_many_data_sets(name: str) -> None:
    assert_valid(name, 8_000)


def test_the_test_is_not_blunt() -> None:
    """A plan that is at the limit is promised nearly as often as it may be."""
    broken, _, _ = of_many("single pictures, often better and often worse", 1_000)
    assert broken > 0.5 * DELTA


def test_without_the_condition_or_the_weights_these_promises_would_be_broken() -> None:
    for draw in (partial(by_level, conditional=False), partial(shifted, weighted=False)):
        broken, _, _ = promises(partial(draw, risk=0.1), 100, 0.1)
        assert broken > 0.9


def test_a_plan_that_is_good_at_every_level_is_promised() -> None:
    _, some, _ = promises(partial(by_level, risk=0.1, conditional=True, good=True), 100, 0.1)
    assert some == 1


def counted(worse: list[int], risk: float, n: int = 500, **options: object) -> Certificate:
    """Plans that are worse in so many of n pictures."""
    plans = [(np.arange(n) >= each).astype(np.int64) for each in worse]
    trials = [Trial(plan, np.zeros(n, np.int64)) for plan in plans]
    given = {"metric": "accuracy", "risk": risk, "delta": DELTA} | options
    return certify(trials, np.ones(n, np.int64), np.ones(n, np.int64), np.arange(n), np.ones(n), **given)  # type: ignore[arg-type]


def test_the_first_that_cannot_be_promised_ends_the_path() -> None:
    found = counted([0, 2, 60, 0], 0.05)
    assert found.promised == 2
    assert len(found.p_values) == 3
    assert found.p_values[0] <= found.p_values[1] <= DELTA < found.p_values[2]
    assert found.exact


def test_a_plan_that_answers_as_its_reference_can_be_promised() -> None:
    assert counted([0], 0.01).promised == 1
    assert counted([0], 0.01, n=50).promised == 0  # too few pictures to know
    assert counted([], 0.01).promised == 0
    assert counted([], 0.01).needed is None


def test_how_many_pictures_are_needed_is_about_right() -> None:
    few = counted([6], 0.02)
    assert few.promised == 0
    assert few.needed is not None
    assert 500 < few.needed < 20_000
    more = round(1.5 * few.needed / 500)
    assert counted([6 * more], 0.02, n=500 * more).promised == 1
    assert counted([30], 0.02).needed is None  # it looks worse than the limit: no number would do


def test_more_delta_and_more_risk_promise_more() -> None:
    worse = [0, 4, 8, 12, 16, 20, 24, 28]
    by_risk = [counted(worse, risk).promised for risk in (0.01, 0.03, 0.06, 0.1)]
    by_delta = [counted(worse, 0.05, delta=delta).promised for delta in (0.01, 0.1, 0.3)]
    assert by_risk == sorted(by_risk)
    assert by_delta == sorted(by_delta)
    assert by_risk[0] < by_risk[-1]


def correlated(rng: np.random.Generator, n: int, rates: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Truths, a reference and a plan that is wrong where the reference is and elsewhere too."""
    truth = (rng.random(n) < 0.3).astype(np.int64)
    u = rng.random(n)
    return truth, [np.where(u < rate, 1 - truth, truth) for rate in rates]


def mcc_of(rate: float) -> float:
    cells = np.array([0.3 * (1 - rate), 0.7 * rate, 0.3 * rate, 0.7 * (1 - rate)])
    return metric_of("mcc", np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0]), cells)


def broken_mcc(repeats: int, n: int) -> float:
    rates = np.array([0.05, 0.08])
    risk = (mcc_of(0.05) - mcc_of(0.08)) / ABOVE
    broken = 0
    for seed in range(repeats):
        truth, (reference, plan) = correlated(np.random.default_rng(seed), n, rates)
        draws = draws_of(np.arange(n), np.ones(n), seed=seed, draws=200)
        args = reference, truth, np.arange(n), np.ones(n)
        found = certify([Trial(plan, np.zeros(n, np.int64))], *args, metric="mcc", risk=risk, delta=DELTA, draws=draws)
        assert not found.exact
        broken += found.promised
    return broken / repeats


@pytest.mark.slow
def test_the_bootstrap_of_mcc_is_about_as_good_as_it_says() -> None:
    assert broken_mcc(1_000, 1_500) < DELTA + 0.03  # it is for many groups, not exact


def test_a_bootstrap_without_draws_promises_nothing() -> None:
    n = 200
    truth = np.arange(n) % 2
    trial = Trial(truth, np.zeros(n, np.int64))
    args = truth, truth, np.arange(n), np.ones(n)
    assert certify([trial], *args, metric="mcc", risk=0.1, delta=DELTA).promised == 0
    draws = draws_of(np.arange(n), np.ones(n), seed=0)
    assert certify([trial], *args, metric="mcc", risk=0.1, delta=DELTA, draws=draws).promised == 1
