"""What can go wrong when a service is asked, and which answer of it means what.

::

    CascadeError
    └── ServiceError             the service answered with a problem that is none of the below
        ├── UnauthorizedError    401, 403: no key, a wrong one, or one without the scope
        ├── RefusedPictureError  413, 415, 422, ...: this picture cannot be judged; it is not sent again
        ├── OverloadedError      429, 503: too much is under way; `retry_after_s` says when to come back
        ├── LateError            504, or the call's own time ran out
        └── UnreachableError     no connection, or it broke off
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from natix_cascade.errors import CascadeError
from natix_cascade.retry_after import retry_after

__all__ = [
    "LateError",
    "OverloadedError",
    "RefusedPictureError",
    "ServiceError",
    "UnauthorizedError",
    "UnreachableError",
    "problem_error",
    "retry_after",
    "service_error",
]

_PICTURE_PROBLEMS = frozenset({"too-large", "unsupported-format", "bad-picture", "corrupt-picture", "bad-shape"})
_PICTURE_STATUSES = frozenset({413, 415, 422})
_LONGEST_DETAIL = 500


class ServiceError(CascadeError):
    """The service did not do what it was asked.

    Attributes
    ----------
    status : int or None
        HTTP status; None when there was no answer.
    problem : str or None
        Last part of the problem's type, such as ``"corrupt-picture"``; None when the answer names none.
    detail : str
        The service's own sentence, or what was observed.
    retry_after_s : float or None
        Seconds after which the service wants to be asked again.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        problem: str | None = None,
        detail: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem
        self.detail = detail or text
        self.retry_after_s = retry_after_s


class UnauthorizedError(ServiceError):
    """No key was sent, a wrong one, or one whose scope does not reach so far."""


class RefusedPictureError(ServiceError):
    """The picture cannot be judged, now or later."""


class OverloadedError(ServiceError):
    """The service has too much to do, is leaving, or none of its models answered."""


class LateError(ServiceError):
    """Time ran out: the service's (status 504) or the call's own (status None)."""


class UnreachableError(ServiceError):
    """No connection, or it broke off.

    Attributes
    ----------
    maybe_done : bool
        The request had left already: the service may have carried it out.
    """

    def __init__(self, text: str, *, maybe_done: bool = False, detail: str = "") -> None:
        super().__init__(text, detail=detail)
        self.maybe_done = maybe_done


def service_error(call: str, status: int, headers: Mapping[str, str], body: bytes, *, secret: str = "") -> ServiceError:
    """Make the error that an answer stands for.

    Parameters
    ----------
    call : str
        What was asked, such as ``"POST /v1/infer"``.
    status : int
        HTTP status.
    headers : mapping
        Of the answer; names in any case, as httpx gives them.
    body : bytes
        ``application/problem+json`` (RFC 9457), or whatever a proxy in between wrote.
    secret : str
        Is blotted out wherever the answer repeats it.
    """
    problem, detail = _problem(body)
    if secret:
        detail = detail.replace(secret, "***")
    return _error(call, status, problem, detail, retry_after(headers.get("retry-after")))


def problem_error(call: str, problem: Mapping[str, object], *, secret: str = "") -> ServiceError:
    """As `service_error`, of a problem object that came within a stream."""
    status = problem.get("status")
    body = json.dumps(dict(problem)).encode()
    return service_error(call, status if isinstance(status, int) else 500, {}, body, secret=secret)


def _problem(body: bytes) -> tuple[str | None, str]:
    """Name and sentence of a problem; of anything else its beginning."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return None, " ".join(body[:_LONGEST_DETAIL].decode("utf-8", "replace").split())
    kind = parsed.get("type")
    name = kind.rstrip("/").rsplit("/", 1)[-1] if isinstance(kind, str) and kind != "about:blank" else None
    return name, str(parsed.get("detail") or parsed.get("title") or "")[:_LONGEST_DETAIL]


def _error(call: str, status: int, problem: str | None, detail: str, wait: float | None) -> ServiceError:
    said = f"{call} was answered with {status}{f' {problem}' if problem else ''}{f': {detail}' if detail else ''}"
    kind: type[ServiceError] = ServiceError
    advice = ""
    if status in {401, 403}:
        kind = UnauthorizedError
        advice = "; give a key of the right scope as key=... or in the environment variable NATIX_CASCADE_KEY"
    elif problem in _PICTURE_PROBLEMS or (problem is None and status in _PICTURE_STATUSES):
        kind = RefusedPictureError
    elif status in {429, 503}:
        kind = OverloadedError
        advice = f"; ask again {'later' if wait is None else f'in {wait:g} s'}"
    elif status == 504:  # noqa: PLR2004  # Gateway Timeout
        kind = LateError
        advice = "; ask with more time (deadline_ms), or set max_level to an earlier level"
    return kind(said + advice, status=status, problem=problem, detail=detail, retry_after_s=wait)
