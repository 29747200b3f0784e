"""A service with something to see on every panel, and a real Prometheus that watches it with the real rules."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nvml_stub
import watched
from boards import Chosen, Query
from service_process import ServiceProcess, plain
from watched import Watched

STEP_S = 2.0
_CONFIG = """
[runner.default]
attempts = 1
breaker = {calls = 3, window = 4, open_s = 0.5}
"""
_GREYS = (250, 5, 190, 60, 140, 115)  # two leave at each level


@dataclass(frozen=True, slots=True)
class World:
    """What is running, and since when."""

    seen: Watched
    began: float

    def chosen(self, **others: Any) -> Chosen:
        """What an operator would choose, for a world that is half a minute old."""
        given: dict[str, Any] = {
            "instance": (self.seen.service.url.removeprefix("http://"),),
            "step_s": STEP_S,
            "range_s": time.time() - self.began,
            "scrape_s": 0.25,
            "recent": "5s",
            "before": "10s",
            "truth": "30s",
        }
        return Chosen(**{**given, **others})

    def ask(self, query: Query, **others: Any) -> list[dict[str, Any]]:
        """Series of a query, as the panel gets them: each with ``metric`` and ``values``."""
        text = self.chosen(**others).put_into(query.text)
        if query.instant:
            return [{"metric": each["metric"], "values": [each["value"]]} for each in self.seen.query(text)]
        return self.over_time(text)

    def over_time(self, text: str) -> list[dict[str, Any]]:
        """The same for a text, from the beginning until now."""
        span = {"start": self.began, "end": time.time(), "step": STEP_S}
        url = f"{self.seen.prometheus.url}/api/v1/query_range"
        answer = httpx.post(url, data={"query": text, **span}, trust_env=False)
        assert answer.status_code == httpx.codes.OK, f"{text}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run it until there is a before and an after."""
    gpus = None if nvml_stub.missing() else nvml_stub.NvmlStub(folder / "nvml")
    away, config = folder / "away", folder / "service.toml"
    config.write_text(_CONFIG)
    here = Path(__file__).parent
    paths = os.pathsep.join((str(here.parents[1] / "src"), str(here)))
    env = {**(gpus.env if gpus else {}), "PYTHONPATH": paths, "NATIX_TEST_SILENT": str(away)}
    loader = ("--loader", "board_loader:scripted", "--cascade", "boards", "--policy", "mcc")
    service = ServiceProcess(folder / "service", *loader, "--workers", "1", "--config", str(config), env=env).start()
    try:
        with watched.watched(folder / "prometheus", service, gpus=gpus is not None) as seen:
            began = time.time()
            with _asked(service, away), watched._judged(folder / "service"):
                time.sleep(8)
                with service.client() as client:
                    assert client.post("/v1/admin/reload", json={"policy": "accuracy"}).is_success
                    assert client.post("/v1/admin/reload", json={"policy": "wrong"}).is_error
                time.sleep(12)
                yield World(seen, began)
    finally:
        service.stop()


@contextmanager
def _asked(service: ServiceProcess, away: Path) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=each, args=(over,)) for each in (_asking(service), _going_away(away))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _asking(service: ServiceProcess) -> Any:
    pictures = [plain(grey, grey, grey) for grey in _GREYS]

    def ask(over: threading.Event) -> None:
        with service.client() as client:
            for number in range(1_000_000):
                if over.wait(0.03):
                    return
                index = number % len(pictures)
                truth = (_GREYS[index] > 127) != (number % 11 == 0)  # one in eleven is judged wrongly
                late = {8: "15", 17: "1"}.get(number % 18)  # the one ends early, the other without a verdict
                query = {"deadline_ms": late} if late else {"label": str(truth).lower()}
                body = b"no picture" if number % 10 == 9 else pictures[index]
                with contextlib.suppress(httpx.HTTPError):  # the test has stopped it
                    client.post("/v1/infer", content=body, headers={"content-type": "image/jpeg"}, params=query)
                    if number % 20 == 10:
                        client.post("/v1/batch-infer", files=[("file", ("a.jpg", each)) for each in pictures])

    return ask


def _going_away(away: Path) -> Any:
    def go(over: threading.Event) -> None:
        while not over.wait(2.0):  # long enough for the alert on breakers, whose minutes are seconds here
            away.touch()
            over.wait(6.0)
            away.unlink()

    return go
