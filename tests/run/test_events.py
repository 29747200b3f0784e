from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from natix_cascade.errors import DeadlineError, ModelError, PictureError
from natix_cascade.image import Picture
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.events import Call, Event, LevelFinished, LevelStarted, Listeners, PictureFailed, VerdictGiven
from natix_cascade.spec.rules import Agreement, Threshold
from natix_cascade.testing import ScriptedLevel, ScriptedModel

CascadeOf = Callable[..., Cascade]
Grey = Callable[[int], Picture]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_picture_tells_its_way(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    middle = ScriptedLevel(
        models=(ScriptedModel("b", 0.95), ScriptedModel("c", fault="error")), exit=Threshold(yes=0.7, no=0.1)
    )
    cascade = cascade_of([ScriptedModel("a", 0.5), middle, ScriptedModel("d", 0.5)], listeners=[seen.append])
    verdict = cascade.detect(grey(1))
    assert kinds(seen) == ["LevelStarted", "LevelFinished", "LevelStarted", "LevelFinished", "VerdictGiven"]
    one, two, given = seen[1], seen[3], seen[4]
    assert isinstance(given, VerdictGiven)
    assert seen[0] == LevelStarted("grey-1", "level-1", ("a",), given.call)
    assert seen[2] == LevelStarted("grey-1", "level-2", ("b", "c"), given.call)
    assert isinstance(one, LevelFinished)
    assert isinstance(two, LevelFinished)
    assert one.call == two.call == given.call
    assert (one.picture, one.level, one.exited, one.opinions) == ("grey-1", "level-1", False, verdict.opinions[:1])
    assert (two.level, two.exited, two.opinions) == ("level-2", True, verdict.opinions[1:])
    assert one.latency_ms > 0
    assert given.verdict is verdict


def test_where_somebody_listens_each_picture_begins_a_call_of_its_own(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    cascade = cascade_of([ScriptedModel("a", 0.9)], listeners=[seen.append])
    before = time.time()
    cascade.detect(grey(1))
    with pytest.raises(PictureError):
        cascade.detect(b"no picture")
    calls = [event.call for event in seen if isinstance(event, VerdictGiven | PictureFailed)]
    assert all(call is not None for call in calls)
    first, second = calls
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert first.trace.trace_id == first.id
    assert not first.trace.sampled
    assert before - 0.01 < first.began < time.time() + 0.01


def test_a_call_that_begins_here_is_kept_as_often_as_the_listener_says(cascade_of: CascadeOf, grey: Grey) -> None:
    class Drawing:
        share = 1.0

        def __init__(self) -> None:
            self.events: list[Event] = []

        def __call__(self, event: Event) -> None:
            self.events.append(event)

    drawing = Drawing()
    cascade_of([ScriptedModel("a", 0.9)], listeners=[drawing, lambda _: None]).detect(grey(1))
    given = drawing.events[-1]
    assert isinstance(given, VerdictGiven)
    assert given.call is not None
    assert given.call.trace.sampled
    assert Listeners([drawing]).with_one(lambda _: None).share == 1.0
    assert Listeners().share == 0.0


def test_the_wait_before_a_picture_s_way_is_told(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    cascade = cascade_of([ScriptedModel("a", 0.9)], listeners=[seen.append])
    begun = replace(Call.begin(), began=time.time() - 2.0)
    runner = cascade._engine().runner
    asyncio.run(runner.detect(grey(1), call=begun))
    with pytest.raises(PictureError):
        asyncio.run(runner.detect(b"no picture", call=begun))
    given, failed = (event for event in seen if isinstance(event, VerdictGiven | PictureFailed))
    assert given.call is begun
    assert 2000 <= given.waited_ms < 30_000
    assert 2000 <= failed.waited_ms < 30_000


def test_until_agreement_is_one_level_with_one_beginning_and_end(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    models = tuple(ScriptedModel(name, p) for name, p in (("a", 0.8), ("b", 0.7), ("c", 0.9)))
    level = ScriptedLevel(models=models, mode="until-agreement", exit=Agreement(members=2))
    cascade_of([level, ScriptedModel("d", 0.5)], listeners=[seen.append]).detect(grey(1))
    assert kinds(seen) == ["LevelStarted", "LevelFinished", "VerdictGiven"]
    assert isinstance(seen[1], LevelFinished)
    assert [o.model for o in seen[1].opinions] == ["a", "b"]


def test_mode_one_tells_who_is_asked(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    level = ScriptedLevel(
        models=(ScriptedModel("low", 0.5), ScriptedModel("high", 0.5)),
        mode="one",
        bands={"low": (0.0, 0.5), "high": (0.5, 1.0)},
    )
    cascade_of([ScriptedModel("a", 0.7), level], listeners=[seen.append]).detect(grey(1))
    assert isinstance(seen[2], LevelStarted)
    assert (seen[2].level, seen[2].models) == ("level-2", ("high",))


def test_a_level_that_only_counts_tells_its_beginning_and_end(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    levels = [
        ScriptedModel("a", 0.7),
        ScriptedLevel(models=(), name="count"),
        ScriptedModel("b", 0.6),
        ScriptedLevel(models=(), name="consensus"),
    ]
    cascade_of(levels, listeners=[seen.append]).detect(grey(1))
    assert kinds(seen) == ["LevelStarted", "LevelFinished"] * 4 + ["VerdictGiven"]


def test_a_deadline_within_a_level_still_ends_it(cascade_of: CascadeOf, grey: Grey) -> None:
    seen: list[Event] = []
    models = (ScriptedModel("a", 0.8), ScriptedModel("b", fault="hang"), ScriptedModel("c", 0.8))
    level = ScriptedLevel(models=models, mode="until-agreement", exit=Agreement(members=2))
    verdict = cascade_of([level], listeners=[seen.append]).detect(grey(1), deadline_ms=800)
    assert verdict.degraded
    assert kinds(seen) == ["LevelStarted", "LevelFinished", "VerdictGiven"]
    assert isinstance(seen[1], LevelFinished)
    assert seen[1].exited


def failure(event: Event) -> tuple[str, Exception]:
    assert isinstance(event, PictureFailed)
    assert event.latency_ms > 0
    return event.picture, event.error


def test_failures_are_told_with_the_name_of_the_picture(
    cascade_of: CascadeOf, grey: Grey, scenes: list[bytes], tmp_path: Path
) -> None:
    seen: list[Event] = []
    cascade = cascade_of([ScriptedModel("bad", fault="error")], listeners=[seen.append])
    with pytest.raises(ModelError) as model_error:
        cascade.detect(grey(1))
    assert kinds(seen) == ["LevelStarted", "LevelFinished", "PictureFailed"]
    assert failure(seen[-1]) == ("grey-1", model_error.value)
    with pytest.raises(ModelError):
        cascade.detect(scenes[0])
    failed, begun = seen[-1], seen[-3]
    assert isinstance(failed, PictureFailed)
    assert isinstance(begun, LevelStarted)
    assert failed.picture == begun.picture  # the same name from beginning to end
    seen.clear()
    with pytest.raises(PictureError) as picture_error:
        cascade.detect(b"not a picture", name="it.jpg")
    assert [failure(each) for each in seen] == [("it.jpg", picture_error.value)]
    with pytest.raises(PictureError) as missing:
        cascade.detect(tmp_path / "none.jpg")
    assert failure(seen[-1]) == (str(tmp_path / "none.jpg"), missing.value)
    with pytest.raises(DeadlineError) as late:
        cascade.detect(grey(3), deadline_ms=0)
    assert failure(seen[-1]) == ("grey-3", late.value)


def test_a_listener_that_raises_is_taken_off_and_breaks_nothing(
    cascade_of: CascadeOf, grey: Grey, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Event] = []
    seen: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise RuntimeError("the collector is gone")

    cascade = cascade_of([ScriptedModel("a", 0.95)], listeners=[broken, seen.append])
    with caplog.at_level(logging.ERROR, "natix_cascade.events"):
        assert cascade.detect(grey(1)).detected
        assert cascade.detect(grey(2)).detected
    assert len(calls) == 1
    assert len(seen) == 6
    assert [record.message.endswith("raised and was taken off") for record in caplog.records] == [True]
    assert "the collector is gone" in caplog.text


def test_listeners_that_break_in_many_threads_at_once_break_nothing(caplog: pytest.LogCaptureFixture) -> None:
    barrier = threading.Barrier(4)

    def broken(_: Event) -> None:
        barrier.wait(10)
        raise RuntimeError

    tell = Listeners([broken])
    with caplog.at_level(logging.ERROR, "natix_cascade.events"), ThreadPoolExecutor(4) as pool:
        for told in [pool.submit(tell, LevelStarted("p", "l", ())) for _ in range(4)]:
            told.result(10)
    assert not tell
    assert len(caplog.records) == 1


def test_levels_are_told_only_where_somebody_hears_them(cascade_of: CascadeOf, grey: Grey) -> None:
    class Deaf:
        hears_levels = False

        def __init__(self) -> None:
            self.seen: list[Event] = []

        def __call__(self, event: Event) -> None:
            self.seen.append(event)

    deaf, curious = Deaf(), list[Event]()
    cascade_of([ScriptedModel("a", 0.9)], listeners=[deaf]).detect(grey(1))
    assert kinds(deaf.seen) == ["VerdictGiven"]
    cascade_of([ScriptedModel("a", 0.9)], listeners=[deaf, curious.append]).detect(grey(1))
    assert kinds(curious) == ["LevelStarted", "LevelFinished", "VerdictGiven"]
