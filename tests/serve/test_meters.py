"""Live figures: of the last minute, of all workers together, and right to a few percent."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.serve.meters import Meters, merged


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def figures(*meters: Meters, now: float = 1000.0) -> dict[str, object]:
    told = [json.loads(json.dumps(each.snapshot())) for each in meters]  # as it travels from worker to worker
    found: dict[str, object] = merged(told, now)
    return found


def test_nothing_yet() -> None:
    found = figures(Meters(Clock()))
    assert found["requests"] == 0
    assert found["rate_per_s"] == 0
    assert found["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert figures()["uptime_s"] == 0.0


@given(st.lists(st.floats(0.02, 60_000), min_size=1, max_size=300))
def test_quantiles_are_right_to_five_percent(latencies: list[float]) -> None:
    meters = Meters(Clock())
    for each in latencies:
        meters.answered(each, "gate", degraded=False)
    found = figures(meters)["latency_ms"]
    assert isinstance(found, dict)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        want = np.quantile(latencies, q, method="inverted_cdf")
        assert math.isclose(found[name], want, rel_tol=0.05, abs_tol=0.006)


def test_what_is_older_than_a_minute_counts_since_the_start_only() -> None:
    clock = Clock()
    meters = Meters(clock)
    meters.answered(10.0, "gate", degraded=True)
    meters.refused(rejected=True)
    clock.now += 61
    meters.answered(20.0, "lite0", degraded=False)
    meters.refused(rejected=False)
    found = figures(meters, now=clock.now)
    assert found["exits"] == {"lite0": 1}
    assert found["rate_per_s"] == pytest.approx(1 / 60, abs=0.01)
    counts = {name: found[name] for name in ("requests", "rejected", "degraded", "failed")}
    assert counts == {"requests": 4, "rejected": 1, "degraded": 1, "failed": 1}
    assert found["uptime_s"] == 61.0
    clock.now += 61
    assert figures(meters, now=clock.now)["exits"] == {}


def test_the_rate_of_a_young_service_is_over_its_own_time() -> None:
    clock = Clock()
    meters = Meters(clock)
    for _ in range(40):
        meters.answered(1.0, "gate", degraded=False)
    assert figures(meters)["rate_per_s"] == 40.0  # a second at least
    clock.now += 4
    assert figures(meters)["rate_per_s"] == 10.0


@given(st.lists(st.tuples(st.floats(0.02, 1000), st.sampled_from(["gate", "lite0"]), st.booleans()), max_size=60))
def test_workers_add_up(answers: list[tuple[float, str, bool]]) -> None:
    one, three = Meters(Clock()), [Meters(Clock()) for _ in range(3)]
    for number, (latency, level, degraded) in enumerate(answers):
        for meters in (one, three[number % 3]):
            meters.answered(latency, level, degraded=degraded)
    assert figures(one) == figures(*three)


def test_memory_is_bounded() -> None:
    clock = Clock()
    meters = Meters(clock)
    for _ in range(1000):
        clock.now += 1
        meters.answered(1.0, "gate", degraded=False)
    assert len(meters._seconds) <= 61
    assert figures(meters, now=clock.now)["exits"] == {"gate": 60}
