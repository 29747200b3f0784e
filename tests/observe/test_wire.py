from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import DeadlineError
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.wire import Failed, decode, encode
from natix_cascade.run.events import (
    BreakerChanged,
    Call,
    CascadeLoaded,
    FeedbackGiven,
    LevelStarted,
    PictureFailed,
    ScoreGiven,
    VerdictGiven,
)
from natix_cascade.testing.verdicts import some_verdict
from natix_cascade.trace import TraceContext

CALL = Call("0" * 31 + "1", 1_700_000_000.25, TraceContext("a" * 32, "b" * 16, "c" * 16, sampled=True, state="x=1"))


def test_a_verdict_comes_through_with_its_call_and_its_picture() -> None:
    sent = Observation(VerdictGiven(some_verdict(), CALL, b"original"), "chance", b"\xff\xd8jpeg\x00")
    got = decode(encode(sent))
    assert (got.kept, got.picture) == ("chance", b"\xff\xd8jpeg\x00")
    assert isinstance(got.event, VerdictGiven)
    assert got.event.call == CALL
    assert got.event.source is None
    assert got.event.verdict.as_dict() == some_verdict().as_dict()


def test_a_failure_comes_through_by_name_and_words() -> None:
    got = decode(encode(Observation(PictureFailed("x", DeadlineError("too late"), CALL, 12.5), "remarkable"))).event
    assert isinstance(got, PictureFailed)
    assert isinstance(got.error, Failed)
    assert (got.error.kind, str(got.error), got.latency_ms, got.call) == ("DeadlineError", "too late", 12.5, CALL)


@pytest.mark.parametrize(
    "event",
    [
        BreakerChanged("m", 0, "open"),
        CascadeLoaded("c@1", "p@1", {"mcc": 0.8}),
        ScoreGiven("v", "judge", "roadwork@1", 0.5, "cones", 0.001, 20.0),
    ],
)
def test_plain_events_come_through_as_they_are(event: BreakerChanged | CascadeLoaded | ScoreGiven) -> None:
    assert decode(encode(Observation(event))) == Observation(event)


def test_feedback_comes_through_with_its_verdict() -> None:
    got = decode(encode(Observation(FeedbackGiven("v", some_verdict(), 5.0, label=False, note="no")))).event
    assert isinstance(got, FeedbackGiven)
    assert (got.verdict_id, got.created, got.label, got.note, got.was_right) == ("v", 5.0, False, "no", False)
    assert got.verdict.as_dict() == some_verdict().as_dict()


def test_numbers_that_json_does_not_know_do_not_stop_it() -> None:
    event = VerdictGiven(replace(some_verdict(), gmacs=float("nan")), CALL)
    with pytest.raises(ValueError, match="no observation"):
        decode(encode(Observation(event)))


def test_levels_stay_where_they_are() -> None:
    with pytest.raises(TypeError, match="LevelStarted"):
        encode(Observation(LevelStarted("x", "gate", ("m",))))


@given(st.binary(max_size=200))
def test_what_is_no_observation_is_refused_in_one_way(message: bytes) -> None:
    with pytest.raises(ValueError, match="no observation"):
        decode(message)
