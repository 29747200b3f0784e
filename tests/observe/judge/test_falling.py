from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from natix_cascade.observe.judge.falling import Fall, Rolling, welch_less


def test_welch_is_that_of_scipy() -> None:
    draw = np.random.default_rng(3)
    for drop in (0.0, 0.05, 0.2, -0.2):
        now, before = draw.beta(5, 2, 90) - drop, draw.beta(6, 1, 140)
        wanted = ttest_ind(now, before, equal_var=False, alternative="less").pvalue
        assert welch_less(now, before) == pytest.approx(wanted, rel=1e-9)


def test_scores_that_are_all_the_same() -> None:
    assert welch_less([0.9] * 5, [1.0] * 5) == 0.0
    assert welch_less([1.0] * 5, [1.0] * 5) == 1.0
    assert welch_less([1.0] * 5, [0.9] * 5) == 1.0


def test_a_fall_is_told_once_and_a_rise_is_not() -> None:
    draw = np.random.default_rng(4)
    good, bad = draw.beta(9, 1, 400), draw.beta(3, 2, 400)
    rolling = Rolling(100)
    told = [fall for score in [*good, *bad, *good] if (fall := rolling.add(score)) is not None]
    assert 1 <= len(told) <= 2
    assert isinstance(told[0], Fall)
    assert told[0].now < told[0].before
    assert told[0].p < 0.001


def test_false_alarms_are_rare() -> None:
    draw = np.random.default_rng(5)
    alarms = 0
    for _ in range(40):
        rolling = Rolling(100)
        alarms += sum(rolling.add(score) is not None for score in draw.choice([0.0, 0.9, 1.0], 2000, p=[0.1, 0.4, 0.5]))
    assert alarms <= 8  # of some 3000 looks


def test_it_goes_on_where_it_was() -> None:
    rolling = Rolling(20, [0.9] * 20 + [0.1] * 15)
    told = [rolling.add(0.1) for _ in range(5)]
    assert told[-1] is not None
    assert rolling.look() is not None
    assert Rolling(20, [0.9] * 39).look() is None
