from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime

from weave_events import BEGAN, call, verdict

from natix_cascade.observe import weave_calls
from natix_cascade.observe.wire import Failed
from natix_cascade.run.events import FeedbackGiven, PictureFailed, ScoreGiven, VerdictGiven

PROJECT = "team/roads"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_verdict_becomes_a_call_behind_one_for_each_model() -> None:
    given = call("00-" + "a" * 32 + "-" + "b" * 16 + "-01")

    small, large, whole = weave_calls.verdict_calls(VerdictGiven(verdict(7), given), "chance", PROJECT)

    assert whole["id"] == whole["trace_id"] == str(uuid.UUID(given.id))
    assert whole["op_name"] == "natix_cascade.detect"
    assert "parent_id" not in whole
    assert whole["inputs"] == {"picture": f"{7:064x}", "cascade": "test@1", "policy": "test@2"}
    natix = whole["attributes"]["natix"]
    assert natix == {
        "verdict_id": given.id, "trace_id": "a" * 32, "span_id": given.trace.span_id, "kept": "chance"
    }  # fmt: skip
    assert seconds(whole["started_at"]) == BEGAN
    assert abs(seconds(whole["ended_at"]) - BEGAN - 0.037) < 1e-6
    output = whole["output"]
    assert (output["detected"], output["probability"], output["exit_level"]) == (True, 0.757, "slow")
    assert output["opinions"]["large"]["failure"] == "it hangs"
    assert whole["summary"]["status_counts"] == {"success": 2, "error": 1}
    assert whole["summary"]["usage"] == {"small": {"requests": 1}, "large": {"requests": 1}}
    assert whole["summary"]["natix"] == {"latency_ms": 37.0, "cost_usd": 1e-6 * 8}
    assert {small["parent_id"], large["parent_id"]} == {whole["id"]}
    assert len({small["id"], large["id"], whole["id"]}) == 3
    assert abs(seconds(small["started_at"]) - BEGAN - 0.0005) < 1e-6
    assert abs(seconds(small["ended_at"]) - BEGAN - 0.005) < 1e-6
    assert "exception" not in small
    assert json.loads(large["exception"]) == {"type": "ModelError", "message": "it hangs"}


def test_ids_follow_from_the_verdict() -> None:
    given = call()

    first, second = (weave_calls.verdict_calls(VerdictGiven(verdict(), given), "chance", PROJECT) for _ in range(2))

    assert [one["id"] for one in first] == [one["id"] for one in second]


def test_neither_pixels_nor_the_pictures_name_are_sent() -> None:
    event = VerdictGiven(verdict(), call(), b"\xff\xd8 pixels")
    failed = PictureFailed("my street.jpg", ValueError("bad"), call())

    sent = json.dumps(
        [*weave_calls.verdict_calls(event, "client", PROJECT), *weave_calls.failed_calls(failed, "remarkable", PROJECT)]
    )

    assert "street.jpg" not in sent
    assert "pixels" not in sent


def test_what_is_sent_to_a_newer_server_in_one_goes_to_an_older_one_in_halves() -> None:
    *_, whole = weave_calls.verdict_calls(VerdictGiven(verdict(), call()), "chance", PROJECT)

    start, end = weave_calls.halves(whole)

    assert (start["mode"], end["mode"]) == ("start", "end")
    assert start["req"]["start"] | end["req"]["end"] == whole
    assert set(end["req"]["end"]) == {"project_id", "id", "ended_at", "output", "summary"}


def test_a_picture_without_a_verdict_becomes_a_failed_call() -> None:
    given = call()
    event = PictureFailed("x", Failed("PictureTooLargeError", "too large"), given, 12.5)

    (failed,) = weave_calls.failed_calls(event, "remarkable", PROJECT)

    assert failed["id"] == weave_calls.call_id(given.id)
    assert json.loads(failed["exception"]) == {"type": "PictureTooLargeError", "message": "too large"}
    assert "output" not in failed
    assert failed["summary"]["status_counts"] == {"success": 0, "error": 1}
    assert abs(seconds(failed["ended_at"]) - seconds(failed["started_at"]) - 0.0125) < 1e-6


def test_the_truth_becomes_feedback_and_a_thumb() -> None:
    name = call().id
    event = FeedbackGiven(name, verdict(), BEGAN, label=False, note="a bus")

    truth, thumb = weave_calls.truth_feedback(event, PROJECT)

    assert truth["weave_ref"] == thumb["weave_ref"] == f"weave:///{PROJECT}/call/{uuid.UUID(name)}"
    assert truth["feedback_type"] == "natix_cascade.truth"
    assert truth["payload"]["was_right"] is False
    assert truth["payload"]["label"] is False
    assert truth["payload"]["note"] == "a bus"
    assert thumb["payload"] == {"emoji": "\N{THUMBS DOWN SIGN}"}
    assert truth["id"] != thumb["id"]
    later = weave_calls.truth_feedback(FeedbackGiven(name, verdict(), BEGAN + 1, label=True), PROJECT)
    assert later[0]["id"] != truth["id"]  # somebody has thought again


def test_a_verdict_that_was_not_kept_is_told_with_its_truth_at_its_own_time() -> None:
    name = call().id
    event = FeedbackGiven(name, verdict(), BEGAN, label=True)

    *_, whole = weave_calls.late_calls(event, PROJECT)

    assert whole["id"] == weave_calls.call_id(name)
    assert abs(seconds(whole["started_at"]) - int(name[:12], 16) / 1000) < 1e-6
    assert whole["attributes"]["natix"]["kept"] == "feedback"


def test_a_score_is_the_judges_feedback() -> None:
    name = call().id
    event = ScoreGiven(name, "qwen", "roadwork@1", None, "too dark", 1e-4, 250.0)

    item = weave_calls.score_feedback(event, PROJECT, "digest")

    assert item["feedback_type"] == "wandb.runnable.natix-judge"
    assert item["runnable_ref"] == f"weave:///{PROJECT}/object/natix-judge:digest"
    assert item["payload"]["output"]["score"] is None
    assert item["payload"]["output"]["abstained"] is True
    assert weave_calls.judge_object(event, PROJECT)["val"]["rubric"] == "roadwork@1"


def test_weave_is_not_needed_for_it() -> None:
    assert "weave" not in sys.modules
