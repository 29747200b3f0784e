"""A real service in a process of its own, and what tests need to talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from natix_cascade.image import encode_jpeg

START_S = 90.0
ANSWER_S = 60.0
SCRIPTED = ("--loader", "serve_loaders:scripted", "--workers", "1")
_HERE = Path(__file__).parent
_SOURCE = _HERE.parents[1] / "src"


class ServiceProcess:
    """``natix-cascade serve`` on a free port of loopback.

    Parameters
    ----------
    folder : Path
        For its state and its log.
    arguments : str
        Further options of the command line.
    env : dict or None
        Further variables of its environment.
    check : callable or None
        Handed every response that `client` gets.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        env: dict[str, str] | None = None,
        check: Callable[[httpx.Response], None] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self._log = folder / "stderr.txt"
        self._check = check
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        paths = os.pathsep.join((str(_SOURCE), str(_HERE)))
        self.environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder), **(env or {})}
        command = [sys.executable, "-m", "natix_cascade", "serve"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--json", "--state", str(self.state), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""

    def start(self, *, ready: bool = True) -> ServiceProcess:
        """Wait for its address, and until it is ready."""
        self.url = self.event("starting")["url"]
        if ready:
            self.event("ready")
        return self

    def event(self, name: str) -> dict[str, Any]:
        """The next line that it prints, which must be this event."""
        found = self._events.get(timeout=START_S)
        assert found is not None, f"it ended: {self.log()}"
        assert found["event"] == name
        return found

    def listening(self) -> ServiceProcess:
        """Wait until it accepts connections, ready or not."""

        def accepts() -> bool:
            try:
                self.connect().close()
            except ConnectionRefusedError:
                return False
            return True

        eventually(accepts)
        return self

    def client(self, **options: Any) -> httpx.Client:
        """A client whose every response is checked against what holds for all of them."""
        hooks = {"response": [self._check]} if self._check is not None else {}
        return httpx.Client(base_url=self.url, trust_env=False, timeout=ANSWER_S, event_hooks=hooks, **options)

    def connect(self) -> socket.socket:
        """A bare connection."""
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S)

    def workers(self) -> list[int]:
        """Process ids of the workers, as they tell each other."""
        import sqlite3

        with contextlib.closing(sqlite3.connect(self.state / "service.sqlite")) as found:
            run = found.execute("SELECT run FROM workers ORDER BY updated DESC LIMIT 1").fetchone()[0]
            return [pid for (pid,) in found.execute("SELECT pid FROM workers WHERE run = ? ORDER BY worker", (run,))]

    def terminate(self) -> None:
        """Ask it to leave."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Wait until it has left; returns the exit code."""
        code = self.process.wait(ANSWER_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def stop(self) -> None:
        """Ask it to leave, and see that it leaves well."""
        self.terminate()
        code = self.end()
        assert code == 0, f"exit code {code}: {self.log()}"

    def kill(self) -> None:
        """Kill supervisor and workers at once, whatever they are doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.end()

    def log(self) -> str:
        """What it has written to its log."""
        return self._log.read_text("utf-8", "replace")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)


Make = Callable[..., ServiceProcess]


class Gate:
    """A door in the test that scripted models of the service knock at, and wait until it opens."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._knocks: queue.Queue[socket.socket] = queue.Queue()
        self._waiting: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def env(self) -> dict[str, str]:
        """How the service finds it."""
        return {"NATIX_TEST_GATE": str(self._listener.getsockname()[1])}

    def knocked(self, count: int = 1) -> None:
        """Wait until models have knocked so many more times."""
        for _ in range(count):
            self._waiting.append(self._knocks.get(timeout=ANSWER_S))

    def open(self) -> None:
        """Let all who have been seen by `knocked` go on."""
        for each in self._waiting:
            each.close()
        self._waiting.clear()

    def close(self) -> None:
        """Let everybody go on, for ever."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        while not self._knocks.empty():
            self._knocks.get().close()
        self.open()

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self._listener.accept()
            except OSError:
                return
            self._knocks.put(found)


def raw(service: ServiceProcess, *pieces: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes as they are; returns all that comes until the service closes the connection."""
    plain = service.connect()
    with tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as connection:
        for piece in pieces:
            connection.sendall(piece)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return bytes(found)


def plain(red: int, green: int, blue: int) -> bytes:
    """A small JPEG of one colour."""
    return encode_jpeg(np.full((16, 16, 3), (red, green, blue), np.uint8))


def lines(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Objects of an NDJSON answer, as they come."""
    for line in response.iter_lines():
        yield json.loads(line)


def kind(response: httpx.Response) -> str:
    """The last part of a problem's type."""
    return str(response.json()["type"]).rsplit("/", 1)[-1]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what another process does and nobody tells."""
    until = time.monotonic() + ANSWER_S
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)
