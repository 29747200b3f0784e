"""What the service says of itself: alive, ready, what it runs, how it is."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from natix_cascade.observe.metrics import CONTENT_TYPE
from natix_cascade.serve.answers import json_answer
from natix_cascade.serve.problems import ProblemError
from natix_cascade.serve.service import Service
from natix_cascade.spec.build import plain
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["cascade", "health", "metrics", "models", "ready", "status", "views"]

_VERSION = version("natix-cascade")


async def health() -> Response:
    """The process lives."""
    return json_answer({"status": "alive", "version": _VERSION})


async def ready(request: Request) -> Response:
    """Every required model has answered a warm-up picture; else why not."""
    reasons = _service(request).reasons
    return json_answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def metrics(request: Request) -> Response:
    """Prometheus metrics of all workers."""
    return Response(await asyncio.to_thread(_service(request).metrics.text), media_type=CONTENT_TYPE)


async def status(request: Request) -> Response:
    """Live figures of all workers."""
    return json_answer(await asyncio.to_thread(_service(request).status))


async def views(request: Request, minutes: Annotated[float, Field(ge=1, le=60)] = 5) -> Response:
    """Five views of what the metrics count in the last minutes, and lines over them."""
    service = _service(request)
    if not service.options.observe.metrics:
        raise ProblemError("not-found", "metrics are switched off here ([observe] metrics = false)")
    return json_answer(await asyncio.to_thread(service.history.shown, minutes))


async def cascade(request: Request) -> Response:
    """The cascade at work."""
    now = _service(request).engine.now
    return json_answer({**_shown(now.runner.loaded.resolved), "generation": now.number})


async def models(request: Request) -> Response:
    """Cards of the models, how they are doing, and whether they are ready."""
    service = _service(request)
    now = service.engine.now
    breakers = service.breakers()
    found = [
        {
            **plain(card),
            "ready": name not in now.silent,
            "problem": now.silent.get(name),
            "breakers": [each for each in breakers if each["model"] == name],
        }
        for name, card in now.runner.loaded.resolved.cards.items()
    ]
    return json_answer({"models": found})


def _shown(resolved: ResolvedCascade) -> dict[str, Any]:
    levels = [
        {
            "name": level.name,
            "mode": level.mode,
            "threshold": level.threshold,
            "exit": None if level.exit is None else plain(level.exit),
            "budget_ms": level.budget_ms,
            "on_failure": level.on_failure,
            "members": [
                {"model": member.model, "weight": member.weight, "required": member.required, "band": member.band}
                for member in level.members
            ],
        }
        for level in resolved.levels
    ]
    return {
        "name": resolved.name,
        "policy": resolved.policy,
        "question": {
            "id": resolved.question.id,
            "text": resolved.question.text,
            "positive": resolved.question.positive,
            "negative": resolved.question.negative,
        },
        "levels": levels,
    }


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found
