"""Real servers that observations are sent to: started on free ports of loopback, waited for, used, stopped.

`prometheus` and `alertmanager` are found on PATH; `phoenix`, `weave_server` and `mongod` live in environments of their
own, which variables name (``make test-observe`` makes the environments and sets the variables). Where a program is
absent, the test is skipped with a reason that says what to do; in CI it fails.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from natix_cascade.observe.phoenix import program as phoenix_program
from natix_cascade.rehearse.server_process import HOST, ServerProcess, free_port

TOOLS = Path(__file__).parents[2] / "tools"
WEAVE_KEY = "0" * 40  # the local trace server takes any key of the right length
_STOP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server."""

    url: str
    process: ServerProcess

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.process.log.read_text("utf-8", errors="replace")


@contextmanager
def prometheus(folder: Path, config: str, files: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run Prometheus over `config`; `files` (rules, targets) are written beside it, by name."""
    program = _on_path("Debian's prometheus", "prometheus")
    path = _write(folder, "prometheus.yml", config, files)
    port = free_port()
    command = [
        program,
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={HOST}:{port}",
        "--web.enable-lifecycle",  # so that POST /-/reload works
        "--rules.alert.resend-delay=1s",  # Alertmanager becomes known after the first alerts: not a minute, a second
    ]
    yield from _run(ServerProcess("prometheus", command, port=port, log=folder / "log", ready_path="/-/ready"))


@contextmanager
def alertmanager(folder: Path, config: str, files: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run Alertmanager over `config`, alone; `files` (templates) are written beside it, by name."""
    program = _on_path("Debian's prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
    path = _write(folder, "alertmanager.yml", config, files)
    port = free_port()
    command = [
        program,
        f"--config.file={path}",
        f"--storage.path={folder / 'state'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",  # no gossip: it is alone
    ]
    yield from _run(ServerProcess("alertmanager", command, port=port, log=folder / "log", ready_path="/-/ready"))


@contextmanager
def phoenix(folder: Path) -> Iterator[Server]:
    """Run Arize Phoenix with an empty SQLite; spans go to ``{url}/v1/traces``."""
    python = phoenix_program.find_python(_named("NATIX_CASCADE_PHOENIX", "the phoenix program", "phoenix"))
    port = free_port()
    variables = phoenix_program.environment(_made(folder / "phoenix"), port=port, grpc_port=free_port())
    yield from _run(
        ServerProcess(
            "phoenix",
            phoenix_program.command(python, ends_with_us=True),
            port=port,
            log=folder / "log",
            environment=_without_paths(variables),
            ready_path="/healthz",
            stop_s=_STOP_S,
        )
    )


@contextmanager
def weave_server(folder: Path) -> Iterator[Server]:
    """Run Weave's trace server with an empty SQLite; `weave_environment` is what its clients want."""
    port = free_port()
    database = _made(folder) / "weave.db"
    command = [
        weave_python(),
        str(TOOLS / "weave_server.py"),
        f"--port={port}",
        f"--database={database}",
    ]
    variables = _without_paths({"WANDB_ERROR_REPORTING": "false", "DD_TRACE_ENABLED": "false"})
    yield from _run(ServerProcess("weave", command, port=port, log=folder / "log", environment=variables))


@contextmanager
def mongod(folder: Path) -> Iterator[Server]:
    """Run an empty MongoDB with a small cache; its url is ``mongodb://...``, as FIFTYONE_DATABASE_URI wants it."""
    program = _named("NATIX_CASCADE_MONGOD", "the mongod program", "mongod")
    port = free_port()
    command = [
        program,
        f"--bind_ip={HOST}",
        f"--port={port}",
        f"--dbpath={_made(folder / 'db')}",
        "--nounixsocket",
        "--wiredTigerCacheSizeGB=0.25",
    ]
    # it answers a GET with 200 and a sentence: no client of MongoDB is needed to know that it is up
    yield from _run(
        ServerProcess("mongod", command, port=port, log=folder / "log", ready_path="/"), f"mongodb://{HOST}:{port}"
    )


@contextmanager
def webhook() -> Iterator[tuple[str, queue.Queue[tuple[str, str | None, Any]]]]:
    """Takes what is posted: its address, and path, authorization and body of each."""
    got: queue.Queue[tuple[str, str | None, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.put((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}", got
        server.shutdown()
        thread.join()


def weave_environment(server: Server, folder: Path) -> dict[str, str]:
    """Variables with which ``weave.init`` traces to this server.

    It also asks the package index whether there is a newer Weave, which nothing switches off.
    """
    return {
        "WANDB_BASE_URL": server.url,
        "WF_TRACE_SERVER_URL": server.url,
        "WANDB_API_KEY": WEAVE_KEY,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONFIG_DIR": str(folder / "config"),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WEAVE_ENABLE_DISK_FALLBACK": "false",  # else what is lost is written into the working directory
        "WEAVE_PRINT_CALL_LINK": "false",
    }


def fiftyone_environment(server: Server, folder: Path) -> dict[str, str]:
    """Variables with which FiftyOne keeps its data sets in this mongod, its files in `folder`, and calls nobody."""
    return {
        "FIFTYONE_DATABASE_URI": server.url,
        "FIFTYONE_DATABASE_DIR": str(folder / "var"),
        "FIFTYONE_CONFIG_PATH": str(folder / "config.json"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(folder / "datasets"),
        "FIFTYONE_DATASET_ZOO_DIR": str(folder / "zoo"),
        "FIFTYONE_MODEL_ZOO_DIR": str(folder / "models"),
        "FIFTYONE_PLUGINS_DIR": str(folder / "plugins"),
        "FIFTYONE_DO_NOT_TRACK": "1",
    }


def weave_python() -> str:
    """The Python that has weave: this one, or the one that NATIX_CASCADE_WEAVE_PYTHON names."""
    return _python("NATIX_CASCADE_WEAVE_PYTHON", "weave")


def fiftyone_python() -> str:
    """The Python that has fiftyone: this one, or the one that NATIX_CASCADE_FIFTYONE_PYTHON names."""
    return _python("NATIX_CASCADE_FIFTYONE_PYTHON", "fiftyone")


def _run(process: ServerProcess, url: str | None = None) -> Iterator[Server]:
    with process:
        yield Server(url=url or f"http://{HOST}:{process.port}", process=process)


def _python(variable: str, package: str) -> str:
    if variable not in os.environ and importlib.util.find_spec(package) is not None:
        return sys.executable
    return _named(variable, f"a Python that has {package}")


def _named(variable: str, what: str, program: str | None = None) -> str:
    """A program that a variable names, or one on PATH."""
    given = os.environ.get(variable)
    found = shutil.which(given) if given else program and shutil.which(program)
    if given and not found:
        pytest.fail(f"{variable} is {given!r}, which is no program; name {what}")
    return found or _absent(f"{variable} does not name {what}: run `make test-observe`")


def _on_path(package: str, *programs: str) -> str:
    found = next(filter(None, map(shutil.which, programs)), None)
    return found or _absent(f"needs {package}")


def _absent(reason: str) -> NoReturn:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def _write(folder: Path, name: str, config: str, files: Mapping[str, str] | None) -> Path:
    for file, text in {**(files or {}), name: config}.items():
        (_made(folder) / file).write_text(text, "utf-8")
    return folder / name


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _without_paths(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, and none of this environment's packages in another Python."""
    return {**variables, "PYTHONPATH": ""}
