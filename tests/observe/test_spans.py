"""The tree of spans: ids, times, what stands in it and what does not."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # for told.py: test folders are not packages
from told import BEGAN, ID, PARENT, TRACE, call, failure, observation, opinion, verdict

from natix_cascade.errors import CorruptPictureError
from natix_cascade.observe import attributes
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.spans import Span, spans_of
from natix_cascade.observe.wire import decode, encode
from natix_cascade.run.events import BreakerChanged, VerdictGiven

MS = 1_000_000
START = round(BEGAN * 1e9)


def by_name(spans: tuple[Span, ...]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def everything(spans: tuple[Span, ...]) -> str:
    return repr(spans)


def test_a_verdict_is_a_request_its_levels_and_their_models() -> None:
    begun = call()
    spans = spans_of(observation(of=begun))
    assert [span.name for span in spans] == [
        "detect roadwork",
        "level first",
        "gate",
        "level second",
        "lite",
        "far",
    ]
    found = by_name(spans)
    request = found["detect roadwork"]
    assert (request.place.trace_id, request.place.span_id, request.place.parent_id) == (ID, begun.trace.span_id, None)
    assert request.is_request
    for level, models in (("first", ["gate"]), ("second", ["lite", "far"])):
        span = found[f"level {level}"]
        assert span.place == begun.trace.child(level)
        assert span.place.parent_id == request.place.span_id
        for model in models:
            assert found[model].place.span_id == begun.trace.child(model).span_id  # as its server was told
            assert found[model].place.parent_id == span.place.span_id
    assert not any(span.is_request for span in spans[1:])
    assert {span.attributes["openinference.span.kind"] for span in spans[:2]} == {"CHAIN"}
    assert found["lite"].attributes["openinference.span.kind"] == "DECISION"


def test_within_a_client_s_trace_the_request_hangs_on_the_client_s_span() -> None:
    spans = spans_of(observation(of=call(within=True, state="vendor=1")))
    assert {span.place.trace_id for span in spans} == {TRACE}
    assert spans[0].place.parent_id == PARENT
    assert {span.place.state for span in spans} == {"vendor=1"}
    assert spans[0].attributes["natix.verdict_id"] == ID


def test_times_are_those_of_the_work() -> None:
    found = by_name(spans_of(observation()))
    request = found["detect roadwork"]
    assert (request.began_ns, request.ended_ns) == (START, START + 45 * MS)  # 5 ms until its way began, then 40
    assert (found["level first"].began_ns, found["level first"].ended_ns) == (START + 6 * MS, START + 10 * MS)
    assert (found["gate"].began_ns, found["gate"].ended_ns) == (START + 6 * MS, START + 10 * MS)
    assert (found["level second"].began_ns, found["level second"].ended_ns) == (START + 11 * MS, START + 41 * MS)
    assert (found["lite"].began_ns, found["lite"].ended_ns) == (START + 11 * MS, START + 21 * MS)


times = st.floats(0, 1e5, allow_nan=False)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | times, times), min_size=1, max_size=8),
    times,
    times,
)
def test_children_lie_within_their_parents(asked: list[tuple[str, Any, float]], latency: float, waited: float) -> None:
    opinions = [opinion(f"m{i}", level, began, took) for i, (level, began, took) in enumerate(asked)]
    event = VerdictGiven(verdict(*opinions, latency_ms=latency), call(), waited_ms=waited)
    spans = spans_of(Observation(event, "chance"))
    places = {span.place.span_id: span for span in spans}
    assert len(places) == len(spans) == 1 + len({level for level, _, _ in asked}) + len(asked)
    for span in spans:
        assert span.began_ns <= span.ended_ns
        if span.place.parent_id is not None:
            parent = places[span.place.parent_id]
            assert parent.began_ns <= span.began_ns
            assert span.ended_ns <= parent.ended_ns


def test_a_level_that_is_called_like_a_model_has_another_id() -> None:
    spans = spans_of(observation(verdict(opinion("gate", "gate", 0.0, 1.0))))
    assert len({span.place.span_id for span in spans}) == 3
    assert by_name(spans)["gate"].place.span_id == call().trace.child("gate").span_id


def test_what_a_request_says_of_itself() -> None:
    given = spans_of(observation(share=0.25))[0].attributes
    assert given["input.value"] == "sha256:" + "ab" * 32
    assert json.loads(str(given["output.value"])) == {
        "detected": True,
        "probability": 0.93,
        "confidence": 0.93,
        "exit_level": "second",
        "exit_reason": "last_level",
    }
    expected = {
        "natix.verdict_id": ID,
        "natix.exit_level": "second",
        "natix.exit_reason": "last_level",
        "natix.consensus_ratio": 1.0,
        "natix.degraded": True,
        "natix.disputed": False,
        "natix.kept": "chance",
        "natix.adjusted_count": 4.0,
        "natix.cascade": "embedded@1",
        "natix.policy": "embedded@2",
        "natix.levels": ("first", "second"),
        "natix.failed_models": ("far",),
        "natix.cost_usd": pytest.approx(0.003),
    }
    assert {name: given[name] for name in expected} == expected
    assert json.loads(str(given["metadata"]))["policy"] == "embedded@2"


@pytest.mark.parametrize(("kept", "share"), [("client", 0.5), ("remarkable", 0.5), ("always", 0.5), ("chance", 0.0)])
def test_only_what_was_drawn_by_chance_stands_for_others(kept: Any, share: float) -> None:
    given = spans_of(observation(kept=kept, share=share))[0].attributes
    assert given["natix.kept"] == kept
    assert "natix.adjusted_count" not in given


def test_what_a_model_says() -> None:
    found = by_name(spans_of(observation()))
    lite, far = found["lite"], found["far"]
    assert lite.problem is None
    assert lite.attributes["decision.model_name"] == "lite"
    assert json.loads(str(lite.attributes["output.value"])) == {"score": 0.6, "probability": 0.7}
    assert (lite.attributes["natix.queue_ms"], lite.attributes["natix.batch_size"]) == (0.5, 4)
    assert far.problem == "no answer for (picture)"
    assert "natix.score" not in far.attributes
    assert found["level second"].problem is None


def test_a_level_fails_when_nobody_in_it_answers() -> None:
    mute = opinion("b", "second", 5, 1, score=None, probability=None, failure="broken")
    found = by_name(spans_of(observation(verdict(opinion("a", "first", 0, 1), mute))))
    assert found["level second"].problem == "no model of it answered"
    assert found["level first"].problem is None
    assert found["detect roadwork"].problem is None  # there is an answer
    assert [moment.name for moment in found["detect roadwork"].moments] == ["degraded"]


def test_a_model_without_an_opinion_has_not_failed() -> None:
    silent = opinion("a", "first", 0, 1, score=None, probability=None)
    span = by_name(spans_of(observation(verdict(silent, opinion("b", "first", 0, 1)))))["a"]
    assert span.problem is None
    assert json.loads(str(span.attributes["output.value"])) == {"score": None, "probability": None}


def test_a_failure_is_an_error_with_its_type() -> None:
    here = failure(CorruptPictureError("/home/anna/a.jpg: the JPEG ends early"))
    for each in (here, decode(encode(here))):  # in this process, and from another one
        (span,) = spans_of(each)
        assert (span.name, span.problem) == ("detect", "(picture): the JPEG ends early")
        assert (span.began_ns, span.ended_ns) == (START, START + 15 * MS)
        assert span.is_request
        (moment,) = span.moments
        assert moment.name == "exception"
        assert moment.attributes == {
            "exception.type": "CorruptPictureError",
            "exception.message": "(picture): the JPEG ends early",
        }
        assert span.attributes["natix.kept"] == "remarkable"


def test_an_error_without_words_has_its_name() -> None:
    (span,) = spans_of(failure(TimeoutError()))
    assert span.problem == "TimeoutError"


def test_what_is_of_no_request_has_no_span() -> None:
    assert spans_of(Observation(BreakerChanged("gate", 0, "open"))) == ()
    assert spans_of(Observation(VerdictGiven(verdict()))) == ()


def test_names_pixels_and_what_is_written_in_a_picture_stay_here() -> None:
    shown = everything(spans_of(observation(picture=b"\xff\xd8jpeg")))
    for private in ("anna", "a.jpg", "ELM STREET", "data:image", "base64"):
        assert private not in shown


def test_pixels_and_what_was_seen_in_them_are_sent_where_asked() -> None:
    spans = spans_of(observation(picture=b"\xff\xd8jpeg"), pixels=True)
    assert spans[0].attributes["input.images.0.image.url"] == "data:image/jpeg;base64,/9hqcGVn"
    assert "data:image" not in everything(spans[1:])  # once is enough
    seen = json.loads(str(by_name(spans)["lite"].attributes["output.value"]))["evidence"]
    assert seen["text"] == "ELM STREET CLOSED"
    assert "anna" not in everything(spans)
    unseen = spans_of(observation(), pixels=True)[0].attributes
    assert not any("image" in name for name in unseen)


def test_a_picture_s_name_is_cut_out_of_sentences_as_a_word() -> None:
    assert attributes.said("a.b: bad, a.b is xa.b", "a.b") == "(picture): bad, (picture) is xa.b"
    assert attributes.said("as it was", "") == "as it was"
    assert len(attributes.said("x" * 5000, "")) == 1000


def test_the_wire_changes_nothing() -> None:
    sent = observation(replace(verdict(), opinions=verdict().opinions), picture=b"jpeg")
    assert spans_of(decode(encode(sent))) == spans_of(sent)


def test_the_names_are_openinference_s() -> None:
    semconv = pytest.importorskip("openinference.semconv.trace")
    names = semconv.SpanAttributes
    assert attributes._KIND == names.OPENINFERENCE_SPAN_KIND
    assert (attributes._INPUT, attributes._INPUT_TYPE) == (names.INPUT_VALUE, names.INPUT_MIME_TYPE)
    assert (attributes._OUTPUT, attributes._OUTPUT_TYPE) == (names.OUTPUT_VALUE, names.OUTPUT_MIME_TYPE)
    assert f"{names.INPUT_IMAGES}.0.{semconv.ImageAttributes.IMAGE_URL}" == attributes._IMAGE
    assert attributes._METADATA == names.METADATA
    assert (attributes._MODEL, attributes._SYSTEM) == (names.DECISION_MODEL_NAME, names.DECISION_SYSTEM)
    kinds = {span.attributes[attributes._KIND] for span in spans_of(observation())}
    assert kinds <= {each.value for each in semconv.OpenInferenceSpanKindValues}
    known = {value for name, value in vars(names).items() if name.isupper()}
    for span in spans_of(observation(picture=b"jpeg"), pixels=True):
        for name in span.attributes:
            assert name in known or name.startswith("natix.") or name == attributes._IMAGE
