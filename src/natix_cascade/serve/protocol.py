"""HTTP/1.1 with limits that uvicorn does not have: time and size of headers, connections, and clients that leave."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from natix_cascade.serve.problems import MEDIA_TYPE, Problem

__all__ = ["protocol_of"]

_LOOK_AGAIN_S = 0.2
_TOO_MUCH = Problem("headers-too-large", "the request line and headers are too long; send less")


def protocol_of(*, header_timeout_s: float, max_header_bytes: int, max_connections: int) -> type[HttpToolsProtocol]:  # noqa: C901
    """A protocol class with these limits.

    Parameters
    ----------
    header_timeout_s : float
        From the connection, or the first byte of a further request, to the end of the headers.
    max_header_bytes : int
        Request line and headers together.
    max_connections : int
        Open connections of this worker.
    """

    class LimitedProtocol(HttpToolsProtocol):
        """One connection."""

        _timer: asyncio.TimerHandle | None = None
        _task: asyncio.Task[None] | None = None
        _in_headers = True
        _header_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                self._refuse(Problem("overloaded", "too many connections; try again", 1.0))
                return
            self._timer = self.loop.call_later(header_timeout_s, self._too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)
            if self._task is not None and not self._task.done():
                self._task.cancel()  # who asked has left: its pictures leave every batch

        def data_received(self, data: bytes) -> None:
            if self._in_headers:
                if self._timer is None:
                    self._timer = self.loop.call_later(header_timeout_s, self._too_slow)
                self._header_bytes += len(data)
            before = self._in_headers
            super().data_received(data)
            if before and self._in_headers and self._header_bytes > max_header_bytes:
                self._refuse(_TOO_MUCH)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:  # it came in one piece with the end of the request before
                self._timer = self.loop.call_later(header_timeout_s, self._too_slow)
                self._header_bytes = max(1, self._header_bytes)

        def on_headers_complete(self) -> None:
            self._stop_timer()
            self._in_headers = False
            self._header_bytes = 0
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > max_header_bytes:
                self._refuse(_TOO_MUCH)
                return
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._stop_timer()
            self._in_headers = True
            if self.cycle is not None:
                super().on_message_complete()

        def on_body(self, body: bytes) -> None:
            if self.cycle is not None:
                super().on_body(body)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._in_headers and self._timer is None and not self.transport.is_closing():
                # Refused before its body was there: the rest is thrown away, but not for ever.
                self._timer = self.loop.call_later(header_timeout_s, self._too_slow)

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            self._task = task = self.loop.create_task(cycle.run_asgi(app))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _too_slow(self) -> None:
            # After a pause of the whole machine a loop runs its timers before it looks at its sockets: look again.
            self._timer = self.loop.call_later(_LOOK_AGAIN_S, self._give_up)

        def _give_up(self) -> None:
            self._timer = None
            if self._header_bytes:
                self._refuse(Problem("slow-request", "the headers did not arrive in time; send faster"))
            elif not self.transport.is_closing():
                self.transport.close()

        def send_400_response(self, msg: str) -> None:
            self._refuse(Problem("bad-request", f"this is not HTTP: {msg}"))

        def _refuse(self, problem: Problem) -> None:
            self._stop_timer()
            if self.transport.is_closing():
                return
            body = problem.as_bytes()
            lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}", f"content-type: {MEDIA_TYPE}"]
            lines += [f"content-length: {len(body)}", "x-content-type-options: nosniff", "connection: close"]
            lines += [f"{name}: {value}" for name, value in problem.headers().items()]
            self.transport.write("\r\n".join((*lines, "", "")).encode() + body)
            self.transport.close()

    return LimitedProtocol
