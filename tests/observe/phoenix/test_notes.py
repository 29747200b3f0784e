from __future__ import annotations

import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from servers import Server

from natix_cascade.errors import MissingExtraError, SecretError
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import PhoenixOptions
from natix_cascade.observe.phoenix.client import PhoenixError
from natix_cascade.observe.phoenix.notes import PhoenixNotes, of_feedback, of_score, verdict_of
from natix_cascade.rehearse.server_process import free_port
from natix_cascade.run.events import FeedbackGiven, ScoreGiven, VerdictGiven
from natix_cascade.testing.verdicts import some_verdict
from natix_cascade.trace import TraceContext, new_id

VERDICT = some_verdict(
    sha256="ab" * 32, detected=False, probability=0.25, confidence=0.75, opinions=(), latency_ms=500.0
)


def feedback(**given: Any) -> FeedbackGiven:
    plain: dict[str, Any] = {"verdict_id": new_id(), "verdict": VERDICT, "created": 1000.0, "label": True, "note": "hm"}
    return FeedbackGiven(**{**plain, **given})


def score(**given: Any) -> ScoreGiven:
    plain: dict[str, Any] = {"verdict_id": new_id(), "judge": "vlm", "rubric": "r@1", "score": 0.8, "reason": "cones"}
    return ScoreGiven(**{**plain, **given})


def test_feedback_as_a_note() -> None:
    event = feedback()
    note = of_feedback(event)

    assert note.span_id == TraceContext.of_request(event.verdict_id).span_id
    assert (note.name, note.by, note.label, note.score) == ("human_label", "HUMAN", "roadwork", 0.0)
    assert note.explanation == "hm"
    assert (of_feedback(feedback(label=False)).label, of_feedback(feedback(label=False)).score) == ("none", 1.0)


@pytest.mark.parametrize(("given", "label"), [(0.8, "right"), (0.5, "right"), (0.49, "wrong"), (None, "abstained")])
def test_scores_as_notes(given: float | None, label: str) -> None:
    note = of_score(score(score=given))

    assert (note.name, note.by, note.label, note.score, note.explanation) == ("judge", "LLM", label, given, "cones")
    assert note.key == "vlm r@1"  # two judges have a note each


def test_the_verdict_of_feedback_began_before_it_was_given() -> None:
    event = feedback()
    given = verdict_of(event)

    assert given.call is not None
    assert (given.call.id, given.call.began) == (event.verdict_id, 999.5)
    assert given.call.trace.trace_id == event.verdict_id


def test_without_the_client_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "phoenix.client", None)

    with pytest.raises(MissingExtraError, match=r"natix-cascade\[phoenix\]"):
        PhoenixNotes(PhoenixOptions(url="http://127.0.0.1:6006"), lambda _: None)


def test_a_key_that_cannot_be_read_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)

    with pytest.raises(SecretError, match="NO_SUCH_KEY"):
        PhoenixNotes(PhoenixOptions(url="http://127.0.0.1:6006", api_key="env:NO_SUCH_KEY"), lambda _: None)


def test_a_key_that_is_no_longer_taken_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("phoenix.client", reason="needs the extra phoenix")
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Authorization"])
            self.send_response(200 if seen[-1] == "Bearer new" else 401)
            self.send_header("Content-Length", "11")
            self.end_headers()
            self.wfile.write(b'{"data":[]}')

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("A_KEY", "old")
        notes = PhoenixNotes(
            PhoenixOptions(url=f"http://127.0.0.1:{server.server_port}", api_key="env:A_KEY"), lambda _: None
        )
        with pytest.raises(PhoenixError, match="401"):
            notes(Observation(score()))
        monkeypatch.setenv("A_KEY", "new")
        notes(Observation(score()))
        notes(Observation(score()))
        notes.close()
        server.shutdown()
        thread.join()

    assert seen == ["Bearer old", "Bearer old", "Bearer old", "Bearer new", "Bearer new"]


def test_notes_for_nobody_are_tried_again_and_lost_soon() -> None:
    pytest.importorskip("phoenix.client", reason="needs the extra phoenix")
    notes = PhoenixNotes(PhoenixOptions(url=f"http://127.0.0.1:{free_port()}"), lambda _: None, pauses_s=(0.2, 0.3))

    took = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(PhoenixError, match="cannot be reached"):
            notes(Observation(score()))
        took.append(time.monotonic() - began)
    notes.close()

    assert 0.5 <= took[0] < 5  # two pauses, three tries
    assert max(took[1:]) < 0.2  # it is known to be away


@pytest.mark.observe
@pytest.mark.timeout(240)
def test_a_trace_that_is_not_there_is_sent_before_its_note(phoenix: Server) -> None:
    pytest.importorskip("phoenix.client", reason="needs the extra phoenix")
    tracing = pytest.importorskip("natix_cascade.observe.tracing", reason="needs the extra traces")
    from natix_cascade.observe.options import TraceOptions

    project = f"notes-{uuid.uuid4().hex[:8]}"
    tracer = tracing.Tracer(TraceOptions(url=f"{phoenix.url}/v1/traces", project=project))
    sent: list[VerdictGiven] = []

    def send(given: VerdictGiven) -> None:
        sent.append(given)
        tracer(Observation(given))

    notes = PhoenixNotes(PhoenixOptions(url=phoenix.url, project=project), send)
    event = feedback(created=time.time())
    notes(Observation(event))  # its trace was not kept
    tracer.close()
    found = read_notes(phoenix.url, project, event.verdict_id, 1)
    assert [(each["name"], each["annotator_kind"], each["result"]["label"]) for each in found] == [
        ("human_label", "HUMAN", "roadwork")
    ]

    notes(Observation(feedback(verdict_id=event.verdict_id, label=False, note="on second thoughts")))
    notes(Observation(score(verdict_id=event.verdict_id)))
    notes(Observation(score(verdict_id=event.verdict_id, score=None, failure="it timed out")))
    notes.close()

    assert len(sent) == 1
    found = {each["name"]: each for each in read_notes(phoenix.url, project, event.verdict_id, 2)}
    assert found["human_label"]["result"] == {"label": "none", "score": 1.0, "explanation": "on second thoughts"}
    assert found["judge"]["result"] == {"label": "right", "score": 0.8, "explanation": "cones"}
    assert found["judge"]["annotator_kind"] == "LLM"
    assert found["judge"]["metadata"]["rubric"] == "r@1"


def read_notes(url: str, project: str, verdict_id: str, count: int) -> list[dict[str, Any]]:
    """Notes of a request's span, when there are so many."""
    from phoenix.client import Client

    span = TraceContext.of_request(verdict_id).span_id
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            found = Client(base_url=url).spans.get_span_annotations(span_ids=[span], project_identifier=project)
        except Exception:  # noqa: BLE001  # there is no such project or span yet
            found = []
        if len(found) >= count:
            return [dict(each) for each in found]
        time.sleep(0.3)
    pytest.fail("the notes did not arrive")
