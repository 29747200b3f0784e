"""A server in a process of its own: started, waited for, stopped, killed, started again."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from natix_cascade.errors import ModelError

__all__ = ["HOST", "ServerProcess", "free_port"]

HOST = "127.0.0.1"
_QUOTED = 15  # lines of the log in an error
_EVERY_S = 0.2


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A server that answers a GET with 200 when it is ready; a context manager.

    Parameters
    ----------
    name : str
        What errors call it.
    command : sequence of str
        Program and arguments.
    port : int
        Where it listens on 127.0.0.1.
    log : Path
        File that its output is appended to.
    environment : mapping of str to str
        Variables beside this process's own.
    ready_path : str
        What is asked for until the answer is 200.
    ready_s : float
        Longest start.
    stop_s : float
        Time to leave after SIGTERM, before it is killed.

    Raises
    ------
    ModelError
        On entering and in `start`: it ended, or was not ready in time; the text quotes the end of the log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        ready_path: str = "/health",
        ready_s: float = 120,
        stop_s: float = 15,
    ) -> None:
        self.name, self.command, self.port, self.log = name, tuple(command), port, log
        self._environment = dict(environment or {})
        self._ready_path, self._ready_s, self._stop_s = ready_path, ready_s, stop_s
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    @property
    def url(self) -> str:
        """Address of its OpenAI-compatible part."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process, None where it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> float:
        """Start it and wait until it is ready.

        Returns
        -------
        float
            Seconds that took.
        """
        if self.running:
            raise ModelError(f"{self.name} already runs on port {self.port}; stop it first")
        if _listens(self.port):
            raise ModelError(f"{self.name}: something else listens on port {self.port}; give another one")
        begun = time.monotonic()
        self._process = self._spawn()
        try:
            self._wait(begun)
        except BaseException:
            self.kill()
            raise
        return time.monotonic() - begun

    def stop(self) -> None:
        """End it with SIGTERM; kill what is left after `stop_s`."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._stop_s)
        self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # all of them are gone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> float:
        """Stop it, start it again on the same port, and wait; returns the seconds that the start took."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[bytes]:
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._said_before = log.tell()
                return subprocess.Popen(  # noqa: S603  # a command of the caller's, without a shell
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._environment},
                    start_new_session=True,  # so that `kill` reaches its children
                )
        except OSError as error:
            raise ModelError(f"{self.name} cannot be started: {error}") from error

    def _wait(self, begun: float) -> None:
        while not _healthy(self.port, self._ready_path):
            if self._process is not None and self._process.poll() is not None:
                raise ModelError(f"{self.name} ended with status {self._process.returncode}:\n{self._last_lines()}")
            if time.monotonic() - begun > self._ready_s:
                raise ModelError(f"{self.name} was not ready after {self._ready_s:.0f} s:\n{self._last_lines()}")
            time.sleep(_EVERY_S)

    def _last_lines(self) -> str:
        said = self.log.read_bytes()[self._said_before :]  # since this start
        lines = said.decode(errors="replace").splitlines()
        return "\n".join(line[:400] for line in lines[-_QUOTED:])


def _healthy(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
