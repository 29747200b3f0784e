"""Names of requests, and W3C Trace Context: which larger story a request belongs to.

A verdict's id is 32 hex digits, as a trace's id is: where a request brings no trace of its own, they are the same. Ids
of spans are digests of the trace and of what the span is about, so that whoever knows a verdict knows its spans.

See https://www.w3.org/TR/trace-context/ for the two headers.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["TraceContext", "current", "drawn", "made_at", "new_id"]

_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(r"[ -~]{1,512}")
_NONE: Final = ("0" * 32, "0" * 16)
_DIGITS: Final = 14  # of an id, its last ones, by which it is drawn: all of them random


def new_id() -> str:
    """A new name for a request: 32 hex digits; the first 12 are milliseconds since 1970, so that ids sort by time."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def made_at(id: str) -> float | None:  # noqa: A002  # what it is called
    """Seconds since 1970 at which an id of `new_id` was made; None for what is none."""
    try:
        return int(id[:12], 16) / 1000
    except ValueError:
        return None


def drawn(id: str, share: float) -> bool:  # noqa: A002  # what it is called
    """Whether an id is among the drawn ones; who is drawn at a share is drawn at all larger ones too."""
    return int(id[-_DIGITS:], 16) / 16.0**_DIGITS < share


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span's place in its trace.

    Attributes
    ----------
    trace_id, span_id : str
        32 and 16 lowercase hex digits.
    parent_id : str or None
        The span that it belongs to.
    sampled : bool
        Whether whoever began the trace wants it kept.
    state : str
        ``tracestate``, passed on as it came.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = False
    state: str = ""

    @classmethod
    def of_request(cls, id: str, parent: str | None = None, state: str | None = None, *, share: float = 0.0) -> Self:  # noqa: A002
        """The span of a request.

        Parameters
        ----------
        id : str
            The request's id, see `new_id`.
        parent, state : str or None
            Its headers ``traceparent`` and ``tracestate``; what cannot be read is as if it were not there.
        share : float
            Of the traces that begin here, how many are to be kept; which ones follows from their ids.
        """
        found = _PARENT.fullmatch(parent.strip().lower()) if parent else None
        version, trace_id, span_id, flags, more = found.groups() if found else ("ff", *_NONE, "00", None)
        if version == "ff" or trace_id == _NONE[0] or span_id == _NONE[1] or (version == "00" and more):
            return cls(id, _span_id(id, "request"), sampled=drawn(id, share))
        kept = state.strip() if state and _STATE.fullmatch(state.strip()) else ""
        return cls(trace_id, _span_id(id, "request"), span_id, sampled=bool(int(flags, 16) & 1), state=kept)

    def child(self, about: str) -> TraceContext:
        """A span below this one; the same every time for the same `about`."""
        return TraceContext(
            self.trace_id, _span_id(self.span_id, about), self.span_id, sampled=self.sampled, state=self.state
        )

    def headers(self) -> dict[str, str]:
        """For a request that is made on behalf of this span."""
        found = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        return found | {"tracestate": self.state} if self.state else found


current: ContextVar[TraceContext | None] = ContextVar("natix_cascade_trace", default=None)
"""The span on whose behalf something is asked just now."""


def _span_id(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
