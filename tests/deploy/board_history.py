"""A Prometheus with three hours of a service whose figures are known, and of one that nobody asks."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import servers
from boards import Chosen, Query

HOURS = 3 * 3600
DRIFT_S = 1800  # that long ago shares changed
EVERY_S = 15
BUSY, IDLE = "busy:8000", "idle:8000"
# by name and labels: increase each second, before the drift and since
COUNTERS: dict[tuple[str, str], tuple[float, float]] = {
    ("verdicts_total", 'level="front",reason="threshold"'): (3, 2),
    ("verdicts_total", 'level="last",reason="last_level"'): (1, 2),
    ("degraded_verdicts_total", 'level="last"'): (0.1, 0.1),
    ("roadwork_detected_total", ""): (1, 3),
    ("disputed_verdicts_total", ""): (0.2, 0.6),
    ("total_errors_total", 'kind="deadline"'): (1, 1),
    ("deadline_misses_total", 'outcome="failed"'): (1, 1),
    ("deadline_misses_total", 'outcome="degraded"'): (0.25, 0.25),
    ("total_requests_total", 'endpoint="/v1/infer",status="200"'): (3.8, 3.8),
    ("total_requests_total", 'endpoint="/v1/infer",status="503"'): (0.2, 0.2),
    ("total_requests_total", 'endpoint="/v1/status",status="500"'): (9, 9),
    ("rejected_requests_total", 'why="full"'): (0.2, 0.2),
    ("latency_seconds_bucket", 'level="front",le="0.1"'): (2, 2),
    ("latency_seconds_bucket", 'level="front",le="0.5"'): (4, 4),
    ("latency_seconds_bucket", 'level="front",le="+Inf"'): (4, 4),
    ("model_latency_seconds_count", 'model="cheap"'): (3, 3),
    ("model_failures_total", 'model="cheap"'): (1, 1),
    ("model_latency_seconds_count", 'model="dear"'): (2, 2),
    ("model_failures_total", 'model="gone"'): (0.5, 0.5),
    ("batch_size_sum", 'model="cheap"'): (12, 12),
    ("batch_size_count", 'model="cheap"'): (3, 3),
    ("confidence_sum", 'level="front"'): (2.7, 2.7),
    ("confidence_count", 'level="front"'): (3, 3),
    ("agreement_ratio_bucket", 'le="0.999"'): (1, 1),
    ("agreement_ratio_count", ""): (4, 4),
    ("agreement_ratio_sum", ""): (3.6, 3.6),
    ("feedback_total", 'answer="yes",truth="yes"'): (0.04, 0.04),
    ("feedback_total", 'answer="no",truth="no"'): (0.03, 0.03),
    ("feedback_total", 'answer="yes",truth="no"'): (0.01, 0.01),
    ("feedback_total", 'answer="no",truth="yes"'): (0.02, 0.02),
    ("calibration_verdicts_total", 'tenth="8"'): (0.05, 0.05),
    ("calibration_probability_total", 'tenth="8"'): (0.042, 0.042),
    ("calibration_positives_total", 'tenth="8"'): (0.04, 0.04),
    ("calibration_verdicts_total", 'tenth="1"'): (0.05, 0.05),
    ("calibration_probability_total", 'tenth="1"'): (0.0075, 0.0075),
    ("calibration_positives_total", 'tenth="1"'): (0.015, 0.015),
    ("calibration_verdicts_total", 'tenth="5"'): (0, 0),
    ("calibration_probability_total", 'tenth="5"'): (0, 0),
    ("calibration_positives_total", 'tenth="5"'): (0, 0),
    ("cost_usd_total", 'level="front",model="cheap"'): (0.001, 0.001),
    ("cost_usd_total", 'level="last",model="dear"'): (0.003, 0.003),
    ("judge_cost_usd_total", ""): (0.0005, 0.0005),
    ("judge_scores_total", 'outcome="scored"'): (0.08, 0.08),
    ("judge_scores_total", 'outcome="failed"'): (0.02, 0.02),
    ("judge_score_sum", ""): (0.072, 0.048),
    ("judge_score_count", ""): (0.08, 0.08),
}
GAUGES = {
    ("active_requests", ""): 2.0,
    ("breaker_state", 'model="cheap",replica="0"'): 0.0,
    ("breaker_state", 'model="cheap",replica="1"'): 2.0,
    ("policy_info", 'cascade="c@1",policy="p@1"'): 1.0,
    ("promised", 'metric="accuracy"'): 0.9,
    ("promised", 'metric="mcc"'): 0.0,
    ("gpu_memory_bytes", 'gpu_id="0"'): 60.0,
    ("gpu_memory_total_bytes", 'gpu_id="0"'): 80.0,
    ("gpu_power_watts", 'gpu_id="0"'): 500.0,
    ("gpu_memory_bytes", 'gpu_id="1"'): 20.0,
    ("gpu_memory_total_bytes", 'gpu_id="1"'): 80.0,
    ("gpu_power_watts", 'gpu_id="1"'): 100.0,
}


@dataclass(frozen=True, slots=True)
class History:
    """What is known, until `end`."""

    url: str
    end: int

    def ask(self, query: Query, instance: str = BUSY) -> dict[tuple[str, ...], float]:
        """Values at the end by the values of the labels, in the order of the labels' names."""
        chosen = Chosen(instance=(instance,), before="1h", truth="7d", step_s=45, range_s=HOURS)
        given = {"query": chosen.put_into(query.text), "time": self.end}
        answer = httpx.post(f"{self.url}/api/v1/query", data=given, trust_env=False)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return {tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1]) for each in found}


@contextmanager
def history(folder: Path) -> Iterator[History]:
    """Write it and run Prometheus over it."""
    promtool = shutil.which("promtool") or servers._absent("needs promtool (Debian's prometheus)")
    folder.mkdir(parents=True, exist_ok=True)
    end = int(time.time()) // EVERY_S * EVERY_S
    (folder / "history.txt").write_text("".join(_lines(end)))
    made = ("tsdb", "create-blocks-from", "openmetrics", str(folder / "history.txt"), str(folder / "tsdb"))
    subprocess.run([promtool, *made], check=True, capture_output=True)
    with servers.prometheus(folder, "global: {}\n") as server:
        yield History(server.url, end)


def _lines(end: int) -> Iterator[str]:
    counts = {key: [7.0, 7.0] for key in COUNTERS}
    families: dict[str, list[str]] = {}
    for when in range(end - HOURS, end + 1, EVERY_S):
        for (name, labels), found in counts.items():
            for index, instance in enumerate((BUSY, IDLE)):
                families.setdefault(name, []).append(_line(name, labels, instance, found[index], when))
            before, since = COUNTERS[name, labels]
            found[0] += EVERY_S * (since if when >= end - DRIFT_S else before)
        for (name, labels), value in GAUGES.items():
            for instance in (BUSY, IDLE):
                families.setdefault(name, []).append(_line(name, labels, instance, value, when))
    for found in families.values():
        yield from found
    yield "# EOF\n"


def _line(name: str, labels: str, instance: str, value: float, when: int) -> str:
    return f'cascade_{name}{{{labels}{"," if labels else ""}instance="{instance}"}} {value!r} {when}\n'
