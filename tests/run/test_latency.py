from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from engine_room import LONG, Clock
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.run.latency import Latencies


def filled(seconds: list[float], **options: float) -> Latencies:
    latencies = Latencies(**options)  # type: ignore[arg-type]
    for each in seconds:
        latencies.add(each)
    return latencies


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_durations_and_numpys(seconds: list[float], q: float) -> None:
    wanted = float(np.quantile(seconds, q, method="inverted_cdf"))
    found = filled(seconds, least=1).quantile(q)
    assert found is not None
    assert found in seconds
    ranks = np.sort(seconds)
    assert abs(int(np.searchsorted(ranks, found)) - int(np.searchsorted(ranks, wanted))) <= 1  # q * n may round
    assert np.mean(np.array(seconds) <= found) >= q - 1e-9


@pytest.mark.parametrize(("q", "wanted"), [(0.0, 1.0), (0.05, 1.0), (0.5, 10.0), (0.95, 19.0), (1.0, 20.0)])
def test_known_quantiles(q: float, wanted: float) -> None:
    assert filled([float(n) for n in range(20, 0, -1)]).quantile(q) == wanted


def test_too_few_say_nothing() -> None:
    latencies = Latencies(least=3)
    assert latencies.quantile(0.95) is None
    for known in (False, False, True):
        latencies.add(1.0)
        assert (latencies.quantile(0.95) is not None) == known


def test_only_the_latest_count() -> None:
    latencies = filled([100.0] * 10, size=10, least=1)
    assert latencies.quantile(0.5) == 100.0
    for _ in range(16):  # it is sorted anew at least this often
        latencies.add(1.0)
    assert latencies.quantile(1.0) == 1.0


def test_what_is_too_old_is_forgotten_and_the_rest_stays() -> None:
    clock = Clock()
    latencies = Latencies(least=2, max_age_s=30.0, clock=clock)
    for seconds in (9.0, 9.0, 9.0, 1.0, 1.0):
        latencies.add(seconds)
        clock.now += 5.0
    assert latencies.quantile(1.0) == 9.0
    clock.now += 18.0  # 43, 38, 33, 28 and 23 s old
    assert latencies.quantile(1.0) == 1.0
    clock.now += 6.0  # one is left: too few
    assert latencies.quantile(1.0) is None
    latencies.add(2.0)
    assert latencies.quantile(1.0) == 2.0
    clock.now += 100.0
    assert latencies.quantile(1.0) is None


def test_without_an_age_nothing_is_forgotten() -> None:
    clock = Clock()
    latencies = Latencies(least=1, clock=clock)
    latencies.add(9.0)
    clock.now += 1e9
    assert latencies.quantile(1.0) == 9.0


def test_threads_may_add_and_read_at_once() -> None:
    clock = Clock()
    latencies = Latencies(least=1, max_age_s=1.0, clock=clock)
    stop, usual = threading.Event(), sys.getswitchinterval()

    def add() -> None:
        while not stop.is_set():
            latencies.add(1.0)
            clock.now += 0.01

    def read() -> None:
        for _ in range(3000):
            assert latencies.quantile(0.95) in {None, 1.0}

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            adding = [pool.submit(add) for _ in range(2)]
            try:
                for each in [pool.submit(read) for _ in range(2)]:
                    each.result(LONG)
            finally:
                stop.set()
            for each in adding:
                each.result(LONG)
    finally:
        sys.setswitchinterval(usual)
