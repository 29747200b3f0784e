"""Weave as an observer, where the server is dead, hangs, is newer, or refuses."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from weave_events import call, verdict

from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.observe import weave
from natix_cascade.observe.build import observers
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import ObserveOptions, WeaveOptions
from natix_cascade.observe.weave import WeaveLog
from natix_cascade.observe.weave_calls import call_id
from natix_cascade.run.events import CascadeLoaded, FeedbackGiven, VerdictGiven

PATIENCE_S = 20.0
SOURCE = Path(weave.__file__).parents[2]


class Newer(ThreadingHTTPServer):
    """Speaks as the hosted service does: calls come whole, written twice they are written once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: dict[str, Any] = {}
        self.feedback: dict[str, Any] = {}
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.answer: Callable[[str, Any], int] = lambda _path, _body: 200
        self.lost = 0  # answers that get lost on their way, after the work is done

    def take(self, path: str, body: Any) -> str:
        if path.endswith("/calls/complete"):
            self.calls |= {one["id"]: one for one in body["batch"]}
        elif path == "/feedback/batch/create":
            self.feedback |= {one["id"]: one for one in body["batch"]}
        elif path == "/calls/stream_query":
            had = [self.calls[one] for one in body["filter"]["call_ids"] if one in self.calls]
            return "".join(json.dumps({"id": one["id"], "ended_at": one["ended_at"]}) + "\n" for one in had)
        elif path == "/feedback/query":
            return json.dumps({"result": [{"id": one} for one in self.feedback]})
        return "{}"


class Handler(BaseHTTPRequestHandler):
    server: Newer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        self.server.keys.add(self.headers["Authorization"])
        status = self.server.answer(self.path, body)
        text = self.server.take(self.path, body) if status == 200 else "refused"
        if self.server.lost:
            self.server.lost -= 1
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def newer() -> Iterator[Newer]:
    with Newer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def log_to(server: Newer, **more: Any) -> WeaveLog:
    return WeaveLog(WeaveOptions(project="team/roads", url=f"http://127.0.0.1:{server.server_port}/", **more))


def given(number: int = 0) -> Observation:
    return Observation(VerdictGiven(verdict(number), call()), "chance", b"a picture")


def name_of(observation: Observation) -> str:
    assert isinstance(observation.event, VerdictGiven)
    assert observation.event.call is not None
    return call_id(observation.event.call.id)


def eventually(ask: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)


def test_calls_go_whole_in_few_requests_with_the_key(newer: Newer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADS_KEY", "secret")
    log = log_to(newer, api_key="env:ROADS_KEY")
    told = [given(number) for number in range(60)]

    for one in told:
        log(one)
    log(Observation(CascadeLoaded("test@1", "test@2")))  # nothing to log
    log.close()

    assert set(map(name_of, told)) <= newer.calls.keys()
    assert len(newer.calls) == 3 * 60
    assert len(newer.asked) <= 3
    assert newer.keys == {"Basic YXBpOnNlY3JldA=="}


def test_an_answer_that_is_lost_is_asked_for_and_nothing_is_written_twice(newer: Newer) -> None:
    newer.lost = 1
    log, one = log_to(newer), given()

    log(one)
    eventually(lambda: "/calls/stream_query" in newer.asked)
    with pytest.raises(CascadeError, match="does not answer"):
        log(given())
    log.close()

    assert name_of(one) in newer.calls
    written = [path for path in newer.asked if path.endswith("/calls/complete")]
    assert len(written) == 2  # the first one was there already


def test_what_is_refused_does_not_take_others_with_it(newer: Newer) -> None:
    log, told = log_to(newer), [given(number) for number in range(20)]
    bad = name_of(told[7])
    newer.answer = lambda _, body: 422 if any(one.get("id") == bad for one in body.get("batch", ())) else 200

    for one in told:
        log(one)
    with pytest.raises(CascadeError, match=r"1 observations were not logged.*1 were refused.*422"):
        log.close()

    assert set(map(name_of, told)) - newer.calls.keys() == {bad}


def test_a_server_that_is_out_of_order_gets_it_later(newer: Newer) -> None:
    broken = True
    newer.answer = lambda *_: 500 if broken else 200
    log, one = log_to(newer), given()

    log(one)
    eventually(lambda: len(newer.asked) >= 2)
    broken = False
    eventually(lambda: name_of(one) in newer.calls)

    with pytest.raises(CascadeError, match="500"):
        log(given())
    log.close()


def test_a_key_is_read_again_when_it_is_refused(newer: Newer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADS_KEY", "old")
    newer.answer = lambda *_: 200 if "Basic YXBpOm5ldw==" in newer.keys else 401
    log, one = log_to(newer, api_key="env:ROADS_KEY"), given()

    log(one)
    eventually(lambda: bool(newer.asked))
    monkeypatch.setenv("ROADS_KEY", "new")

    eventually(lambda: name_of(one) in newer.calls)
    log.close()


def test_the_truth_about_a_verdict_that_was_not_kept_brings_it_along_once(newer: Newer) -> None:
    log, known, unknown = log_to(newer), given(), call()
    assert isinstance(known.event, VerdictGiven)
    assert known.event.call is not None
    truths = [
        Observation(FeedbackGiven(name, verdict(3), 1.0, label=True)) for name in (known.event.call.id, unknown.id)
    ]

    log(known)
    eventually(lambda: name_of(known) in newer.calls)
    for one in truths:
        log(one)
    log.close()

    assert len(newer.feedback) == 4
    assert newer.calls[call_id(unknown.id)]["attributes"]["natix"]["kept"] == "feedback"
    assert newer.calls[name_of(known)]["attributes"]["natix"]["kept"] == "chance"


@pytest.mark.parametrize("hangs", [False, True])
def test_a_dead_or_hanging_server_costs_neither_time_nor_memory(*, hangs: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if hangs:
            listener.listen()  # takes connections, answers nothing
        log = WeaveLog(WeaveOptions(project="team/roads", url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        began = time.monotonic()
        complained = 0
        for number in range(200):
            try:
                log(given(number))
            except CascadeError:
                complained += 1
        assert time.monotonic() - began < 1
        assert all(one.picture is None for one in log._waiting)

        with pytest.raises(CascadeError, match="up to 200 observations were not logged"):
            log.close()

        assert time.monotonic() - began < 4.5
        assert complained < 5


def test_when_too_many_wait_the_caller_waits_too_and_memory_is_bounded() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        log = WeaveLog(WeaveOptions(project="team/roads", url=f"http://127.0.0.1:{listener.getsockname()[1]}"))

        caller = threading.Thread(target=lambda: [log(given(number)) for number in range(1000)], daemon=True)
        caller.start()
        eventually(lambda: len(log._waiting) == 256)
        time.sleep(0.2)

        assert len(log._waiting) == 256
        assert caller.is_alive()
        with pytest.raises(CascadeError, match="not logged"):
            log.close()


def test_an_account_that_cannot_be_asked_is_said_so_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "weave").mkdir()
    (tmp_path / "weave" / "__init__.py").write_text("raise SystemExit('no route to the account')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(SOURCE)]))
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    log = WeaveLog(WeaveOptions(project="roads"))

    log(given())
    eventually(lambda: log._complaint is not None)

    with pytest.raises(CascadeError, match=r"up to 1 .*'roads' cannot be found or made: no route to the account"):
        log.close()


def test_options_that_cannot_work_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "weave" else name)

    def made(**options: Any) -> None:
        observers(ObserveOptions(weave=WeaveOptions(**options)), tmp_path, lambda _: None)

    with pytest.raises(MissingExtraError, match=r"natix-cascade\[weave\]"):
        made(project="team/roads")
    with pytest.raises(CascadeError, match="ENTITY/PROJECT"):
        made(project="roads", url="http://127.0.0.1:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(CascadeError, match="WANDB_API_KEY"):
        made(project="team/roads")
