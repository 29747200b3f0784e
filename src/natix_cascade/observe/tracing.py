"""Traces over OTLP/HTTP: spans of verdicts and failures, sent in batches. OpenTelemetry is imported here only."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import natix_cascade
from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import TraceOptions
from natix_cascade.observe.secret import reveal
from natix_cascade.observe.spans import Span, spans_of

try:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"traces need {error.name}, which is not installed; run: pip install 'natix-cascade[traces]'"
    ) from error

__all__ = ["Tracer"]

_TIMEOUT_S = 5.0  # for a batch, tries again included
_CLOSE_S = 3.0
_WAIT_S = 1.0  # for a batch to fill
_BATCH = 256
_BATCH_BYTES = 4 * 1024 * 1024  # of pictures; collectors refuse large requests
_MOST = 4096
_MOST_BYTES = 64 * 1024 * 1024
_LOCKED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SDK_LOG = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")


class Tracer:
    """Observer that sends spans to a collector.

    It holds a bounded number of them; those of a batch that the collector does not take within five seconds are lost,
    and the next call says so.

    Parameters
    ----------
    options : TraceOptions
        Where they go.
    exporter : SpanExporter or None
        Instead of the one that sends to ``options.url``.

    Raises
    ------
    CascadeError
        A header's secret cannot be read.
    """

    name = "traces"

    def __init__(self, options: TraceOptions, *, exporter: SpanExporter | None = None) -> None:
        self._pixels = options.pixels
        self._shown = _without_secrets(options.url)
        version = natix_cascade.__version__
        self._scope = InstrumentationScope("natix_cascade", version)
        self._resource = Resource.create(
            {
                "service.name": options.project,
                "service.version": version,
                "host.name": socket.gethostname(),
                "openinference.project.name": options.project,
            }
        )
        self._outbox = _Outbox(_Sender(options) if exporter is None else _Given(exporter))

    def __call__(self, observation: Observation) -> None:
        """Take in a verdict or a failure; anything else has no span.

        Raises
        ------
        CascadeError
            Earlier spans were lost.
        """
        spans = spans_of(observation, pixels=self._pixels)
        if spans:
            size = len(observation.picture or b"") if self._pixels else 0
            self._outbox.put([self._readable(span) for span in spans], size)
        self._tell_lost()

    def close(self) -> None:
        """Send what is held, within three seconds.

        Raises
        ------
        CascadeError
            Not all could be sent.
        """
        self._outbox.close(_CLOSE_S)
        self._tell_lost()

    def _tell_lost(self) -> None:
        lost, why = self._outbox.lost()
        if lost:
            raise CascadeError(f"{lost} spans were not taken by {self._shown}: {why}")

    def _readable(self, span: Span) -> ReadableSpan:
        place = span.place
        state = TraceState.from_header([place.state]) if place.state else TraceState()
        flags = TraceFlags(TraceFlags.SAMPLED)

        def context(span_id: str, *, remote: bool) -> SpanContext:
            return SpanContext(int(place.trace_id, 16), int(span_id, 16), remote, flags, state)

        return ReadableSpan(
            name=span.name,
            context=context(place.span_id, remote=False),
            parent=None if place.parent_id is None else context(place.parent_id, remote=span.is_request),
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(each.name, dict(each.attributes), each.at_ns) for each in span.moments],
            kind=SpanKind.SERVER if span.is_request else SpanKind.INTERNAL,
            status=Status(StatusCode.OK) if span.problem is None else Status(StatusCode.ERROR, span.problem),
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=self._scope,
        )


class _Given:
    """An exporter as it is."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def send(self, spans: Sequence[ReadableSpan]) -> str | None:
        return None if self._exporter.export(spans) is SpanExportResult.SUCCESS else "its exporter failed"

    def close(self) -> None:
        self._exporter.shutdown()


class _Sender:
    """Sends batches by OTLP/HTTP. What the SDK would log of each failed try is left out: the answer says it once."""

    def __init__(self, options: TraceOptions) -> None:
        self._references = options.headers
        self._headers = _headers(self._references)
        self._status: int | None = None
        session = requests.Session()
        session.max_redirects = 0  # a collector that leads elsewhere would get the headers there too
        session.auth = self._sign
        session.hooks["response"] = [self._note]
        self._exporter = OTLPSpanExporter(
            options.url, timeout=_TIMEOUT_S, compression=Compression.Gzip, session=session
        )

    def send(self, spans: Sequence[ReadableSpan]) -> str | None:
        """Send them; returns why that failed. A key that is not taken is read anew, once: it may be another by now."""
        why = self._try(spans)
        if why is not None and self._status in _LOCKED and self._references:
            try:
                self._headers = _headers(self._references, refused=True)
            except CascadeError as error:
                return f"{why}; {error}"
            why = self._try(spans)
        return why

    def close(self) -> None:
        with _Quiet():
            self._exporter.shutdown()

    def _try(self, spans: Sequence[ReadableSpan]) -> str | None:
        self._status = None
        with _Quiet():
            result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            return None
        if self._status is None:
            return f"no connection, or no answer within {_TIMEOUT_S:g} s"
        return f"it answered {self._status}"

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request

    def _note(self, response: requests.Response, **_: Any) -> None:
        self._status = response.status_code


class _Quiet(logging.Filter):
    """Keeps what the SDK logs in this thread, and while this lasts, to itself."""

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        _SDK_LOG.addFilter(self)

    def __exit__(self, *_: object) -> None:
        _SDK_LOG.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


class _Outbox:
    """Spans that wait, and the thread that sends them in batches."""

    def __init__(self, sender: _Sender | _Given) -> None:
        self._sender = sender
        self._held: deque[tuple[list[ReadableSpan], int]] = deque()
        self._spans = self._bytes = self._lost = 0
        self._why = ""
        self._closing = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="natix-traces-send", daemon=True)
        self._thread.start()

    def put(self, spans: list[ReadableSpan], size: int) -> None:
        """Take the spans of a trace, or lose them where too many wait."""
        with self._news:
            if self._spans + len(spans) > _MOST or self._bytes + size > _MOST_BYTES:
                self._lose(len(spans), self._why or "it is slower than they come")
                return
            self._held.append((spans, size))
            self._spans += len(spans)
            self._bytes += size
            self._news.notify()

    def lost(self) -> tuple[int, str]:
        """How many were lost since this was last asked, and why."""
        with self._news:
            found, self._lost = self._lost, 0
            return found, self._why

    def close(self, limit_s: float) -> None:
        """Send what waits; what is not sent within the limit is lost."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(limit_s)
        with self._news:
            if self._spans:
                self._lose(self._spans, self._why or "it does not answer")
                self._held.clear()
        self._sender.close()

    def _lose(self, count: int, why: str) -> None:
        self._lost += count
        self._why = why

    def _work(self) -> None:
        while batch := self._next():
            why = self._guarded(batch)
            with self._news:
                self._spans -= len(batch)
                if why is not None:
                    self._lose(len(batch), why)

    def _guarded(self, batch: list[ReadableSpan]) -> str | None:
        try:
            return self._sender.send(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next batch is tried all the same
            return f"{type(error).__name__}: {error}"

    def _next(self) -> list[ReadableSpan]:
        """The next batch; empty at the end."""
        with self._news:
            while not self._held and not self._closing:
                self._news.wait()
            until = time.monotonic() + _WAIT_S
            while not self._is_full() and not self._closing and (left := until - time.monotonic()) > 0:
                self._news.wait(left)
            batch: list[ReadableSpan] = []
            taken = 0
            while self._held and len(batch) < _BATCH and taken < _BATCH_BYTES:
                spans, size = self._held.popleft()
                batch += spans
                taken += size
            self._bytes -= taken
            return batch

    def _is_full(self) -> bool:
        return sum(len(spans) for spans, _ in self._held) >= _BATCH or self._bytes >= _BATCH_BYTES


def _headers(references: Mapping[str, str], *, refused: bool = False) -> dict[str, str]:
    """Headers with their secrets; of ``Bearer env:TOKEN`` only the last word is a reference."""
    found = {}
    for name, given in references.items():
        scheme, _, reference = given.rpartition(" ")
        found[name] = f"{scheme} {reveal(reference, refused=refused)}".strip()
    return found


def _without_secrets(url: str) -> str:
    """A url without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
