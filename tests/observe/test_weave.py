"""Verdicts, feedback and scores on a real Weave trace server, read back by Weave's own client."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
from servers import Server
from weave_events import BEGAN, call, verdict

from natix_cascade.errors import CascadeError
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import WeaveOptions
from natix_cascade.observe.weave import WeaveLog
from natix_cascade.observe.weave_account import account
from natix_cascade.observe.weave_calls import call_id
from natix_cascade.run.events import Call, FeedbackGiven, PictureFailed, ScoreGiven, VerdictGiven

pytestmark = [pytest.mark.observe, pytest.mark.timeout(240)]
PATIENCE_S = 60.0
VERDICTS = 30

READ = """
import json, sys, weave
client = weave.init(sys.argv[1])
def told(call):
    feedback = sorted(call.feedback, key=lambda one: one.feedback_type)
    return {
        "op": call.op_name, "inputs": call.inputs, "output": call.output, "attributes": call.attributes,
        "summary": call.summary, "exception": call.exception, "parent": call.parent_id,
        "ms": (call.ended_at - call.started_at).total_seconds() * 1000, "began": call.started_at.timestamp(),
        "feedback": [{"type": one.feedback_type, "payload": one.payload, "by": one.runnable_ref} for one in feedback],
        "judge": [client.get(weave.ref(one.runnable_ref)) for one in feedback if one.runnable_ref],
    }
print(json.dumps({call.id: told(call) for call in client.get_calls()}, default=dict))
"""
IMPORTED = """
import json, sys
from natix_cascade.observe.weave import WeaveLog
print(json.dumps(sorted({"weave", "wandb", "httpx"} & set(sys.modules))))
"""


def read(server: Server, project: str, folder: Path) -> dict[str, Any]:
    """All calls of a project by their ids, as Weave's client gives them."""
    variables = {**os.environ, **servers.weave_environment(server, folder), "PYTHONPATH": ""}
    command = [servers.weave_python(), "-c", READ, project]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def eventually(ask: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


def written(server: Server, project: str) -> int:
    answer = httpx.post(f"{server.url}/calls/query_stats", json={"project_id": project}, timeout=30)
    return int(answer.json()["count"])


def notes(server: Server, project: str) -> int:
    return len(httpx.post(f"{server.url}/feedback/query", json={"project_id": project}, timeout=30).json()["result"])


def told(number: int, made: Call) -> Observation:
    return Observation(VerdictGiven(verdict(number, detected=number % 3 > 0), made), "chance")


def test_verdicts_feedback_and_scores_are_read_back_with_the_same_numbers(weave_server: Server, tmp_path: Path) -> None:
    project = "local/same-numbers"
    log, made = WeaveLog(WeaveOptions(project=project, url=weave_server.url)), [call() for _ in range(VERDICTS)]
    failed = call()
    for number, one in enumerate(made):
        log(told(number, one))
    log(Observation(PictureFailed("x", ValueError("no picture"), failed, 3.5), "remarkable"))
    log(Observation(FeedbackGiven(made[0].id, verdict(0, detected=False), BEGAN + 60, label=True, note="a cone")))
    log(Observation(ScoreGiven(made[1].id, "qwen", "roadwork@1", 0.875, "barriers", 1e-4, 250.0)))
    eventually(lambda: notes(weave_server, project) == 3)
    log.close()

    found = read(weave_server, project, tmp_path)

    assert len(found) == 3 * VERDICTS + 1
    for number, one in enumerate(made):
        expected, seen = verdict(number, detected=number % 3 > 0), found[call_id(one.id)]
        assert seen["op"] == "natix_cascade.detect"
        assert seen["inputs"] == {"picture": expected.sha256, "cascade": "test@1", "policy": "test@2"}
        output = seen["output"]
        assert output["detected"] is expected.detected
        assert output["probability"] == expected.probability
        assert output["confidence"] == expected.confidence
        assert output["cost_usd"] == expected.cost_usd
        assert output["opinions"]["small"]["score"] == 0.5
        assert seen["began"] == BEGAN
        assert abs(seen["ms"] - expected.latency_ms) < 0.01
        assert seen["attributes"]["natix"]["verdict_id"] == one.id
        assert seen["summary"]["natix"]["cost_usd"] == expected.cost_usd
    below = [seen for seen in found.values() if seen["parent"] == call_id(made[4].id)]
    assert sorted(seen["inputs"]["model"] for seen in below) == ["large", "small"]
    assert json.loads(found[call_id(failed.id)]["exception"])["message"] == "no picture"
    thumb, truth = sorted(found[call_id(made[0].id)]["feedback"], key=lambda one: one["type"], reverse=True)
    assert truth["type"] == "natix_cascade.truth"
    assert (truth["payload"]["was_right"], truth["payload"]["label"], truth["payload"]["note"]) == (
        False, True, "a cone"
    )  # fmt: skip
    assert thumb["payload"]["emoji"] == "\N{THUMBS DOWN SIGN}"
    (score,) = found[call_id(made[1].id)]["feedback"]
    assert score["type"] == "wandb.runnable.natix-judge"
    assert score["payload"]["output"]["score"] == 0.875
    (judge,) = found[call_id(made[1].id)]["judge"]
    assert (judge["judge"], judge["rubric"]) == ("qwen", "roadwork@1")


def test_a_server_that_starts_late_and_starts_again_gets_everything(tmp_path: Path) -> None:
    project = "local/restarts"
    with servers.weave_server(tmp_path) as server:
        server.process.stop()
        log, made = WeaveLog(WeaveOptions(project=project, url=server.url)), [call() for _ in range(3)]
        log(told(0, made[0]))
        eventually(lambda: log._complaint is not None)
        with pytest.raises(CascadeError, match="does not answer"):
            log(told(1, made[1]))
        server.process.start()
        eventually(lambda: written(server, project) == 6)
        server.process.restart()
        with suppress(CascadeError):  # of the time before
            log(told(2, made[2]))
        eventually(lambda: written(server, project) == 9)
        log.close()

        another = WeaveLog(WeaveOptions(project=project, url=server.url))  # this service too has started again
        another(Observation(FeedbackGiven(made[0].id, verdict(0), BEGAN, label=True)))
        another(Observation(FeedbackGiven(call().id, verdict(5), BEGAN, label=True)))  # its verdict was not kept
        eventually(lambda: notes(server, project) == 4)
        another.close()
        found = read(server, project, tmp_path)

    assert len(found) == 12
    assert {call_id(one.id) for one in made} <= found.keys()
    assert len(found[call_id(made[0].id)]["feedback"]) == 2
    late = [one for one in found.values() if one["attributes"]["natix"].get("kept") == "feedback"]
    assert [one["output"]["probability"] for one in late] == [verdict(5).probability]


def test_what_was_half_written_is_finished_and_not_written_twice(weave_server: Server, tmp_path: Path) -> None:
    from natix_cascade.observe.weave_api import TraceServer
    from natix_cascade.observe.weave_calls import halves, verdict_calls
    from natix_cascade.observe.weave_delivery import Delivery

    project, made = "local/halves", call()
    observed = told(1, made)
    assert isinstance(observed.event, VerdictGiven)
    small, large, _ = verdict_calls(observed.event, "chance", project)
    parts = [*halves(small), halves(large)[0]]
    httpx.post(f"{weave_server.url}/call/upsert_batch", json={"batch": parts}).raise_for_status()
    server = TraceServer(weave_server.url, project, None)

    assert Delivery(server)([observed], tries=1) == []

    server.close()
    found = read(weave_server, project, tmp_path)
    assert len(found) == 3
    assert all(one["ms"] > 0 for one in found.values())


def test_without_a_url_the_account_says_where_and_which_project(
    weave_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.weave_environment(weave_server, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.executable", servers.weave_python())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # it is in the other environment
    monkeypatch.setenv("PYTHONPATH", str(Path(account.__code__.co_filename).parents[2]))
    log, made = WeaveLog(WeaveOptions(project="of-ones-own")), call()

    log(told(1, made))
    eventually(lambda: written(weave_server, "local/of-ones-own") == 3)
    log.close()


def test_neither_weave_nor_its_patches_come_into_the_observing_process() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(account.__code__.co_filename).parents[2])}
    done = subprocess.run(
        [servers.weave_python(), "-c", IMPORTED], capture_output=True, text=True, env=environment, check=True
    )

    assert json.loads(done.stdout) == []
    assert done.stderr == ""
