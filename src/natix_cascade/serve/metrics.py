"""Prometheus metrics of the service, over all of its workers."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from natix_cascade.run.events import BreakerChanged, Event, LevelFinished, VerdictGiven

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """Counters, histograms and gauges; a listener of the runner's events."""

    def __init__(self) -> None:
        self._registry = mine = CollectorRegistry()
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.requests = Counter(
            "natix_requests", "Requests by endpoint and status", ["endpoint", "status"], registry=mine
        )
        self.rejected = Counter(
            "natix_rejected", "Requests refused before their picture was decoded", ["why"], registry=mine
        )
        self.latency = Histogram("natix_verdict_seconds", "From request to verdict", buckets=_SECONDS, registry=mine)
        self.exits = Counter(
            "natix_exits", "Verdicts by the level at which they were given", ["level", "answer"], registry=mine
        )
        self.degraded = Counter("natix_degraded", "Degraded verdicts", registry=mine)
        self.model = Histogram("natix_model_seconds", "A model's answers", ["model"], buckets=_SECONDS, registry=mine)
        self.failures = Counter("natix_model_failures", "Answers that a model did not give", ["model"], registry=mine)
        self.cost = Counter("natix_cost_usd", "What verdicts cost, in US dollars", registry=mine)
        self.breakers = Gauge(
            "natix_breaker_state",
            "0 closed, 1 half open, 2 open",
            ["model", "replica"],
            multiprocess_mode="livemax",
            registry=mine,
        )
        self.changes = Counter("natix_breaker_changes", "Changes of breakers", ["model", "state"], registry=mine)
        self.in_flight = Gauge("natix_in_flight", "Pictures under way", multiprocess_mode="livesum", registry=mine)
        self.feedback = Counter("natix_feedback", "Feedback stored", ["was_right"], registry=mine)
        self.unstored = Counter("natix_unstored", "Verdicts that the store did not take in time", registry=mine)
        self.reloads = Counter("natix_reloads", "Reloads by outcome", ["outcome"], registry=mine)

    def __call__(self, event: Event) -> None:
        """Take in what the runner says."""
        if isinstance(event, LevelFinished):
            for opinion in event.opinions:
                if opinion.failure is None:
                    self._child(self.model, opinion.model).observe(opinion.latency_ms / 1000)
                else:
                    self.failures.labels(opinion.model).inc()
        elif isinstance(event, VerdictGiven):
            verdict = event.verdict
            self._child(self.exits, verdict.exit_level, "yes" if verdict.detected else "no").inc()
            self.latency.observe(verdict.latency_ms / 1000)
            self.cost.inc(verdict.cost_usd)
            if verdict.degraded:
                self.degraded.inc()
        elif isinstance(event, BreakerChanged):
            self.breakers.labels(event.model, str(event.replica)).set(_STATES[event.state])
            self.changes.labels(event.model, event.state).inc()

    def counted(self, endpoint: str, status: str) -> None:
        """Count one request."""
        self._child(self.requests, endpoint, status).inc()

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric with its labels; looked up once."""
        key = metric, labels
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found

    def text(self) -> bytes:
        """The page that Prometheus reads: of all workers where they share a folder, and as long as it is there."""
        together = self._registry
        if os.path.isdir(os.environ.get(_SHARED, "")):  # noqa: PTH112  # an environment variable, maybe empty
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
