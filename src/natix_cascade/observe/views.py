"""Five views of what a service's metrics count: overview, models, quality and drift, cost, GPUs. Arithmetic only.

The same figures as the Grafana dashboards show, for those who have neither Grafana nor Prometheus.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from natix_cascade.decide.metrics import mcc

__all__ = ["Samples", "Span", "series", "views"]

Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]
"""Value by the metric's name and then by its labels, sorted by name."""

_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_STATES: Final = ("closed", "half_open", "open")
_LONGER: Final = 2.0  # than the span, so that comparing with it says anything


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two readings.

    Attributes
    ----------
    before, now : mapping
        Readings; what is missing in the earlier one was 0.
    seconds : float
        Between them.
    """

    before: Samples
    now: Samples
    seconds: float

    def by(self, name: str, *labels: str, **wanted: str) -> dict[tuple[str, ...], float]:
        """Increase of a counter by labels, summed over all others; `wanted` are labels with their values."""
        found: dict[tuple[str, ...], float] = {}
        before = self.before.get(name, {})
        for pairs, value in self.now.get(name, {}).items():
            has = dict(pairs)
            if any(has.get(label) != each for label, each in wanted.items()):
                continue
            key = tuple(has.get(label, "") for label in labels)
            found[key] = found.get(key, 0.0) + _grown(before.get(pairs, 0.0), value)
        return found

    def sum(self, name: str, **wanted: str) -> float:
        """Increase of a counter over all its labels."""
        return sum(self.by(name, **wanted).values())

    def quantile(self, name: str, q: float, **wanted: str) -> float | None:
        """A quantile of a histogram, interpolated within its bucket as Prometheus does; None without observations."""
        steps = sorted((float(edge), count) for (edge,), count in self.by(f"{name}_bucket", "le", **wanted).items())
        return _quantile(steps, q)

    def mean(self, name: str, **wanted: str) -> float | None:
        """Mean of a histogram's observations."""
        return _ratio(self.sum(f"{name}_sum", **wanted), self.sum(f"{name}_count", **wanted))

    def gauge(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Present values of a gauge by labels, the largest of each."""
        found: dict[tuple[str, ...], float] = {}
        for pairs, value in self.now.get(name, {}).items():
            key = tuple(dict(pairs).get(label, "") for label in labels)
            found[key] = max(found.get(key, value), value)
        return found


def views(span: Span, hour: Span, ever: Span) -> dict[str, Any]:
    """All five.

    Parameters
    ----------
    span : Span
        The last minutes.
    hour : Span
        A longer one, that drift is measured against.
    ever : Span
        Since the start: truth is told seldom.
    """
    return {
        "overview": _overview(span),
        "models": _models(span),
        "quality": _quality(span, hour, ever),
        "cost": _cost(span, ever),
        "gpus": _gpus(span),
    }


def series(spans: Iterable[tuple[float, Span]]) -> dict[str, list[float | None]]:
    """Lines over time, a point for each span.

    Parameters
    ----------
    spans : iterable of (float, Span)
        The end of each, in seconds since 1970, and what happened in it.
    """
    lines: dict[str, list[float | None]] = {}
    for at, span in spans:
        verdicts = span.sum("cascade_verdicts_total")
        quantiles = {f"{name}_ms": _ms(span.quantile("cascade_latency_seconds", q)) for name, q in _QUANTILES}
        point = {
            "at": at,
            "per_s": verdicts / span.seconds,
            "error_ratio": _ratio(
                span.sum("cascade_total_errors_total"), verdicts + span.sum("cascade_total_errors_total")
            ),
            **quantiles,
            "yes_ratio": _ratio(span.sum("cascade_roadwork_detected_total"), verdicts),
            "disputed_ratio": _ratio(span.sum("cascade_disputed_verdicts_total"), verdicts),
            "degraded_ratio": _ratio(span.sum("cascade_degraded_verdicts_total"), verdicts),
            "confidence": span.mean("cascade_confidence"),
            "usd_per_hour": span.sum("cascade_cost_usd_total") * 3600 / span.seconds,
        }
        for name, value in point.items():
            lines.setdefault(name, []).append(value)
    return lines


def _overview(span: Span) -> dict[str, Any]:
    verdicts, errors = span.sum("cascade_verdicts_total"), span.sum("cascade_total_errors_total")
    at_work = [key for key, value in span.gauge("cascade_policy_info", "cascade", "policy").items() if value]
    return {
        "per_s": verdicts / span.seconds,
        "verdicts": verdicts,
        "yes_ratio": _ratio(span.sum("cascade_roadwork_detected_total"), verdicts),
        "errors": {kind: count for (kind,), count in span.by("cascade_total_errors_total", "kind").items() if count},
        "error_ratio": _ratio(errors, verdicts + errors),
        "rejected": {
            why: count for (why,), count in span.by("cascade_rejected_requests_total", "why").items() if count
        },
        "latency_ms": {name: _ms(span.quantile("cascade_latency_seconds", q)) for name, q in _QUANTILES},
        "active": sum(span.gauge("cascade_active_requests").values()),
        "exits": _shares(span.by("cascade_verdicts_total", "level")),
        "reasons": _shares(span.by("cascade_verdicts_total", "reason")),
        "degraded_ratio": _ratio(span.sum("cascade_degraded_verdicts_total"), verdicts),
        "deadline_misses": span.sum("cascade_deadline_misses_total"),
        "at_work": [{"cascade": cascade, "policy": policy} for cascade, policy in at_work],
    }


def _models(span: Span) -> list[dict[str, Any]]:
    names = {name for metric in ("cascade_model_latency_seconds_count", "cascade_model_failures_total")
             for (name,) in span.by(metric, "model")}  # fmt: skip
    breakers: dict[str, float] = {}
    for (model, _), state in span.gauge("cascade_breaker_state", "model", "replica").items():
        breakers[model] = max(breakers.get(model, 0.0), state)
    found = []
    for name in sorted(names | set(breakers)):
        answers = span.sum("cascade_model_latency_seconds_count", model=name)
        failures = span.sum("cascade_model_failures_total", model=name)
        latency, queue = "cascade_model_latency_seconds", "cascade_queue_seconds"
        found.append(
            {
                "model": name,
                "per_s": answers / span.seconds,
                "latency_ms": {each: _ms(span.quantile(latency, q, model=name)) for each, q in _QUANTILES},
                "queue_ms": {each: _ms(span.quantile(queue, q, model=name)) for each, q in _QUANTILES},
                "batch": span.mean("cascade_batch_size", model=name),
                "failure_ratio": _ratio(failures, answers + failures),
                "breaker": _STATES[round(breakers.get(name, 0.0))],
                "usd_per_hour": span.sum("cascade_cost_usd_total", model=name) * 3600 / span.seconds,
            }
        )
    return sorted(found, key=lambda one: -one["per_s"])


def _quality(span: Span, hour: Span, ever: Span) -> dict[str, Any]:
    told = ever.by("cascade_feedback_total", "answer", "truth")
    tp, fp, fn, tn = (told.get(key, 0.0) for key in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")))
    tenths = _tenths(ever)
    counted = sum(one["verdicts"] for one in tenths)
    apart = sum(abs(one["said"] - one["true"]) * one["verdicts"] for one in tenths)
    scores = {outcome: count for (outcome,), count in span.by("cascade_judge_scores_total", "outcome").items()}
    longer = hour.seconds >= _LONGER * span.seconds  # else it would be compared with itself
    exits = [each.by("cascade_verdicts_total", "level") for each in (span, hour)]
    return {
        **_answers(span),
        "exit_shift": _shift(*exits) if longer else None,
        "hour": {"seconds": round(hour.seconds, 1), **_answers(hour)} if longer else None,
        "feedback": {
            "verdicts": tp + fp + fn + tn,
            "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            "mcc": mcc([1, 0, 1, 0], [1, 1, 0, 0], [tp, fp, fn, tn]) if any(told.values()) else None,
            "promised": {
                metric: value for (metric,), value in span.gauge("cascade_promised", "metric").items() if value
            },
        },
        "calibration": {"tenths": tenths, "error": _ratio(apart, counted)},
        "judge": {"score": span.mean("cascade_judge_score"), "outcomes": scores},
    }


def _answers(span: Span) -> dict[str, float | None]:
    """What the answers are like, without their truth."""
    verdicts = span.sum("cascade_verdicts_total")
    return {
        "confidence": span.mean("cascade_confidence"),
        "agreement": span.mean("cascade_agreement_ratio"),
        "disputed_ratio": _ratio(span.sum("cascade_disputed_verdicts_total"), verdicts),
        "yes_ratio": _ratio(span.sum("cascade_roadwork_detected_total"), verdicts),
    }


def _tenths(ever: Span) -> list[dict[str, Any]]:
    """What was said and what is true, by tenths of P(yes)."""
    found = []
    for (tenth,), verdicts in sorted(ever.by("cascade_calibration_verdicts_total", "tenth").items()):
        if verdicts:
            said = ever.sum("cascade_calibration_probability_total", tenth=tenth)
            true = ever.sum("cascade_calibration_positives_total", tenth=tenth)
            found.append({"tenth": int(tenth), "verdicts": verdicts, "said": said / verdicts, "true": true / verdicts})
    return found


def _cost(span: Span, ever: Span) -> dict[str, Any]:
    usd, verdicts = span.sum("cascade_cost_usd_total"), span.sum("cascade_verdicts_total")
    return {
        "usd_per_hour": usd * 3600 / span.seconds,
        "usd_per_1000": _ratio(usd * 1000, verdicts),
        "usd": ever.sum("cascade_cost_usd_total"),
        "by_model": _shares(span.by("cascade_cost_usd_total", "model")),
        "by_level": _shares(span.by("cascade_cost_usd_total", "level")),
        "judge_usd_per_hour": span.sum("cascade_judge_cost_usd_total") * 3600 / span.seconds,
        "judge_usd": ever.sum("cascade_judge_cost_usd_total"),
    }


def _gpus(span: Span) -> list[dict[str, Any]]:
    parts = {
        "memory_bytes": "cascade_gpu_memory_bytes",
        "memory_total_bytes": "cascade_gpu_memory_total_bytes",
        "utilization": "cascade_gpu_utilization_ratio",
        "power_watts": "cascade_gpu_power_watts",
    }
    values = {part: span.gauge(metric, "gpu_id") for part, metric in parts.items()}
    ids = sorted({gpu for found in values.values() for gpu in found}, key=lambda gpu: (len(gpu[0]), gpu))  # 10 after 9
    return [{"gpu_id": gpu[0], **{part: found.get(gpu) for part, found in values.items()}} for gpu in ids]


def _grown(before: float, now: float) -> float:
    """Increase of a counter, which begins anew at 0 where a process did."""
    return now - before if now >= before else now


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _shares(counts: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    total = sum(counts.values())
    return {key[0]: count / total for key, count in counts.items() if count} if total else {}


def _shift(one: Mapping[tuple[str, ...], float], other: Mapping[tuple[str, ...], float]) -> float | None:
    """Total variation distance: the share of verdicts that would have to leave elsewhere to make both alike."""
    a, b = _shares(one), _shares(other)
    if not a or not b:
        return None
    return sum(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in a.keys() | b.keys()) / 2


def _quantile(steps: Sequence[tuple[float, float]], q: float) -> float | None:
    """Of cumulated counts by upper edge."""
    if not steps or steps[-1][1] <= 0:
        return None
    wanted, low, below = q * steps[-1][1], 0.0, 0.0
    for edge, count in steps:
        if count >= wanted:
            if math.isinf(edge):
                return low
            return low + (edge - low) * (wanted - below) / (count - below) if count > below else edge
        low, below = edge, count
    return low
