"""``POST /v1/infer``: one picture, in any of three forms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Request, Response

from natix_cascade.errors import CascadeError
from natix_cascade.image.source import from_base64
from natix_cascade.run.events import Call, Event, LevelFinished, LevelStarted
from natix_cascade.serve.body import BodyReader, media_type, parts
from natix_cascade.serve.fetch import fetch
from natix_cascade.serve.infer_options import InferOptions, read_options
from natix_cascade.serve.judging import begin_call, deadline_s, judge
from natix_cascade.serve.problems import ProblemError, problem_of
from natix_cascade.serve.service import Service
from natix_cascade.serve.stream import Stream

__all__ = ["infer", "query_options", "reader_of"]

_JSON = "application/json"
_log = logging.getLogger("natix_cascade.serve")


async def infer(request: Request, service: Service) -> Response:
    """Judge one picture."""
    began = time.perf_counter()
    call = begin_call(service, request.headers, began)
    reader = reader_of(request, service, service.options.max_body_bytes)
    try:
        content, options = await _read(request, reader, service)
        await service.engine.wait(deadline_s(service, options) - (time.perf_counter() - began))
        if options.stream:
            levels = [
                {"name": level.name, "models": [member.model for member in level.members]}
                for level in service.engine.now.runner.loaded.resolved.levels
            ]
            events = _events(service, content, options, levels, began=began, call=call)
            return Stream(events, media_type="application/x-ndjson")
        with service.place():
            judged = await judge(service, content, options, began=began, call=call)
        return Response(judged.body, media_type=_JSON, headers={"traceresponse": call.trace.headers()["traceparent"]})
    except CascadeError as error:
        if problem_of(error).kind != "overloaded":
            service.meters.refused(rejected=False)
        raise
    finally:
        reader.release()


def reader_of(request: Request, service: Service, most: int) -> BodyReader:
    """A reader of the request's body, which is refused by its declared length already."""
    until = asyncio.get_running_loop().time() + service.options.body_timeout_s
    reader = BodyReader(request.receive, most, until, service.memory)
    reader.check_length(request.headers.get("content-length"))
    return reader


def query_options(request: Request) -> dict[str, Any]:
    """Options of the query; the last of two of the same name counts."""
    raw = request.scope["query_string"]
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}


async def _read(request: Request, reader: BodyReader, service: Service) -> tuple[bytes, InferOptions]:
    given = query_options(request)
    content_type = request.headers.get("content-type", "")
    kind = media_type(content_type)
    if kind == "multipart/form-data":
        content: bytes | None = None
        async for part in parts(reader, content_type, most_part=service.options.max_body_bytes):
            reader.hold(len(part.content))
            if part.name == "file":
                if content is not None:
                    raise ProblemError("bad-request", "the form has more than one file; use /v1/batch-infer for many")
                content = part.content
                given.setdefault("name", part.filename or None)
            else:
                given[part.name] = part.content.decode("utf-8", "replace")
        if content is None:
            raise ProblemError("bad-request", "the form has no part named 'file'")
        return content, read_options(InferOptions, given)
    body = await reader.whole()
    if kind != _JSON:
        return body, read_options(InferOptions, given)
    return await _from_json(body, given, service)


async def _from_json(body: bytes, given: dict[str, Any], service: Service) -> tuple[bytes, InferOptions]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError("bad-request", f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ProblemError("bad-request", 'the body is JSON but no object; write {"image": "<base64>"}')
    given |= found
    image, url = given.pop("image", None), given.pop("url", None)
    options = read_options(InferOptions, given)
    if isinstance(image, str) and url is None:
        return from_base64(image, service.engine.limits), options
    if isinstance(url, str) and image is None:
        if not service.options.urls:
            raise ProblemError(
                "invalid", "url: pictures by URL are switched off here (--urls); send the picture itself"
            )
        return await fetch(
            url, max_bytes=service.options.max_body_bytes, timeout_s=service.options.body_timeout_s
        ), options
    raise ProblemError("invalid", 'image: write {"image": "<base64 or data URL>"} with the picture as text')


async def _events(
    service: Service,
    content: bytes,
    options: InferOptions,
    levels: list[dict[str, Any]],
    *,
    began: float,
    call: Call,
) -> AsyncGenerator[bytes, None]:
    """NDJSON of one picture's way; the picture is judged in a task of its own, which ends with the stream."""
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def listen(event: Event) -> None:
        if isinstance(event, LevelStarted):
            queue.put_nowait({"event": "level_started", "level": event.level, "models": event.models})
        elif isinstance(event, LevelFinished):
            said = {opinion.model: opinion.as_dict() for opinion in event.opinions}
            queue.put_nowait(
                {
                    "event": "level_finished",
                    "level": event.level,
                    "exited": event.exited,
                    "latency_ms": round(event.latency_ms, 3),
                    "opinions": said,
                }
            )

    async def work() -> bytes:
        try:
            with service.place():
                judged = await judge(service, content, options, began=began, call=call, listener=listen)
                return b'{"event":"verdict","verdict":' + judged.body + b"}\n"
        except Exception as error:  # noqa: BLE001  # the answer has begun: whatever it is becomes its last line
            problem = problem_of(error)
            service.meters.refused(rejected=problem.kind == "overloaded")
            if problem.kind == "internal":
                _log.exception("a picture's stream failed")
            return orjson.dumps({"event": "problem", "problem": problem.as_dict("/v1/infer")}) + b"\n"
        finally:
            queue.put_nowait(None)

    yield orjson.dumps({"event": "received", "verdict_id": call.id, "levels": levels}) + b"\n"
    task = asyncio.create_task(work())
    try:
        while (event := await queue.get()) is not None:
            yield orjson.dumps(event) + b"\n"
        yield await task
    finally:
        task.cancel()
