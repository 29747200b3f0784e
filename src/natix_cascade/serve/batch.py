"""``POST /v1/batch-infer``: many pictures in one request, answered as they are ready."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response

from natix_cascade.errors import CascadeError
from natix_cascade.image.source import from_base64
from natix_cascade.serve.body import BodyReader, media_type, parts
from natix_cascade.serve.infer import query_options, reader_of
from natix_cascade.serve.infer_options import BatchOptions, InferOptions, read_options
from natix_cascade.serve.judging import begin_call, deadline_s, judge
from natix_cascade.serve.problems import Problem, ProblemError, problem_of
from natix_cascade.serve.service import Service
from natix_cascade.serve.stream import Stream

__all__ = ["batch_infer"]

_PATH = "/v1/batch-infer"
_NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    name: str
    content: bytes
    problem: Problem | None = None


async def batch_infer(request: Request) -> Response:
    """Judge many pictures."""
    service: Service = request.app.state.service
    options = read_options(BatchOptions, query_options(request))
    content_type = request.headers.get("content-type", "")
    kind = media_type(content_type)
    if kind not in ("multipart/form-data", _NDJSON):
        raise ProblemError("bad-request", f"the body is {kind or 'untyped'}; send multipart/form-data or {_NDJSON}")
    await service.engine.wait(deadline_s(service, options))
    reader = reader_of(request, service, service.options.max_batch_bytes)
    items = _of_form(reader, content_type, service) if kind != _NDJSON else _of_lines(reader, service)
    return Stream(_answers(service, reader, items, options, request.headers), media_type=_NDJSON)


async def _answers(
    service: Service,
    reader: BodyReader,
    items: AsyncIterator[_Item],
    options: BatchOptions,
    headers: Mapping[str, str],
) -> AsyncGenerator[bytes, None]:
    """Lines as they are ready. Pictures are read on while answers wait to be fetched: neither side waits for ever.

    At most half of the places are taken by batches, so that single pictures still come in.
    """
    ready: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    failed = pictures = 0

    def done(size: int, _: object) -> None:
        service.give_batch_place()
        reader.memory.give(size)

    async def work(item: _Item) -> None:
        ready.put_nowait(await _judged(service, item, options, headers))

    async def read_all(group: asyncio.TaskGroup) -> None:
        nonlocal pictures
        async for item in items:
            if pictures == service.options.max_pictures:
                raise ProblemError("too-large", f"a batch may have {pictures} pictures; send several batches")
            pictures += 1
            await service.take_batch_place()
            try:
                reader.memory.take(len(item.content))
            except ProblemError:
                service.give_batch_place()
                raise
            # The client is not slow while its pictures wait for their places.
            reader.until = asyncio.get_running_loop().time() + service.options.body_timeout_s
            one = group.create_task(work(item))
            one.add_done_callback(functools.partial(done, len(item.content)))  # also where it never began

    async def read() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await read_all(group)
                except CascadeError as error:  # what has come before is judged all the same
                    problem = problem_of(error)
                    line = {"index": None, "name": None, "status": problem.status, "problem": problem.as_dict(_PATH)}
                    ready.put_nowait(line)
        finally:
            ready.put_nowait(None)

    task = asyncio.create_task(read())
    try:
        while (line := await ready.get()) is not None:
            failed += line["status"] != 200  # noqa: PLR2004  # HTTP's OK
            yield orjson.dumps(line) + b"\n"
        await task
        yield orjson.dumps({"done": True, "pictures": pictures, "failed": failed}) + b"\n"
    finally:
        task.cancel()
        reader.release()


async def _judged(service: Service, item: _Item, options: BatchOptions, headers: Mapping[str, str]) -> dict[str, Any]:
    """One line of the answer."""
    line: dict[str, Any] = {"index": item.index, "name": item.name}
    problem = item.problem
    if problem is None:
        one = InferOptions(**options.model_dump(), name=item.name[:200] or None)
        try:
            began = time.perf_counter()
            call = begin_call(service, headers, began)
            judged = await judge(service, item.content, one, began=began, call=call)
            return line | {"status": 200, "verdict": orjson.Fragment(judged.body)}
        except CascadeError as error:
            problem = problem_of(error)
    service.meters.refused(rejected=False)
    return line | {"status": problem.status, "problem": problem.as_dict(_PATH)}


async def _of_form(reader: BodyReader, content_type: str, service: Service) -> AsyncIterator[_Item]:
    index = 0
    async for part in parts(reader, content_type, most_part=service.options.max_body_bytes):
        if part.name == "file":
            yield _Item(index, part.filename or "", part.content)
            index += 1


async def _of_lines(reader: BodyReader, service: Service) -> AsyncIterator[_Item]:
    index = 0
    async for line in _lines(reader, service.options.max_body_bytes * 4 // 3 + 1024):
        if line.strip():
            yield _of_line(index, line, service)
            index += 1


def _of_line(index: int, line: bytes, service: Service) -> _Item:
    name = ""
    try:
        found = orjson.loads(line)
        if not isinstance(found, dict) or not isinstance(found.get("image"), str):
            raise ProblemError("bad-request", 'each line is an object: {"image": "<base64>", "name": "..."}')
        name = str(found.get("name") or "")
        return _Item(index, name, from_base64(found["image"], service.engine.limits))
    except orjson.JSONDecodeError as error:
        return _Item(index, name, b"", Problem("bad-request", f"the line is not JSON: {error}"))
    except CascadeError as error:
        return _Item(index, name, b"", problem_of(error))


async def _lines(reader: BodyReader, longest: int) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async for piece in reader.pieces():
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            yield bytes(rest[:end])
            del rest[: end + 1]
        if len(rest) > longest:
            raise ProblemError("too-large", "a line is longer than the largest picture")
    if rest:
        yield bytes(rest)
