"""What each method asks of the service, as data; nothing here sends anything."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

from natix_cascade.client.answers import Answer, Feedback, Page
from natix_cascade.client.context import checked
from natix_cascade.client.state import Breaker, Health, Readiness, Status

__all__ = ["Call", "InferOptions", "Source", "at_least_one", "name_of", "read_picture"]

T = TypeVar("T")
Source: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""A picture: its encoded bytes, the path of a file, or an open binary file."""


class InferOptions(TypedDict, total=False):
    """Options of `infer`, as `infer_many` takes them for all its pictures."""

    explain: bool
    max_level: str | None
    place: tuple[float, float] | None
    label: bool | str | None
    augment: str | None
    seed: int | None
    keep: bool
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read.

    Attributes
    ----------
    method, path : str
        Of HTTP.
    read : callable
        Makes the result from the parsed JSON.
    query : mapping
        Options in the address.
    body : bytes or None
        Encoded picture.
    json : object or None
        Instead of `body`.
    timed : bool
        The service is told how much time is left.
    repeatable : bool
        Doing it twice does no harm: it is tried again after a connection that broke off.
    answers : frozenset of int
        Statuses beside 2xx that are an answer, not an error.
    traceparent : str or None
        The caller's span; None: the one that is active where OpenTelemetry is in use.
    """

    method: str
    path: str
    read: Callable[[Any], T] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    timed: bool = False
    repeatable: bool = True
    answers: frozenset[int] = frozenset()
    traceparent: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def infer(
    picture: bytes,
    *,
    name: str | None = None,
    explain: bool = False,
    max_level: str | None = None,
    place: tuple[float, float] | None = None,
    label: bool | str | None = None,
    augment: str | None = None,
    seed: int | None = None,
    keep: bool = False,
    traceparent: str | None = None,
    stream: bool = False,
) -> Call[Answer]:
    """Judge one picture, given as its encoded bytes.

    A call that also leaves a truth or a picture behind is not repeated after a connection that broke off: it would
    leave it twice.

    Raises
    ------
    ValueError
        The traceparent is none.
    """
    options: dict[str, object] = {
        "name": name,
        "explain": explain or None,
        "max_level": max_level,
        "place": None if place is None else f"{place[0]!r},{place[1]!r}",
        "label": label,
        "augment": augment,
        "seed": seed,
        "keep": keep or None,
        "stream": stream or None,
    }
    query = {key: _text(value) for key, value in options.items() if value is not None}
    return Call(
        "POST",
        "/v1/infer",
        Answer.of,
        query,
        body=picture,
        timed=True,
        repeatable=label is None and not keep,
        traceparent=None if traceparent is None else checked(traceparent),
    )


def feedback(verdict_id: str, label: bool | str, *, note: str | None, image: bytes | None) -> Call[Feedback]:  # noqa: FBT001  # the truth itself
    """Tell the truth about a verdict."""
    body: dict[str, object] = {"verdict_id": verdict_id, "label": label}
    if note is not None:
        body["note"] = note
    if image is not None:
        body["image"] = base64.b64encode(image).decode("ascii")
    return Call("POST", "/v1/feedback", Feedback.of, json=body, repeatable=False)


def verdict(verdict_id: str) -> Call[Answer]:
    """Look up an earlier answer."""
    return Call("GET", f"/v1/verdicts/{quote(verdict_id, safe='')}", Answer.of)


def verdicts(limit: int, before: str | None) -> Call[Page]:
    """Look up the latest answers."""
    query = {"limit": str(limit)}
    if before is not None:
        query["before"] = before
    return Call("GET", "/v1/verdicts", Page.of, query)


def cascade() -> Call[dict[str, Any]]:
    """Question, levels, policy."""
    return Call("GET", "/v1/cascade", dict)


def models() -> Call[list[dict[str, Any]]]:
    """Cards, breaker and readiness of each model."""
    return Call("GET", "/v1/models", lambda data: list(data["models"]))


def status() -> Call[Status]:
    """Live load."""
    return Call("GET", "/v1/status", Status.of)


def health() -> Call[Health]:
    """Alive, and in which version."""
    return Call("GET", "/health", Health.of)


def ready() -> Call[Readiness]:
    """Able to answer, or why not: a 503 is an answer here."""
    return Call("GET", "/ready", Readiness.of, answers=frozenset({503}))


def reload(cascade: str | None, policy: str | None) -> Call[dict[str, Any]]:
    """Load, warm up and swap."""
    wanted = {"cascade": cascade, "policy": policy}
    body = {key: value for key, value in wanted.items() if value is not None}
    return Call("POST", "/v1/admin/reload", dict, json=body, repeatable=False)


def drain() -> Call[dict[str, Any]]:
    """Stop accepting, finish, leave."""
    return Call("POST", "/v1/admin/drain", dict, json={}, repeatable=False)


def breakers() -> Call[tuple[Breaker, ...]]:
    """State of each breaker."""
    return Call("GET", "/v1/admin/breakers", Breaker.all_of)


def read_picture(source: Source) -> bytes:
    """Encoded bytes of a picture, wherever they lie.

    Raises
    ------
    OSError
        The file cannot be read.
    TypeError
        It is none of the kinds that are taken.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    read = getattr(source, "read", None)
    data = read() if callable(read) and not isinstance(source, io.TextIOBase) else None
    if not isinstance(data, bytes):
        raise TypeError(
            f"a picture was given as {type(source).__name__}; wanted are bytes, the path of a file, or a file that was "
            "opened in binary mode"
        )
    return data


def name_of(source: Source) -> str | None:
    """A file's name; None for mere bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return None
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return Path(path).name if isinstance(path, str | os.PathLike) else None


def at_least_one(parallel: int) -> int:
    """Check the number of pictures that are under way at the same time."""
    if parallel < 1:
        raise ValueError(f"parallel is {parallel}, wanted 1 or more")
    return parallel


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
