"""A typed client of the service, for plain functions and for coroutines.

>>> from natix_cascade.client import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     answer = client.infer("photo.jpg", deadline_ms=500)
...     print(answer.detected, answer.confidence)
"""

from __future__ import annotations

from natix_cascade.errors import MissingExtraError

try:
    import httpx as _httpx  # noqa: F401
    import stamina as _stamina  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"the client needs {error.name}, which is not installed; run: pip install 'natix-cascade[client]'"
    ) from error

from natix_cascade.client.aio import AsyncClient
from natix_cascade.client.answers import Answer, Explanation, Feedback, Opinion, Page, PictureProblem
from natix_cascade.client.errors import (
    LateError,
    OverloadedError,
    RefusedPictureError,
    ServiceError,
    UnauthorizedError,
    UnreachableError,
)
from natix_cascade.client.events import Event, Finished, LevelFinished, LevelStarted, Received
from natix_cascade.client.state import Breaker, Health, Readiness, Status
from natix_cascade.client.sync import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "Breaker",
    "Client",
    "Event",
    "Explanation",
    "Feedback",
    "Finished",
    "Health",
    "LateError",
    "LevelFinished",
    "LevelStarted",
    "Opinion",
    "OverloadedError",
    "Page",
    "PictureProblem",
    "Readiness",
    "Received",
    "RefusedPictureError",
    "ServiceError",
    "Status",
    "UnauthorizedError",
    "UnreachableError",
]
