"""Promise 1 of the service: deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from engine_room import LONG, Clock, Moody, engine_room, play, turns_true

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import DeadlineError, ModelError
from natix_cascade.image import Picture
from natix_cascade.run import decoders
from natix_cascade.run import runner as runner_module
from natix_cascade.run.latency import Latencies
from natix_cascade.run.runner import Runner
from natix_cascade.spec.rules import Agreement
from natix_cascade.testing import ScriptedLevel, ScriptedModel

Grey = Callable[[int], Picture]


def slow_so_far(runner: Runner, level: int, seconds: float, times: int = 16) -> None:
    for _ in range(times):
        runner._level_times[level].add(seconds)


def test_promise_1_no_level_starts_that_does_not_fit(grey: Grey) -> None:
    slow = ScriptedModel("slow", 0.2)
    with engine_room([ScriptedModel("cheap", 0.7), slow, ScriptedModel("last", 0.3)]) as runner:
        slow_so_far(runner, 1, 500.0)
        verdict = play(lambda: runner.detect(grey(1), deadline_ms=LONG * 1000))
    assert slow.calls == 0
    assert (verdict.degraded, verdict.detected, verdict.levels_executed) == (True, True, ("level-1",))
    assert verdict.probability == pytest.approx(0.7)
    why = r"level-2 was not started: it usually takes up to 500000 ms and \d+ ms were left"
    assert sum(re.fullmatch(why, reason) is not None for reason in verdict.reasons) == 1
    assert "not reached: level-2, level-3" in verdict.reasons


@pytest.mark.parametrize(
    ("seconds", "times", "deadline_ms"),
    [(500.0, 15, LONG * 1000), (500.0, 16, None), (0.001, 16, LONG * 1000), (500.0, 16, 600_000.0)],
    ids=["too few samples", "no deadline", "fast", "time enough"],
)
def test_promise_1_a_level_that_may_fit_starts(
    grey: Grey, seconds: float, times: int, deadline_ms: float | None
) -> None:
    slow = ScriptedModel("slow", 0.2)
    with engine_room([ScriptedModel("cheap", 0.7), slow]) as runner:
        slow_so_far(runner, 1, seconds, times)
        verdict = play(lambda: runner.detect(grey(1), deadline_ms=deadline_ms))
    assert (slow.calls, verdict.degraded) == (1, False)


def test_promise_1_levels_are_timed_by_the_pictures_themselves(grey: Grey) -> None:
    slow = ScriptedModel("slow", 0.2, delay_s=0.02)
    with engine_room([ScriptedModel("cheap", 0.7), slow], max_batch=1) as runner:

        async def scene() -> Verdict:
            for value in range(16):
                assert runner._level_times[1].quantile(0.95) is None
                await runner.detect(grey(value))
            usual = runner._level_times[1].quantile(0.95)
            assert usual is not None
            runner._level_times[0] = Latencies()
            return await runner.detect(grey(1), deadline_ms=LONG * 1000)

        assert not play(scene).degraded
        assert (runner._level_times[1].quantile(0.0) or 0.0) >= 0.02
    assert slow.calls == 17


def test_promise_1_when_nobody_has_answered_the_level_is_asked_all_the_same(grey: Grey) -> None:
    only = ScriptedModel("only", 0.8)
    with engine_room([ScriptedModel("broken", fault="error"), only]) as runner:
        slow_so_far(runner, 0, 500.0)
        slow_so_far(runner, 1, 500.0)
        verdict = play(lambda: runner.detect(grey(1), deadline_ms=LONG * 1000))
    assert only.calls == 1
    assert verdict.opinions[1].score == 0.8


def test_promise_1_a_slow_level_is_tried_again_when_it_was_forgotten(grey: Grey) -> None:
    slow, clock = ScriptedModel("slow", 0.2), Clock()
    with engine_room([ScriptedModel("cheap", 0.7), slow]) as runner:
        runner._level_times[1]._clock = clock
        slow_so_far(runner, 1, 500.0)

        async def scene() -> None:
            for later, asked in ((0.0, 0), (29.0, 0), (2.0, 1), (0.0, 2)):
                clock.now += later
                await runner.detect(grey(1), deadline_ms=LONG * 1000)
                assert slow.calls == asked

        play(scene)


def stuck_levels() -> dict[str, Any]:
    """A level that never ends, in each of its forms; where it has members that answer, they say 0.8."""

    def good(name: str = "good") -> ScriptedModel:
        return ScriptedModel(name, 0.8)

    def stuck(name: str = "stuck") -> Moody:
        return Moody(name, "hang")

    agreement = Agreement(members=3)
    bands = {"stuck": (0.0, 0.9), "good": (0.9, 1.0)}
    return {
        "one member": stuck(),
        "all, one hangs": (good(), stuck(), good("other")),
        "all, all hang": (stuck(), stuck("second"), stuck("third")),
        "one of two": ScriptedLevel(models=(good(), stuck()), mode="one", bands=bands),
        "until agreement": ScriptedLevel(models=(good(), stuck(), good("c")), mode="until-agreement", exit=agreement),
        "the first hangs": ScriptedLevel(models=(stuck(), good()), mode="until-agreement", exit=agreement),
        "a long budget": ScriptedLevel(models=(stuck(),), budget_ms=LONG * 1000),
        "optional": ScriptedLevel(models=(stuck(),), optional=frozenset({"stuck"})),
        "escalates": ScriptedLevel(models=(stuck(),), on_failure="escalate"),
        "aborts": ScriptedLevel(models=(stuck(),), on_failure="abort"),
    }


def test_promise_1_at_the_deadline_the_best_so_far(grey: Grey) -> None:
    lasts: list[ScriptedModel] = []
    with contextlib.ExitStack() as rooms:

        def room(level: Any) -> Runner:
            lasts.append(ScriptedModel("last", 0.3))
            return rooms.enter_context(engine_room([ScriptedModel("cheap", 0.7), level, lasts[-1]]))

        async def scene() -> list[Verdict]:
            return await asyncio.gather(
                *(room(level).detect(grey(1), deadline_ms=1000) for level in stuck_levels().values())
            )

        verdicts = dict(zip(stuck_levels(), play(scene), strict=True))
    for case, verdict in verdicts.items():
        assert (verdict.degraded, verdict.detected) == (True, True), case
        assert sum("deadline passed" in reason for reason in verdict.reasons) == 1, case
        assert any(o.failure for o in verdict.opinions), case
        assert "not reached: level-3" in verdict.reasons, case
    assert not any(last.calls for last in lasts)


@pytest.mark.parametrize("case", ["one member", "all, all hang", "the first hangs", "a long budget", "aborts"])
def test_promise_1_a_deadline_error_when_nobody_answered(grey: Grey, case: str) -> None:
    with (
        engine_room([stuck_levels()[case], ScriptedModel("last", 0.3)]) as runner,
        pytest.raises(DeadlineError, match="before any model had answered"),
    ):
        play(lambda: runner.detect(grey(1), deadline_ms=80))


@pytest.mark.parametrize("case", ["one member", "all, all hang"])
def test_promise_1_without_a_deadline_the_models_timeout_ends_it(grey: Grey, case: str) -> None:
    with (
        engine_room([stuck_levels()[case]], timeout_ms=80) as runner,
        pytest.raises(ModelError, match=r"stuck: no answer within \d+ ms"),
    ):
        play(lambda: runner.detect(grey(1)))


def test_promise_1_a_timer_that_comes_early_is_the_deadline_too(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop counts in whole milliseconds: when its timer fires, 1.5 ms may be left."""
    start = time.perf_counter()

    def clock() -> float:
        return start if time.perf_counter() < start + 0.2 else start + 0.3 - 0.0015

    monkeypatch.setattr(runner_module, "time", SimpleNamespace(perf_counter=clock, monotonic=time.monotonic))
    last = ScriptedModel("last", 0.3)
    with engine_room([Moody("stuck", "hang"), last]) as runner:
        start = time.perf_counter()
        with pytest.raises(DeadlineError):
            play(lambda: runner.detect(grey(1), deadline_ms=300))
    assert last.calls == 0


def test_promise_1_nothing_is_decoded_when_no_time_is_left(
    scenes: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr(decoders, "decode", lambda source, **_: decoded.append(source))
    with engine_room([ScriptedModel("m", 0.9)]) as runner:
        with pytest.raises(DeadlineError, match="decoded"):
            play(lambda: runner.detect(scenes[0], deadline_ms=0.0))
        runner.close()
    assert not decoded


def test_promise_1_a_decoder_that_hangs_is_left(scenes: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(decoders, "decode", lambda *_, **__: go.wait(LONG))
    model = ScriptedModel("m", 0.9)
    with engine_room([model]) as runner:
        with pytest.raises(DeadlineError, match="decoded"):
            play(lambda: runner.detect(scenes[0], deadline_ms=50))
        go.set()
    assert model.calls == 0


def test_promise_1_measuring_batches_does_not_hang(grey: Grey) -> None:
    """The warm-up picture is answered, the measurement is not."""
    model = ScriptedModel("m", 0.7, fault="hang", every=2)
    with engine_room([model], timeout_ms=50, max_batch=2) as runner:
        assert play(lambda: runner.warm_up(tune=True)) == {}
        assert runner._askers["m"].replicas[0].desk.max_batch == 2
        assert play(lambda: runner.detect(grey(1))).detected


def test_promise_1_a_warm_up_leaves_a_worker_behind_that_hangs_since_the_last() -> None:
    model = Moody("m", "hang")
    with engine_room([model], timeout_ms=50) as runner:

        async def scene() -> None:
            assert "m" in await runner.warm_up()
            model.mood = 0.7
            await turns_true(lambda: runner._askers["m"].replicas[0].desk.running_for() > 0.05)
            assert await runner.warm_up() == {}

        play(scene)
