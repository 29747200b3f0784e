"""Start, pause and stop what is measured: our service, the peers in environments of their own, the bare models.

What is not on its turn is stopped (SIGSTOP), so that idle loops of one do not take time from another.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

import common

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / "runs" / "peers"
START_S = 60.0
READY = 20
SETTLE_S = 10.0
AT_ONCE_S = 0.15

__all__ = ["CACHE", "BareLoop", "Server", "Settings", "environment", "ours", "peer", "versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a peer is set up.

    Attributes
    ----------
    workers : int
        Processes that run models.
    lanes : int
        Threads in each that decode and run parts of a batch side by side.
    intra : int
        Threads of each ONNX Runtime session.
    batch : int
        Most pictures that it collects; 1: it does not.
    wait_ms : float
        How long LitServe waits for a batch; BentoML finds that out by itself.
    fronts : int
        HTTP processes of LitServe; in BentoML every worker is one.
    """

    workers: int
    lanes: int = 1
    intra: int = 1
    batch: int = 1
    wait_ms: float = 0.0
    fronts: int = 1

    def __str__(self) -> str:
        return " ".join(f"{key}={value:g}" for key, value in asdict(self).items())


class Server:
    """A running service.

    Parameters
    ----------
    name : str
        For messages.
    command : sequence of str
        Where ``{port}`` stands, the port is put in.
    path : str
        That takes pictures by POST.
    log : Path
        Everything it prints.
    env : dict or None
        Further variables.
    """

    def __init__(
        self, name: str, command: Sequence[str], path: str, log: Path, env: dict[str, str] | None = None
    ) -> None:
        self.name, self.path, self.log = name, path, log
        self.port = _free_port()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=HERE,
                start_new_session=True,
            )
        self._tree: list[psutil.Process] = []

    @property
    def url(self) -> str:
        """Where pictures go."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def post(self, body: bytes, *, timeout: float = 20.0) -> tuple[int, bytes]:
        """One picture by a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", self.path, body, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait(self, body: bytes) -> None:
        """Until it has answered pictures several times running: each of its processes is ready."""
        end = time.monotonic() + START_S
        running = 0
        while time.monotonic() < end and self._process.poll() is None:
            status = 0
            with contextlib.suppress(OSError, http.client.HTTPException):
                status = self.post(body)[0]
            if status != http.HTTPStatus.OK:
                running = 0
                time.sleep(0.2)
            elif (running := running + 1) == READY:
                return
        self.stop()
        tail = self.log.read_text("utf-8", "replace")[-2000:]
        common.leave(f"{self.name} did not get ready within {START_S:g} s; it said:\n{tail}")

    def settle(self, body: bytes) -> None:
        """Until it has finished what a load that has ended left behind: a lone picture is answered at once."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            began = time.perf_counter()
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.post(body)[0] == http.HTTPStatus.OK and time.perf_counter() - began < AT_ONCE_S:
                    return

    def pause(self) -> None:
        """Take the cores from it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Its turn."""
        self._signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of all its processes."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mib(self) -> float:
        """Proportional set size of all its processes."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss / 2**20
        return total

    def stop(self) -> None:
        """Ask it to leave; insist after 10 s."""
        self.resume()
        tree = self._processes()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for process in psutil.wait_procs(tree, timeout=2)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            self._tree = [parent, *parent.children(recursive=True)]
        return self._tree

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class BareLoop:
    """The bare models in so many processes, threads and intra-op threads."""

    def __init__(self, sets: Path, *, processes: int, threads: int, intra: int) -> None:
        command = [sys.executable, str(HERE / "bare.py"), str(sets), "--threads", str(threads), "--intra", str(intra)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def measure(self, name: str, seconds: float) -> dict[str, float]:
        """Pictures a second of all processes together, and milliseconds of CPU for each picture."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{name} {seconds}\n")
            process.stdin.flush()
        found = [json.loads(process.stdout.readline()) for process in self._processes if process.stdout is not None]
        pictures = sum(item["pictures"] for item in found)
        return {
            "per_s": sum(item["pictures"] / item["seconds"] for item in found),
            "cpu_ms": sum(item["cpu_s"] for item in found) * 1000 / pictures,
        }

    def stop(self) -> None:
        """End of input ends them."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


def ours(folder: Path, more: Sequence[str] = ()) -> Server:
    """`natix-cascade serve` with its defaults, a store of its own, and what `more` adds."""
    command = [sys.executable, "-m", "natix_cascade", "serve", "--port", "{port}", "--state", str(folder / "state")]
    return Server("natix-cascade serve", [*command, *more], "/v1/infer", folder / "ours.log")


def peer(name: str, form: str, settings: Settings, folder: Path) -> Server:
    """LitServe or BentoML from its environment; telemetry off."""
    binaries = environment(name)
    title = f"{name} {form} {settings}"
    log = folder / f"{title.replace(' ', '_')}.log"
    if name == "litserve":
        command = [str(binaries / "python"), str(HERE / "litserve_app.py"), "--port", "{port}", "--form", form]
        for key, value in asdict(settings).items():
            command += [f"--{key.replace('_', '-')}", str(value)]
        return Server(title, command, "/infer", log)
    given = {**asdict(settings), "form": form, "threads": settings.lanes if settings.batch == 1 else 1}
    env = {
        "BENCH_SETTINGS": json.dumps(given),
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(CACHE / "bentoml-home"),
        "OTEL_SDK_DISABLED": "true",
    }
    command = [str(binaries / "bentoml"), "serve", "bentoml_app:Roadwork", "--working-dir", str(HERE)]
    return Server(title, [*command, "--host", "127.0.0.1", "--port", "{port}"], "/infer", log, env)


def environment(name: str) -> Path:
    """Folder of binaries of a peer's environment, which is made when it is missing or its list has changed."""
    folder = CACHE / name
    wanted = (HERE / f"requirements-{name}.txt").read_text("utf-8")
    mark = folder / "installed.txt"
    if not mark.is_file() or mark.read_text("utf-8") != wanted:
        print(f"installing {name} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "-r", str(HERE / f"requirements-{name}.txt")], check=True)
        subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
        mark.write_text(wanted, "utf-8")
    return folder / "bin"


def versions(name: str) -> dict[str, Any]:
    """What a peer's environment holds of what matters."""
    code = (
        "import json, sys; from importlib.metadata import version as v; "
        "print(json.dumps({'python': sys.version.split()[0]} | {n: v(n) for n in sys.argv[1:]}))"
    )
    packages = [name, "numpy", "onnxruntime", "simplejpeg", "starlette", "uvicorn"]
    command = [str(environment(name) / "python"), "-c", code, *packages]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
