"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from natix_cascade.errors import (
    CascadeError,
    CorruptPictureError,
    DeadlineError,
    ModelError,
    PictureError,
    PictureShapeError,
    PictureTooLargeError,
    SpecError,
    StoreError,
    UnsupportedFormatError,
)

__all__ = ["MEDIA_TYPE", "Problem", "ProblemError", "first_wrong", "problem_of"]

MEDIA_TYPE = "application/problem+json"
_BASE = "https://natix-cascade.invalid/problems/"
_TITLES = {
    "bad-request": (400, "The request cannot be read"),
    "unauthorized": (401, "A key is needed"),
    "forbidden": (403, "This is not allowed"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "Not with this method"),
    "slow-request": (408, "The request did not arrive in time"),
    "conflict": (409, "It does not fit what is at work"),
    "too-large": (413, "Too large"),
    "unsupported-format": (415, "Not a picture that is known here"),
    "bad-picture": (422, "The picture cannot be read"),
    "corrupt-picture": (422, "The picture is damaged"),
    "bad-shape": (422, "The picture is too small or too narrow"),
    "invalid": (422, "A value is not allowed"),
    "headers-too-large": (431, "The headers are too large"),
    "rate-limited": (429, "Too many requests with this key"),
    "internal": (500, "A fault of the service"),
    "overloaded": (503, "Too much is under way"),
    "draining": (503, "The service is leaving"),
    "not-ready": (503, "The service is not ready yet"),
    "not-stored": (503, "The store cannot be used"),
    "no-answer": (503, "No model answered"),
    "deadline": (504, "Time ran out"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, before it is sent.

    Attributes
    ----------
    kind : str
        The last part of its type, which decides status and title.
    detail : str
        What was given, what was wanted, what to do.
    retry_after_s : float or None
        When it may be tried again.
    """

    kind: str
    detail: str
    retry_after_s: float | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return _TITLES[self.kind][0]

    def as_dict(self, instance: str = "") -> dict[str, str | int | float]:
        """The problem's JSON object; `instance` is the path that was asked."""
        found: dict[str, str | int | float] = {
            "type": _BASE + self.kind,
            "title": _TITLES[self.kind][1],
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            found["instance"] = instance
        if self.retry_after_s is not None:
            found["retry_after_s"] = self.retry_after_s
        return found

    def as_bytes(self, instance: str = "") -> bytes:
        """The body of the answer."""
        return orjson.dumps(self.as_dict(instance))

    def headers(self) -> dict[str, str]:
        """Headers beside content type and length."""
        found = {}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.kind == "unauthorized":
            found["www-authenticate"] = 'Basic realm="natix-cascade", charset="UTF-8"'
        return found


class ProblemError(CascadeError):
    """Ends a request with a problem."""

    def __init__(self, kind: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(kind, detail, retry_after_s)


def first_wrong(error: ValidationError, whole: str) -> str:
    """Say the first thing that is wrong with input; `whole` stands where pydantic speaks of no key."""
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"


def problem_of(error: Exception) -> Problem:
    """The problem that an error stands for; an unknown one is a fault of the service and says nothing of its inside."""
    if isinstance(error, ProblemError):
        return error.problem
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (UnsupportedFormatError, "unsupported-format"),
        (CorruptPictureError, "corrupt-picture"),
        (PictureTooLargeError, "too-large"),
        (PictureShapeError, "bad-shape"),
        (PictureError, "bad-picture"),
        (DeadlineError, "deadline"),
        (SpecError, "invalid"),
    )
    for kind, name in kinds:
        if isinstance(error, kind):
            return Problem(name, str(error))
    if isinstance(error, ModelError):
        return Problem("no-answer", str(error), 1.0)
    if isinstance(error, StoreError):
        return Problem("not-stored", str(error), 1.0)
    return Problem("internal", "an unexpected fault; the service's log says more")
