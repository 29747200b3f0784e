"""Prometheus metrics of the service, over all of its processes. Labels are bounded: what a client writes is none.

Names without a unit count; the client library adds ``_total`` to counters, as in ``cascade_total_requests_total``.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import DeadlineError, ModelError, PictureError
from natix_cascade.observe.gpus import Gpus
from natix_cascade.run.events import (
    BreakerChanged,
    CascadeLoaded,
    Event,
    FeedbackGiven,
    PictureFailed,
    ScoreGiven,
    VerdictGiven,
)

__all__ = ["CONTENT_TYPE", "Metrics", "count_as"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 9.0, 30.0)
_SURE: Final = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
_AGREED: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.999, 1.0)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TENTHS: Final = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_KINDS: Final = {PictureError: "picture", DeadlineError: "deadline", ModelError: "model"}
_YES_NO: Final = ("no", "yes")
_PROMISES: Final = ("accuracy", "mcc", "reward")
_MOST_WAITING: Final = 256


def count_as(process: str) -> None:
    """Name this process's files in the shared folder, before `Metrics` is made; else it is called by its number.

    A process that takes the place of a dead one goes on in its files: they do not become more with every death.

    Parameters
    ----------
    process : str
        No two that live at a time may have the same; without ``_``.
    """
    if os.environ.get(_SHARED):
        values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]


class Metrics:
    """Counters, histograms and gauges; a listener of run's events.

    Events are counted when `flush` is called, or the page is read. Where the variable ``PROMETHEUS_MULTIPROC_DIR``
    names a folder, several processes count together in it.
    """

    hears_levels = False

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._flushing = threading.Lock()
        self._registry = mine = CollectorRegistry()
        self._children: dict[tuple[Any, ...], Any] = {}

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"cascade_{name}", what, labels, registry=mine)

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"cascade_{name}", what, labels, buckets=buckets, registry=mine)

        def gauge(name: str, what: str, mode: Any, *labels: str) -> Gauge:
            return Gauge(f"cascade_{name}", what, labels, multiprocess_mode=mode, registry=mine)

        # requests
        self._requests = counter("total_requests", "Requests by endpoint and status", "endpoint", "status")
        self._rejected = counter("rejected_requests", "Requests refused before their picture was decoded", "why")
        self._active = gauge("active_requests", "Pictures under way", "livesum")
        # verdicts
        self._errors = counter("total_errors", "Pictures without a verdict", "kind")
        self._detected = counter("roadwork_detected", "Verdicts that say yes")
        self._verdicts = counter("verdicts", "Verdicts by the level that gave them, and why there", "level", "reason")
        self._latency = histogram("latency_seconds", "From picture to verdict", _SECONDS, "level")
        self._confidence = histogram("confidence", "Probability of the given answer", _SURE, "level")
        self._agreement = histogram("agreement_ratio", "Weighted share of opinions for the answer", _AGREED)
        self._disputed = counter("disputed_verdicts", "Verdicts with an opinion against them")
        self._degraded = counter("degraded_verdicts", "Verdicts without all that should have been asked", "level")
        self._missed = counter("deadline_misses", "Pictures whose time ran out", "outcome")
        self._cost = counter("cost_usd", "What answers cost, in US dollars", "level", "model")
        # models
        self._model = histogram("model_latency_seconds", "From question to answer", _SECONDS, "model")
        self._queue = histogram("queue_seconds", "Of it, the wait before the model took it up", _SECONDS, "model")
        self._batch = histogram("batch_size", "Pictures answered together", _BATCHES, "model")
        self._failures = counter("model_failures", "Answers that a model did not give", "model")
        self._breakers = gauge("breaker_state", "0 closed, 1 half open, 2 open", "livemax", "model", "replica")
        self._changes = counter("breaker_changes", "Changes of breakers", "model", "state")
        # policy and quality
        self._policy = gauge("policy_info", "1 for what is at work", "livemax", "cascade", "policy")
        self._promised = gauge("promised", "What the policy promises at least; 0: nothing", "livemax", "metric")
        self._feedback = counter("feedback", "Verdicts whose truth was told", "answer", "truth")
        self._told = counter("calibration_verdicts", "Verdicts whose truth was told, by tenths of P(yes)", "tenth")
        self._said = counter("calibration_probability", "Sum of their P(yes)", "tenth")
        self._true = counter("calibration_positives", "How many of them are truly yes", "tenth")
        # the judge
        self._scores = counter("judge_scores", "Verdicts that the judge was asked about", "outcome")
        self._score = histogram("judge_score", "Scores of verdicts drawn by chance", _TENTHS)
        self._judge_cost = counter("judge_cost_usd", "What the judge cost, in US dollars")
        # the service itself
        self._unstored = counter("unstored_verdicts", "Verdicts that the store did not take in time")
        self._reloads = counter("reloads", "Reloads by outcome", "outcome")
        self._dropped = counter("observations_dropped", "Observations that could not be sent on", "observer")
        self._broken = counter("observer_errors", "Errors of observers", "observer")
        self._at_work: tuple[str, str] | None = None
        self._known_breakers: set[tuple[str, str]] = set()
        self._gpus = Gpus()
        self._begin()

    def _begin(self) -> None:
        """Begin at 0 what is known beforehand: a series that begins at 1 hides its first increase."""
        beginnings: dict[Any, tuple[str, ...]] = {
            self._rejected: ("full", "draining", "rate"),
            self._errors: (*_KINDS.values(), "other"),
            self._missed: ("degraded", "failed"),
            self._scores: ("scored", "abstained", "failed"),
            self._reloads: ("done", "refused"),
        }
        for metric, labels in beginnings.items():
            for label in labels:
                self._child(metric, label)
        for answer in _YES_NO:
            for truth in _YES_NO:
                self._child(self._feedback, answer, truth)
        for tenth in range(10):
            for metric in (self._told, self._said, self._true):
                self._child(metric, str(tenth))

    def __call__(self, event: Event) -> None:
        """Take in an event; it is counted with the next `flush`."""
        self._waiting.append(event)
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Count what waits: many at a time cost a quarter of what they cost one by one, between a model's answers."""
        with self._flushing:
            while self._waiting:
                self._count(self._waiting.popleft())

    def _count(self, event: Event) -> None:
        match event:
            case VerdictGiven(verdict):
                self._given(verdict)
            case PictureFailed(_, error):
                self._failed(error)
            case BreakerChanged(model, replica, state):
                self._breaker(model, str(replica), state)
                self._child(self._changes, model, state).inc()
            case CascadeLoaded():
                self._loaded(event)
            case FeedbackGiven():
                self._heard(event)

    def counted(self, endpoint: str, status: str) -> None:
        """Count a request."""
        self._child(self._requests, endpoint, status).inc()

    def rejected(self, why: str) -> None:
        """Count a request that was refused before its picture was decoded."""
        self._child(self._rejected, why).inc()

    def active(self, pictures: int) -> None:
        """Say how many pictures are under way here."""
        self._active.set(pictures)

    def breakers(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Say how the breakers are now; those of a cascade that is no longer at work are closed.

        Parameters
        ----------
        states : iterable of mapping
            Each with ``model``, ``replica`` and ``state``.
        """
        now = {(each["model"], str(each["replica"])): each["state"] for each in states}
        for model, replica in self._known_breakers - now.keys():
            self._breaker(model, replica, "closed")
        for (model, replica), state in now.items():
            self._breaker(model, replica, state)

    def unstored(self) -> None:
        """Count a verdict that the store did not take in time."""
        self._unstored.inc()

    def reloaded(self, outcome: str) -> None:
        """Count a reload."""
        self._child(self._reloads, outcome).inc()

    def dropped(self, observer: str) -> None:
        """Count an observation that could not be sent on."""
        self._child(self._dropped, observer).inc()

    def observer_failed(self, observer: str) -> None:
        """Count an error of an observer."""
        self._child(self._broken, observer).inc()

    def scored(self, event: Event) -> None:
        """Count a score; other events are for other processes."""
        if not isinstance(event, ScoreGiven):
            return
        outcome = "failed" if event.failure else "abstained" if event.score is None else "scored"
        self._child(self._scores, outcome).inc()
        self._judge_cost.inc(event.cost_usd)
        if event.score is not None and event.by_chance:
            self._score.observe(event.score)

    def text(self) -> bytes:
        """The page that Prometheus reads: of all processes where they share a folder, and as long as it is there."""
        return generate_latest(self.together())

    def together(self) -> CollectorRegistry:
        """What all processes have counted, and the GPUs of this machine."""
        self.flush()
        together = CollectorRegistry()
        if os.path.isdir(os.environ.get(_SHARED, "")):  # noqa: PTH112  # an environment variable, maybe empty
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        else:
            together.register(self._registry)
        together.register(self._gpus)
        return together

    def _given(self, verdict: Verdict) -> None:
        level = verdict.exit_level
        self._child(self._verdicts, level, verdict.exit_reason).inc()
        self._child(self._latency, level).observe(verdict.latency_ms / 1000)
        self._child(self._confidence, level).observe(verdict.confidence)
        self._agreement.observe(verdict.consensus_ratio)
        if verdict.detected:
            self._detected.inc()
        if verdict.disagrees:
            self._disputed.inc()
        if verdict.degraded:
            self._child(self._degraded, level).inc()
        if verdict.exit_reason == "deadline":
            self._child(self._missed, "degraded").inc()
        for opinion in verdict.opinions:
            self._opinion(opinion)

    def _opinion(self, opinion: Opinion) -> None:
        model = opinion.model
        if opinion.cost_usd:
            self._child(self._cost, opinion.level, model).inc(opinion.cost_usd)
        if opinion.failure is not None:
            self._child(self._failures, model).inc()
            return
        self._child(self._model, model).observe(opinion.latency_ms / 1000)
        if opinion.queue_ms is not None:
            self._child(self._queue, model).observe(opinion.queue_ms / 1000)
        if opinion.batch_size is not None:
            self._child(self._batch, model).observe(opinion.batch_size)

    def _failed(self, error: Exception) -> None:
        kind = next((name for base, name in _KINDS.items() if isinstance(error, base)), "other")
        self._child(self._errors, kind).inc()
        if kind == "deadline":
            self._child(self._missed, "failed").inc()

    def _loaded(self, event: CascadeLoaded) -> None:
        if self._at_work is not None:
            self._child(self._policy, *self._at_work).set(0)
        self._at_work = (event.cascade, event.policy)
        self._child(self._policy, *self._at_work).set(1)
        for metric in _PROMISES:
            self._child(self._promised, metric).set(event.promises.get(metric, 0.0))

    def _heard(self, event: FeedbackGiven) -> None:
        verdict = event.verdict
        self._child(self._feedback, _YES_NO[verdict.detected], _YES_NO[event.label]).inc()
        tenth = str(min(int(verdict.probability * 10), 9))
        self._child(self._told, tenth).inc()
        self._child(self._said, tenth).inc(verdict.probability)
        self._child(self._true, tenth).inc(event.label)

    def _breaker(self, model: str, replica: str, state: str) -> None:
        self._known_breakers.add((model, replica))
        self._child(self._breakers, model, replica).set(_STATES[state])

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric with its labels; looked up once."""
        key = metric, *labels
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found
