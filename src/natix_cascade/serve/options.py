"""Everything that can be set of a service; the command line and a TOML file fill it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval

from natix_cascade.observe.options import ObserveOptions
from natix_cascade.run.options import RunnerOptions
from natix_cascade.spec.base import Spec

__all__ = ["ServeOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions(Spec):
    """A service.

    Attributes
    ----------
    cascade, policy, cards, endpoints : str or None
        What is served; as in `Cascade.load`.
    loader : str
        ``module:callable`` that is called with (cascade, policy, cards, threads), and with endpoints where there are
        some, and returns a `LoadedCascade`: for engines of one's own.
    host, port : str, int
        Where it listens; without keys only on loopback.
    metrics_port : int or None
        A port of its own for ``/metrics``, on `host`; None: on the same port as everything else.
    workers : int or None
        Processes that share the port; None: as many as the cores, at most 8.
    threads : int or None
        Threads for each model in each worker.
    state : str
        Folder of the store: verdicts, feedback, kept pictures.
    keys : str or None
        File of hashed keys; it is read again when it changes.
    redis : str or None
        ``redis://...`` where several replicas share rate limits and breakers; or where it is kept, by reference:
        ``vault:natix/redis#url``, ``file:PATH``, ``env:NAME``.
    rate : str or None
        Requests for each key that names no rate of its own, as ``"100/second"`` or ``"5000/hour"``.
    max_in_flight : int
        Pictures that each worker has under way at most; more are refused.
    deadline_ms : float
        For requests that name none.
    max_body_bytes, max_batch_bytes, max_pictures
        Of one request's body, of a batch's, and pictures in a batch.
    header_timeout_s, body_timeout_s, idle_timeout_s : float
        Headers, and body, must have arrived within; an idle connection is closed after.
    max_header_bytes : int
        Request line and headers together.
    max_connections : int
        Open connections for each worker; more are refused.
    drain_s : float
        How long what is under way may take after SIGTERM.
    urls : bool
        Allow pictures by URL.
    keep_verdicts : int
        How many verdicts the store holds; older ones without feedback are removed.
    tls_cert, tls_key : str or None
        PEM files.
    allowed_hosts : tuple of str
        Host names by which the service may be called beside addresses and localhost; empty with keys: any.
    runner : RunnerOptions
        How models are asked.
    observe : ObserveOptions
        Who hears of verdicts.
    """

    cascade: str = "embedded"
    policy: str | None = None
    cards: str | None = None
    endpoints: str | None = None
    loader: str = "natix_cascade.run.loaded:LoadedCascade.load"
    host: str = "127.0.0.1"
    port: Annotated[int, Interval(ge=0, le=65535)] = 8000
    metrics_port: Annotated[int, Interval(ge=1, le=65535)] | None = None
    workers: Annotated[int, Ge(1)] | None = None
    threads: Annotated[int, Ge(1)] | None = None
    state: str = "natix-cascade-state"
    keys: str | None = None
    redis: str | None = None
    rate: str | None = None
    max_in_flight: Annotated[int, Ge(1)] = 128
    deadline_ms: Annotated[float, Gt(0)] = 8_000.0
    max_body_bytes: Annotated[int, Ge(1)] = 28 * 1024 * 1024
    max_batch_bytes: Annotated[int, Ge(1)] = 1024 * 1024 * 1024
    max_pictures: Annotated[int, Ge(1)] = 10_000
    header_timeout_s: Annotated[float, Gt(0)] = 10.0
    body_timeout_s: Annotated[float, Gt(0)] = 30.0
    idle_timeout_s: Annotated[float, Gt(0)] = 60.0
    max_header_bytes: Annotated[int, Ge(256)] = 32 * 1024
    max_connections: Annotated[int, Ge(1)] = 2048
    drain_s: Annotated[float, Gt(0)] = 20.0
    urls: bool = False
    keep_verdicts: Annotated[int, Ge(1)] = 200_000
    tls_cert: str | None = None
    tls_key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    runner: RunnerOptions = field(default_factory=RunnerOptions)
    observe: ObserveOptions = field(default_factory=ObserveOptions)
