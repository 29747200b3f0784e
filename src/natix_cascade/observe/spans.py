"""A verdict's way as a tree of spans: the request, its levels, their models. Pure: all follows from the verdict.

A server that a model was asked over has been told the id ``call.trace.child(model)`` as its parent, whether or not the
verdict would be kept: the model's span has it, wherever it stands in the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.observe.attributes import (
    Attributes,
    of_failure,
    of_level,
    of_model,
    of_verdict,
    said,
)
from natix_cascade.observe.observation import Observation
from natix_cascade.run.events import Call, PictureFailed, VerdictGiven
from natix_cascade.trace import TraceContext

__all__ = ["Moment", "Span", "level_place", "spans_of"]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span.

    Attributes
    ----------
    name : str
        What.
    at_ns : int
        When, in nanoseconds since 1970.
    attributes : mapping
        More about it.
    """

    name: str
    at_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of time in a trace.

    Attributes
    ----------
    name : str
        One of few: for all pictures the same.
    place : TraceContext
        Its ids.
    began_ns, ended_ns : int
        Nanoseconds since 1970.
    attributes : mapping
        More about it.
    is_request : bool
        It answers a caller, to whom its parent belongs.
    problem : str or None
        Why it failed.
    moments : tuple of Moment
        What happened meanwhile.
    """

    name: str
    place: TraceContext
    began_ns: int
    ended_ns: int
    attributes: Attributes
    is_request: bool = False
    problem: str | None = None
    moments: tuple[Moment, ...] = field(default=())


def spans_of(observation: Observation, *, pixels: bool = False) -> tuple[Span, ...]:
    """The spans of an observation, the request's first; none where it is of no request.

    Parameters
    ----------
    observation : Observation
        A verdict, a failure, or anything else.
    pixels : bool
        Whether the picture may be sent.
    """
    if not pixels:
        observation = replace(observation, picture=None)
    match observation.event:
        case VerdictGiven(call=Call() as call) as given:
            return tuple(_of_verdict(given, call, observation, pixels=pixels))
        case PictureFailed(call=Call() as call) as failed:
            return (_of_failure(failed, call, observation),)
    return ()


def level_place(call: Call, level: str, verdict: Verdict) -> TraceContext:
    """The span of a level: ``call.trace.child(level)``, but where a model has the same name."""
    alike = any(opinion.model == level for opinion in verdict.opinions)
    return call.trace.child(f"level {level}" if alike else level)


def _of_verdict(event: VerdictGiven, call: Call, observation: Observation, *, pixels: bool) -> Iterator[Span]:
    verdict = event.verdict
    last_ms = max((verdict.latency_ms, *(_end(opinion) for opinion in verdict.opinions)))
    ended = _at(call, event.waited_ms + last_ms)
    reasons = tuple(said(reason, verdict.id) for reason in verdict.reasons)
    yield Span(
        name=f"detect {verdict.question}",
        place=call.trace,
        began_ns=_at(call, 0.0),
        ended_ns=ended,
        attributes=of_verdict(event, observation),
        is_request=True,
        moments=(Moment("degraded", ended, {"natix.reasons": reasons}),) if verdict.degraded else (),
    )
    for level in dict.fromkeys(opinion.level for opinion in verdict.opinions):
        opinions = [opinion for opinion in verdict.opinions if opinion.level == level]
        place = level_place(call, level, verdict)
        yield Span(
            name=f"level {level}",
            place=place,
            began_ns=_at(call, event.waited_ms + min(opinion.began_ms or 0.0 for opinion in opinions)),
            ended_ns=_at(call, event.waited_ms + max(_end(opinion) for opinion in opinions)),
            attributes=of_level(verdict, level, opinions),
            problem=None if any(opinion.failure is None for opinion in opinions) else "no model of it answered",
        )
        for opinion in opinions:
            yield _of_model(event, call, opinion, place, pixels=pixels)


def _of_model(event: VerdictGiven, call: Call, opinion: Opinion, level: TraceContext, *, pixels: bool) -> Span:
    verdict = event.verdict
    return Span(
        name=opinion.model,
        place=replace(call.trace.child(opinion.model), parent_id=level.span_id),
        began_ns=_at(call, event.waited_ms + (opinion.began_ms or 0.0)),
        ended_ns=_at(call, event.waited_ms + _end(opinion)),
        attributes=of_model(verdict, opinion, seen=pixels),
        problem=None if opinion.failure is None else said(opinion.failure, verdict.id),
    )


def _of_failure(event: PictureFailed, call: Call, observation: Observation) -> Span:
    ended = _at(call, event.waited_ms + event.latency_ms)
    why = said(str(event.error), event.picture)
    error = {"exception.type": event.kind, "exception.message": why}
    return Span(
        name="detect",
        place=call.trace,
        began_ns=_at(call, 0.0),
        ended_ns=ended,
        attributes=of_failure(event, observation),
        is_request=True,
        problem=why or event.kind,
        moments=(Moment("exception", ended, error),),
    )


def _end(opinion: Opinion) -> float:
    """Milliseconds from the beginning of the picture's way to the answer."""
    return (opinion.began_ms or 0.0) + max(0.0, opinion.latency_ms)


def _at(call: Call, ms: float) -> int:
    return round(call.began * 1e9) + round(ms * 1e6)
