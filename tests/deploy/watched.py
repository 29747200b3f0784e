"""A service under load that a real Prometheus watches with the real rules, whose days are seconds here."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nvml_stub
import servers
import yaml
from servers import Server
from service_process import ServiceProcess

from natix_cascade.testing import render_scene

DEPLOY = Path(__file__).parents[2] / "deploy"
JOB = "natix-cascade"
PATIENCE_S = 60.0
_SHORT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"((?<=\[)|(?<=offset )|(?<=for: )|(?<=interval: ))(\d+)([smhd])\b")
_JUDGE = """
import sys
from natix_cascade.observe.metrics import Metrics, count_as
from natix_cascade.run.events import ScoreGiven
count_as("observer")
metrics = Metrics()
metrics.dropped("judge"); metrics.observer_failed("judge")
for line in sys.stdin:
    metrics.scored(ScoreGiven("0" * 32, "judge", "r@1", float(line), "why", cost_usd=0.001))
"""


def shortened(text: str) -> str:
    """Rules whose windows, offsets and waits are seconds: 5 min are 3 s, half an hour 4 s, 30 days 30 s."""

    def short(found: re.Match[str]) -> str:
        seconds = int(found[2]) * _SHORT[found[3]]
        if text[: found.start()].endswith("for: "):
            return "1s"
        if text[: found.start()].endswith("interval: "):
            return "500ms"
        return next(f"{new}s" for most, new in ((900, 3), (1800, 4), (7 * 86400, 8), (1e9, 30)) if seconds <= most)

    return _DURATION.sub(short, text)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is running.

    Attributes
    ----------
    service : ServiceProcess
        The service, which is asked all the time where `load` was wanted.
    prometheus : Server
        What scrapes it, four times a second.
    gpus : bool
        Whether a stand-in of a driver shows two GPUs there.
    """

    service: ServiceProcess
    prometheus: Server
    gpus: bool

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Samples of an expression, now: each with ``metric`` (labels) and ``value`` (time, text)."""
        answer = httpx.get(f"{self.prometheus.url}/api/v1/query", params={"query": expression}, trust_env=False)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def wait(self, expression: str) -> list[dict[str, Any]]:
        """The same, as soon as there are some."""
        return wait_for(lambda: self.query(expression), expression)

    def alerts(self) -> set[str]:
        """Names of the alerts that fire."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}


def wait_for(ask: Callable[[], Any], what: str) -> Any:
    """The first answer that is true."""
    until = time.monotonic() + PATIENCE_S
    while not (found := ask()):
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.2)
    return found


@contextmanager
def watched(folder: Path, service: ServiceProcess, *, alertmanager: str = "", gpus: bool = False) -> Iterator[Watched]:
    """Watch a service with deploy/prometheus; `alertmanager` is the address of one."""
    (folder / "rules").mkdir(parents=True)
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [service.url.removeprefix("http://")]
    managers = [alertmanager.removeprefix("http://")] if alertmanager else []
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = managers
    files = {"natix-cascade.key": "no key is asked for"}
    for file in (DEPLOY / "prometheus/rules").glob("*.yml"):
        files[f"rules/{file.name}"] = shortened(file.read_text("utf-8"))
    with servers.prometheus(folder, yaml.safe_dump(config), files) as prometheus:
        yield Watched(service, prometheus, gpus)


@contextmanager
def busy_service(folder: Path) -> Iterator[ServiceProcess]:
    """The embedded cascade, asked all the time, with feedback, scores of a judge and, where they can be had, GPUs."""
    gpus = None if nvml_stub.missing() else nvml_stub.NvmlStub(folder / "nvml")
    service = ServiceProcess(folder / "service", "--workers", "1", env=gpus.env if gpus else {}).start()
    try:
        with _asked(service), _judged(folder / "service"):
            yield service
    finally:
        service.stop()


@contextmanager
def _asked(service: ServiceProcess) -> Iterator[None]:
    """Good pictures with labels of which some are wrong, bad pictures, batches, and too little time."""
    scenes = [render_scene(seed, roadwork=seed % 2 == 0, size=(320, 180)).jpeg() for seed in range(12)]
    over = threading.Event()

    def ask() -> None:
        jpeg = {"content-type": "image/jpeg"}
        with service.client() as client:
            for number in range(1_000_000):
                if over.wait(0.1):
                    return
                with contextlib.suppress(httpx.HTTPError):  # the test has stopped it
                    label = str(number % 2 == (number % 7 == 0)).lower()
                    body = b"no picture" if number % 10 == 9 else scenes[number % len(scenes)]
                    query = {"deadline_ms": "1"} if number % 10 == 4 else {"label": label}
                    client.post("/v1/infer", content=body, headers=jpeg, params=query)
                    if number % 20 == 10:
                        client.post("/v1/batch-infer", files=[("file", ("a.jpg", each)) for each in scenes[:2]])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _judged(folder: Path) -> Iterator[None]:
    """A process that counts scores as the observing process does."""
    (shared,) = folder.glob("natix-metrics-*")
    paths = os.pathsep.join((str(DEPLOY.parent / "src"), *sys.path[1:]))
    judge = subprocess.Popen(
        [sys.executable, "-c", _JUDGE],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "PROMETHEUS_MULTIPROC_DIR": str(shared)},
    )
    over = threading.Event()

    def tell() -> None:
        assert judge.stdin is not None
        while not over.wait(0.2):
            judge.stdin.write("0.9\n")
            judge.stdin.flush()

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        judge.communicate()
