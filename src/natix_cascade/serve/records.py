"""Earlier verdicts, and the truth about them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from natix_cascade.image.source import from_base64
from natix_cascade.serve.answers import json_answer
from natix_cascade.serve.infer import reader_of
from natix_cascade.serve.judging import keep_picture, label_of, remember_feedback, stamp
from natix_cascade.serve.problems import ProblemError, first_wrong
from natix_cascade.serve.service import Service, is_recent
from natix_cascade.serve.store import FeedbackRow

__all__ = ["FeedbackRequest", "feedback", "verdict", "verdicts"]

_MOST = 500
_PAUSES = (0.1, 0.2, 0.4)
_ID = r"^[0-9a-f]{32}$"


class FeedbackRequest(BaseModel):
    """The truth about one verdict."""

    model_config = ConfigDict(extra="forbid")
    verdict_id: str = Field(pattern=_ID, description="Of the verdict")
    label: bool | Annotated[str, Field(max_length=100)] = Field(
        description="true, false, or one of the question's words"
    )
    note: str | None = Field(None, max_length=2000, description="Whatever helps")
    image: str | None = Field(None, description="The picture as base64, to be kept (re-encoded) for the learning loop")


async def verdict(id: str, request: Request) -> Response:  # noqa: A002  # the path's name
    """An earlier answer, with its feedback."""
    service: Service = request.app.state.service
    found = await _find(service, id)
    rows = await asyncio.to_thread(service.store.feedback, id)
    return json_answer({**orjson.loads(found), "feedback": [_shown(row) for row in rows]})


async def verdicts(
    request: Request,
    limit: Annotated[int, Field(ge=1, le=_MOST)] = 50,
    before: Annotated[str | None, Field(pattern=_ID)] = None,
) -> Response:
    """The latest verdicts, the newest first."""
    service: Service = request.app.state.service
    found = await asyncio.to_thread(service.store.verdicts, limit=limit, before=before)
    last = found[-1][0] if len(found) == limit else None
    return json_answer({"verdicts": [orjson.Fragment(body) for _, body in found], "next": last})


async def feedback(request: Request) -> Response:
    """Store the truth about a verdict; what is acknowledged is on the disk."""
    service: Service = request.app.state.service
    reader = reader_of(request, service, service.options.max_body_bytes * 4 // 3 + 4096)
    try:
        given = _read(await reader.whole())
        label = label_of(service, given.label)
        if label is None:
            raise ProblemError("invalid", "label: what is true? write true or false")
        found = orjson.loads(await _find(service, given.verdict_id))
        picture = None
        if given.image is not None:
            picture = await keep_picture(service, from_base64(given.image, service.engine.limits))
        row = await remember_feedback(service, found, label=label, note=given.note, picture=picture)
    finally:
        reader.release()
    answer = _shown(row) | {"verdict_id": row.verdict_id}
    return json_answer(answer, 201)


async def _find(service: Service, id: str) -> bytes:  # noqa: A002  # the column's name
    """A verdict's JSON; one that another worker has just given may be a moment on its way into the store.

    Raises
    ------
    ProblemError
        404: there is none.
    """
    for pause in (*_PAUSES, None):
        found = await asyncio.to_thread(service.store.verdict, id)
        if found is not None:
            return found
        if pause is None or not is_recent(id):
            break
        await asyncio.sleep(pause)
    raise ProblemError("not-found", f"no verdict {id[:40]!r}; it may be older than what is kept")


def _read(body: bytes) -> FeedbackRequest:
    try:
        return FeedbackRequest.model_validate_json(body)
    except ValidationError as error:
        kind = "bad-request" if error.errors()[0]["type"] == "json_invalid" else "invalid"
        raise ProblemError(kind, first_wrong(error, "body")) from None


def _shown(row: FeedbackRow) -> dict[str, Any]:
    return {
        "feedback_id": row.id,
        "created": stamp(row.created),
        "label": row.label,
        "note": row.note,
        "was_right": row.was_right,
        "picture_kept": row.picture is not None,
    }
