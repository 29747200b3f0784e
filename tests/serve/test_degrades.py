"""What breaks beside the models: the store, another worker, the client's HTTP."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from service_process import SCRIPTED, Make, ServiceProcess, eventually, raw

from natix_cascade.spec.library import POLICIES


def test_feedback_while_the_store_is_locked_is_refused_and_may_be_tried_again(
    make: Make, tmp_path: Path, white: bytes
) -> None:
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    with service.client() as client:
        verdict = client.post("/v1/infer", content=white).json()["verdict_id"]
        with closing(sqlite3.connect(service.state / "service.sqlite", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            refused = client.post("/v1/feedback", json={"verdict_id": verdict, "label": True})
            lock.execute("ROLLBACK")
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("/not-stored")
        assert client.post("/v1/feedback", json={"verdict_id": verdict, "label": True}).status_code == 201
    service.stop()


def workers(service: ServiceProcess) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
        return [json.loads(body) for (body,) in store.execute("SELECT body FROM workers")]


def test_a_worker_that_cannot_follow_a_reload_is_not_ready(make: Make, tmp_path: Path) -> None:
    service = make("--workers", "2", folder=tmp_path)
    policy = tmp_path / "policy.json"
    content = json.dumps(json.loads((POLICIES / "embedded.json").read_text()) | {"name": "mine"})
    policy.write_text(content)
    with service.client() as client:
        assert client.post("/v1/admin/reload", json={"policy": str(policy)}).status_code == 200
    policy.unlink()
    eventually(lambda: all(each["generation"] == 2 or not each["ready"] for each in workers(service)))
    policy.write_text(content)
    eventually(lambda: all(each["generation"] == 2 and each["ready"] for each in workers(service)))
    service.stop()


def test_refusals_of_the_protocol_are_problems_too(make: Make, tmp_path: Path) -> None:
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    long = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000 + b"\r\n\r\n"
    assert b"application/problem+json" in raw(service, long)
    assert b"application/problem+json" in raw(service, b"no HTTP at all\r\n\r\n")
    service.stop()


def test_11_answers_do_not_need_the_metrics(make: Make, tmp_path: Path, white: bytes) -> None:
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    worker = next(
        child for child in psutil.Process(service.process.pid).children() if "spawn_main" in child.cmdline()[-2]
    )
    shutil.rmtree(worker.environ()["PROMETHEUS_MULTIPROC_DIR"])
    with service.client() as client:
        for _ in range(5):
            assert client.post("/v1/infer", content=white).status_code == 200
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/status").json()["requests"] == 5
    service.stop()
