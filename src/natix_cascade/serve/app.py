"""The ASGI application of one worker: which endpoint is where, and how errors are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as RawHTTPException

from natix_cascade.errors import CascadeError
from natix_cascade.serve import admin, info, pages, records
from natix_cascade.serve.answers import problem_answer
from natix_cascade.serve.batch import batch_infer
from natix_cascade.serve.door import Door
from natix_cascade.serve.infer import infer
from natix_cascade.serve.openapi import describe
from natix_cascade.serve.problems import Problem, problem_of
from natix_cascade.serve.service import Service

__all__ = ["create_app", "metrics_app"]

_KINDS = {404: "not-found", 405: "method-not-allowed"}


def create_app(service: Service, *, wait: bool = False) -> Any:
    """The application of one worker.

    Parameters
    ----------
    service : Service
        Started and stopped with the application.
    wait : bool
        Accept no connection before it is ready.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start(wait=wait)
        yield
        await service.stop()

    app = FastAPI(
        title="natix-cascade",
        version=info._VERSION,  # noqa: SLF001  # the same package
        description="A cascade of vision models answers one question about pictures.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    route = app.add_api_route
    route("/v1/infer", infer_one, methods=["POST"])  # for the description; the door answers it
    route("/v1/batch-infer", batch_infer, methods=["POST"])
    route("/v1/verdicts", records.verdicts, methods=["GET"])
    route("/v1/verdicts/{id}", records.verdict, methods=["GET"])
    route("/v1/feedback", records.feedback, methods=["POST"], status_code=201)
    route("/v1/cascade", info.cascade, methods=["GET"])
    route("/v1/models", info.models, methods=["GET"])
    route("/v1/status", info.status, methods=["GET"])
    route("/v1/views", info.views, methods=["GET"])
    route("/health", info.health, methods=["GET"])
    route("/ready", info.ready, methods=["GET"])
    if service.options.metrics_port is None:
        route("/metrics", info.metrics, methods=["GET"])
    route("/v1/admin/reload", admin.reload, methods=["POST"])
    route("/v1/admin/drain", admin.drain, methods=["POST"], status_code=202)
    route("/v1/admin/breakers", admin.breakers, methods=["GET"])
    route("/", pages.page, methods=["GET"], include_in_schema=False)
    route("/static/{name}", pages.static, methods=["GET"], include_in_schema=False)
    _handle_errors(app)
    describe(app, keys=service.keys.required)
    return Door(app, service)


async def infer_one(request: Request) -> Response:
    """Judge one picture."""
    return await infer(request, request.app.state.service)


def metrics_app(service: Service) -> Any:
    """The application on the port of the metrics: nothing but `/metrics` and `/health`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.add_api_route("/metrics", info.metrics, methods=["GET"])
    app.add_api_route("/health", info.health, methods=["GET"])
    _handle_errors(app)
    return Door(app, service)


def _handle_errors(app: FastAPI) -> None:
    async def known(request: Request, error: Exception) -> Response:
        return problem_answer(problem_of(error), request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, RawHTTPException)  # noqa: S101  # what it is registered for
        kind = _KINDS.get(error.status_code, "bad-request")
        allow = {"allow": (error.headers or {})["Allow"]} if "Allow" in (error.headers or {}) else None
        path = request.url.path
        return problem_answer(Problem(kind, f"{request.method} {path[:200]}: {error.detail}"), path, allow)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
        first = error.errors()[0]
        problem = Problem("invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        return problem_answer(problem, request.url.path)

    app.add_exception_handler(CascadeError, known)
    app.add_exception_handler(RawHTTPException, http)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, known)
