"""Verdicts, failures and calls as tests want them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.observe.observation import Observation
from natix_cascade.run.events import Call, PictureFailed, VerdictGiven
from natix_cascade.trace import TraceContext

__all__ = ["BEGAN", "ID", "PARENT", "TRACE", "call", "failure", "observation", "opinion", "verdict"]

ID = "01990b0c1d2e7a3b9c4d5e6f708192a3"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BEGAN = 1_795_000_000.25


def call(*, within: bool = False, id: str = ID, state: str = "") -> Call:  # noqa: A002  # what it is called
    parent = f"00-{TRACE}-{PARENT}-01" if within else None
    return Call(id, BEGAN, TraceContext.of_request(id, parent, state))


def opinion(model: str, level: str, began_ms: float, latency_ms: float, **changes: Any) -> Opinion:
    given = {"score": 0.6, "probability": 0.7, "cost_usd": 0.001, "queue_ms": 0.5, "batch_size": 4, **changes}
    return Opinion(model=model, level=level, began_ms=began_ms, latency_ms=latency_ms, **given)


def verdict(*opinions: Opinion, **changes: Any) -> Verdict:
    seen = Evidence(boxes=(Box("cone", 0.9, 0.1, 0.2, 0.3, 0.4),), text="ELM STREET CLOSED")
    asked = opinions or (
        opinion("gate", "first", 1.0, 4.0),
        opinion("lite", "second", 6.0, 10.0, evidence=seen),
        opinion("far", "second", 6.0, 30.0, score=None, probability=None, failure="no answer for /home/anna/a.jpg"),
    )
    given = Verdict(
        id="/home/anna/a.jpg",
        sha256="ab" * 32,
        question="roadwork",
        detected=True,
        probability=0.93,
        confidence=0.93,
        consensus_ratio=1.0,
        exit_level=asked[-1].level,
        levels_executed=tuple(dict.fromkeys(each.level for each in asked)),
        opinions=asked,
        latency_ms=40.0,
        cost_usd=sum(each.cost_usd for each in asked),
        gmacs=0.5,
        degraded=any(each.failure for each in asked),
        reasons=("far did not answer: no answer for /home/anna/a.jpg",),
        cascade="embedded@1",
        policy="embedded@2",
        exit_reason="last_level",
    )
    return replace(given, **changes)


def observation(given: Verdict | None = None, of: Call | None = None, **changes: Any) -> Observation:
    return Observation(VerdictGiven(given or verdict(), of or call(), waited_ms=5.0), **{"kept": "chance", **changes})


def failure(error: Exception, of: Call | None = None) -> Observation:
    return Observation(PictureFailed("/home/anna/a.jpg", error, of or call(), 12.0, 3.0), "remarkable")
