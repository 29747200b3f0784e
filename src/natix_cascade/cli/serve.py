"""``natix-cascade serve``: a cascade as a service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from natix_cascade.cli.common import CascadeOption, EndpointsOption, JsonOption, PolicyOption, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.serve.options import ServeOptions

__all__ = ["serve"]


def serve(
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    endpoints: EndpointsOption = None,
    cards: Annotated[str | None, typer.Option("--cards", help="Folder of model cards.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address; without --keys on loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="Serve /metrics on a port of its own.", min=1, max=65535)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes that share the port. Default: the cores, at most 8."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads for each model in each worker.")
    ] = None,
    state: Annotated[Path, typer.Option("--state", help="Folder of verdicts, feedback and kept pictures.")] = Path(
        "natix-cascade-state"
    ),
    keys: Annotated[Path | None, typer.Option("--keys", help="File of hashed keys; see `natix-cascade keys`.")] = None,
    redis: Annotated[
        str | None,
        typer.Option("--redis", help="redis://... (or vault:PATH#KEY) shares rates and breakers between replicas."),
    ] = None,
    rate: Annotated[str | None, typer.Option("--rate", help="For each key without its own, as 100/second.")] = None,
    max_in_flight: Annotated[
        int, typer.Option("--max-in-flight", min=1, help="Pictures under way in each worker; more are refused.")
    ] = 128,
    deadline_ms: Annotated[float, typer.Option("--deadline-ms", min=1, help="For requests that name none.")] = 8000,
    drain_s: Annotated[float, typer.Option("--drain-s", min=0.1, help="Time to finish after SIGTERM.")] = 20,
    otlp: Annotated[
        str | None,
        typer.Option("--otlp", help="Send traces to this OTLP collector, as http://127.0.0.1:4318; see the docs."),
    ] = None,
    keep_share: Annotated[
        float | None,
        typer.Option("--keep-share", min=0, max=1, help="Share of the verdicts that is traced and judged.  [0.1]"),
    ] = None,
    urls: Annotated[bool, typer.Option("--urls", help="Allow pictures by https URL.")] = False,  # a flag
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Name by which the service may be called; may be repeated."),
    ] = None,
    tls_cert: Annotated[str | None, typer.Option("--tls-cert", help="PEM file.")] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="PEM file.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="TOML file with any of these, and [runner] for single models; see the docs."),
    ] = None,
    loader: Annotated[
        str | None, typer.Option("--loader", help="module:callable that loads the cascade: for engines of your own.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Serve a cascade over HTTP, with a web page at /. Options given here win over those of --config."""
    try:
        from natix_cascade.observe.logs import configure
        from natix_cascade.serve.supervisor import serve as run
    except ImportError as error:
        fail(f"the service needs more packages ({error.name} is missing): pip install 'natix-cascade[serve]'")
    given: dict[str, Any] = {
        "cascade": cascade,
        "policy": policy,
        "cards": cards,
        "endpoints": endpoints,
        "host": host,
        "port": port,
        "metrics_port": metrics_port,
        "workers": workers,
        "threads": threads,
        "state": str(state),
        "keys": str(keys) if keys else None,
        "redis": redis,
        "rate": rate,
        "max_in_flight": max_in_flight,
        "deadline_ms": deadline_ms,
        "drain_s": drain_s,
        "urls": urls,
        "allowed_hosts": tuple(allowed_host or ()),
        "tls_cert": tls_cert,
        "tls_key": tls_key,
    }
    options = _observed(_options(config, given, loader), otlp, keep_share)
    configure(options.observe.log, "service")

    def bound(found: ServeOptions) -> None:
        scheme = "https" if found.tls_cert else "http"
        shown = f"[{found.host}]" if ":" in found.host else found.host
        url = f"{scheme}://{shown}:{found.port}"
        if json_output:
            print_json(
                {"event": "starting", "url": url, "workers": found.workers, "cascade": found.cascade}, lines=True
            )
        else:
            typer.echo(f"{found.cascade} on {url}, {found.workers} workers; loading models ...")

    def ready(seconds: float) -> None:
        if json_output:
            print_json({"event": "ready", "seconds": round(seconds, 3)}, lines=True)
        else:
            typer.echo(
                f"ready after {seconds:.1f} s: open the page in a browser, or POST a picture to /v1/infer; Ctrl+C ends"
            )

    code = run(options, on_bound=bound, on_ready=ready)
    if code:
        raise typer.Exit(code)


def _options(config: Path | None, given: dict[str, Any], loader: str | None) -> ServeOptions:
    """Options of the file, and over them those of the command line that differ from their defaults."""
    from natix_cascade.serve.options import ServeOptions
    from natix_cascade.serve.settings import read_options

    if loader is not None:
        given["loader"] = loader
    base = read_options(config) if config is not None else ServeOptions()
    plain = ServeOptions()
    return replace(base, **{name: value for name, value in given.items() if value != getattr(plain, name)})


def _observed(options: ServeOptions, otlp: str | None, keep_share: float | None) -> ServeOptions:
    """Put over what the file says of traces only what was given: its headers and project stay."""
    from natix_cascade.observe.options import TraceOptions

    observe = options.observe
    if keep_share is not None:
        if not 0 <= keep_share <= 1:
            fail(f"--keep-share is {keep_share}; wanted is a number from 0 to 1")
        observe = replace(observe, share=keep_share)
    if otlp is not None:
        url = _traces_url(otlp)
        traces = TraceOptions(url=url) if observe.traces is None else replace(observe.traces, url=url)
        observe = replace(observe, traces=traces)
    return replace(options, observe=observe)


def _traces_url(given: str) -> str:
    """The address of a collector; where it has no path, the one that OTLP/HTTP prescribes is put to it."""
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        fail(f"--otlp is {given!r}; wanted is http://HOST:PORT, as http://127.0.0.1:4318 (OTLP over HTTP, not gRPC)")
    return parts._replace(path="/v1/traces").geturl() if parts.path in {"", "/"} else given
