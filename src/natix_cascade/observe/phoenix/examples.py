"""Verdicts as examples of a Phoenix data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.decide.verdict import Verdict
from natix_cascade.observe.hardest import kind_of
from natix_cascade.observe.words import word
from natix_cascade.trace import TraceContext

__all__ = ["Shown", "example"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A verdict with what is known around it.

    Attributes
    ----------
    verdict : Verdict
        What the cascade said.
    name : str
        The picture, as the results call it.
    truth : bool or None
        None: nobody said.
    note : str or None
        What was written to it.
    picture : Path or None
        Its file, where it was kept.
    verdict_id : str or None
        Of a service's verdict: it has a trace.
    """

    verdict: Verdict
    name: str
    truth: bool | None = None
    note: str | None = None
    picture: Path | None = None
    verdict_id: str | None = None


def example(shown: Shown) -> dict[str, Any]:
    """An example: the picture is the input, the truth the output, and what the cascade said the metadata.

    Its id is the picture's digest, so that a picture stays one example through all versions of a data set.
    """
    verdict = shown.verdict
    given: dict[str, Any] = {"sha256": verdict.sha256, "name": shown.name}
    if shown.picture is not None:
        given["picture"] = str(shown.picture)
    metadata = {
        "why": kind_of(verdict, shown.truth),
        "verdict": word(verdict.question, verdict.detected),
        "probability": verdict.probability,
        "confidence": verdict.confidence,
        "consensus_ratio": verdict.consensus_ratio,
        "probabilities": {opinion.model: opinion.probability for opinion in verdict.opinions},
        "exit_level": verdict.exit_level,
        "levels_executed": list(verdict.levels_executed),
        "reasons": list(verdict.reasons),
        "degraded": verdict.degraded,
        "latency_ms": verdict.latency_ms,
        "cost_usd": verdict.cost_usd,
        "gmacs": verdict.gmacs,
        "question": verdict.question,
        "cascade": verdict.cascade,
        "policy": verdict.policy,
    }
    made = {"id": verdict.sha256, "input": given, "metadata": metadata}
    made["output"] = {} if shown.truth is None else {"label": word(verdict.question, shown.truth)}
    if shown.note:
        metadata["note"] = shown.note
    if shown.verdict_id is not None:
        metadata["trace_id"] = shown.verdict_id  # unless the client had a trace of its own
        made["span_id"] = TraceContext.of_request(shown.verdict_id).span_id
    return made
