"""Each real server is started, used once and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
from servers import Server

pytestmark = [pytest.mark.observe, pytest.mark.timeout(240)]
PATIENCE_S = 30.0

PROMETHEUS = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: prometheus, static_configs: [{{targets: ["{self}"]}}]}}]
"""
RULES = """
groups:
  - name: smoke
    rules:
      - {alert: ItIsUp, expr: vector(1) > 0, labels: {severity: page}, annotations: {summary: it is up}}
"""
ALERTMANAGER = """
route: {{receiver: hook, group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "{hook}", send_resolved: false}}]}}]
"""
SEND_SPAN = """
import sys
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider(resource=Resource.create({"openinference.project.name": "smoke"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1] + "/v1/traces")))
with provider.get_tracer("smoke").start_as_current_span("predict", attributes={"input.value": "street.jpg"}):
    pass
provider.shutdown()
"""
TRACE = """
import json, weave
client = weave.init("smoke")
outer = client.create_call("cascade", {"picture": "street.jpg"})
inner = client.create_call("tier", {"tier": 0}, parent=outer)
client.finish_call(inner, output={"p": 0.25})
client.finish_call(outer, output={"roadwork": False})
client.flush()
outer.feedback.add_reaction("\\N{THUMBS UP SIGN}")
outer.feedback.add("human_label", {"roadwork": True})
ref = weave.publish(weave.Dataset(name="pictures", rows=[{"picture": "a.jpg"}, {"picture": "b.jpg"}]))
client.finish()
calls = {call.op_name.split("/op/")[1].split(":")[0]: call for call in client.get_calls()}
print(json.dumps({
    "names": sorted(calls), "output": calls["cascade"].output, "nested": calls["tier"].parent_id == calls["cascade"].id,
    "feedback": sorted(one.feedback_type for one in calls["cascade"].feedback),
    "label": [one.payload for one in client.get_feedback(query=None) if one.feedback_type == "human_label"],
    "rows": [dict(row)["picture"] for row in ref.get().rows],
}))
"""
SAMPLES = """
import json, sys
import fiftyone as fo
data = fo.Dataset("smoke", persistent=True)
data.add_samples([
    fo.Sample(filepath=f"{i}.jpg", said=fo.Classification(label="none", confidence=i / 4)) for i in range(4)
])
print(json.dumps([fo.list_datasets(), len(data.match(fo.ViewField("said.confidence") < 0.5))]))
"""


def run(python: str, code: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a script prints, in another Python."""
    command = [python, "-c", code, *arguments]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def eventually(ask: Callable[[], Any]) -> Any:
    """The first true answer."""
    until = time.monotonic() + PATIENCE_S
    while not (answer := ask()):
        assert time.monotonic() < until, "no answer in time"
        time.sleep(0.1)
    return answer


def listening(server: Server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.process.port)) == 0


def listening_addresses(pid: int | None) -> set[str]:
    """Addresses, as the kernel writes them, on which a process accepts connections."""
    own = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            own.add(str(file.readlink()))
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in own}


def test_an_alert_goes_from_prometheus_through_alertmanager_to_a_webhook(
    start_prometheus: Callable[..., Server],
    start_alertmanager: Callable[..., Server],
) -> None:
    with servers.webhook() as (address, posted):
        manager = start_alertmanager(ALERTMANAGER.format(hook=f"{address}/"))
        config = PROMETHEUS.format(alertmanager=manager.url.removeprefix("http://"), self="127.0.0.1:9")
        server = start_prometheus(config, {"rules.yml": RULES})

        alert = posted.get(timeout=PATIENCE_S)[2]["alerts"][0]

        assert alert["labels"]["alertname"] == "ItIsUp"
        assert alert["annotations"] == {"summary": "it is up"}
        query = {"params": {"query": "up"}}
        found = eventually(lambda: httpx.get(f"{server.url}/api/v1/query", **query).json()["data"]["result"])
        assert found[0]["value"][1] == "0"  # nobody listens at the target


def test_phoenix_takes_a_span_and_gives_it_back(phoenix: Server) -> None:
    run(servers.weave_python(), SEND_SPAN, phoenix.url)

    def spans() -> Any:
        answer = httpx.get(f"{phoenix.url}/v1/projects/smoke/spans")
        return answer.json()["data"] if answer.status_code == httpx.codes.OK else None

    (span,) = eventually(spans)

    assert span["name"] == "predict"
    assert span["attributes"]["input.value"] == "street.jpg"


@pytest.mark.parametrize("fixture", ["phoenix", "weave_server", "mongod"])
def test_servers_listen_on_loopback_only(fixture: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(fixture)

    addresses = listening_addresses(server.process.pid)

    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, in both families


def test_weave_takes_calls_feedback_and_data_and_gives_them_back(weave_server: Server, tmp_path: Path) -> None:
    environment = servers.weave_environment(weave_server, tmp_path)

    found = json.loads(run(servers.weave_python(), TRACE, environment=environment))

    assert found == {
        "names": ["cascade", "tier"],
        "output": {"roadwork": False},
        "nested": True,
        "feedback": ["human_label", "wandb.reaction.1"],
        "label": [{"roadwork": True}],
        "rows": ["a.jpg", "b.jpg"],
    }


def test_weave_ends_a_call_whose_end_overtook_its_beginning(weave_server: Server) -> None:
    call = {"project_id": "local/order", "id": "00000000-0000-7000-8000-000000000001"}
    when = {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:01Z"}
    end = {**call, "ended_at": when["ended_at"], "exception": "no answer", "summary": {}}
    start = {
        **call,
        "trace_id": call["id"],
        "op_name": "tier",
        "started_at": when["started_at"],
        "attributes": {},
        "inputs": {},
    }

    for path, body in (("call/end", {"end": end}), ("call/start", {"start": start})):
        httpx.post(f"{weave_server.url}/{path}", json=body).raise_for_status()

    read = httpx.post(f"{weave_server.url}/call/read", json=call).json()["call"]
    assert {key: read[key] for key in when} == when
    assert read["exception"] == "no answer"


def test_fiftyone_keeps_samples_in_mongod(mongod: Server, tmp_path: Path) -> None:
    environment = servers.fiftyone_environment(mongod, tmp_path)

    names, unsure = json.loads(run(servers.fiftyone_python(), SAMPLES, environment=environment))

    assert "smoke" in names
    assert unsure == 2


def test_a_server_is_gone_when_its_block_ends(tmp_path: Path) -> None:
    with servers.mongod(tmp_path) as server:
        assert listening(server)

    assert not listening(server)
    assert not server.process.running


def test_a_configuration_that_is_refused_is_quoted(tmp_path: Path) -> None:
    from natix_cascade.errors import ModelError

    with pytest.raises(ModelError, match="line 1"), servers.prometheus(tmp_path, "unknown_key: 1\n"):
        pass


def test_an_absent_program_is_skipped_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("NATIX_CASCADE_MONGOD", "CI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(pytest.skip.Exception, match="NATIX_CASCADE_MONGOD does not name the mongod program"):
        servers.mongod(tmp_path).__enter__()
