"""From start to end: overload, readiness, reload, drain, kill. Numbers are those of the promises in the design."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
from service_process import SCRIPTED, Gate, Make, ServiceProcess, eventually, kind, received

from natix_cascade.serve.store import Store
from natix_cascade.spec.library import POLICIES

TWO = (*SCRIPTED[:-1], "2")


@pytest.fixture
def gated(make: Make, gate: Gate, tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Start services whose red pictures wait at the gate."""
    yield lambda *arguments: make(*SCRIPTED, "--cascade", "gated", *arguments, folder=tmp_path, env=gate.env)
    gate.close()


@contextmanager
def asked(service: ServiceProcess, gate: Gate, picture: bytes, count: int = 1, **options: Any) -> Iterator[list[Any]]:
    """Ask about pictures that wait at the gate; afterwards the list holds the answers."""
    answers: list[Any] = []

    def ask() -> None:
        with service.client() as client:
            try:
                answers.append(client.post("/v1/infer", content=picture, params=options))
            except httpx.TransportError as error:
                answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    with service.client() as client:
        eventually(lambda: client.get("/v1/status").json()["in_flight"] >= count)
    gate.knocked()
    yield answers
    for thread in threads:
        thread.join()


def head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", *headers, "", ""]).encode()


# 3 and 8: overload and drain ----------------------------------------------------------------------------------------


def test_3_above_the_bound_it_is_503_before_the_body_is_read(
    gated: Callable[..., ServiceProcess], gate: Gate, red: bytes
) -> None:
    service = gated("--max-in-flight", "2")
    with asked(service, gate, red, 2) as answers:
        for path in ("/v1/infer", "/v1/batch-infer"):
            with service.connect() as connection:
                connection.sendall(head(path, "content-length: 1000000", "connection: close"))  # and no body
                answer = received(connection)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in answer
            assert b"problems/overloaded" in answer
        with service.client() as client:
            status = client.get("/v1/status").json()
            assert (status["in_flight"], status["max_in_flight"]) == (2, 2)
            assert status["rejected"] == 2
        gate.open()
        gate.close()
    assert [each.status_code for each in answers] == [200, 200]
    service.stop()


def test_8_what_is_under_way_is_finished_and_nothing_else_begun(
    gated: Callable[..., ServiceProcess], gate: Gate, red: bytes
) -> None:
    service, gif = gated(), b"GIF89a" + bytes(40)
    with service.connect() as open_one, asked(service, gate, red) as answers:
        open_one.sendall(head("/v1/infer", f"content-length: {len(gif)}"))  # its body comes later
        service.terminate()

        def refuses() -> bool:
            try:
                service.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refuses)
        open_one.sendall(gif)
        assert received(open_one).startswith(b"HTTP/1.1 415 ")
        assert service.process.poll() is None
        gate.open()
    assert answers[0].status_code == 200
    assert answers[0].json()["exit_level"] == "level-1"
    assert service.end() == 0


@pytest.mark.slow
def test_8_what_takes_longer_than_that_is_cut(gated: Callable[..., ServiceProcess], gate: Gate, red: bytes) -> None:
    service = gated("--drain-s", "0.3")
    with asked(service, gate, red) as answers:
        service.terminate()
    answer = answers[0]
    assert isinstance(answer, httpx.TransportError) or kind(answer) == "draining"
    assert service.end() == 0  # although the model still hangs


def test_8_admin_drain_does_the_same(gated: Callable[..., ServiceProcess], gate: Gate, red: bytes) -> None:
    service = gated()
    with asked(service, gate, red) as answers:
        with service.client() as client:
            assert client.post("/v1/admin/drain").json() == {"draining": True, "in_flight": 1}
            late = client.post("/v1/infer", content=red)
            assert (late.status_code, kind(late)) == (503, "draining")
        gate.open()
    assert answers[0].status_code == 200
    assert service.end() == 0


def test_8_sigterm_before_it_is_ready_ends_well(make: Make, tmp_path: Path) -> None:
    service = make(*SCRIPTED, folder=tmp_path, ready=False)
    eventually(lambda: len(psutil.Process(service.process.pid).children()) > 0)
    service.stop()


@pytest.mark.slow
def test_8_nothing_is_left_behind(make: Make, tmp_path: Path) -> None:
    service = make(*TWO, "--cascade", "bright", folder=tmp_path)
    family = psutil.Process(service.process.pid).children(recursive=True)
    assert len([each for each in family if "spawn_main" in " ".join(each.cmdline())]) == 2
    service.stop()
    eventually(lambda: not any(each.is_running() for each in family))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("natix-metrics-")] == []
    assert not service.log().count("Traceback")


# 9: ready -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_9_not_ready_while_a_required_model_is_silent(make: Make, tmp_path: Path, white: bytes) -> None:
    silence = tmp_path / "silent"
    silence.touch()
    service = make(
        *SCRIPTED, "--cascade", "silent", folder=tmp_path, ready=False, env={"NATIX_TEST_SILENT": str(silence)}
    )
    with service.listening().client() as client:
        eventually(lambda: "did not answer" in client.get("/ready").text)
        response = client.get("/ready")
        assert response.status_code == 503
        assert response.json() == {
            "ready": False,
            "reasons": ["model first did not answer its warm-up picture: the server of this model is away"],
        }
        assert client.get("/health").status_code == 200
        models = {each["name"]: each for each in client.get("/v1/models").json()["models"]}
        assert not models["first"]["ready"]
        assert "away" in models["first"]["problem"]
        assert models["second"]["ready"]
        degraded = client.post("/v1/infer", content=white)
        assert degraded.status_code == 200  # the second model answers, and the verdict says so
        assert degraded.json()["degraded"]
        silence.unlink()
        service.event("ready")
        assert client.get("/ready").json() == {"ready": True, "reasons": []}
    service.stop()


@pytest.mark.parametrize("cascade", ["wrong", "broken"])
def test_9_not_ready_while_nothing_can_be_loaded(make: Make, tmp_path: Path, cascade: str) -> None:
    service = make(*SCRIPTED, "--cascade", cascade, folder=tmp_path, ready=False)
    reason = {"wrong": "other weights", "broken": "the loader has a fault"}[cascade]
    with service.listening().client() as client:
        eventually(lambda: reason in client.get("/ready").text)
        for path in ("/v1/cascade", "/v1/models"):
            response = client.get(path)
            assert (response.status_code, kind(response)) == (503, "not-ready")
        for options in ({}, {"stream": "true"}):
            response = client.post("/v1/infer", content=b"x", params=options)
            assert (response.status_code, kind(response)) == (503, "not-ready")
        assert client.get("/v1/status").json()["ready"] is False
    service.stop()


# 10: reload ---------------------------------------------------------------------------------------------------------


class Traffic:
    """Clients that ask until they are told to stop, and keep what was not answered with 200."""

    def __init__(self, service: ServiceProcess, picture: bytes, clients: int = 3) -> None:
        self.service, self.picture = service, picture
        self.answers: list[dict[str, Any]] = []
        self.failures: list[object] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            with self.service.client() as client:  # a new connection: any worker may get it
                for _ in range(5):
                    try:
                        response = client.post("/v1/infer", content=self.picture)
                    except httpx.TransportError as error:
                        self.failures.append(error)
                        break
                    if response.status_code == 200:
                        self.answers.append(response.json())
                    else:
                        self.failures.append(response.text)


def generations(service: ServiceProcess) -> set[tuple[int, str]]:
    """What the workers run, as each of them tells the others."""
    with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
        told = [json.loads(body) for (body,) in store.execute("SELECT body FROM workers")]
    return {(each["generation"], each["cascade"]) for each in told}


def test_10_reload_drops_no_request_and_reaches_all_workers(make: Make, tmp_path: Path, white: bytes) -> None:
    service = make(*TWO, "--cascade", "bright", folder=tmp_path)
    with Traffic(service, white) as traffic, service.client() as client:
        for number, cascade in ((2, "dark"), (3, "bright"), (4, "dark")):
            reloaded = client.post("/v1/admin/reload", json={"cascade": cascade})
            assert reloaded.json() == {"generation": number, "cascade": f"{cascade}@1", "policy": "none"}
            eventually(lambda wanted=(number, f"{cascade}@1"): generations(service) == {wanted})  # type: ignore[misc]
        before = len(traffic.answers)
        eventually(lambda: len(traffic.answers) >= before + 50)
        assert {each["cascade"] for each in traffic.answers[before + 10 :]} == {"dark@1"}
    assert traffic.failures == []
    assert {each["cascade"] for each in traffic.answers} == {"bright@1", "dark@1"}
    for each in traffic.answers:  # each by one generation alone
        assert each["roadwork_detected"] == (each["cascade"] == "bright@1" or each["exit_level"] != "level-1")
    killed = service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: killed not in service.workers() and generations(service) == {(4, "dark@1")})
    service.stop()


@pytest.mark.slow
def test_10_two_reloads_at_different_workers_agree(make: Make, tmp_path: Path) -> None:
    service = make(*TWO, "--cascade", "bright", folder=tmp_path)
    for number in range(2, 12):  # each over a new connection, faster than workers look
        with service.client() as client:
            reloaded = client.post("/v1/admin/reload", json={"cascade": "dark" if number % 2 else "bright"})
            assert reloaded.json()["generation"] == number
    eventually(lambda: generations(service) == {(11, "dark@1")})
    service.stop()


def test_10_a_reload_that_does_not_fit_leaves_the_old_one_at_work(make: Make, tmp_path: Path, red: bytes) -> None:
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path, env={"NATIX_TEST_SILENT": __file__})
    with service.client() as client:
        for wanted in ({"policy": "wrong"}, {"cascade": "wrong"}, {"cascade": "broken"}, {"cascade": "silent"}):
            response = client.post("/v1/admin/reload", json=wanted)
            assert (response.status_code, kind(response)) == (409, "conflict")
            assert "generation 1 stays at work" in response.json()["detail"]
        for body in (b"{", b"[]", b'{"cascade": 5}', b'{"cascade": ""}', b'{"more": 1}', b"x" * 100_000):
            response = client.post("/v1/admin/reload", content=body)
            assert response.status_code in (400, 413, 422)
        assert client.get("/v1/cascade").json()["generation"] == 1
        old = client.post("/v1/infer", content=red).json()
        assert old["cascade"] == "bright@1"
        assert client.post("/v1/admin/reload").json()["generation"] == 2
        assert client.post("/v1/admin/reload", json={"cascade": "cats"}).json()["generation"] == 3
        given = {"verdict_id": old["verdict_id"], "label": "cat"}
        said = client.post("/v1/feedback", json=given)  # about an answer to the question before
        assert said.json()["was_right"] is old["roadwork_detected"]
    service.stop()


def test_10_a_policy_for_other_weights_is_refused(client: httpx.Client, tmp_path: Path) -> None:
    policy = json.loads((POLICIES / "embedded.json").read_text())
    generation = client.get("/v1/cascade").json()["generation"]
    policy["models"]["road-gate"] = "0" * 64
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    response = client.post("/v1/admin/reload", json={"policy": str(file)})
    assert (response.status_code, kind(response)) == (409, "conflict")
    assert "road-gate" in response.json()["detail"]
    assert client.post("/v1/admin/reload", json={"cascade": "no-such"}).status_code == 409
    assert client.get("/v1/cascade").json()["generation"] == generation


# 13: nothing is lost ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_13_a_worker_that_is_killed_is_started_again(make: Make, tmp_path: Path, white: bytes) -> None:
    service = make(*TWO, "--cascade", "bright", folder=tmp_path)
    first = service.workers()
    with Traffic(service, white) as traffic:
        eventually(lambda: len(traffic.answers) > 20)
        os.kill(first[0], signal.SIGKILL)
        before = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > before + 20)  # the other one answers
        eventually(lambda: service.workers()[0] != first[0])
    assert all(isinstance(each, httpx.TransportError) for each in traffic.failures)  # what the dead one had in hand
    assert len(traffic.failures) <= 3 * 5
    with service.client() as client:
        eventually(lambda: client.get("/v1/status").json()["workers"] == 2)
        assert client.get("/ready").status_code == 200
    assert "is started again" in service.log()
    service.stop()


@pytest.mark.slow
def test_13_workers_end_with_their_supervisor(make: Make, tmp_path: Path) -> None:
    service = make(*TWO, "--cascade", "bright", folder=tmp_path)
    workers = [psutil.Process(pid) for pid in service.workers()]
    service.process.kill()
    eventually(lambda: not any(each.is_running() and each.status() != "zombie" for each in workers))
    service.end()


def lost(service: ServiceProcess, verdicts: set[str], feedback: set[str]) -> set[str]:
    Store(service.state).close()  # as the next start does: what is in the journals of the dead goes into the store
    with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {name for (name,) in store.execute("SELECT id FROM verdicts")}
        said = {name for (name,) in store.execute("SELECT id FROM feedback")}
    return (verdicts - found) | (feedback - said)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_13_kill_9_of_everything_loses_nothing_acknowledged(make: Make, tmp_path: Path, white: bytes) -> None:
    verdicts: set[str] = set()
    feedback: set[str] = set()
    rng = random.Random(13)  # noqa: S311  # no secret

    def work(service: ServiceProcess) -> None:
        with service.client() as client:
            try:
                while True:
                    found = client.post("/v1/infer", content=white, params={"keep": "true"}).json()
                    if found["stored"]:
                        verdicts.add(found["verdict_id"])
                    given = {"verdict_id": found["verdict_id"], "label": True}
                    feedback.add(client.post("/v1/feedback", json=given).json()["feedback_id"])
            except httpx.TransportError:
                return  # it has been killed

    for _ in range(8):
        service = make(*TWO, "--cascade", "bright", folder=tmp_path)
        before = len(feedback)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work, service) for _ in range(4)]
            wanted = before + rng.randrange(10, 80)
            eventually(lambda wanted=wanted: len(feedback) >= wanted)  # type: ignore[misc]
            service.kill()
        for future in futures:
            future.result()
        assert lost(service, verdicts, feedback) == set()
    again = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    with again.client() as client:
        for name in list(verdicts)[:20]:
            assert client.get(f"/v1/verdicts/{name}").status_code == 200
    pictures = list((again.state / "pictures").rglob("*"))
    assert [path.suffix for path in pictures if path.is_file()] == [".jpg"]  # nothing half-written
    again.stop()


@pytest.mark.slow
def test_13_an_answer_neither_waits_for_a_locked_store_nor_is_it_lost(make: Make, tmp_path: Path, white: bytes) -> None:
    service = make(*SCRIPTED, "--cascade", "bright", folder=tmp_path)
    with service.client() as client:
        with closing(sqlite3.connect(service.state / "service.sqlite", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            found = client.post("/v1/infer", content=white).json()
            assert found["stored"] is True  # in the journal
            assert client.get(f"/v1/verdicts/{found['verdict_id']}").status_code == 200
            assert client.get("/v1/status").status_code == 200
            lock.execute("ROLLBACK")

        def filed() -> bool:
            with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
                return (found["verdict_id"],) in store.execute("SELECT id FROM verdicts").fetchall()

        eventually(filed)
    service.stop()


# And more -----------------------------------------------------------------------------------------------------------


def test_two_services_on_one_port_are_refused(service: ServiceProcess, tmp_path: Path) -> None:
    port = service.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "natix_cascade", "serve", "--port", port, "--state", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 2
    assert re.fullmatch(rf"error: cannot listen on 127.0.0.1:{port}: .*\n", found.stderr)
    with service.client() as client:
        assert client.get("/health").status_code == 200


def test_status_adds_up_over_workers(make: Make, tmp_path: Path, white: bytes) -> None:
    service = make(*TWO, "--cascade", "bright", "--max-in-flight", "5", folder=tmp_path)
    for _ in range(40):
        with service.client() as client:  # over new connections: both workers get some
            assert client.post("/v1/infer", content=white).status_code == 200
            client.post("/v1/infer", content=b"x")
    with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
        eventually(
            lambda: sum(json.loads(body)["requests"] for (body,) in store.execute("SELECT body FROM workers")) == 80
        )
        shares = [json.loads(body)["requests"] for (body,) in store.execute("SELECT body FROM workers")]
    assert min(shares) > 0
    for _ in range(4):
        with service.client() as client:
            status = client.get("/v1/status").json()
            assert status["workers"] == 2
            assert (status["requests"], status["failed"], status["rejected"]) == (80, 40, 0)
            assert status["exits"] == {"level-1": 40}
            assert status["max_in_flight"] == 10
            assert status["latency_ms"]["p50"] <= status["latency_ms"]["p99"]
            assert [each["model"] for each in status["breakers"]] == ["first", "second"]
            page = client.get("/metrics").text
            assert re.search(r"^cascade_agreement_ratio_count 40\.0$", page, re.MULTILINE)
            assert re.search(r'^cascade_verdicts_total\{level="level-1",reason="\w+"\} 40\.0$', page, re.MULTILINE)
    service.stop()


def test_a_picture_that_nobody_waits_for_leaves_its_batch(
    gated: Callable[..., ServiceProcess], gate: Gate, red: bytes, white: bytes
) -> None:
    service = gated()
    with service.connect() as connection:
        connection.sendall(head("/v1/infer", f"content-length: {len(red)}") + red)
        gate.knocked()
    with service.client() as client:
        eventually(lambda: client.get("/v1/status").json()["in_flight"] == 0)
        gate.open()
        assert client.post("/v1/infer", content=white).status_code == 200
        page = client.get("/metrics").text
    assert 'status="499"' in page
    assert "cascade_agreement_ratio_count 1.0" in page  # of the white one
    service.stop()


def test_a_deadline_is_kept_while_a_model_hangs(gated: Callable[..., ServiceProcess], gate: Gate, red: bytes) -> None:
    service = gated()
    with service.client() as client:
        late = client.post("/v1/infer", content=red, params={"deadline_ms": "200"})
        assert (late.status_code, kind(late)) == (504, "deadline")
    gate.close()
    service.stop()


@pytest.mark.slow
def test_it_listens_on_ipv6_too(make: Make, tmp_path: Path, white: bytes) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    service = make(*SCRIPTED, "--cascade", "bright", "--host", "::1", folder=tmp_path)
    assert service.url.startswith("http://[::1]:")
    with service.client() as client:
        assert client.post("/v1/infer", content=white).status_code == 200
    service.stop()


def test_time_is_told_in_utc(client: httpx.Client, photo: bytes) -> None:
    found = client.post("/v1/infer", content=photo).json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["created"])
    assert abs(int(found["verdict_id"][:12], 16) / 1000 - time.time()) < 60
