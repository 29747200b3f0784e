"""One worker process: an event loop, a server on a shared port, and the cascade."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uvicorn
import uvloop

from natix_cascade.observe.logs import configure
from natix_cascade.observe.metrics import count_as
from natix_cascade.serve.app import create_app, metrics_app
from natix_cascade.serve.options import ServeOptions
from natix_cascade.serve.protocol import protocol_of
from natix_cascade.serve.service import Service

__all__ = ["Task", "bind", "work"]

_GARBAGE = 20_000  # new objects between two looks of the collector; a request makes some hundred, in few cycles


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker is to do.

    Attributes
    ----------
    options : ServeOptions
        With the port filled in.
    run : str
        Names all workers that were started together.
    worker : int
        Its number.
    wait : bool
        Warm up before the first connection is accepted: other workers answer meanwhile.
    observer : Path or None
        Where observations are sent to.
    """

    options: ServeOptions
    run: str
    worker: int
    wait: bool
    observer: Path | None = None


class _Server(uvicorn.Server):
    """A server that leaves signals to `work`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket on a port that several processes share.

    Raises
    ------
    OSError
        The address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found


def work(task: Task) -> None:
    """Serve until told to leave; the function of a worker process."""
    configure(task.options.observe.log, f"worker {task.worker}")
    count_as(f"worker{task.worker}")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.collect()
    gc.freeze()  # what was imported lives for ever: the collector need not look at it again and again
    gc.set_threshold(_GARBAGE, 20, 50)
    uvloop.run(_serve(task))


async def _serve(task: Task) -> None:
    options = task.options
    service = Service(options, task.run, task.worker, lambda: os.kill(os.getppid(), signal.SIGTERM), task.observer)
    servers = [(_Server(_config(create_app(service, wait=task.wait), options)), options.port)]
    if options.metrics_port is not None and task.worker == 0:
        servers.append((_Server(_config(metrics_app(service), options, lifespan="off")), options.metrics_port))

    def leave() -> None:
        service.draining = True
        for server, _ in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    watching = asyncio.create_task(_watch_parent(os.getppid(), leave))
    await asyncio.gather(*(server.serve([bind(options.host, port)]) for server, port in servers))
    watching.cancel()


async def _watch_parent(parent: int, leave: Callable[[], None]) -> None:
    """A worker does not outlive its supervisor."""
    while os.getppid() == parent:  # noqa: ASYNC110  # nothing tells it
        await asyncio.sleep(1.0)
    leave()


def _config(app: object, options: ServeOptions, *, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        loop="uvloop",
        http=protocol_of(
            header_timeout_s=options.header_timeout_s,
            max_header_bytes=options.max_header_bytes,
            max_connections=options.max_connections,
        ),
        ws="none",
        lifespan=lifespan,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=round(options.idle_timeout_s),
        timeout_graceful_shutdown=max(1, round(options.drain_s)),
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        backlog=2048,
    )
