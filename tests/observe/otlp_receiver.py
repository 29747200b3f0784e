"""A little OTLP/HTTP collector in this process: it decodes what comes, and refuses or hangs on command."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["OtlpReceiver", "hanging", "nobody", "values"]

_ANSWER_S = 60.0


class OtlpReceiver:
    """Collector of traces.

    Attributes
    ----------
    status : int
        What requests are answered with.
    key : str or None
        The value of ``authorization`` without which a request is answered 401.
    location : str or None
        Where requests are sent on to.
    requests : list of dict
        Headers of all requests, with names in lower case.
    """

    def __init__(self) -> None:
        self.status, self.key, self.location = 200, None, None
        self.requests: list[dict[str, str]] = []
        self._spans: list[tuple[Any, dict[str, Any]]] = []
        self._news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take({name.lower(): value for name, value in self.headers.items()}, self.path, body)
                self.send_response(status)
                if receiver.location is not None:
                    self.send_header("location", receiver.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def take(self, headers: dict[str, str], path: str, body: bytes) -> int:
        """One request; returns the status that it is answered with."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        with self._news:
            self.requests.append(headers)
            self._news.notify_all()
            if path != "/v1/traces" or headers["content-type"] != "application/x-protobuf":
                return 404
            if self.key is not None and headers.get("authorization") != self.key:
                return 401
            if self.status != 200 or self.location is not None:
                return self.status
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = values(each.resource.attributes)
                self._spans += [(span, resource) for scope in each.scope_spans for span in scope.spans]
            return 200

    def spans(self, wanted: int = 0) -> list[Any]:
        """What has come so far, once there are so many."""
        return [span for span, _ in self._wait(lambda: len(self._spans) >= wanted)]

    def resources(self) -> list[dict[str, Any]]:
        """Of each span, what sent it."""
        return [resource for _, resource in self._wait(lambda: True)]

    def asked(self, times: int) -> None:
        """Wait for so many requests."""
        self._wait(lambda: len(self.requests) >= times)

    def _wait(self, enough: Callable[[], bool]) -> list[tuple[Any, dict[str, Any]]]:
        with self._news:
            assert self._news.wait_for(enough, _ANSWER_S), f"{len(self._spans)} spans, {len(self.requests)} requests"
            return list(self._spans)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {each.key: _value(each.value) for each in attributes}


@contextmanager
def hanging() -> Iterator[str]:
    """The url of a collector that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)
        over, held = threading.Event(), []

        def accept() -> None:
            while not over.is_set():
                try:
                    held.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
        finally:
            over.set()
            thread.join()
            for each in held:
                each.close()


def nobody() -> str:
    """The url of a collector that is dead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def eventually(holds: Callable[[], bool], limit_s: float = _ANSWER_S) -> None:
    """Wait for what another thread does and nobody tells."""
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
