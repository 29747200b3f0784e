"""Observing in the process of a program that uses a cascade as a library."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for otlp_receiver.py: test folders are not packages
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra traces")

from otlp_receiver import OtlpReceiver, hanging, nobody, values

from natix_cascade import Cascade
from natix_cascade.errors import PictureError, SecretError
from natix_cascade.observe.local import LocalListener, listener
from natix_cascade.observe.options import ObserveOptions, TraceOptions
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import ScriptedModel, render_scene, scripted_cascade
from natix_cascade.testing.chat import PretendedChat, ask_card


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as found:
        yield found


@pytest.fixture(scope="module")
def scene() -> bytes:
    return render_scene(1, roadwork=True, size=(320, 180)).jpeg()


def options(url: str, share: float = 1.0) -> ObserveOptions:
    return ObserveOptions(share=share, traces=TraceOptions(url=url))


def cascade(*listeners: LocalListener) -> Cascade:
    resolved, models = scripted_cascade([ScriptedModel("a", 0.6), ScriptedModel("b", 0.9)])
    return Cascade(LoadedCascade(resolved, {}, models=models), listeners=listeners)


def test_each_verdict_and_failure_of_a_library_s_cascade_is_traced(receiver: OtlpReceiver, scene: bytes) -> None:
    with listener(options(receiver.url)) as heard, cascade(heard) as asked:
        verdict = asked.detect(scene, name="private/a.jpg")
        with pytest.raises(PictureError):
            asked.detect(b"no picture", name="private/b.jpg")
    spans = receiver.spans(4)
    requests = [span for span in spans if span.kind == span.SPAN_KIND_SERVER]
    assert len(requests) == 2
    good = next(span for span in requests if span.name.startswith("detect "))
    given = values(good.attributes)
    assert given["input.value"] == f"sha256:{verdict.sha256}"
    assert given["natix.probability"] == verdict.probability
    assert given["natix.verdict_id"] == good.trace_id.hex()
    assert {span.trace_id for span in spans if span.trace_id != good.trace_id} == {
        next(span for span in requests if span is not good).trace_id
    }
    assert not any(b"private" in span.SerializeToString() for span in spans)
    now = time.time_ns()
    assert all(now - 60 * 10**9 < span.start_time_unix_nano <= span.end_time_unix_nano <= now for span in spans)


def test_a_server_s_spans_fit_into_the_tree(receiver: OtlpReceiver, scene: bytes) -> None:
    from natix_cascade.spec.endpoints import Endpoint, Endpoints

    with PretendedChat(0.97) as server:
        resolved, _ = scripted_cascade([ScriptedModel("far", card=ask_card("far", served_as="tiny"))])
        endpoints = Endpoints(models={"far": (Endpoint(url=server.url),)})
        loaded = LoadedCascade(resolved, {"far": Path()}, models={}, endpoints=endpoints)
        with listener(options(receiver.url)) as heard, Cascade(loaded, listeners=[heard]) as asked:
            asked.detect(scene)
    far = next(span for span in receiver.spans(3) if span.name == "far")
    assert set(server.traces) == {(f"00-{far.trace_id.hex()}-{far.span_id.hex()}-01", "")}


def test_what_is_not_drawn_is_not_sent(receiver: OtlpReceiver, scene: bytes) -> None:
    with listener(options(receiver.url, share=0.0)) as heard, cascade(heard) as asked:
        assert heard.share == 0.0
        asked.detect(scene)
    assert receiver.requests == []


def test_a_state_folder_of_its_own_ends_with_it(receiver: OtlpReceiver, tmp_path: Path) -> None:
    heard = listener(options(receiver.url), tmp_path / "mine")
    heard.close()
    heard.close()
    with pytest.raises(SecretError, match="NOT_SET_ANYWHERE"):
        listener(
            ObserveOptions(traces=TraceOptions(url=receiver.url, headers={"a": "env:NOT_SET_ANYWHERE"})),
        )


def test_a_collector_that_is_dead_or_hangs_does_not_show(scene: bytes) -> None:
    with hanging() as silent:
        for url in (nobody(), silent):
            with listener(options(url)) as heard, cascade(heard) as asked:
                asked.detect(scene)
                began = time.monotonic()
                answers = [asked.detect(scene).probability for _ in range(50)]
                assert time.monotonic() - began < 5
                assert len(set(answers)) == 1
