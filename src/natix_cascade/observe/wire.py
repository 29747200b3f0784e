"""Observations as bytes, on their way from a worker to the process that observes.

A JSON object behind its length (4 bytes, big-endian), then the picture, if there is one.
"""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import Any

import orjson

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.observe.observation import Observation
from natix_cascade.run.events import (
    BreakerChanged,
    Call,
    CascadeLoaded,
    Event,
    FeedbackGiven,
    PictureFailed,
    ScoreGiven,
    VerdictGiven,
)
from natix_cascade.trace import TraceContext

__all__ = ["Failed", "decode", "encode"]

_LENGTH = struct.Struct(">I")
_PLAIN = {each.__name__: each for each in (BreakerChanged, CascadeLoaded, ScoreGiven)}


class Failed(CascadeError):  # noqa: N818  # it stands for an error of another process
    """An error that happened in another process: its class's name and what it said."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


def encode(observation: Observation) -> bytes:
    """As bytes; `decode` reads them.

    Raises
    ------
    TypeError
        Such events stay where they are: those of single levels are told by the verdict again.
    """
    head = orjson.dumps(
        {"kept": observation.kept, "share": observation.share, **_told(observation.event)},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return _LENGTH.pack(len(head)) + head + (observation.picture or b"")


def decode(message: bytes) -> Observation:
    """What `encode` was given; errors come back as `Failed`, and verdicts without heat maps.

    Raises
    ------
    ValueError
        It is nothing of that kind.
    """
    try:
        (length,) = _LENGTH.unpack_from(message)
        end = _LENGTH.size + length
        data = orjson.loads(message[_LENGTH.size : end])
        return Observation(_event(data), data["kept"], message[end:] or None, data["share"])
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no observation: {type(error).__name__}: {error}") from None


def _told(event: Event) -> dict[str, Any]:
    kind = type(event).__name__
    match event:
        case VerdictGiven(verdict, call, waited_ms=waited_ms):
            return {"kind": kind, "verdict": verdict.as_dict(), "call": _call_told(call), "waited": waited_ms}
        case PictureFailed(picture, error, call, latency_ms, waited_ms):
            about = {"type": event.kind, "said": str(error)}
            times = {"ms": latency_ms, "waited": waited_ms}
            return {"kind": kind, "picture": picture, "error": about, "call": _call_told(call), **times}
        case FeedbackGiven(id_, verdict, created, label, note):
            told = {"verdict": verdict.as_dict(), "created": created, "label": label, "note": note}
            return {"kind": kind, "id": id_, **told}
        case BreakerChanged() | CascadeLoaded() | ScoreGiven():
            return {"kind": kind, "fields": asdict(event)}
    raise TypeError(f"{kind} is not sent on")


def _event(data: dict[str, Any]) -> Event:
    kind = data["kind"]
    if kind == "VerdictGiven":
        return VerdictGiven(Verdict.from_dict(data["verdict"]), _call(data["call"]), waited_ms=data["waited"])
    if kind == "PictureFailed":
        error = Failed(data["error"]["type"], data["error"]["said"])
        return PictureFailed(data["picture"], error, _call(data["call"]), data["ms"], data["waited"])
    if kind == "FeedbackGiven":
        verdict = Verdict.from_dict(data["verdict"])
        return FeedbackGiven(data["id"], verdict, data["created"], data["label"], data["note"])
    event: Event = _PLAIN[kind](**data["fields"])
    return event


def _call_told(call: Call | None) -> list[Any] | None:
    if call is None:
        return None
    trace = call.trace
    return [call.id, call.began, trace.trace_id, trace.span_id, trace.parent_id, trace.sampled, trace.state]


def _call(data: list[Any] | None) -> Call | None:
    if data is None:
        return None
    name, began, trace_id, span_id, parent_id, sampled, state = data
    return Call(name, began, TraceContext(trace_id, span_id, parent_id, sampled, state))
