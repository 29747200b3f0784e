"""Spans at a real collector: what arrives, and what happens when it is dead, hangs, refuses or leads elsewhere."""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for told.py and otlp_receiver.py: test folders are not packages
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra traces")

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from otlp_receiver import OtlpReceiver, eventually, hanging, nobody, values
from told import BEGAN, ID, PARENT, TRACE, call, failure, observation

from natix_cascade.errors import CascadeError, CorruptPictureError, SecretError
from natix_cascade.observe import tracing
from natix_cascade.observe.build import check, observers, traces_of
from natix_cascade.observe.hub import Hub
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import ObserveOptions, PhoenixOptions, TraceOptions
from natix_cascade.observe.tracing import Tracer
from natix_cascade.run.events import BreakerChanged
from natix_cascade.trace import TraceContext, new_id

SPANS = 6  # of one verdict of `told`


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as found:
        yield found


def another() -> Observation:
    name = new_id()
    return observation(of=call(id=name))


def test_the_tree_arrives_as_it_is(receiver: OtlpReceiver) -> None:
    tracer = Tracer(TraceOptions(url=receiver.url, project="street"))
    begun = call(within=True, state="vendor=1")
    tracer(observation(of=begun, share=0.25))
    tracer.close()
    spans = {span.name: span for span in receiver.spans(SPANS)}
    assert len(spans) == SPANS
    request, level, lite, far = (spans[name] for name in ("detect roadwork", "level second", "lite", "far"))
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert request.span_id.hex() == begun.trace.span_id
    assert level.parent_span_id == request.span_id
    assert lite.parent_span_id == far.parent_span_id == level.span_id
    assert far.span_id.hex() == begun.trace.child("far").span_id
    assert request.start_time_unix_nano == round(BEGAN * 1e9)
    assert request.end_time_unix_nano - request.start_time_unix_nano == 45_000_000
    assert {span.trace_state for span in spans.values()} == {"vendor=1"}
    given = values(request.attributes)
    assert given["natix.adjusted_count"] == 4.0
    assert given["natix.levels"] == ["first", "second"]
    assert given["natix.degraded"] is True
    assert request.status.code == request.status.STATUS_CODE_OK
    assert (far.status.code, far.status.message) == (far.status.STATUS_CODE_ERROR, "no answer for (picture)")
    assert [event.name for event in request.events] == ["degraded"]
    assert (request.kind, lite.kind) == (request.SPAN_KIND_SERVER, request.SPAN_KIND_INTERNAL)
    (resource,) = {tuple(sorted((k, str(v)) for k, v in each.items())) for each in receiver.resources()}
    told = dict(resource)
    assert told["service.name"] == told["openinference.project.name"] == "street"
    assert {"service.version", "host.name"} <= set(told)


def test_failures_arrive_and_what_has_no_span_does_not(receiver: OtlpReceiver) -> None:
    tracer = Tracer(TraceOptions(url=receiver.url))
    tracer(Observation(BreakerChanged("gate", 0, "open")))
    tracer(failure(CorruptPictureError("it ends early")))
    tracer.close()
    (span,) = receiver.spans(1)
    assert (span.status.code, span.status.message) == (span.status.STATUS_CODE_ERROR, "it ends early")
    assert values(span.events[0].attributes)["exception.type"] == "CorruptPictureError"
    assert "natix.adjusted_count" not in values(span.attributes)


def test_pixels_are_sent_only_where_asked(receiver: OtlpReceiver) -> None:
    for pixels in (False, True):
        tracer = Tracer(TraceOptions(url=receiver.url, pixels=pixels))
        tracer(observation(of=call(id=new_id()), picture=b"jpeg"))
        tracer.close()
    shown = ["input.images.0.image.url" in values(span.attributes) for span in receiver.spans(2 * SPANS)]
    assert shown.count(True) == 1
    assert not any(shown[:SPANS])


def test_any_exporter_will_do() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(TraceOptions(url="http://unused"), exporter=exporter)
    tracer(observation())
    tracer.close()
    request, *_, far = exporter.get_finished_spans()
    assert request.kind is SpanKind.SERVER
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" == ID
    assert request.parent is None
    assert far.status.status_code is StatusCode.ERROR
    assert far.parent is not None
    assert not far.parent.is_remote
    assert request.attributes is not None
    assert request.attributes["natix.adjusted_count"] == 1.0


def test_many_are_sent_in_few_batches_and_none_is_lost(receiver: OtlpReceiver) -> None:
    tracer = Tracer(TraceOptions(url=receiver.url))
    for _ in range(200):
        tracer(another())
    tracer.close()
    spans = receiver.spans(200 * SPANS)
    assert len(spans) == len({span.span_id for span in spans}) == 200 * SPANS
    assert len(receiver.requests) <= 10


def test_a_single_verdict_arrives_without_waiting_for_others(receiver: OtlpReceiver) -> None:
    tracer = Tracer(TraceOptions(url=receiver.url))
    tracer(observation())
    began = time.monotonic()
    assert len(receiver.spans(SPANS)) == SPANS
    assert time.monotonic() - began < 10
    tracer.close()


# --- secrets --------------------------------------------------------------------------------------------------------


def test_headers_are_references_and_are_read_anew_when_refused(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "old")
    monkeypatch.setenv("COLLECTOR_TENANT", "roads")
    receiver.key = "Bearer old"
    headers = {"Authorization": "Bearer env:COLLECTOR_KEY", "X-Scope-OrgID": "env:COLLECTOR_TENANT"}
    tracer = Tracer(TraceOptions(url=receiver.url, headers=headers))
    tracer(another())
    receiver.spans(SPANS)
    receiver.key = "Bearer new"
    monkeypatch.setenv("COLLECTOR_KEY", "new")
    tracer(another())
    receiver.spans(2 * SPANS)
    tracer(another())
    tracer.close()
    assert len(receiver.spans(3 * SPANS)) == 3 * SPANS
    assert [each["authorization"] for each in receiver.requests] == ["Bearer old"] * 2 + ["Bearer new"] * 2
    assert {each["x-scope-orgid"] for each in receiver.requests} == {"roads"}


def test_a_key_that_is_never_taken_is_said_without_it(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "sk-verysecret")
    receiver.key = "another"
    url = receiver.url.replace("//", "//anna:secret@") + "?token=secret"
    tracer = Tracer(TraceOptions(url=url, headers={"authorization": "env:COLLECTOR_KEY"}))
    tracer(observation())
    with pytest.raises(CascadeError, match=r"answered 40[14]") as caught:
        tracer.close()
    assert "secret" not in str(caught.value)
    assert f"{SPANS} spans" in str(caught.value)


def test_a_reference_that_leads_nowhere_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLLECTOR_KEY", raising=False)
    with pytest.raises(SecretError, match="COLLECTOR_KEY"):
        Tracer(TraceOptions(url="http://127.0.0.1:1/v1/traces", headers={"a": "env:COLLECTOR_KEY"}))
    with pytest.raises(SecretError) as caught:
        Tracer(TraceOptions(url="http://127.0.0.1:1/v1/traces", headers={"a": "sk-literal"}))
    assert "sk-literal" not in str(caught.value)


def test_headers_do_not_follow_a_redirect(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "sk-verysecret")
    with OtlpReceiver() as thief:
        receiver.status, receiver.location = 307, thief.url
        tracer = Tracer(TraceOptions(url=receiver.url, headers={"x-api-key": "env:COLLECTOR_KEY"}))
        tracer(observation())
        with pytest.raises(CascadeError, match="answered 307"):
            tracer.close()
        assert thief.requests == []


# --- a collector that is dead, hangs, or refuses --------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_TIMEOUT_S", 0.5)
    monkeypatch.setattr(tracing, "_CLOSE_S", 0.5)
    monkeypatch.setattr(tracing, "_WAIT_S", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_dead_collector_costs_a_line_and_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed: list[str] = []
    tracer = Tracer(TraceOptions(url=nobody()))
    hub = Hub([tracer], failed=failed.append)

    def told_again() -> bool:
        hub(another())
        return len(failed) >= 3

    with caplog.at_level(logging.DEBUG):
        eventually(told_again)
        assert hub.close(10)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1  # neither the SDK nor what it sends with says anything
    assert "spans were not taken by http://127.0.0.1:" in lines[0].getMessage()
    assert "no connection" in lines[0].getMessage()
    assert lines[0].exc_info is None


@pytest.mark.usefixtures("impatient")
def test_a_collector_that_hangs_holds_up_nobody() -> None:
    with hanging() as url:
        tracer = Tracer(TraceOptions(url=url))
        began = time.monotonic()
        tracer(observation())
        assert time.monotonic() - began < 0.3
        time.sleep(0.2)  # it is being sent
        began = time.monotonic()
        with pytest.raises(CascadeError, match=f"{SPANS} spans were not taken"):
            tracer.close()
        assert time.monotonic() - began < 3.0


def test_the_limits_are_the_promised_ones() -> None:
    assert tracing._TIMEOUT_S == 5.0
    assert tracing._CLOSE_S == 3.0


@pytest.mark.slow
def test_a_collector_that_hangs_ends_within_the_promised_limits() -> None:
    with hanging() as url:
        tracer = Tracer(TraceOptions(url=url))
        tracer(observation())
        time.sleep(1.5)
        began = time.monotonic()
        with pytest.raises(CascadeError):
            tracer.close()
        assert 2.5 < time.monotonic() - began < 4.0


@pytest.mark.usefixtures("impatient")
def test_what_waits_is_bounded_and_what_is_lost_is_counted() -> None:
    tracer = Tracer(TraceOptions(url="http://unused"), exporter=_Stuck())
    told = 0
    for _ in range(3000):
        try:
            tracer(another())
        except CascadeError as error:
            told += int(str(error).split()[0])
    with pytest.raises(CascadeError) as caught:
        tracer.close()
    told += int(str(caught.value).split()[0])
    assert told == 3000 * SPANS
    outbox = tracer._outbox
    assert outbox._spans <= tracing._MOST


@pytest.mark.usefixtures("impatient")
def test_pictures_that_wait_are_bounded_by_their_size() -> None:
    tracer = Tracer(TraceOptions(url="http://unused", pixels=True), exporter=_Stuck())
    big = b"x" * (8 * 1024 * 1024)
    lost = 0
    for _ in range(16):
        try:
            tracer(observation(of=call(id=new_id()), picture=big))
        except CascadeError:
            lost += 1
    assert lost >= 16 - tracing._MOST_BYTES // len(big) - 1  # one may be under way
    with pytest.raises(CascadeError):
        tracer.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_a_collector_that_refuses_is_quoted_and_heard_again(receiver: OtlpReceiver, status: int) -> None:
    receiver.status = status
    tracer = Tracer(TraceOptions(url=receiver.url))
    tracer(another())
    receiver.asked(1)

    def is_told() -> bool:
        try:
            tracer(Observation(BreakerChanged("gate", 0, "open")))
        except CascadeError as error:
            assert f"it answered {status}" in str(error)  # noqa: PT017  # not every call raises
            return True
        return False

    eventually(is_told)
    receiver.status = 200
    tracer(another())
    tracer.close()
    assert len(receiver.spans(SPANS)) == SPANS


def test_an_exporter_that_raises_does_not_end_the_thread() -> None:
    tracer = Tracer(TraceOptions(url="http://unused"), exporter=_Raising())
    tracer(another())
    with pytest.raises(CascadeError, match="KeyError"):
        tracer.close()


def test_the_sdk_s_lines_of_other_threads_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    import threading

    with tracing._Quiet():
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").warning("mine")
        other = threading.Thread(
            target=logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").warning, args=("theirs",)
        )
        other.start()
        other.join()
    assert [record.getMessage() for record in caplog.records] == ["theirs"]


# --- how it is made -------------------------------------------------------------------------------------------------


def test_it_is_made_where_traces_are_wanted(tmp_path: Path, receiver: OtlpReceiver) -> None:
    options = ObserveOptions(traces=TraceOptions(url=receiver.url))
    check(options)
    (made,) = observers(options, tmp_path, lambda _: None)
    assert made.name == "traces"
    made(observation(share=0.1))
    made.close()
    assert values(receiver.spans(1)[0].attributes)["natix.adjusted_count"] == pytest.approx(10.0)
    assert observers(ObserveOptions(), tmp_path, lambda _: None) == []


def test_they_go_to_phoenix_where_no_collector_is_named(receiver: OtlpReceiver) -> None:
    phoenix = PhoenixOptions(url="http://phoenix:6006/", api_key="env:PHOENIX_KEY", project="roads")
    found = traces_of(ObserveOptions(phoenix=phoenix))
    assert found == TraceOptions(
        url="http://phoenix:6006/v1/traces", headers={"authorization": "Bearer env:PHOENIX_KEY"}, project="roads"
    )
    own = TraceOptions(url=receiver.url)
    assert traces_of(ObserveOptions(phoenix=phoenix, traces=own)) is own
    assert traces_of(ObserveOptions()) is None


def test_a_missing_package_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from natix_cascade.errors import MissingExtraError

    options = ObserveOptions(traces=TraceOptions(url="http://127.0.0.1:4318/v1/traces"))

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    for found in (absent, lambda _: None):
        with monkeypatch.context() as patched:
            patched.setattr("importlib.util.find_spec", found)
            with pytest.raises(MissingExtraError, match=r"natix-cascade\[traces\]"):
                check(options)
            check(ObserveOptions())
    assert importlib.util.find_spec("natix_cascade.observe.tracing") is not None


@pytest.mark.parametrize("within", [True, False])
def test_an_unsampled_trace_that_was_drawn_is_sent_all_the_same(receiver: OtlpReceiver, within: bool) -> None:  # noqa: FBT001
    parent = f"00-{TRACE}-{PARENT}-00" if within else None
    begun = call()
    begun = type(begun)(begun.id, begun.began, TraceContext.of_request(begun.id, parent))
    assert not begun.trace.sampled
    tracer = Tracer(TraceOptions(url=receiver.url))
    tracer(observation(of=begun))
    tracer.close()
    assert len(receiver.spans(SPANS)) == SPANS


class _Stuck(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
        time.sleep(60)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class _Raising(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        raise KeyError(str(len(spans)))

    def shutdown(self) -> None:
        pass
