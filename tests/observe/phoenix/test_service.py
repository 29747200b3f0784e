"""A real service beside a real Phoenix: traces, feedback, data sets out of its state."""

from __future__ import annotations

import base64
import csv
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from service_process import ServiceProcess

from natix_cascade.trace import TraceContext

pytest.importorskip("phoenix.client", reason="needs the extra phoenix")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra traces")

pytestmark = [pytest.mark.observe, pytest.mark.timeout(300)]


def start(folder: Path, config: Path) -> ServiceProcess:
    """A service; the name of its socket must not be long, as those in the folders of tests are."""
    options = ("--config", str(config), "--workers", "1")
    return ServiceProcess(folder / "service", *options, env={"TMPDIR": tempfile.gettempdir()}).start()


def eventually(ask: Any) -> Any:
    """The first true answer; errors are none."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if found := ask():
                return found
        except Exception:  # noqa: BLE001  # there is no such project or span yet
            found = None
        time.sleep(0.3)
    pytest.fail("it did not arrive")


def test_feedback_reaches_the_trace_and_the_data_set(
    phoenix: Server, scenes: Path, command: Any, tmp_path: Path
) -> None:
    from phoenix.client import Client

    project = f"service-{uuid.uuid4().hex[:8]}"
    config = tmp_path / "serve.toml"
    config.write_text(f'[observe]\nshare = 0.0\n[observe.phoenix]\nurl = "{phoenix.url}"\nproject = "{project}"\n')
    with (scenes / "manifest.csv").open() as file:
        labels = list(csv.DictReader(file))[:4]
    service = start(tmp_path, config)
    try:
        with service.client() as http:
            ids = []
            for row in labels:
                picture = (scenes / row["path"]).read_bytes()
                answer = http.post("/v1/infer", content=picture, headers={"content-type": "image/jpeg"}).json()
                ids.append(answer["verdict_id"])
                told = {"verdict_id": ids[-1], "label": row["label"] == "1", "note": row["path"]}
                told["image"] = base64.b64encode(picture).decode()
                assert http.post("/v1/feedback", json=told).status_code == 201
        client = Client(base_url=phoenix.url)
        spans = {name: TraceContext.of_request(name).span_id for name in ids}

        def notes() -> Any:
            found = client.spans.get_span_annotations(span_ids=list(spans.values()), project_identifier=project)
            return found if len(found) == len(ids) else None

        found = {note["span_id"]: note for note in eventually(notes)}
        for name, row in zip(ids, labels, strict=True):
            note = found[spans[name]]
            assert (note["name"], note["annotator_kind"]) == ("human_label", "HUMAN")
            assert note["result"]["label"] == ("roadwork" if row["label"] == "1" else "none")
            assert note["result"]["explanation"] == row["path"]
        traced = client.spans.get_spans(project_identifier=project, limit=1000)
        assert {span["context"]["trace_id"] for span in traced} == set(ids)  # nothing was drawn, feedback brought them
        assert len({span["context"]["span_id"] for span in traced}) == len(traced)

        dataset = f"state-{uuid.uuid4().hex[:8]}"
        told = command(
            "observe", "phoenix", "dataset", dataset, "--state", service.state, "--url", phoenix.url, "--json"
        )
        examples = {each["metadata"]["trace_id"]: each for each in client.datasets.get_dataset(dataset=dataset)}
        assert (told["examples"], told["labelled"], told["with_picture"]) == (4, 4, 4)
        for name, row in zip(ids, labels, strict=True):
            assert examples[name]["output"]["label"] == ("roadwork" if row["label"] == "1" else "none")
            assert examples[name]["metadata"]["note"] == row["path"]
            assert Path(examples[name]["input"]["picture"]).is_file()
        compared = command(
            "observe", "phoenix", "experiment", dataset, "--policy", "embedded", "--url", phoenix.url, "--json"
        )
        assert (compared["experiments"][0]["judged"], compared["experiments"][0]["n"]) == (4, 4)
    finally:
        service.stop()


def test_a_phoenix_that_is_not_there_costs_no_answer(scenes: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('[observe]\nshare = 1.0\n[observe.phoenix]\nurl = "http://127.0.0.1:9"\n')
    service = start(tmp_path, config)
    try:
        with service.client() as http:
            picture = (scenes / "scenes" / "00000.jpg").read_bytes()
            for _ in range(5):
                answer = http.post("/v1/infer", content=picture, headers={"content-type": "image/jpeg"})
                assert answer.status_code == 200
                told = {"verdict_id": answer.json()["verdict_id"], "label": True}
                assert http.post("/v1/feedback", json=told).status_code == 201
        eventually(lambda: "phoenix: PhoenixError" in service.log())
    finally:
        service.stop()

    assert service.log().count("phoenix: PhoenixError") == 1  # one line a minute
