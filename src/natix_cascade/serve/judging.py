"""From a picture that came in to the answer that goes out: judge, explain, remember."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole
from natix_cascade.image import Limits, challenge_jpeg, decode, encode_jpeg, sanitize, shrink
from natix_cascade.run.events import Call, FeedbackGiven, Listener
from natix_cascade.serve.infer_options import BatchOptions, InferOptions
from natix_cascade.serve.problems import ProblemError
from natix_cascade.serve.service import Service
from natix_cascade.serve.store import FeedbackRow
from natix_cascade.trace import TraceContext, current, new_id

__all__ = ["Judged", "begin_call", "deadline_s", "judge", "keep_picture", "label_of", "remember_feedback", "stamp"]

_SHOWN_SIDE = 960
_STORE_PATIENCE_S = 1.0  # a store that is slower does not hold up an answer


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """An answer: its JSON, and the verdict in it."""

    body: bytes
    verdict: Verdict


def begin_call(service: Service, headers: Mapping[str, str], began: float) -> Call:
    """A name for what a request brings, and its place in the trace that its headers tell of.

    Parameters
    ----------
    service : Service
        The worker.
    headers : mapping
        Of the request.
    began : float
        Of `time.perf_counter`, when the request came in.
    """
    name, share = new_id(), service.options.observe.share
    trace = TraceContext.of_request(name, headers.get("traceparent"), headers.get("tracestate"), share=share)
    return Call(name, time.time() - (time.perf_counter() - began), trace)


async def judge(
    service: Service,
    content: bytes,
    options: InferOptions,
    *,
    began: float,
    call: Call,
    listener: Listener | None = None,
) -> Judged:
    """Judge one picture within its deadline, and remember the verdict.

    Parameters
    ----------
    service : Service
        The worker.
    content : bytes
        The encoded picture.
    options : InferOptions
        What was asked for.
    began : float
        Of `time.perf_counter`, when the request came in.
    call : Call
        Names the verdict.
    listener : callable or None
        Handed the events of this picture.

    Raises
    ------
    CascadeError
        There is no verdict; `problem_of` says how that is answered.
    """
    current.set(call.trace)  # of this request's task
    label = label_of(service, options.label)
    if options.augment is not None:
        content = await asyncio.to_thread(_augmented, content, options, service.engine.limits)
    verdict = await service.engine.detect(
        content,
        deadline_ms=(deadline_s(service, options) - (time.perf_counter() - began)) * 1000,
        explain=options.explain,
        name=options.name,
        max_level=options.max_level,
        listener=listener,
        call=call,
    )
    answer: dict[str, Any] = {
        "verdict_id": call.id,
        "created": stamp(time.time()),
        "place": options.place.model_dump() if options.place else None,
        "label": label,
        "stored": True,
        **verdict.as_dict(),
        "latency_ms": round((time.perf_counter() - began) * 1000, 3),
    }
    body = await _remember(service, answer)
    if label is not None or options.keep:
        body = await _keep(service, content, answer, body)
    if options.explain:
        answer["explanation"] = await asyncio.to_thread(_explanation, content, verdict, service.engine.limits)
        body = orjson.dumps(answer)
    service.meters.answered(answer["latency_ms"], verdict.exit_level, degraded=verdict.degraded)
    return Judged(body, verdict)


def deadline_s(service: Service, options: BatchOptions) -> float:
    """Seconds that each picture has."""
    return (options.deadline_ms or service.options.deadline_ms) / 1000


def label_of(service: Service, given: bool | str | None) -> bool | None:  # noqa: FBT001  # the value, not a flag
    """Read a label: true, false, or one of the question's two words.

    Raises
    ------
    ProblemError
        422: it is neither.
    """
    if given is None or isinstance(given, bool):
        return given
    question = service.engine.now.runner.loaded.resolved.question
    word = given.strip().lower()
    if word in ("true", "1", "yes", question.positive.lower()):
        return True
    if word in ("false", "0", "no", question.negative.lower()):
        return False
    raise ProblemError(
        "invalid", f"label: {given[:60]!r}; write true, false, {question.positive!r} or {question.negative!r}"
    )


async def keep_picture(service: Service, content: bytes) -> str:
    """Keep a picture, encoded anew: nothing but its pixels is stored. Returns its file, relative to the state."""

    def write() -> str:
        picture = decode(content, limits=service.engine.limits)
        file = service.store.picture_file(picture.sha256)
        target = service.store.folder / file
        if not target.is_file():
            write_whole(target, sanitize(picture))
        return str(file)

    try:
        return await asyncio.to_thread(write)
    except OSError as error:
        why = error.strerror or str(error)
        raise ProblemError("not-stored", f"the picture cannot be kept: {why}", retry_after_s=1.0) from error


async def remember_feedback(
    service: Service, answer: Mapping[str, Any], *, label: bool, note: str | None, picture: str | None
) -> FeedbackRow:
    """Store the truth for an answer; returns when it is on the disk.

    Parameters
    ----------
    service : Service
        The worker.
    answer : mapping
        As it was given, maybe by another cascade: the key of its yes or no is named after the question of then.
    label, note, picture
        The truth, what was written to it, and the kept file.
    """
    verdict_id = answer["verdict_id"]
    detected = next(value for key, value in answer.items() if key.endswith("_detected"))
    row = FeedbackRow(new_id(), verdict_id, time.time(), label, note, label == detected, picture)
    try:
        await service.store.add_feedback(row)
    except (TimeoutError, CascadeError) as error:
        why = str(error) or "the store does not answer"
        raise ProblemError("not-stored", f"the feedback was not stored: {why}", retry_after_s=1.0) from None
    created = dt.datetime.fromisoformat(answer["created"]).timestamp()
    with contextlib.suppress(KeyError, TypeError, ValueError):  # it may be of an older version
        service.engine.tell(FeedbackGiven(verdict_id, Verdict.from_dict(answer), created, label, note))
    return row


async def _keep(service: Service, content: bytes, answer: dict[str, Any], body: bytes) -> bytes:
    """Keep picture and truth as asked; the verdict is known, so a store that cannot take them is said in it."""
    label = answer["label"]
    try:
        picture = await keep_picture(service, content)
        if label is not None:
            await remember_feedback(service, answer, label=label, note=None, picture=picture)
    except ProblemError as error:
        answer["stored"] = False
        answer["reasons"].append(str(error))
        return orjson.dumps(answer)
    return body


async def _remember(service: Service, answer: dict[str, Any]) -> bytes:
    body = orjson.dumps(answer)
    try:
        await service.store.add_verdict(answer["verdict_id"], body, timeout_s=_STORE_PATIENCE_S)
    except (TimeoutError, CascadeError):  # an answer does not wait for a store that is slow or gone
        service.metrics.unstored()
        answer["stored"] = False
        body = orjson.dumps(answer)
    return body


def _augmented(content: bytes, options: InferOptions, limits: Limits) -> bytes:
    return challenge_jpeg(decode(content, limits=limits).pixels, options.augment or "L0", seed=options.seed)


def _explanation(content: bytes, verdict: Verdict, limits: Limits) -> dict[str, Any]:
    """Evidence by place, the picture as it was judged, and both together."""
    from natix_cascade.report.explain import mark_evidence  # noqa: PLC0415  # draws with Pillow; most answers do not
    from natix_cascade.report.seen import seen_boxes  # noqa: PLC0415

    picture = shrink(decode(content, limits=limits, short_side=_SHOWN_SIDE).pixels, _SHOWN_SIDE)
    heat, boxes = verdict.heat_map, seen_boxes(verdict)
    plain = _data_url(picture)
    return {
        "boxes": [box.as_dict() for box in boxes],
        "heat_map": None if heat is None else np.round(np.asarray(heat, np.float64), 3).tolist(),
        "picture": plain,
        "marked_picture": plain if (marked := mark_evidence(picture, verdict, boxes)) is picture else _data_url(marked),
    }


def _data_url(pixels: Any) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, quality=88)).decode()


def stamp(seconds: float) -> str:
    """Write a time as in ISO 8601: UTC, milliseconds."""
    found = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
