"""The real service with a judge: from a picture to a score that a person's word is joined to."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from judge_server import JudgeServer, said, until

sys.path.insert(0, str(Path(__file__).parents[2] / "serve"))  # for service_process.py

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from service_process import SCRIPTED, ServiceProcess, plain

from natix_cascade.errors import StoreError
from natix_cascade.observe.judge.journal import Row, read_rows

pytestmark = pytest.mark.slow

CONFIG = """
[observe]
share = 1.0

[observe.judge]
per_minute = 1000
usd_per_million_input = 0.1
endpoint = {{ url = "{url}", model = "judge" }}
"""


def test_verdicts_are_judged_and_feedback_is_joined(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    with JudgeServer(said(0.75)) as server:
        config.write_text(CONFIG.format(url=server.url))
        short = {"TMPDIR": tempfile.gettempdir()}  # a socket's name may have 107 letters
        service = ServiceProcess(tmp_path / "service", *SCRIPTED, "--config", str(config), env=short)
        try:
            with service.start().client() as client:
                answers = [client.post("/v1/infer", content=plain(200, 0, 0), headers=JPEG).json() for _ in range(5)]
                until(lambda: sum(row.score == 0.75 for row in rows(service.state)) == 5)
                told = {"verdict_id": answers[0]["verdict_id"], "label": False}
                given = client.post("/v1/feedback", json=told)
                assert given.status_code < 300, given.text
                until(lambda: any(row.label is False for row in rows(service.state)))
                scored = 'cascade_judge_scores_total{outcome="scored"} 5.0'
                until(lambda: scored in client.get("/metrics").text)
        finally:
            service.stop()
    ids = [answer["verdict_id"] for answer in answers]
    found = rows(service.state)
    assert {row.verdict_id for row in found} == set(ids)
    assert [row.verdict_id for row in found if row.label is not None] == ids[:1]
    assert all(row.by_chance for row in found)


JPEG = {"content-type": "image/jpeg"}


def rows(state: Path) -> list[Row]:
    try:
        return read_rows(state)
    except StoreError:
        return []  # not yet
