"""How endpoints answer: JSON, and problems."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response

from natix_cascade.serve.problems import MEDIA_TYPE, Problem

__all__ = ["json_answer", "problem_answer"]


def json_answer(data: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(data), status, media_type="application/json")


def problem_answer(problem: Problem, path: str, extra: dict[str, str] | None = None) -> Response:
    """Answer with a problem; `path` is what was asked, `extra` are headers beside the problem's own."""
    return Response(problem.as_bytes(path), problem.status, problem.headers() | (extra or {}), MEDIA_TYPE)
