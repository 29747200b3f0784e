"""Traces of the real service: what arrives at a collector, and answers that stay when it does not take anything."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for otlp_receiver.py: test folders are not packages
sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))  # for service_process.py
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra traces")

from otlp_receiver import OtlpReceiver, eventually, hanging, nobody, values
from service_process import SCRIPTED, ServiceProcess, plain

Start = Callable[..., ServiceProcess]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start services; at the end all must leave well."""
    made: list[ServiceProcess] = []

    def make(*arguments: str, **options: Any) -> ServiceProcess:
        service = ServiceProcess(tmp_path / str(len(made)), *SCRIPTED, "--cascade", "bright", *arguments, **options)
        made.append(service)
        return service.start()

    yield make
    for service in made:
        if service.process.poll() is None:
            service.stop()
        else:
            service.end()


@contextmanager
def config(tmp_path: Path, url: str, **more: str) -> Iterator[Path]:
    path = tmp_path / "serve.toml"
    lines = ["[observe]", "share = 1.0", "[observe.traces]", f'url = "{url}"', *(f"{k} = {v}" for k, v in more.items())]
    path.write_text("\n".join(lines))
    yield path


def ask(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    answers = []
    for index in range(count):
        response = client.post("/v1/infer", content=plain(20 * (index % 12), 100, 100))
        assert response.status_code == 200
        answers.append(response.json())
    return answers


def test_the_spans_of_every_request_arrive(tmp_path: Path, start: Start) -> None:
    with OtlpReceiver() as receiver, config(tmp_path, receiver.url, project='"roads"') as path:
        service = start("--config", str(path))
        with service.client() as client:
            before = time.time_ns()
            answers = ask(client, 30)
            bad = client.post("/v1/infer?name=private.jpg", content=b"no picture")
            after = time.time_ns()
        assert bad.status_code == 415
        service.stop()
        spans = receiver.spans()
        resource = receiver.resources()[0]
    requests = {span.trace_id.hex(): span for span in spans if span.name == "detect roadwork"}
    assert set(requests) == {answer["verdict_id"] for answer in answers}
    for answer in answers:
        request, given = requests[answer["verdict_id"]], values(requests[answer["verdict_id"]].attributes)
        assert given["natix.probability"] == answer["probability"]
        assert given["natix.exit_level"] == answer["exit_level"]
        assert given["natix.verdict_id"] == answer["verdict_id"]
        assert given["natix.kept"] == "chance"
        assert given["natix.adjusted_count"] == 1.0
        assert given["input.value"] == f"sha256:{answer['sha256']}"
        models = {span.name for span in spans if span.trace_id == request.trace_id and b"DECISION" in _bytes(span)}
        assert models == set(answer["model_predictions"])
        assert before <= request.start_time_unix_nano <= request.end_time_unix_nano <= after
    (failed,) = [span for span in spans if span.name == "detect"]
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert not any(b"private" in _bytes(span) for span in spans)
    assert resource["service.name"] == "roads"
    ids = {span.span_id: span for span in spans}
    for span in spans:
        if span.parent_span_id:
            parent = ids[span.parent_span_id]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano


def test_the_trace_of_a_client_goes_in_and_comes_out(start: Start) -> None:
    with OtlpReceiver() as receiver:
        service = start("--otlp", receiver.url, "--keep-share", "0")
        with service.client() as client:
            response = client.post(
                "/v1/infer",
                content=plain(250, 250, 250),
                headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"},
            )
            untold = client.post("/v1/infer", content=plain(250, 250, 250))
        service.stop()
        spans = receiver.spans(3)
    (request,) = [span for span in spans if span.name == "detect roadwork"]
    assert response.headers["traceresponse"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert untold.headers["traceresponse"].endswith("-00")
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert {span.trace_state for span in spans} == {"vendor=1"}
    given = values(request.attributes)
    assert (given["natix.kept"], given["natix.verdict_id"]) == ("client", response.json()["verdict_id"])
    assert "natix.adjusted_count" not in given


@pytest.mark.parametrize("state", ["dead", "hanging"])
def test_answers_stay_when_the_collector_does_not(tmp_path: Path, start: Start, state: str) -> None:
    with hanging() as silent, config(tmp_path, nobody() if state == "dead" else silent) as path:
        service = start("--config", str(path))
        with service.client() as client:
            began = time.monotonic()
            answers = ask(client, 200)
            assert time.monotonic() - began < 30
            assert not any(answer["degraded"] for answer in answers)
            if state == "dead":
                eventually(lambda: bool(ask(client, 10)) and "spans were not taken" in service.log(), 30)
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 15
        log = service.log()
    assert "Traceback" not in log
    assert log.count("opentelemetry") == 0
    assert 1 <= log.count("spans were not taken") <= 3


@pytest.mark.observe
def test_phoenix_reads_them_back(tmp_path: Path, start: Start, phoenix: Any) -> None:
    project = f"traces-{os.getpid()}"
    with config(tmp_path, "http://elsewhere", project=f'"{project}"', pixels="true") as path:
        service = start("--config", str(path), "--otlp", phoenix.url)
    with service.client() as client:
        answers = ask(client, 5)
        bad = client.post("/v1/infer", content=b"no picture")
    assert bad.status_code == 415
    service.stop()
    with httpx.Client(base_url=phoenix.url, trust_env=False, timeout=30) as client:

        def spans() -> list[dict[str, Any]]:
            response = client.get(f"/v1/projects/{project}/spans", params={"limit": 500})
            return response.json()["data"] if response.status_code == 200 else []

        eventually(lambda: sum(each["parent_id"] is None for each in spans()) == 6)
        found = spans()
    requests = {each["context"]["trace_id"]: each for each in found if each["name"] == "detect roadwork"}
    assert set(requests) == {answer["verdict_id"] for answer in answers}
    for answer in answers:
        request = requests[answer["verdict_id"]]
        assert request["span_kind"] == "CHAIN"
        assert request["status_code"] == "OK"
        given = request["attributes"]
        assert given["natix.probability"] == answer["probability"]
        assert json.loads(given["output.value"])["detected"] == answer["roadwork_detected"]
        assert given["input.images.0.image.url"].startswith("data:image/jpeg;base64,")
        mine = [each for each in found if each["context"]["trace_id"] == answer["verdict_id"]]
        kinds = {each["name"]: each["span_kind"] for each in mine}
        assert {kinds[name] for name in answer["model_predictions"]} == {"DECISION"}
        ids = {each["context"]["span_id"] for each in mine}
        assert all(each["parent_id"] in ids for each in mine if each is not request)
    (failed,) = [each for each in found if each["name"] == "detect"]
    assert failed["status_code"] == "ERROR"


def _bytes(span: Any) -> bytes:
    found: bytes = span.SerializeToString()
    return found
