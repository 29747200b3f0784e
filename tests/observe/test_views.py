from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from natix_cascade.decide import metrics as arithmetic
from natix_cascade.errors import PictureError
from natix_cascade.observe.history import History
from natix_cascade.observe.metrics import Metrics
from natix_cascade.run.events import (
    BreakerChanged,
    CascadeLoaded,
    FeedbackGiven,
    PictureFailed,
    ScoreGiven,
    VerdictGiven,
)
from natix_cascade.testing.verdicts import some_verdict

YES = some_verdict()
NO = some_verdict(detected=False, probability=0.12, confidence=0.88, exit_level="gate", exit_reason="threshold")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    return Metrics()


def history_of(read: Callable[[], CollectorRegistry], clock: Clock) -> History:
    found = History(read, clock)
    found.tick()
    return found


def test_figures_are_those_of_the_last_minutes(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    for _ in range(100):
        metrics(VerdictGiven(YES))
    clock.now += 600
    history.tick()
    for _ in range(30):
        metrics(VerdictGiven(NO))
    metrics(VerdictGiven(replace(YES, degraded=True, consensus_ratio=0.6)))
    metrics(PictureFailed("x", PictureError("broken")))
    clock.now += 300
    found = history.shown(5)
    overview = found["views"]["overview"]
    assert found["seconds"] == 300
    assert overview["verdicts"] == 31
    assert overview["per_s"] == pytest.approx(31 / 300)
    assert overview["exits"] == {"gate": pytest.approx(30 / 31), "look": pytest.approx(1 / 31)}
    assert overview["errors"] == {"picture": 1}
    assert overview["error_ratio"] == pytest.approx(1 / 32)
    assert overview["yes_ratio"] == pytest.approx(1 / 31)
    assert 10 < overview["latency_ms"]["p50"] <= 25  # 18.5 ms lie in that bucket
    quality = found["views"]["quality"]
    assert quality["disputed_ratio"] == pytest.approx(1 / 31)
    # of the hour's 131 verdicts 101 left at `look`
    assert quality["exit_shift"] == pytest.approx(101 / 131 - 1 / 31)
    assert found["views"]["cost"]["usd_per_1000"] == pytest.approx(1.0)
    assert found["views"]["cost"]["usd"] == pytest.approx(0.131)
    assert found["views"]["cost"]["by_model"] == {"looker": 1.0}
    assert found["views"]["gpus"] == []


def test_models_with_their_breakers(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    metrics(VerdictGiven(YES))
    silent = replace(YES.opinions[1], score=None, probability=None, failure="gone", queue_ms=None, batch_size=None)
    metrics(VerdictGiven(replace(YES, opinions=(YES.opinions[0], silent))))
    metrics(BreakerChanged("looker", 0, "open"))
    clock.now += 10
    gate, look = history.shown(1)["views"]["models"]
    assert (gate["model"], gate["per_s"], gate["batch"], gate["failure_ratio"]) == ("gatekeeper", 0.2, 2.0, 0.0)
    assert (look["model"], look["failure_ratio"], look["breaker"]) == ("looker", 0.5, "open")
    assert gate["breaker"] == "closed"


def test_what_was_promised_and_what_was_found_out(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    metrics(CascadeLoaded("street@1", "old@1"))
    metrics(CascadeLoaded("street@1", "new@2", {"mcc": 0.8}))
    told = [(YES, True)] * 8 + [(YES, False)] * 2 + [(NO, False)] * 9 + [(NO, True)]
    for verdict, label in told:
        metrics(FeedbackGiven("x", verdict, 0.0, label=label))
    metrics.scored(ScoreGiven("x", "judge", "roadwork@1", 0.8, "", 0.002))
    metrics.scored(ScoreGiven("x", "judge", "roadwork@1", None, "", 0.001))
    found = history.shown(5)["views"]
    quality = found["quality"]
    labels, answers = [label for _, label in told], [verdict.detected for verdict, _ in told]
    assert found["overview"]["at_work"] == [{"cascade": "street@1", "policy": "new@2"}]
    assert quality["feedback"]["verdicts"] == 20
    assert quality["feedback"]["accuracy"] == pytest.approx(arithmetic.accuracy(labels, answers))
    assert quality["feedback"]["mcc"] == pytest.approx(arithmetic.mcc(labels, answers))
    assert quality["feedback"]["promised"] == {"mcc": 0.8}
    low, high = quality["calibration"]["tenths"]
    assert (low["tenth"], low["verdicts"], low["said"], low["true"]) == (1, 10, pytest.approx(0.12), 0.1)
    assert (high["tenth"], high["said"], high["true"]) == (9, pytest.approx(0.93), 0.8)
    assert quality["calibration"]["error"] == pytest.approx((0.02 + 0.13) / 2)
    assert quality["judge"] == {"score": pytest.approx(0.8), "outcomes": {"scored": 1, "abstained": 1, "failed": 0}}
    assert found["cost"]["judge_usd"] == pytest.approx(0.003)


def test_without_any_verdict_nothing_is_made_up(metrics: Metrics, clock: Clock) -> None:
    found = history_of(metrics.together, clock).shown(5)
    assert found["views"]["overview"]["error_ratio"] is None
    assert found["views"]["overview"]["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert found["views"]["quality"]["exit_shift"] is None
    assert found["series"] == {}


def test_counters_that_stand_at_0_are_no_truth(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    for answer in ("yes", "no"):
        metrics._child(metrics._feedback, answer, answer)
    metrics._child(metrics._scores, "scored")
    quality = history.shown(5)["views"]["quality"]
    assert quality["feedback"] == {"verdicts": 0, "accuracy": None, "mcc": None, "promised": {}}
    assert set(quality["judge"]["outcomes"].values()) == {0}


def test_drift_is_told_only_where_there_is_a_longer_time_to_compare_with(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    metrics(VerdictGiven(YES))
    clock.now += 300
    quality = history.shown(5)["views"]["quality"]
    assert (quality["exit_shift"], quality["hour"]) == (None, None)  # 0 would mean: as ever
    history.tick()
    metrics(VerdictGiven(NO))
    clock.now += 300
    quality = history.shown(5)["views"]["quality"]
    assert quality["exit_shift"] == pytest.approx(0.5)
    assert quality["yes_ratio"] == 0
    assert quality["hour"]["yes_ratio"] == pytest.approx(0.5)
    assert quality["hour"]["seconds"] == 600


def test_gpus_are_sorted_by_number_and_may_be_silent(clock: Clock) -> None:
    registry = CollectorRegistry()
    memory = Gauge("cascade_gpu_memory_bytes", "", ["gpu_id"], registry=registry)
    power = Gauge("cascade_gpu_power_watts", "", ["gpu_id"], registry=registry)
    for gpu in range(11):
        memory.labels(str(gpu)).set(gpu * 2**30)
    power.labels("3").set(250)
    gpus = history_of(lambda: registry, clock).shown(5)["views"]["gpus"]
    assert [gpu["gpu_id"] for gpu in gpus] == [str(gpu) for gpu in range(11)]
    assert gpus[3]["power_watts"] == 250
    assert gpus[10] == {
        "gpu_id": "10",
        "memory_bytes": 10 * 2**30,
        "memory_total_bytes": None,
        "utilization": None,
        "power_watts": None,
    }


def test_it_is_read_while_it_is_written(clock: Clock) -> None:
    registry = CollectorRegistry()
    counter = Counter("cascade_verdicts", "", ["level"], registry=registry)
    history = history_of(lambda: registry, clock)

    def write() -> None:
        for number in range(400):
            counter.labels(f"level-{number}").inc()
            clock.now += 10
            history.tick()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done():
                history.shown(60)
            writing.result()
    finally:
        sys.setswitchinterval(interval)


def test_lines_over_time_and_a_bounded_memory(metrics: Metrics, clock: Clock) -> None:
    history = history_of(metrics.together, clock)
    for _ in range(1000):
        metrics(VerdictGiven(YES))
        clock.now += 10
        history.tick()
        history.tick()  # too early: not taken
    lines = history.shown(60)["series"]
    assert len(history._rows) == 361
    assert 50 <= len(lines["at"]) <= 72
    assert lines["at"][-1] == clock.now
    assert lines["at"][0] is not None
    assert lines["at"][0] > clock.now - 3700
    assert all(rate == pytest.approx(0.1) for rate in lines["per_s"])
    for minutes in (5, 15):
        at = history.shown(minutes)["series"]["at"]
        assert at == [clock.now - 10 * step for step in reversed(range(6 * minutes + 1))]


def test_a_counter_that_began_anew_is_no_negative_rate(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    now = [Metrics()]
    history = history_of(lambda: now[0].together(), clock)  # noqa: PLW0108  # another one takes its place
    for _ in range(50):
        now[0](VerdictGiven(YES))
    clock.now += 60
    history.tick()
    now[0] = Metrics()
    now[0](VerdictGiven(YES))
    clock.now += 60
    assert history.shown(1)["views"]["overview"]["verdicts"] == 1
