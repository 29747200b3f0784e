"""What the service says of itself, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Breaker", "Health", "Readiness", "Status"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether a replica of a model is asked: "closed" (yes), "open" (no) or "half_open" (on trial)."""

    model: str
    replica: int
    state: str
    failures: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Breaker:
        """Read an entry of ``breakers``."""
        return cls(data["model"], data["replica"], data["state"], data["failures"], data)

    @classmethod
    def all_of(cls, data: Mapping[str, Any]) -> tuple[Breaker, ...]:
        """Read ``/v1/admin/breakers``."""
        return tuple(cls.of(each) for each in data["breakers"])


@dataclass(frozen=True, slots=True)
class Status:
    """Live load of the service; the rates, latencies and exits are of the last 60 seconds.

    Attributes
    ----------
    uptime_s : float
        Seconds since it was started.
    workers, generation, in_flight, max_in_flight : int
        Processes; how often it was (re)loaded; pictures under way and their bound.
    requests, rejected, degraded, failed : int
        Since the start.
    ready, draining : bool
        It can answer; it is leaving.
    rate_per_s : float
        Requests a second.
    latency_ms : mapping
        "p50", "p95" and "p99" in milliseconds; None where there were no requests.
    exits : mapping
        Level to verdicts given there.
    breakers : tuple of Breaker
        Of each model and replica.
    cascade, policy : str
        ``name@version``.
    """

    uptime_s: float
    workers: int
    cascade: str
    policy: str
    generation: int
    ready: bool
    draining: bool
    in_flight: int
    max_in_flight: int
    requests: int
    rejected: int
    degraded: int
    failed: int
    rate_per_s: float
    latency_ms: Mapping[str, float | None]
    exits: Mapping[str, int]
    breakers: tuple[Breaker, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Status:
        """Read ``/v1/status``."""
        plain = {name: data[name] for name in cls.__slots__ if name not in {"breakers", "raw"}}
        return cls(**plain, breakers=Breaker.all_of(data), raw=data)


@dataclass(frozen=True, slots=True)
class Health:
    """The service is alive, in this version."""

    status: str
    version: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Health:
        """Read ``/health``."""
        return cls(data["status"], data["version"])


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can answer, and if not why; true in a boolean sense when it can."""

    ready: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.ready

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Readiness:
        """Read ``/ready``."""
        return cls(bool(data["ready"]), tuple(data["reasons"]))
