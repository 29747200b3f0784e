from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import PictureError
from natix_cascade.observe.logs import VerdictLines, redacted
from natix_cascade.observe.options import LogOptions
from natix_cascade.run.events import Call, PictureFailed, VerdictGiven
from natix_cascade.testing.verdicts import some_verdict

WRITES = """
import logging, sys
from natix_cascade.observe.logs import configure
from natix_cascade.observe.options import LogOptions
from natix_cascade.trace import TraceContext, current
configure(LogOptions(format=sys.argv[1], per_s=5), "worker 3")
log = logging.getLogger("natix_cascade.test")
current.set(TraceContext("a" * 32, "b" * 16))
log.warning("key %s", "nck_01234567_" + "A" * 43, extra={"lat": 48.137, "note": "fine"})
try:
    raise ValueError("redis://user:hunter2@host/0")
except ValueError:
    log.exception("it broke")
for number in range(100):
    log.info("again %d", number)
"""


def lines(form: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", WRITES, form], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines_have_traces_and_no_secrets() -> None:
    found = [json.loads(line) for line in lines("json")]
    first, second = found[:2]
    assert (first["level"], first["who"], first["logger"]) == ("warning", "worker 3", "natix_cascade.test")
    assert (first["trace_id"], first["span_id"]) == ("a" * 32, "b" * 16)
    assert first["event"] == "key nck_01234567_***"
    assert (first["lat"], first["note"]) == ("***", "fine")
    assert "hunter2" not in second["exception"]
    assert "ValueError: redis://***@host/0" in second["exception"]
    assert sum(line["event"].startswith("again") for line in found) == 5


def test_text_lines_are_for_people() -> None:
    found = lines("text")
    assert found[0].endswith(
        f"worker 3 WARNING key nck_01234567_*** lat=*** note=fine trace_id={'a' * 32} span_id={'b' * 16}"
    )
    assert "Traceback (most recent call last):" in found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
        ('{"api_key": "sk-1234567890abcdef"}', "1234567890abcdef"),
        ("token=hvs.CAESIJabcdefghijkl", "CAESIJabcdefghijkl"),
        ("GET /?password=hunter22&x=1", "hunter22"),
        ("hf_ABCDEFGHIJKLMNOPQRSTUV", "ABCDEFGHIJKLMNOPQRSTUV"),
        ("data:image/jpeg;base64,/9j/4AAQSkZJRg==", "4AAQSkZJRg"),
        ("image " + "QUJD" * 100, "QUJDQUJD"),
    ],
)
def test_what_looks_like_a_secret_is_cut_out(text: str, secret: str) -> None:
    assert secret not in str(redacted(None, "", {"event": text, "more": {"deep": [text]}}))


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.integers(), st.floats(), st.none(), st.binary(), st.text())))
def test_every_line_can_be_written(line: dict[str, object]) -> None:
    json.dumps(redacted(None, "", line))


def test_a_plain_sentence_stays_as_it_is() -> None:
    said = "worker 0 ended with code -9 and is started again"
    assert redacted(None, "", {"event": said}) == {"event": said}


def test_verdicts_are_written_as_often_as_they_may(caplog: pytest.LogCaptureFixture) -> None:
    listen = VerdictLines(LogOptions(verdicts_per_s=3))
    call = Call.begin()
    with caplog.at_level("INFO"):
        for _ in range(10):
            listen(VerdictGiven(replace(some_verdict(), degraded=True), call))
        listen(PictureFailed("secret-name.jpg", PictureError("no picture"), call))
    assert len(caplog.records) == 3
    assert caplog.records[0].verdict_id == call.id  # type: ignore[attr-defined]
    assert "secret-name" not in caplog.text
    taken = {"time", "level", "who", "event", "logger", "exception", *vars(logging.makeLogRecord({}))}
    own = set(vars(caplog.records[0])) - set(vars(logging.makeLogRecord({}))) - {"message", "asctime"}
    assert not own & taken
