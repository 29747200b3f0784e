"""Sends calls, tries again, and keeps the time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import TypeVar

import httpx
import stamina

from natix_cascade.client.answers import understand
from natix_cascade.client.context import trace_headers
from natix_cascade.client.errors import UnreachableError, service_error
from natix_cascade.client.patience import Deadline, Patience
from natix_cascade.client.requests import Call
from natix_cascade.client.settings import Settings

__all__ = ["Sender"]

T = TypeVar("T")


class Sender:
    """A client's connections.

    Parameters
    ----------
    settings : Settings
        Whom to ask, with which key, for how long.
    transport : httpx.AsyncBaseTransport or None
        Instead of the network.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.settings = settings
        self._http = httpx.AsyncClient(
            base_url=settings.base_url,
            headers=settings.headers,
            timeout=None,  # noqa: S113  # httpx bounds each step; here asyncio bounds the call as a whole
            transport=transport,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def ask(self, call: Call[T], deadline_ms: float | None = None) -> T:
        """Carry out a call and read its answer."""
        response = await self._patiently(call, self._patience(call, deadline_ms), stream=False)
        return understand(str(call), lambda body: call.read(json.loads(body)), response.content)

    async def lines(self, call: Call[T], deadline_ms: float | None = None) -> AsyncGenerator[str, None]:
        """Carry out a call whose answer comes line by line; nothing is tried again once it has begun."""
        patience = self._patience(call, deadline_ms)
        deadline = patience.deadline
        response = await self._patiently(call, patience, stream=True)
        try:
            lines = response.aiter_lines()
            while True:
                async with asyncio.timeout(max(deadline.left_s, deadline.margin_s)):
                    line = await anext(lines, None)
                if line is None:
                    return
                yield line
        except TimeoutError as error:
            raise patience.late(str(call)) from error
        except httpx.TransportError as error:
            raise self._unreachable(call, error) from error
        finally:
            await response.aclose()

    def _patience(self, call: Call[T], deadline_ms: float | None) -> Patience:
        return Patience(Deadline.of(deadline_ms, self.settings.timeout_s), call.repeatable)

    async def _patiently(self, call: Call[T], patience: Patience, *, stream: bool) -> httpx.Response:
        """Try until there is an answer, or tries or time are used up."""
        try:
            async with asyncio.timeout(patience.deadline.left_s):
                async for attempt in stamina.retry_context(on=patience, attempts=self.settings.attempts, timeout=None):
                    with attempt:
                        return await self._try(call, patience, stream=stream)
        except TimeoutError as error:
            raise patience.late(str(call)) from error
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, call: Call[T], patience: Patience, *, stream: bool) -> httpx.Response:
        query = dict(call.query)
        if call.timed:
            left_ms = patience.deadline.for_service_ms
            if left_ms < 1:
                raise patience.late(str(call))
            query["deadline_ms"] = f"{left_ms:.0f}"
        headers = trace_headers(call.traceparent)
        if call.body is not None:
            headers["Content-Type"] = "application/octet-stream"
        request = self._http.build_request(
            call.method, call.path, params=query, content=call.body, json=call.json, headers=headers
        )
        try:
            response = await self._http.send(request, stream=True)
            fine = response.is_success or response.status_code in call.answers
            if not (stream and fine):
                await response.aread()
        except httpx.RequestError as error:
            raise self._unreachable(call, error) from error
        if not fine:
            raise service_error(
                str(call), response.status_code, response.headers, response.content, secret=self.settings.key or ""
            )
        return response

    def _unreachable(self, call: Call[T], error: httpx.RequestError) -> UnreachableError:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        if isinstance(error, httpx.ConnectError):
            text = f"no connection to {self.settings.base_url} ({what}); is `natix-cascade serve` running there?"
            return UnreachableError(f"{call}: {text}", detail=what)
        return UnreachableError(f"{call}: the connection broke off ({what})", maybe_done=True, detail=what)
