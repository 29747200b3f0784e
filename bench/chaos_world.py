"""The service, its Redis and its models' faults, as one thing that can be disturbed; and what was disturbed when."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from natix_cascade.files import write_whole

__all__ = ["Span", "World"]

_STARTS_WITHIN_S = 60.0
_IN_FLIGHT_S = 0.25  # what was sent so long before a signal had surely arrived
_LOOK_S, _STALL_S = 0.1, 0.25
_LINGERS_S = 12.0  # a fault's breaker may stay open so long after it


@dataclass(slots=True)
class Span:
    """From when to when something was the case, by `time.monotonic`; infinite while it lasts."""

    began: float
    ended: float = float("inf")
    what: str = ""

    def meets(self, began: float, ended: float, *, before: float = 0.0, after: float = 0.0) -> bool:
        """Whether it overlaps with another span."""
        return began <= self.ended + after and ended >= self.began - before


@dataclass(slots=True)
class World:
    """A service under test.

    Attributes
    ----------
    folder : Path
        For its state, its log and the models' control file.
    settings : mapping
        Options of ``natix-cascade serve`` beside those that are set here.
    port : int
        Where it listens.
    with_redis : bool
        Whether it is given a Redis.
    downs, kills, faults, redis_gone, reloads, bursts : list of Span
        When it was sent away; a worker was killed; a model was broken; Redis was gone; it was reloaded; too many came.
    stalls : list of Span
        When this process itself did not get on: the machine was too busy for any statement about time.
    slowest_health_s : float
        Longest that ``/health`` took.
    """

    folder: Path
    settings: Mapping[str, object]
    port: int = 0
    redis_port: int = 0
    with_redis: bool = True
    drain_s: float = 10.0
    downs: list[Span] = field(default_factory=list)
    kills: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    redis_gone: list[Span] = field(default_factory=list)
    reloads: list[Span] = field(default_factory=list)
    bursts: list[Span] = field(default_factory=list)
    stalls: list[Span] = field(default_factory=list)
    slowest_health_s: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    redis: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None
    _modes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.redis_port = _free_port(), _free_port()
        self._write_modes()

    @property
    def url(self) -> str:
        """Of the service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def control(self) -> Path:
        """The models' control file."""
        return self.folder / "models.json"

    @property
    def log(self) -> Path:
        """What the service wrote to its standard error."""
        return self.folder / "service.log"

    @property
    def store(self) -> Path:
        """The service's state."""
        return self.folder / "state"

    def reset_is_expected(self, began: float, ended: float) -> bool:
        """Whether a request of that time may have lost its connection: the service was away, or a worker died.

        Also when this very machine did not get on: a connection that says nothing for long is closed by the service.
        """
        down = any(span.meets(began, ended) and began > span.began - _IN_FLIGHT_S for span in self.downs)
        killed = any(span.meets(began, ended, after=1.0) for span in self.kills)
        return down or killed or self.stalled(began, ended)

    def faulty(self, began: float, ended: float, *, but: frozenset[str] = frozenset()) -> bool:
        """Whether a model was broken, or could still be left alone for it; `but` names models that do not count."""
        return any(span.what not in but and span.meets(began, ended, after=_LINGERS_S) for span in self.faults)

    def quiet(self, began: float, ended: float) -> bool:
        """Whether nothing at all was disturbed."""
        others = (*self.downs, *self.kills, *self.bursts, *self.reloads, *self.redis_gone, *self.stalls)
        return not self.faulty(began, ended) and not any(s.meets(began, ended, before=1.0, after=5.0) for s in others)

    async def watch(self) -> None:
        """Note when this process stalls, and how long the service takes to say that it is alive."""
        async with httpx.AsyncClient(base_url=self.url, headers={"Connection": "close"}, timeout=30) as client:
            while True:
                began = time.monotonic()
                await asyncio.sleep(_LOOK_S)
                late = time.monotonic() - began - _LOOK_S
                if late > _STALL_S:
                    self.stalls.append(Span(began, began + _LOOK_S + late))
                began = time.monotonic()
                try:
                    await client.get("/health")
                except (httpx.HTTPError, OSError):
                    continue
                self.slowest_health_s = max(self.slowest_health_s, time.monotonic() - began)

    def stalled(self, began: float, ended: float) -> bool:
        """Whether this process stalled in that time."""
        return any(span.meets(began, ended, before=1.0, after=1.0) for span in self.stalls)

    def set_mode(self, model: str, mode: str | None) -> None:
        """Break a model, or mend it."""
        now = time.monotonic()
        for span in self.faults:
            if span.what == model and span.ended == float("inf"):
                span.ended = now
        if mode is None:
            self._modes.pop(model, None)
        else:
            self._modes[model] = mode
            self.faults.append(Span(now, what=model))
        self._write_modes()

    async def start(self) -> None:
        """Start the service and wait until it is ready.

        Raises
        ------
        RuntimeError
            It ended, or is not ready in time.
        """
        command = [sys.executable, "-m", "natix_cascade", "serve", *self._options()]
        environment = {**os.environ, "CHAOS_CONTROL": str(self.control)}
        paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        if self._log is None:
            self._log = self.log.open("ab")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)  # noqa: ASYNC220
        await self.wait_ready()
        for span in self.downs:
            span.ended = min(span.ended, time.monotonic())

    async def wait_ready(self) -> None:
        """Wait until every worker answers."""
        until = time.monotonic() + _STARTS_WITHIN_S
        async with httpx.AsyncClient(base_url=self.url, timeout=5) as client:
            while time.monotonic() < until:
                if self.process is None or self.process.poll() is not None:
                    raise RuntimeError(f"the service ended by itself; see {self.log}")
                try:
                    if (await client.get("/ready")).status_code == 200 and await self._all_ready(client):
                        return
                except (httpx.HTTPError, OSError):
                    pass
                await asyncio.sleep(0.1)
        raise RuntimeError(f"the service is not ready after {_STARTS_WITHIN_S:g} s; see {self.log}")

    async def _all_ready(self, client: httpx.AsyncClient) -> bool:
        status = (await client.get("/v1/status")).json()
        return bool(status["workers"] == self.settings["workers"] and status["ready"])

    async def stop(self) -> tuple[int | None, float]:
        """Send SIGTERM and wait: the exit code (None: it had to be killed) and the seconds that it took."""
        process = self.process
        if process is None:
            return 0, 0.0
        began = time.monotonic()
        self.downs.append(Span(began))
        process.send_signal(signal.SIGTERM)
        try:
            code: int | None = await asyncio.to_thread(process.wait, self.drain_s + 15)
        except subprocess.TimeoutExpired:
            code = None
            self.end()
        self.process = None
        return code, time.monotonic() - began

    def workers(self) -> list[psutil.Process]:
        """The service's worker processes."""
        if self.process is None:
            return []
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "resource_tracker" not in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def ready_workers(self) -> set[int]:
        """Process ids of the workers that said within the last seconds that they are ready."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store / 'service.sqlite'}?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT pid, body FROM workers WHERE updated > ?", (time.time() - 3,)).fetchall()
        return {pid for pid, body in rows if json.loads(body)["ready"]}

    def kill_worker(self, number: int) -> int:
        """Kill a worker with SIGKILL; its process id."""
        workers = self.workers()
        chosen = workers[number % len(workers)]
        self.kills.append(Span(time.monotonic(), time.monotonic()))
        chosen.kill()
        return int(chosen.pid)

    def memory(self) -> dict[int, float]:
        """MiB of each process of the service."""
        if self.process is None:
            return {}
        found = {}
        for each in [psutil.Process(self.process.pid), *self.workers()]:
            try:
                found[each.pid] = each.memory_info().rss / 2**20
            except psutil.NoSuchProcess:
                continue
        return found

    def start_redis(self) -> None:
        """Start a Redis that writes nothing to disk."""
        if not self.with_redis:
            return
        command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""]
        more = ["--appendonly", "no", "--dir", str(self.folder)]
        self.redis = subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for span in self.redis_gone:
            span.ended = min(span.ended, time.monotonic())

    def stop_redis(self) -> None:
        """Take Redis away."""
        if self.redis is not None:
            self.redis_gone.append(Span(time.monotonic()))
            self.redis.terminate()
            self.redis.wait(10)
            self.redis = None

    def end(self) -> None:
        """Leave no process behind."""
        if self.process is not None and self.process.poll() is None:
            for each in [*self.workers(), psutil.Process(self.process.pid)]:
                each.kill()
            self.process.wait(10)
        self.process = None
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait(10)
            self.redis = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _write_modes(self) -> None:
        write_whole(self.control, json.dumps(self._modes).encode())

    def _options(self) -> list[str]:
        settings: dict[str, Any] = {
            **self.settings,
            "host": "127.0.0.1",
            "port": self.port,
            "state": str(self.store),
            "loader": "chaos_models:load",
            "drain_s": self.drain_s,
        }
        if self.with_redis:
            settings["redis"] = f"redis://127.0.0.1:{self.redis_port}/0"
        file = write_whole(self.folder / "service.toml", _toml(settings).encode())
        return ["--config", str(file)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _toml(settings: Mapping[str, Any], section: str = "") -> str:
    """Nested settings as TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    lines = [f"[{section}]", *plain] if section and plain else plain
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines.append(_toml(value, f"{section}.{key}" if section else key))
    return "\n".join(lines) + "\n"
