"""Lines that a service writes: text for people, or JSON for machines, with trace ids, and never with secrets.

All modules write through Python's own `logging`; structlog makes the lines. Pictures, keys and places have no business
in them: what looks like a key or like encoded bytes is cut out of every line, wherever it came from.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from natix_cascade.observe.options import LogOptions
from natix_cascade.observe.sampling import Allowance
from natix_cascade.run.events import Event, PictureFailed, VerdictGiven
from natix_cascade.trace import current

__all__ = ["VerdictLines", "configure", "redacted"]

_MOST_CHARACTERS: Final = 4000
_MOST_KINDS: Final = 1000
_QUIET: Final = ("httpx", "httpcore", "uvicorn.error", "opentelemetry", "urllib3", "hvac", "weave", "phoenix")
_PRIVATE: Final = frozenset(
    {"place", "lat", "lon", "latitude", "longitude", "picture", "image", "key", "token", "password"}
)
_SECRETS: Final = (
    (
        re.compile(
            r"(?i)\b(authorization|x-api-key|api[_-]?key|password|secret|token)(\"?\s*[:=]\s*\"?)(bearer\s+|basic\s+)?[^\s\",;&]+"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"\b(nck_[0-9a-f]{8}_|hf_|sk-|hvs\.|hvb\.|s\.)[\w-]{12,}"), r"\1***"),
    (re.compile(r"(\w+://)[^\s/@:]*:[^\s/@]+@"), r"\1***@"),
    (re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=_-]*"), "data:***"),
    (re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}"), "***"),
)
_log = logging.getLogger("natix_cascade.verdicts")


def configure(options: LogOptions, who: str) -> None:
    """Set up the lines of this process.

    Parameters
    ----------
    options : LogOptions
        How.
    who : str
        Names the process in each line.
    """

    def ordered(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        return {"time": line.pop("time"), "level": line.pop("level"), "who": who, **line}

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Limit(options.per_s))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                ordered,
                _traced,
                structlog.processors.format_exc_info,
                redacted,
                structlog.processors.JSONRenderer() if options.format == "json" else _as_text,
            ],
        )
    )
    logging.basicConfig(level=options.level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class VerdictLines:
    """A listener that writes a line for a verdict or a failure, as often as it may.

    Parameters
    ----------
    options : LogOptions
        How often.
    """

    hears_levels = False

    def __init__(self, options: LogOptions) -> None:
        self._allowance = Allowance(options.verdicts_per_s)
        self._left_out = 0

    def __call__(self, event: Event) -> None:
        """Write it, or count it as left out."""
        if not isinstance(event, VerdictGiven | PictureFailed):
            return
        if not self._allowance.take():
            self._left_out += 1
            return
        more: dict[str, Any] = (
            {"verdict_id": event.call.id, "trace_id": event.call.trace.trace_id} if event.call else {}
        )
        if self._left_out:
            more["left_out"], self._left_out = self._left_out, 0
        if isinstance(event, PictureFailed):
            _log.warning("no verdict", extra={**more, "problem": event.kind, "said": str(event.error)})
            return
        verdict = event.verdict
        told: dict[str, Any] = {
            "sha256": verdict.sha256,
            "answer": "yes" if verdict.detected else "no",
            "probability": round(verdict.probability, 4),
            "exit_level": verdict.exit_level,
            "exit_reason": verdict.exit_reason,
            "latency_ms": round(verdict.latency_ms, 1),
            "cost_usd": verdict.cost_usd,
            "policy": verdict.policy,
        }
        if verdict.degraded:
            told |= {"degraded": True, "failed": list(verdict.failed_models)}
        _log.info("verdict", extra=more | told)


class _Limit(logging.Filter):
    """Lets so many lines of one kind through; the next one that comes through says how many did not."""

    def __init__(self, per_s: float) -> None:
        super().__init__()
        self._per_s = per_s
        self._kinds: dict[tuple[str, str], tuple[Allowance, list[int]]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it may pass."""
        kind = record.name, str(record.msg)[:100]
        with self._lock:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            allowance, left_out = self._kinds.setdefault(kind, (Allowance(self._per_s), [0]))
            if not allowance.take():
                left_out[0] += 1
                return False
            if left_out[0]:
                record.left_out, left_out[0] = left_out[0], 0
        return True


def _traced(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Add the trace on whose behalf the line is written."""
    trace = current.get()
    if trace is not None:
        line.setdefault("trace_id", trace.trace_id)
        line.setdefault("span_id", trace.span_id)
    return line


def redacted(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Cut keys, places and encoded bytes out of a line."""
    return {name: "***" if name.lower() in _PRIVATE else _clean(value) for name, value in line.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, instead in _SECRETS:
            value = pattern.sub(instead, value)
        return value if len(value) <= _MOST_CHARACTERS else f"{value[:_MOST_CHARACTERS]} ..."
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {str(key): "***" if str(key).lower() in _PRIVATE else _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_clean(each) for each in value]
    return value if isinstance(value, int | float | None) else _clean(str(value))


def _as_text(_: WrappedLogger, __: str, line: EventDict) -> str:
    """``time who LEVEL event key=value ...``, and a traceback below it."""
    told = dict(line)
    time, who, level, event = (str(told.pop(name, "")) for name in ("time", "who", "level", "event"))
    told.pop("logger", None)
    trace = told.pop("exception", None)
    more = "".join(f" {name}={value}" for name, value in told.items())
    return f"{time} {who} {level.upper()} {event}{more}" + (f"\n{trace}" if trace else "")
