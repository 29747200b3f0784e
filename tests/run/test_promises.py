"""Promises 1 to 4 and 7 of the service: deadlines, cancellation, queues, batches, bulkheads."""

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
from engine_room import LONG, Clock, Moody, engine_room, play, turns_true, waiting

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import DeadlineError, ModelError, QueueFullError
from natix_cascade.image import Picture
from natix_cascade.run import runner as runner_module
from natix_cascade.run.latency import Latencies
from natix_cascade.run.options import ModelOptions
from natix_cascade.run.runner import Runner
from natix_cascade.spec.rules import Agreement
from natix_cascade.testing import ScriptedLevel, ScriptedModel

Grey = Callable[[int], Picture]


def slow_so_far(runner: Runner, level: int, seconds: float, times: int = 16) -> None:
    for _ in range(times):
        runner._level_times[level].add(seconds)


# 1. Deadline


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
        runner._level_times[1] = Latencies(max_age_s=30.0, clock=clock)
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
    with engine_room([Moody("stuck", "hang"), last]) as runner, pytest.raises(DeadlineError):
        start = time.perf_counter()
        play(lambda: runner.detect(grey(1), deadline_ms=300))
    assert last.calls == 0


def test_promise_1_a_decoder_that_hangs_is_left(scenes: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(runner_module, "decode", lambda *_, **__: go.wait(LONG))
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
        assert play(lambda: runner.warm_up(tune=True)) == {"m": "TimeoutError"}
        assert play(lambda: runner.detect(grey(1))).detected


def test_promise_1_a_warm_up_leaves_a_worker_behind_that_hangs_since_the_last() -> None:
    model = Moody("m", "hang")
    with engine_room([model], timeout_ms=50) as runner:

        async def scene() -> None:
            assert "m" in await runner.warm_up()
            model.mood = 0.7
            await turns_true(lambda: runner._askers["m"].replicas[0].batcher.running_for() > 0.05)
            assert await runner.warm_up() == {}

        play(scene)


# 2. Cancellation


def test_promise_2_who_leaves_takes_nobodys_place(grey: Grey) -> None:
    model = ScriptedModel("m", lambda pixels: float(pixels[0, 0, 0]) / 100, fault="hang", every=1)
    with engine_room([model], max_batch=4) as runner:

        async def scene() -> None:
            tasks = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(20)]
            await turns_true(lambda: model.calls == 1 and waiting(runner, "m") >= 16)
            for task in tasks[8:]:
                task.cancel()
            gone = await asyncio.gather(*tasks[8:], return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in gone)
            model.release.set()
            stayed = await asyncio.gather(*tasks[:8])
            assert [each.opinions[0].score for each in stayed] == [value / 100 for value in range(8)]
            await turns_true(lambda: waiting(runner, "m") == 0)

        play(scene)
    assert model.pictures == 8
    assert max(model.batches) <= 4


def test_promise_2_who_times_out_takes_nobodys_place(grey: Grey) -> None:
    model = Moody("m", "hang")
    with engine_room([model], max_batch=4) as runner:

        async def scene() -> None:
            held = asyncio.ensure_future(runner.detect(grey(0)))
            await model.working()
            late = [runner.detect(grey(value), deadline_ms=30) for value in range(1, 9)]
            results = await asyncio.gather(*late, return_exceptions=True)
            assert all(isinstance(each, DeadlineError) for each in results)
            model.release.set()
            await held
            await runner.detect(grey(9))

        play(scene)
    assert model.batches == (1, 1)


def test_promise_2_the_places_of_those_who_left_are_free_in_a_full_queue(grey: Grey) -> None:
    model = Moody("m", "hang")
    with engine_room([model], max_queue=4) as runner:

        async def scene() -> None:
            held = asyncio.ensure_future(runner.detect(grey(0)))
            await model.working()
            tasks = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(1, 5)]
            await turns_true(lambda: waiting(runner, "m") == 4)
            with pytest.raises(ModelError, match="4 pictures wait"):
                await runner.detect(grey(5))
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks[:2], return_exceptions=True)
            tasks[:2] = [asyncio.ensure_future(runner.detect(grey(value))) for value in (6, 7)]
            await asyncio.sleep(0)  # they ask
            assert waiting(runner, "m") == 4
            with pytest.raises(ModelError, match="4 pictures wait"):
                await runner.detect(grey(8))
            model.release.set()
            assert all(await asyncio.gather(held, *tasks))

        play(scene)
    assert model.pictures == 5


def test_promise_2_a_picture_whose_decoder_has_not_begun_is_not_decoded(
    scenes: list[bytes], grey: Grey, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, decoded = threading.Semaphore(0), threading.Event(), []

    def decode(source: bytes, **_: Any) -> Picture:
        decoded.append(source)
        begun.release()
        assert go.wait(LONG)
        return grey(1)

    monkeypatch.setattr(runner_module, "decode", decode)
    with engine_room([ScriptedModel("m", 0.9)], decoders=1) as runner:

        async def scene() -> None:
            first = asyncio.ensure_future(runner.detect(scenes[0]))
            assert await asyncio.to_thread(begun.acquire, timeout=LONG)
            leaves = asyncio.ensure_future(runner.detect(scenes[1]))
            late = runner.detect(scenes[2], deadline_ms=20)
            stays = asyncio.ensure_future(runner.detect(scenes[3]))
            with pytest.raises(DeadlineError):
                await late
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
            go.set()
            assert all(await asyncio.gather(first, stays))

        play(scene)
    assert decoded == [scenes[0], scenes[3]]


# 3. Bounded queues


def test_promise_3_beyond_the_queues_end_a_member_drops_out(grey: Grey) -> None:
    busy, good = Moody("busy", "hang"), ScriptedModel("good", 0.8)
    with engine_room([(busy, good)], of={"busy": ModelOptions(max_queue=2, max_batch=1)}) as runner:

        async def scene() -> None:
            held = [asyncio.ensure_future(runner.detect(grey(0)))]
            await busy.working()
            held += [asyncio.ensure_future(runner.detect(grey(value))) for value in (1, 2)]
            await turns_true(lambda: waiting(runner, "busy") == 2)
            verdict = await runner.detect(grey(3))
            assert (verdict.degraded, verdict.probability) == (True, pytest.approx(0.8))
            why = "busy did not answer and dropped out of the vote: 2 pictures wait for it already; try again later"
            assert why in verdict.reasons
            assert waiting(runner, "busy") == 2
            busy.release.set()
            assert not any(each.degraded for each in await asyncio.gather(*held))

        play(scene)
    assert busy.pictures == 3


def test_promise_3_a_refusal_does_not_open_the_breaker_and_names_the_model(grey: Grey) -> None:
    busy = Moody("busy", "hang")
    with engine_room([busy], max_queue=1, max_batch=1) as runner:

        async def scene() -> None:
            held = [asyncio.ensure_future(runner.detect(grey(0)))]
            await busy.working()
            held.append(asyncio.ensure_future(runner.detect(grey(1))))
            await turns_true(lambda: waiting(runner, "busy") == 1)
            for value in range(2, 30):
                with pytest.raises(ModelError, match=r"busy: 1 pictures wait"):
                    await runner.detect(grey(value))
            with pytest.raises(QueueFullError):
                await runner._askers["busy"].ask(grey(1).pixels, explain=False, until=float("inf"))
            breaker = runner.breakers["busy", 0]
            assert (breaker.state, breaker.failures) == ("closed", 0)
            busy.release.set()
            await asyncio.gather(*held)

        play(scene)


# 4. Batching obeys its limits


@pytest.mark.parametrize("tune", [False, True])
def test_promise_4_never_above_max_batch(grey: Grey, *, tune: bool) -> None:
    models = ScriptedModel("a", 0.6, delay_s=0.001), ScriptedModel("b", 0.6)
    with engine_room([models], max_batch=4) as runner:

        async def scene() -> None:
            assert await runner.warm_up(tune=tune) == {}
            assert all(each.batcher.max_batch <= 4 for asker in runner._askers.values() for each in asker.replicas)
            await asyncio.gather(*(runner.detect(grey(value)) for value in range(60)))

        play(scene)
    assert all(max(model.batches) <= 4 for model in models)


def test_promise_4_tuning_takes_the_batch_that_pays(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "useful_batch", lambda *_: 2)
    model = Moody("m", 0.6)
    with engine_room([model], more={"m#1": Moody("m", 0.6)}, max_batch=8, replicas=2) as runner:

        async def scene() -> None:
            await runner.warm_up(tune=True)
            await asyncio.gather(*(runner.detect(grey(value)) for value in range(30)))

        play(scene)
        assert [each.batcher.max_batch for each in runner._askers["m"].replicas] == [2, 2]
    assert max(model.batches) <= 2


def test_promise_4_a_full_batch_leaves_at_once_and_a_lone_picture_after_the_delay(grey: Grey) -> None:
    full, lone = ScriptedModel("full", 0.6), ScriptedModel("lone", 0.6)
    with engine_room([full], max_batch=3, max_delay_ms=60_000) as runner:
        play(lambda: asyncio.gather(*(runner.detect(grey(value)) for value in range(3))))
        assert full.batches == (3,)
        with pytest.raises(DeadlineError):  # who waits for company waits no longer than the deadline
            play(lambda: runner.detect(grey(1), deadline_ms=50))
    with engine_room([lone], max_batch=3, max_delay_ms=20) as runner:
        play(lambda: runner.detect(grey(1)))
    assert lone.batches == (1,)


# 7. Bulkheads


def test_promise_7_a_stuck_model_with_a_full_queue_does_not_delay_the_gate(grey: Grey) -> None:
    gate = ScriptedModel("gate", lambda pixels: float(pixels[0, 0, 0]) / 100)
    stuck = Moody("stuck", "hang")
    with engine_room([gate, stuck], of={"stuck": ModelOptions(max_queue=4, max_batch=1)}) as runner:

        async def scene() -> None:
            held = [asyncio.ensure_future(runner.detect(grey(50)))]
            await stuck.working()
            held += [asyncio.ensure_future(runner.detect(grey(60))) for _ in range(4)]
            await turns_true(lambda: waiting(runner, "stuck") == 4)
            for _ in range(3):
                verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in (1, 2, 98, 99, 70)))
                assert [each.exit_level for each in verdicts] == ["level-1"] * 4 + ["level-2"]
                assert [each.degraded for each in verdicts] == [False] * 4 + [True]
                assert verdicts[-1].probability == pytest.approx(0.7)
            assert not any(each.done() for each in held)
            stuck.release.set()
            assert not any(each.degraded for each in await asyncio.gather(*held))

        play(scene)
    assert stuck.pictures == 5
