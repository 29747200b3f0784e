"""The OpenAPI description: bodies, options, answers and problems of each endpoint, with examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from natix_cascade.serve import schemas
from natix_cascade.serve.admin import ReloadRequest
from natix_cascade.serve.infer_options import BatchOptions, InferOptions
from natix_cascade.serve.problems import MEDIA_TYPE
from natix_cascade.serve.records import FeedbackRequest

__all__ = ["describe"]

_REF = "#/components/schemas/"
_ID = "01990b0c1d2e7a3b9c4d5e6f708192a3"
_PLACE = r"^-?[0-9]{1,2}(\.[0-9]{1,9})?,-?[0-9]{1,2}(\.[0-9]{1,9})?$"
_BINARY = {"type": "string", "format": "binary"}
_PICTURES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
_COMMON = {
    401: "No key, or a wrong one",
    403: "The key has no such scope, or another web site made the request",
    500: "A fault of the service",
}
_BODY = {400: "It cannot be read", 408: "It did not arrive in time", 413: "Too large", 422: "A value is not allowed"}
_PLACES = {429: "Too many requests with this key", 503: "Too much is under way, or no model answered"}


def describe(app: FastAPI, *, keys: bool) -> None:
    """Let the application answer with a complete description.

    Parameters
    ----------
    app : FastAPI
        Its routes give paths and parameters.
    keys : bool
        Whether requests need a key.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app, keys=keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation says


def _description(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    paths, components = found["paths"], found.setdefault("components", {})
    kinds: list[type[BaseModel]] = [getattr(schemas, name) for name in schemas.__all__]
    kinds += [InferOptions, BatchOptions, FeedbackRequest, ReloadRequest]
    _, defined = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF + "{model}")
    components["schemas"] = defined["$defs"]
    for path, method, text, answers in _operations():
        if path not in paths:
            continue
        operation = paths[path][method]
        operation["description"] = text
        operation["tags"] = [path.split("/")[1] if path.startswith("/v1/admin") else "service"]
        operation["responses"] = answers
        extra = _EXTRAS.get(path)
        if extra is not None:
            extra(operation, components["schemas"])
        if keys and path != "/health":
            operation["security"] = [{"bearer": []}, {"header": []}, {"basic": []}]
    if keys:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "basic": {"type": "http", "scheme": "basic", "description": "Any name; the key is the password"},
        }
    return found


def _operations() -> list[tuple[str, str, str, dict[str, Any]]]:
    """Path, method, what it does, and its answers."""
    missing = {404: "There is no such verdict"}
    unready = {503: "Nothing is loaded yet"}
    judged = _BODY | _PLACES | {415: "Not a JPEG, PNG or WebP", 504: "Time ran out before any model had answered"}
    return [
        ("/v1/infer", "post", "Judge one picture.", _answers("Answer", judged, ndjson=True)),
        ("/v1/batch-infer", "post", "Judge many pictures; a line for each as it is ready.", _lines(_BODY | _PLACES)),
        ("/v1/verdicts", "get", "The latest answers.", _answers("Verdicts", {422: _BODY[422]})),
        ("/v1/verdicts/{id}", "get", "An earlier answer.", _answers("Answer", missing | {422: _BODY[422]})),
        (
            "/v1/feedback",
            "post",
            "The truth about an answer; what is acknowledged is on the disk.",
            _answers(
                "FeedbackGiven", _BODY | missing | {415: "Not a picture", 503: "Nothing is loaded yet"}, status=201
            ),
        ),
        ("/v1/cascade", "get", "What is at work.", _answers("CascadeShown", unready)),
        ("/v1/models", "get", "The models' cards, and how they are.", _answers("ModelsShown", unready)),
        ("/v1/status", "get", "Live figures.", _answers("Status", {})),
        (
            "/v1/views",
            "get",
            "Five views of what the metrics count in the last minutes, and lines over them.",
            _answers("Views", {404: "Metrics are switched off", 422: _BODY[422]}),
        ),
        ("/health", "get", "The process lives.", {"200": _json("Health")}),
        ("/ready", "get", "Whether it can judge.", _answers("Ready", {}) | {"503": _json("Ready", "Not yet, and why")}),
        ("/metrics", "get", "Prometheus metrics.", _text(_answers("Health", {}))),
        (
            "/v1/admin/reload",
            "post",
            "Load again, or something else, without a dropped request.",
            _answers("Reloaded", _BODY | {409: "It does not fit; the old one stays"} | unready),
        ),
        ("/v1/admin/drain", "post", "Finish what is under way, and leave.", _answers("Leaving", {}, status=202)),
        ("/v1/admin/breakers", "get", "Breakers of all models.", _answers("Breakers", unready)),
    ]


def _answers(kind: str, problems: dict[int, str], *, status: int = 200, ndjson: bool = False) -> dict[str, Any]:
    found = {str(status): _json(kind)}
    if ndjson:
        found[str(status)]["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
    for code, text in sorted((_COMMON | problems).items()):
        found[str(code)] = {
            "description": text,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF + "ProblemShown"}}},
        }
        if code in (429, 503):
            wait = {"description": "Seconds", "schema": {"type": "integer"}}
            found[str(code)]["headers"] = {"Retry-After": wait}
    return found


def _json(kind: str, text: str = "Done") -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": _REF + kind}}}}


def _lines(problems: dict[int, str]) -> dict[str, Any]:
    example = (
        '{"index": 0, "name": "a.jpg", "status": 200, "verdict": {}}\n{"done": true, "pictures": 1, "failed": 0}\n'
    )
    found = _answers("Answer", problems)
    found["200"] = {
        "description": "A line for each picture, and a last one",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": example}},
    }
    return found


def _text(answers: dict[str, Any]) -> dict[str, Any]:
    answers["200"] = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return answers


def _query(kind: type[BaseModel], defined: dict[str, Any]) -> list[dict[str, Any]]:
    fields = defined[kind.__name__]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", ""),
            "schema": _in_query(name, schema),
        }
        for name, schema in fields.items()
    ]


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A place is text in a query, and nothing is null there."""
    if name == "place":
        return {
            "type": "string",
            "pattern": r"^-?[0-9]{1,2}(\.[0-9]{1,9})?,-?[0-9]{1,2}(\.[0-9]{1,9})?$",
            "example": "48.137,11.575",
        }
    if name == "label":
        return {"type": "boolean"}
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return {key: value for key, value in kinds[0].items() if key not in ("title", "description", "default")}


def _describe_infer(operation: dict[str, Any], defined: dict[str, Any]) -> None:
    options = defined["InferOptions"]["properties"]
    form = {name: _in_query(name, schema) for name, schema in options.items()}
    picture = {"image": {"type": "string", "description": "base64, or a data URL"}}
    by_url = {"url": {"type": "string", "format": "uri", "description": "https; only where the service allows it"}}
    both = {"type": "object", "properties": {**picture, **by_url, **options}, "additionalProperties": False}
    operation["parameters"] = _query(InferOptions, defined)
    operation["requestBody"] = {
        "required": True,
        "content": {
            **{kind: {"schema": _BINARY} for kind in _PICTURES},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _BINARY, **form}, "required": ["file"]}
            },
            "application/json": {
                "schema": both,
                "example": {
                    "image": "<base64 of a JPEG>",
                    "deadline_ms": 2000,
                    "place": {"lat": 48.137, "lon": 11.575},
                },
            },
        },
    }


def _describe_batch(operation: dict[str, Any], defined: dict[str, Any]) -> None:
    operation["parameters"] = _query(BatchOptions, defined)
    files = {"type": "object", "properties": {"file": {"type": "array", "items": _BINARY}}}
    line = '{"image": "<base64>", "name": "a.jpg"}\n'
    operation["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": files},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": line},
        },
    }


def _body(kind: str, example: dict[str, Any], *, required: bool = True) -> Any:
    def extra(operation: dict[str, Any], _: dict[str, Any]) -> None:
        content = {"application/json": {"schema": {"$ref": _REF + kind}, "example": example}}
        operation["requestBody"] = {"required": required, "content": content}

    return extra


_EXTRAS = {
    "/v1/infer": _describe_infer,
    "/v1/batch-infer": _describe_batch,
    "/v1/feedback": _body("FeedbackRequest", {"verdict_id": _ID, "label": False, "note": "a parked lorry"}),
    "/v1/admin/reload": _body("ReloadRequest", {"policy": "policy.json"}, required=False),
}
