"""Every event and every metric; labels that nobody from outside can add to; several processes that count together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from service_process import ServiceProcess, eventually

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CorruptPictureError, DeadlineError, TransientModelError
from natix_cascade.observe.gpus import _WHAT
from natix_cascade.observe.metrics import Metrics
from natix_cascade.run.events import (
    BreakerChanged,
    Call,
    CascadeLoaded,
    Event,
    FeedbackGiven,
    LevelFinished,
    LevelStarted,
    PictureFailed,
    ScoreGiven,
    VerdictGiven,
)

ROOT = Path(__file__).parents[2]
FIRST = Opinion("m", "first", 0.6, 0.7, latency_ms=30.0, cost_usd=0.25, queue_ms=2.0, batch_size=3)
SILENT = Opinion("n", "last", None, None, latency_ms=9.0, failure="connection to 10.0.0.7:8000 refused")

Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def verdict(probability: float = 0.84, **changes: Any) -> Verdict:
    detected = probability > 0.5
    given: dict[str, Any] = {
        "id": "photo.jpg",
        "sha256": "0" * 64,
        "question": "roadwork",
        "detected": detected,
        "probability": probability,
        "confidence": max(probability, 1 - probability),
        "consensus_ratio": 1.0,
        "exit_level": "first",
        "levels_executed": ("first",),
        "opinions": (FIRST,),
        "latency_ms": 40.0,
        "cost_usd": 0.25,
        "gmacs": 1.0,
        "degraded": False,
        "reasons": ("it was sure",),
        "cascade": "c@1",
        "policy": "p@1",
        "exit_reason": "threshold",
    }
    return Verdict(**{**given, **changes})


def page(metrics: Metrics) -> Page:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
        if not each.name.endswith("_created")
    }


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    return page(metrics).get((f"cascade_{name}", tuple(sorted(labels.items()))))


def after(*events: Event) -> Metrics:
    metrics = Metrics()
    for event in events:
        metrics(event)
    return metrics


def told(probability: float, label: bool) -> FeedbackGiven:  # noqa: FBT001  # the truth
    return FeedbackGiven("0" * 32, verdict(probability), 0.0, label, "a note")


def score(value: float | None, *, by_chance: bool = True, failure: str | None = None) -> ScoreGiven:
    return ScoreGiven("0" * 32, "judge", "r@1", value, "why", cost_usd=0.5, by_chance=by_chance, failure=failure)


def test_a_verdict_is_counted_by_level_and_reason() -> None:
    metrics = after(VerdictGiven(verdict(), Call.begin(), None), VerdictGiven(verdict(0.2)))
    assert read(metrics, "verdicts_total", level="first", reason="threshold") == 2
    assert read(metrics, "roadwork_detected_total") == 1
    assert read(metrics, "disputed_verdicts_total") == 0
    assert read(metrics, "degraded_verdicts_total", level="first") is None
    assert read(metrics, "cost_usd_total", level="first", model="m") == 0.5
    assert read(metrics, "latency_seconds_sum", level="first") == pytest.approx(0.08)
    assert read(metrics, "latency_seconds_bucket", level="first", le="0.025") == 0
    assert read(metrics, "latency_seconds_bucket", level="first", le="0.05") == 2
    assert read(metrics, "confidence_bucket", level="first", le="0.8") == 1
    assert read(metrics, "confidence_bucket", level="first", le="0.85") == 2
    assert read(metrics, "agreement_ratio_bucket", le="0.999") == 0
    assert read(metrics, "agreement_ratio_bucket", le="1.0") == 2


def test_a_disputed_and_degraded_verdict_whose_time_ran_out() -> None:
    changed = verdict(consensus_ratio=0.6, degraded=True, exit_reason="deadline", opinions=(FIRST, SILENT))
    metrics = after(VerdictGiven(changed))
    assert read(metrics, "disputed_verdicts_total") == 1
    assert read(metrics, "degraded_verdicts_total", level="first") == 1
    assert read(metrics, "deadline_misses_total", outcome="degraded") == 1
    assert read(metrics, "deadline_misses_total", outcome="failed") == 0
    assert read(metrics, "agreement_ratio_bucket", le="0.6") == 1


def test_models_are_counted_with_their_queue_and_batch_and_failures_without() -> None:
    metrics = after(VerdictGiven(verdict(opinions=(FIRST, SILENT))))
    assert read(metrics, "model_latency_seconds_bucket", model="m", le="0.025") == 0
    assert read(metrics, "model_latency_seconds_bucket", model="m", le="0.05") == 1
    assert read(metrics, "queue_seconds_sum", model="m") == pytest.approx(0.002)
    assert read(metrics, "batch_size_bucket", model="m", le="2.0") == 0
    assert read(metrics, "batch_size_bucket", model="m", le="4.0") == 1
    assert read(metrics, "model_failures_total", model="n") == 1
    assert read(metrics, "model_latency_seconds_count", model="n") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CorruptPictureError("truncated"), "picture"),
        (DeadlineError("8 s are over"), "deadline"),
        (TransientModelError("busy"), "model"),
        (ZeroDivisionError(), "other"),
    ],
)
def test_failures_are_counted_by_kind(error: Exception, kind: str) -> None:
    metrics = after(PictureFailed("photo.jpg", error))
    counted = {labels: value for (name, labels), value in page(metrics).items() if name == "cascade_total_errors_total"}
    kinds = ("picture", "deadline", "model", "other")
    assert counted == {(("kind", each),): float(each == kind) for each in kinds}, "the others are there, and 0"
    assert read(metrics, "deadline_misses_total", outcome="failed") == float(kind == "deadline")


def test_breakers_are_shown_as_they_are_now() -> None:
    metrics = after(BreakerChanged("m", 0, "open"), BreakerChanged("m", 0, "half_open"), BreakerChanged("m", 1, "open"))
    assert read(metrics, "breaker_state", model="m", replica="0") == 1
    assert read(metrics, "breaker_state", model="m", replica="1") == 2
    assert read(metrics, "breaker_changes_total", model="m", state="open") == 2
    metrics.breakers([{"model": "o", "replica": 0, "state": "closed", "failures": 0}])  # another cascade came
    assert read(metrics, "breaker_state", model="m", replica="1") == 0
    assert read(metrics, "breaker_state", model="o", replica="0") == 0
    assert read(metrics, "breaker_changes_total", model="m", state="open") == 2


def test_another_policy_moves_the_info_and_the_promises() -> None:
    metrics = after(CascadeLoaded("c@1", "p@1", {"mcc": 0.8}), CascadeLoaded("c@1", "p@2", {"accuracy": 0.95}))
    assert read(metrics, "policy_info", cascade="c@1", policy="p@1") == 0
    assert read(metrics, "policy_info", cascade="c@1", policy="p@2") == 1
    assert read(metrics, "promised", metric="accuracy") == 0.95
    assert read(metrics, "promised", metric="mcc") == 0, "it is not promised any more"
    metrics(CascadeLoaded("c@1", "p@1"))
    assert read(metrics, "policy_info", cascade="c@1", policy="p@1") == 1
    assert read(metrics, "policy_info", cascade="c@1", policy="p@2") == 0


def test_feedback_is_counted_by_answer_truth_and_tenth() -> None:
    metrics = after(told(0.84, True), told(0.84, False), told(0.08, False), told(0.001, True), told(1.0, True))
    assert read(metrics, "feedback_total", answer="yes", truth="yes") == 2
    assert read(metrics, "feedback_total", answer="yes", truth="no") == 1
    assert read(metrics, "feedback_total", answer="no", truth="no") == 1
    assert read(metrics, "feedback_total", answer="no", truth="yes") == 1
    assert read(metrics, "calibration_verdicts_total", tenth="8") == 2
    assert read(metrics, "calibration_probability_total", tenth="8") == pytest.approx(1.68)
    assert read(metrics, "calibration_positives_total", tenth="8") == 1
    assert read(metrics, "calibration_verdicts_total", tenth="0") == 2
    assert read(metrics, "calibration_verdicts_total", tenth="9") == 1
    assert read(metrics, "calibration_verdicts_total", tenth="5") == 0


def test_scores_of_chance_are_shown_and_all_are_counted_and_paid() -> None:
    metrics = Metrics()
    for each in (score(0.9), score(0.2, by_chance=False), score(None), score(None, failure="it hung up")):
        metrics.scored(each)
    metrics.scored(CascadeLoaded("c@1", "p@1"))
    assert read(metrics, "judge_scores_total", outcome="scored") == 2
    assert read(metrics, "judge_scores_total", outcome="abstained") == 1
    assert read(metrics, "judge_scores_total", outcome="failed") == 1
    assert read(metrics, "judge_score_count") == 1
    assert read(metrics, "judge_score_bucket", le="0.8") == 0
    assert read(metrics, "judge_score_bucket", le="0.9") == 1
    assert read(metrics, "judge_cost_usd_total") == 2
    assert read(metrics, "policy_info", cascade="c@1", policy="p@1") is None


def test_the_rest_of_the_service() -> None:
    metrics = Metrics()
    metrics.counted("/v1/infer", "200")
    metrics.rejected("full")
    metrics.active(7)
    metrics.unstored()
    metrics.reloaded("refused")
    metrics.dropped("post")
    metrics.observer_failed("judge")
    assert read(metrics, "total_requests_total", endpoint="/v1/infer", status="200") == 1
    assert read(metrics, "rejected_requests_total", why="full") == 1
    assert read(metrics, "active_requests") == 7
    assert read(metrics, "unstored_verdicts_total") == 1
    assert read(metrics, "reloads_total", outcome="refused") == 1
    assert read(metrics, "reloads_total", outcome="done") == 0
    assert read(metrics, "observations_dropped_total", observer="post") == 1
    assert read(metrics, "observer_errors_total", observer="judge") == 1


def test_levels_on_the_way_are_not_counted() -> None:
    metrics, none = Metrics(), Metrics()
    metrics(LevelStarted("a", "first", ("m",)))
    metrics(LevelFinished("a", "first", (FIRST,), exited=False, latency_ms=1.0))
    assert page(metrics) == page(none)


def test_what_clients_and_servers_write_is_never_a_label() -> None:
    metrics = Metrics()
    series = set()
    for number in range(20):
        text = f"word-{number}"
        opinion = Opinion("n", "last", None, None, latency_ms=1.0, failure=text)
        metrics(VerdictGiven(verdict(id=text, sha256=text, reasons=(text,), opinions=(FIRST, opinion)), Call.begin()))
        metrics(PictureFailed(text, CorruptPictureError(text)))
        metrics(PictureFailed(text, TransientModelError(text)))
        metrics(FeedbackGiven(text, verdict(id=text), 0.0, True, text))
        metrics.scored(ScoreGiven(text, text, text, 0.5, text, failure=None))
        series.add(len(page(metrics)))
    assert "word-" not in metrics.text().decode()
    assert len(series) == 1


def test_many_events_are_counted_by_themselves_and_few_when_they_are_asked_for() -> None:
    metrics = Metrics()
    for _ in range(1000):
        metrics(VerdictGiven(verdict(), Call.begin()))
    assert len(metrics._waiting) < 256
    assert read(metrics, "verdicts_total", level="first", reason="threshold") == 1000
    assert not metrics._waiting


# several processes

CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from natix_cascade.observe.metrics import Metrics, count_as
count_as(sys.argv[1])
import test_metrics as given
metrics = Metrics()
for line in sys.stdin:
    match line.split():
        case ["verdict"]: metrics(given.VerdictGiven(given.verdict()))
        case ["active", number]: metrics.active(int(number))
        case ["load", policy]: metrics(given.CascadeLoaded("c@1", policy, {"accuracy": 0.9}))
        case ["breaker", state]: metrics(given.BreakerChanged("m", 0, state))
    metrics.flush()
    print("done", flush=True)
"""


class Child:
    """A process that counts what it is told."""

    def __init__(self, name: str, folder: Path) -> None:
        paths = os.pathsep.join((str(ROOT / "src"), *sys.path[1:]))
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, name, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        )

    def __call__(self, *orders: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for order in orders:
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_processes_count_together_and_what_a_dead_one_was_doing_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Child("worker0", tmp_path), Child("worker1", tmp_path)
    whole = Metrics()
    try:
        one("verdict", "active 3", "load p@1", "breaker closed")
        two("verdict", "verdict", "active 4", "load p@1", "breaker open")
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        assert read(whole, "verdicts_total", level="first", reason="threshold") == 3
        assert read(whole, "latency_seconds_bucket", level="first", le="0.05") == 3
        assert read(whole, "active_requests") == 7
        assert read(whole, "breaker_state", model="m", replica="0") == 2, "as the worst of them sees it"
        assert read(whole, "promised", metric="accuracy") == 0.9

        one("load p@2")
        assert read(whole, "policy_info", cascade="c@1", policy="p@1") == 1, "it is still at work in the other"
        two("load p@2")
        assert read(whole, "policy_info", cascade="c@1", policy="p@1") == 0
        assert read(whole, "policy_info", cascade="c@1", policy="p@2") == 1

        two.kill()
        for file in tmp_path.glob("gauge_live*_worker1.db"):  # as the supervisor does
            file.unlink()
        assert read(whole, "active_requests") == 3
        assert read(whole, "breaker_state", model="m", replica="0") == 0
        assert read(whole, "verdicts_total", level="first", reason="threshold") == 3, "what was counted stays"

        files = len(list(tmp_path.iterdir()))
        two = Child("worker1", tmp_path)
        two("verdict", "active 1")
        assert read(whole, "verdicts_total", level="first", reason="threshold") == 4
        assert read(whole, "active_requests") == 4
        assert len(list(tmp_path.iterdir())) <= files + 2, "it goes on in the files of the dead one"
    finally:
        one.kill()
        two.kill()


def test_a_worker_that_takes_the_place_of_a_dead_one_goes_on_counting(tmp_path: Path) -> None:
    arguments = ("--loader", "serve_loaders:scripted", "--cascade", "bright", "--workers", "2")
    service = ServiceProcess(tmp_path, *arguments).start()
    try:
        (shared,) = tmp_path.glob("natix-metrics-*")
        gauges = {file.name: file.stat().st_ino for file in shared.glob("gauge_live*_worker1.db")}
        files = {file.name for file in shared.iterdir()}
        assert gauges
        assert {name.rsplit("_", 1)[1] for name in files} == {"worker0.db", "worker1.db"}
        before = service.workers()
        os.kill(before[1], signal.SIGKILL)
        eventually(lambda: before[1] not in service.workers())
        eventually(lambda: {file.name for file in shared.iterdir()} == files)
        assert all((shared / name).stat().st_ino != inode for name, inode in gauges.items()), "begun anew"
        with service.client() as client:
            page = client.get("/metrics").text
        assert re.search(r'cascade_policy_info\{cascade="bright@1",.*\} 1.0', page), "as it was loaded"
    finally:
        service.stop()


# the reference


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels by name, as docs/reference/metrics.md has them."""
    lines = (ROOT / "docs/reference/metrics.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `cascade_")]
    return {
        name.strip("`"): (kind, tuple(label.strip("` ") for label in labels.split(",") if label))
        for name, kind, labels, *_ in (row for row in rows if len(row) == 4)
    }


def test_the_reference_describes_every_metric_and_no_other() -> None:
    found = {}
    for metric in Metrics()._registry._collector_to_names:
        name, kind = metric._name, metric._type  # type: ignore[attr-defined]
        found[name + "_total" * (kind == "counter")] = (kind, tuple(metric._labelnames))  # type: ignore[attr-defined]
    found |= {f"cascade_gpu_{name}": ("gauge", ("gpu_id",)) for name in _WHAT}
    assert described() == found


def test_every_metric_that_rules_read_exists() -> None:
    names = set()
    for name, (kind, _) in described().items():
        names |= {name, *(f"{name}_{end}" for end in ("bucket", "sum", "count") if kind == "histogram")}
    for file in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
        text = re.sub(r"#.*|(record|alert|name|runbook_url): .*", "", file.read_text("utf-8"))
        used = set(re.findall(r"(?<![:\w])cascade_\w+(?![\w:])", text))
        assert used
        assert used <= names, file
