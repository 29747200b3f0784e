"""The door: who may come in, how often, and whether there is room; before a byte of the body is read."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from fastapi import Request

from natix_cascade.serve.answers import problem_answer
from natix_cascade.serve.infer import infer
from natix_cascade.serve.keys import Key, key_from_headers
from natix_cascade.serve.keys import Scope as KeyScope
from natix_cascade.serve.problems import Problem, problem_of
from natix_cascade.serve.service import Service

__all__ = ["Door"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PICTURES = ("/v1/infer", "/v1/batch-infer")
_SAFE = ("GET", "HEAD", "OPTIONS")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Door:
    """ASGI middleware around everything.

    Parameters
    ----------
    app : callable
        What is behind it.
    service : Service
        Keys, rates, and how full it is.
    """

    def __init__(self, app: Any, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, status, begun = scope["path"], 500, False

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            await send(message)

        try:
            problem = await self._problem(scope, path)
            if problem is not None:
                await problem_answer(problem, path)(scope, receive, counted)
            elif path == "/v1/infer" and scope["method"] == "POST":
                await self._infer(scope, receive, counted)
            else:
                await self._app(scope, receive, counted)
        except asyncio.CancelledError:
            if self._service.draining and not begun:  # it takes longer than the service may stay
                problem = Problem("draining", "the service has left before the answer; ask another one", 1.0)
                await problem_answer(problem, path)(scope, receive, counted)
            else:
                status = 499  # the client has left
        finally:
            self._service.metrics.counted(_endpoint(scope), str(status))

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint that is called all the time goes around the framework, whose layers cost as much as a level."""
        try:
            response = await infer(Request(scope, receive), self._service)
        except Exception as error:
            problem = problem_of(error)
            await problem_answer(problem, scope["path"])(scope, receive, send)
            if problem.kind == "internal":
                raise
        else:
            await response(scope, receive, send)

    async def _problem(self, scope: Scope, path: str) -> Problem | None:
        if path == "/health":
            return None
        headers = dict(scope["headers"])
        problem = self._stranger(scope, headers)
        if problem is not None:
            return problem
        key: Key | None = None
        if self._service.keys.required:
            key = self._key(headers)
            if key is None:
                return Problem(
                    "unauthorized", "a valid key is needed: Authorization: Bearer KEY, X-API-Key: KEY, or Basic"
                )
            wanted = _scope_of(path)
            if wanted is not None and not key.opens(wanted):
                return Problem("forbidden", f"this key has no scope {wanted!r}")
        if path not in _PICTURES:
            return None
        return await self._room(key)

    async def _room(self, key: Key | None) -> Problem | None:
        service = self._service
        if service.draining:
            service.metrics.rejected("draining")
            return Problem("draining", "the service is leaving; ask another one", 1.0)
        if service.full:
            service.meters.refused(rejected=True)
            return service.overloaded().problem
        rate = (key.rate if key is not None else None) or service.options.rate
        if rate is None:
            return None
        wait = await service.rates.hit(key.id if key is not None else "", rate)
        if wait is None:
            return None
        service.meters.refused(rejected=True)
        service.metrics.rejected("rate")
        return Problem("rate-limited", f"more than {rate} with this key", wait)

    def _key(self, headers: dict[bytes, bytes]) -> Key | None:
        text = key_from_headers(_text(headers.get(b"authorization")), _text(headers.get(b"x-api-key")))
        return self._service.keys.check(text) if text is not None else None

    def _stranger(self, scope: Scope, headers: dict[bytes, bytes]) -> Problem | None:
        """What another web site may not do with a visitor's browser: use a name of its own, or send forms here."""
        host = _text(headers.get(b"host")) or ""
        if not self._known(host):
            return Problem("forbidden", f"this service does not answer to the name {host[:100]!r}; see --allowed-host")
        if scope["method"] in _SAFE:
            return None
        site = headers.get(b"sec-fetch-site")
        if site is not None and site not in (b"same-origin", b"none"):
            return Problem("forbidden", "a request that another web site made")
        return None

    def _known(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        options = self._service.options
        if name in ("localhost", "", *options.allowed_hosts) or _is_address(name):
            return True
        return not options.allowed_hosts and self._service.keys.required


@lru_cache(maxsize=1024)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _scope_of(path: str) -> KeyScope | None:
    """The scope that a path needs; None: any valid key."""
    if path in ("/ready", "/openapi.json"):
        return None
    if path == "/metrics":
        return "metrics"
    return "admin" if path.startswith("/v1/admin/") else "infer"


def _endpoint(scope: Scope) -> str:
    """A short name of what was asked; unknown paths are one, so that they cannot fill the metrics."""
    route = scope.get("route")
    return getattr(route, "path", None) or (scope["path"] if scope["path"] in _PICTURES else "other")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
