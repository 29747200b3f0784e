"""A small service that keeps the contract of docs/reference/service.md, on loopback; and verdicts to answer with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import stamina
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

KEY = "nc-a-key-that-must-not-show"


def make_verdict(**changes: Any) -> dict[str, Any]:
    opinion = {
        "level": "gate",
        "score": 0.61,
        "probability": 0.66,
        "latency_ms": 2.1,
        "cost_usd": 3e-08,
        "failure": None,
    }
    failed = {**opinion, "level": "lite0", "score": None, "probability": None, "failure": "it timed out"}
    return {
        "verdict_id": "01990b0c1d2e7a3b9c4d5e6f708192a3",
        "created": "2026-11-24T06:12:01.123Z",
        "place": {"lat": 48.1, "lon": 11.6},
        "label": None,
        "stored": True,
        "id": "photo.jpg",
        "sha256": "ab" * 32,
        "roadwork_detected": True,
        "probability": 0.93,
        "confidence": 0.93,
        "consensus_ratio": 1.0,
        "exit_level": "lite0",
        "levels_executed": ["gate", "lite0"],
        "model_predictions": {"road-gate": opinion, "road-lite0": failed},
        "latency_ms": 9.1,
        "cost_usd": 3.1e-07,
        "gmacs": 0.45,
        "degraded": True,
        "reasons": ["road-lite0 did not answer: it timed out"],
        "cascade": "embedded@1",
        "policy": "embedded@1",
        **changes,
    }


def make_problem(status: int, kind: str, detail: str = "said by the test") -> dict[str, Any]:
    where = f"https://natix-cascade.invalid/problems/{kind}"
    return {"type": where, "title": kind, "status": status, "detail": detail, "instance": "/v1/infer"}


@pytest.fixture(scope="session")
def verdict() -> Callable[..., dict[str, Any]]:
    return make_verdict


@pytest.fixture(scope="session")
def problem() -> Callable[..., dict[str, Any]]:
    return make_problem


@pytest.fixture
def at_once() -> Iterator[None]:
    """Tries follow each other without a wait."""
    stamina.set_testing(True, attempts=100, cap=True)
    yield
    stamina.set_testing(False)


@dataclass
class Service:
    """Where the small service listens, and what it was asked: method, path, query, and the digest of the body."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    refuse_next: int = 0


def make_app(service: Service) -> FastAPI:  # noqa: C901, PLR0915  # one small function for each endpoint
    app = FastAPI()
    feedback: dict[str, list[dict[str, Any]]] = {}

    def problem(status: int, kind: str, **headers: str) -> Response:
        return JSONResponse(make_problem(status, kind), status, headers, "application/problem+json")

    @app.middleware("http")
    async def keys(request: Request, go_on: Callable[[Request], Any]) -> Response:
        body = await request.body()
        service.asked.append((request.method, request.url.path, dict(request.query_params), body))
        if request.url.path != "/health" and request.headers.get("authorization") != f"Bearer {KEY}":
            return problem(401, "unauthorized")
        answer: Response = await go_on(request)
        return answer

    @app.post("/v1/infer")
    async def infer(request: Request) -> Response:
        if service.refuse_next:
            service.refuse_next -= 1
            return problem(503, "overloaded", **{"Retry-After": "0"})
        service.under_way += 1
        service.most_under_way = max(service.most_under_way, service.under_way)
        try:
            await asyncio.sleep(0)
            body, query = await request.body(), request.query_params
            if not body.startswith(b"\xff\xd8"):
                return problem(415, "unsupported-format")
            if not body.endswith(b"\xff\xd9"):
                return problem(422, "corrupt-picture")
            answer = make_verdict(id=query.get("name", "picture"), sha256=hashlib.sha256(body).hexdigest())
            if "explain" in query:
                jpeg = "data:image/jpeg;base64," + base64.b64encode(body).decode()
                answer["explanation"] = {"heat_map": [[0.1, -2.0]], "picture": jpeg, "marked_picture": None}
            if "stream" in query:
                return StreamingResponse(events(answer), media_type="application/x-ndjson")
            return JSONResponse(answer)
        finally:
            service.under_way -= 1

    async def events(answer: dict[str, Any]) -> AsyncIterator[str]:
        opinion = answer["model_predictions"]["road-gate"]
        levels = [{"name": "gate", "models": ["road-gate"]}]
        yield json.dumps({"event": "received", "verdict_id": answer["verdict_id"], "levels": levels}) + "\n"
        yield json.dumps({"event": "level_started", "level": "gate", "models": ["road-gate"]}) + "\n"
        yield json.dumps({"event": "of a later version"}) + "\n"
        finished = {"event": "level_finished", "level": "gate", "exited": True, "latency_ms": 2.3}
        yield json.dumps({**finished, "opinions": {"road-gate": opinion}}) + "\n"
        yield json.dumps({"event": "verdict", "verdict": answer}) + "\n"

    @app.post("/v1/feedback", status_code=201)
    async def give(request: Request) -> dict[str, Any]:
        given = await request.json()
        kept = base64.b64decode(given["image"]) if "image" in given else b""
        answer = {"feedback_id": "f1", "verdict_id": given["verdict_id"], "label": given["label"], "was_right": True}
        feedback.setdefault(given["verdict_id"], []).append({**answer, "note": given.get("note")})
        return {**answer, "picture_kept": bool(kept)}

    @app.get("/v1/verdicts/{verdict_id}")
    async def verdict(verdict_id: str) -> Response:
        if verdict_id == "unknown":
            return problem(404, "not-found")
        return JSONResponse(make_verdict(verdict_id=verdict_id, feedback=feedback.get(verdict_id, [])))

    @app.get("/v1/verdicts")
    async def verdicts(limit: int, before: str | None = None) -> dict[str, Any]:
        found = [make_verdict(verdict_id=str(number)) for number in range(limit)]
        return {"verdicts": found, "next": None if before else "1"}

    @app.get("/v1/cascade")
    async def cascade() -> dict[str, Any]:
        return {"cascade": "embedded@1"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"models": [{"name": "road-gate"}]}

    breaker = {"model": "road-gate", "replica": 0, "state": "closed", "failures": 0}

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        text = """
            {"uptime_s": 12.3, "workers": 2, "cascade": "embedded@1", "policy": "embedded@1", "generation": 1,
             "ready": true, "draining": false, "in_flight": 3, "max_in_flight": 128, "requests": 1234, "rejected": 0,
             "degraded": 2, "failed": 1, "rate_per_s": 41.5, "latency_ms": {"p50": 6.1, "p95": 22.0, "p99": null},
             "exits": {"gate": 1000}}
        """
        return {**json.loads(text), "breakers": [breaker]}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "alive", "version": "0.1.0"}

    @app.get("/ready")
    async def ready() -> Response:
        return JSONResponse({"ready": False, "reasons": ["road-lite0 has not answered yet"]}, 503)

    @app.post("/v1/admin/reload")
    async def reload(request: Request) -> Response:
        wanted = await request.json()
        return problem(409, "conflict") if wanted.get("policy") == "other" else JSONResponse({"generation": 2})

    @app.post("/v1/admin/drain", status_code=202)
    async def drain() -> dict[str, Any]:
        return {"draining": True}

    @app.get("/v1/admin/breakers")
    async def breakers() -> dict[str, Any]:
        return {"breakers": [breaker]}

    return app


@pytest.fixture(scope="session")
def _listening() -> Iterator[Service]:
    service = Service()
    config = uvicorn.Config(make_app(service), host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    service.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    yield service
    server.should_exit = True
    thread.join()
    socket.close()


@pytest.fixture
def service(_listening: Service) -> Service:
    """The small service, with a clean memory."""
    _listening.asked.clear()
    _listening.most_under_way = _listening.refuse_next = 0
    return _listening


@pytest.fixture(scope="session")
def key() -> str:
    return KEY
