"""What an operator does while the service runs: change the cascade, look at breakers, send it away."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from natix_cascade.errors import CascadeError
from natix_cascade.serve.answers import json_answer
from natix_cascade.serve.infer import reader_of
from natix_cascade.serve.problems import ProblemError, first_wrong
from natix_cascade.serve.service import Service

__all__ = ["ReloadRequest", "breakers", "drain", "reload"]

_MOST = 64 * 1024


class ReloadRequest(BaseModel):
    """What is to be at work from now on; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")
    cascade: str | None = Field(None, min_length=1, max_length=1000, description="Shipped name or file on the server")
    policy: str | None = Field(None, min_length=1, max_length=1000, description="Shipped name or file on the server")


async def reload(request: Request) -> Response:
    """Load again, or something else: loaded and warmed up beside the old one, which then finishes what it has."""
    service: Service = request.app.state.service
    reader = reader_of(request, service, _MOST)
    try:
        body = await reader.whole()
    finally:
        reader.release()
    try:
        wanted = ReloadRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise ProblemError("invalid", first_wrong(error, "body")) from None
    try:
        # Once begun it goes on, whether or not the client stays: all workers are told, or none has changed.
        number = await asyncio.shield(asyncio.create_task(service.reload(wanted.cascade, wanted.policy)))
    except ProblemError:
        raise
    except (CascadeError, OSError) as error:
        service.metrics.reloaded("refused")
        raise ProblemError("conflict", f"{error}; generation {service.engine.now.number} stays at work") from None
    service.metrics.reloaded("done")
    resolved = service.engine.now.runner.loaded.resolved
    return json_answer({"generation": number, "cascade": resolved.name, "policy": resolved.policy})


async def drain(request: Request) -> Response:
    """Stop accepting, finish what is under way, end."""
    service: Service = request.app.state.service
    service.draining = True
    await asyncio.shield(asyncio.create_task(_leave(service)))
    return json_answer({"draining": True, "in_flight": service.in_flight}, 202)


async def _leave(service: Service) -> None:
    await service.store.set_control(service.run, "drain", "1")
    service.leave()


async def breakers(request: Request) -> Response:
    """Breakers of all models, over all workers."""
    service: Service = request.app.state.service
    return json_answer({"breakers": service.status()["breakers"]})
