"""The caller's trace, passed on with each request: W3C Trace Context."""

from __future__ import annotations

import sys

from natix_cascade.trace import TraceContext, new_id

__all__ = ["checked", "trace_headers"]


def trace_headers(traceparent: str | None = None) -> dict[str, str]:
    """Headers that tell the service whose span its own belong to; none where nobody traces.

    Parameters
    ----------
    traceparent : str or None
        Given by the caller; None: of the span that is active in OpenTelemetry, where the program has imported it. What
        has not been imported has no active span, so that nothing is imported here for nothing.
    """
    if traceparent is not None:
        return {"traceparent": traceparent}
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  # optional
        TraceContextTextMapPropagator,
    )

    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return found


def checked(traceparent: str) -> str:
    """A traceparent that the service can read.

    Raises
    ------
    ValueError
        It is none.
    """
    found = traceparent.strip().lower()
    if TraceContext.of_request(new_id(), found).parent_id is None:
        raise ValueError(
            f"traceparent is {traceparent[:80]!r}, wanted 00-<32 hex digits>-<16 hex digits>-01, not all of them zeros"
        )
    return found
