"""The process that starts the workers, starts again those that die, and sends all of them away in the end."""

from __future__ import annotations

import ipaddress
import logging
import multiprocessing
import multiprocessing.connection
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

import orjson

from natix_cascade.errors import CascadeError
from natix_cascade.observe.build import check as check_observers
from natix_cascade.observe.process import ObserveTask, observe
from natix_cascade.run.loaded import cores
from natix_cascade.secrets import Secrets, is_reference
from natix_cascade.serve.key_file import KeyFile
from natix_cascade.serve.options import ServeOptions
from natix_cascade.serve.rate import check_rate
from natix_cascade.serve.store import Store
from natix_cascade.serve.worker import Task, bind, work

__all__ = ["Supervisor", "check", "serve"]

_MOST_WORKERS = 8
_QUICK_S = 10.0  # a worker that dies sooner did not work at all
_MOST_QUICK = 5
_LONGEST_PAUSE_S = 8.0
_LOOK_S = 0.2
_KILL_S = 10.0  # beyond the time for draining
_LONGEST = 70  # characters of a folder for sockets, whose whole paths may have about a hundred
_log = logging.getLogger("natix_cascade.supervisor")


@dataclass(slots=True)
class _Slot:
    """The place of one worker."""

    process: SpawnProcess
    began: float
    quick: int = 0
    due: float = 0.0


def _quick_ends(quick: int, began: float, now: float) -> int:
    """How often in a row a process has ended before it can have worked, now that it has ended again."""
    return quick + 1 if now - began < _QUICK_S else 0


def _pause_s(quick: int) -> float:
    """Seconds before the next start: none after a long life, and longer and longer after short ones."""
    return min(_LONGEST_PAUSE_S, 0.5 * 2.0 ** (quick - 1)) if quick else 0.0


class _Observer:
    """The process that observes: started again whenever it ends, however often; answers do without it.

    Parameters
    ----------
    options : ServeOptions
        What is observed.
    """

    def __init__(self, options: ServeOptions) -> None:
        where = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix="natix-observe-", dir="/tmp" if len(where) > _LONGEST else where)  # noqa: S108  # mkdtemp is safe there
        self.task = ObserveTask(options.observe, Path(self._folder, "socket"), Path(options.state))
        self._quick = 0
        self._due = 0.0
        self._start()

    def revive(self) -> None:
        """Start it again when it has ended."""
        now = time.monotonic()
        if self._process.is_alive():
            return
        if not self._due:
            self._quick = _quick_ends(self._quick, self._began, now)
            self._due = now + _pause_s(self._quick + 1)  # nobody waits for it: never at once
            _log.warning("the observing process ended with code %s and is started again", self._process.exitcode)
        if now >= self._due:
            self._due = 0.0
            self._start()

    def end(self) -> None:
        """Let it send what it has; it is killed when that takes long."""
        self._process.terminate()
        self._process.join(_KILL_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._began = time.monotonic()
        self._process = multiprocessing.get_context("spawn").Process(
            target=observe, args=(self.task,), name="natix-observer", daemon=True
        )
        self._process.start()


@dataclass(slots=True, eq=False)
class Supervisor:
    """Keeps the workers of one service alive.

    Attributes
    ----------
    options : ServeOptions
        With port and number of workers filled in.
    holder : socket
        Holds the port, without listening.
    """

    options: ServeOptions
    holder: socket.socket
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _slots: list[_Slot] = field(default_factory=list)
    _observer: _Observer | None = None
    _leaving: bool = False

    def serve(self, on_ready: Callable[[float], None]) -> int:
        """Run until told to leave; returns the exit code.

        Parameters
        ----------
        on_ready : callable
            Told, with the seconds that it took, when all workers are ready.
        """
        metrics = Path(tempfile.mkdtemp(prefix="natix-metrics-"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        if self.options.observe.elsewhere:
            self._observer = _Observer(self.options)
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # a heap for each thread would cost a third more memory
        store = Store(Path(self.options.state), keep=self.options.keep_verdicts)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        began = time.monotonic()
        try:
            self._slots = [_Slot(self._spawn(number, wait=False), began) for number in range(self.options.workers or 1)]
            ready = False
            while not self._leaving:
                if not ready and self._all_ready(store):
                    ready = True
                    on_ready(time.monotonic() - began)
                self._wait()
                if self._observer is not None:
                    self._observer.revive()
                if not self._leaving and not self._revive(metrics):
                    return 1
            return self._end()
        finally:
            for slot in self._slots:
                if slot.process.is_alive():
                    slot.process.kill()
            if self._observer is not None:
                self._observer.end()
            self.holder.close()
            store.close()
            shutil.rmtree(metrics, ignore_errors=True)

    def _leave(self, *_: object) -> None:
        self._leaving = True

    def _spawn(self, number: int, *, wait: bool) -> SpawnProcess:
        observer = None if self._observer is None else self._observer.task.address
        task = Task(self.options, self.run, number, wait, observer)
        process = multiprocessing.get_context("spawn").Process(target=work, args=(task,), name=f"natix-worker-{number}")
        process.start()
        return process

    def _wait(self) -> None:
        """Wait until a worker ends, or a moment; those that have ended already are no news."""
        alive = [slot.process.sentinel for slot in self._slots if slot.process.is_alive()]
        if alive:
            multiprocessing.connection.wait(alive, timeout=_LOOK_S)
        else:
            time.sleep(_LOOK_S)

    def _all_ready(self, store: Store) -> bool:
        told = [orjson.loads(body) for body in store.workers(self.run, younger_than_s=5.0)]
        return len(told) == len(self._slots) and all(each["ready"] for each in told)

    def _revive(self, metrics: Path) -> bool:
        """Start dead workers again; False when one dies again and again before it works."""
        now = time.monotonic()
        for number, slot in enumerate(self._slots):
            if slot.process.is_alive():
                continue
            if not slot.due:
                for file in metrics.glob(f"gauge_live*_worker{number}.db"):
                    file.unlink(missing_ok=True)
                slot.quick = _quick_ends(slot.quick, slot.began, now)
                if slot.quick >= _MOST_QUICK:
                    _log.error("worker %d ends again and again; see its messages above", number)
                    return False
                slot.due = now + _pause_s(slot.quick)
                _log.error("worker %d ended with code %s and is started again", number, slot.process.exitcode)
            if now >= slot.due:
                slot.process = self._spawn(number, wait=len(self._slots) > 1)
                slot.began, slot.due = now, 0.0
        return True

    def _end(self) -> int:
        """Tell all workers to finish; those that do not are killed, and the exit code says so."""
        for slot in self._slots:
            if slot.process.is_alive():
                slot.process.terminate()
        until = time.monotonic() + self.options.drain_s + _KILL_S
        code = 0
        for slot in self._slots:
            slot.process.join(max(0.0, until - time.monotonic()))
            if slot.process.is_alive():
                _log.error("a worker did not finish in time and is killed")
                slot.process.kill()
                slot.process.join()
            if slot.process.exitcode not in (0, -signal.SIGTERM):  # the latter had not even begun
                code = 1
        return code


def check(options: ServeOptions) -> None:
    """Refuse what would be unsafe or cannot work, before anything is started.

    Raises
    ------
    CascadeError
        No keys, and not on loopback; keys or a rate that cannot be read; a certificate without its key; a secret that
        cannot be had; a package that is missing.
    """
    if options.keys is None and not _is_loopback(options.host):
        raise CascadeError(
            f"without keys the service listens on loopback only, and {options.host} is not: make keys with "
            "`natix-cascade keys create --file keys.json --scope infer` and give --keys keys.json"
        )
    if options.keys is not None:
        KeyFile.read(Path(options.keys))
    if options.rate is not None:
        check_rate(options.rate)
    check_observers(options.observe)
    if (options.tls_cert is None) != (options.tls_key is None):
        raise CascadeError("TLS needs both --tls-cert and --tls-key")
    for file in (options.tls_cert, options.tls_key):
        if file is not None and not Path(file).is_file():
            raise CascadeError(f"no file {file}; give a PEM file")
    if options.redis is not None:
        try:
            import redis  # noqa: F401, PLC0415  # only whether it is there
        except ImportError:
            raise CascadeError("--redis needs the package redis: pip install 'natix-cascade[redis]'") from None
        if is_reference(options.redis):
            with Secrets() as secrets:
                secrets.open(options.redis).reveal()


def serve(options: ServeOptions, *, on_bound: Callable[[ServeOptions], None], on_ready: Callable[[float], None]) -> int:
    """Run a service until it is told to leave; returns the exit code.

    Raises
    ------
    CascadeError
        See `check`; or the port is taken.
    """
    check(options)
    if options.metrics_port is not None:
        _hold(options.host, options.metrics_port, "--metrics-port").close()
    holder = _hold(options.host, options.port, "--port")
    workers = options.workers or min(cores(), _MOST_WORKERS)
    ready = replace(options, port=holder.getsockname()[1], workers=workers)
    on_bound(ready)
    return Supervisor(ready, holder).serve(on_ready)


def _hold(host: str, port: int, option: str) -> socket.socket:
    """Take a port that nobody else has: sharing it would let two services answer for each other."""
    try:
        if port:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        return bind(host, port)
    except OSError as error:
        raise CascadeError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; give another {option} or --host"
        ) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if sys.platform == "win32":  # pragma: no cover
    raise CascadeError("the service needs a system with SO_REUSEPORT, such as Linux or macOS")
