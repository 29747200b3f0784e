from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from engine_room import LONG, PIXELS, Clock, Moody, engine_room, play, set_clock, turns_true

from natix_cascade.errors import BreakerOpenError, ModelError, QueueFullError, TransientModelError
from natix_cascade.image import Picture
from natix_cascade.run import asker as asker_module
from natix_cascade.run.asker import Asker
from natix_cascade.run.desk import Answer
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import BreakerOptions, ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.testing import ScriptedModel, scripted_cascade

LOST = TransientModelError("the connection was lost")
EVER = float("inf")


def the_asker(runner: Runner) -> Asker:
    return runner._askers["m"]


async def ask(runner: Runner, within_s: float = EVER) -> Answer:
    return await the_asker(runner).ask(PIXELS, explain=False, until=time.perf_counter() + within_s)


class Shaky(Moody):
    """Loses the connection at its first calls."""

    def __init__(self, name: str, lost: int) -> None:
        super().__init__(name, 0.8)
        self.lost = lost

    def predict(self, *args: Any, **options: Any) -> Any:
        self.mood = LOST if self.calls < self.lost else 0.8
        return super().predict(*args, **options)


@pytest.mark.parametrize("attempts", [1, 2, 3, 6])
def test_attempts_are_bounded(attempts: int) -> None:
    model = Moody("m", LOST)
    with engine_room([model], attempts=attempts, breaker=BreakerOptions(calls=20)) as runner:
        with pytest.raises(TransientModelError):
            play(lambda: ask(runner))
        assert the_asker(runner)._budget.left == pytest.approx(10 - (attempts - 1))
    assert model.calls == attempts


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_connection_is_tried_again(lost: int) -> None:
    model = Shaky("m", lost)
    with engine_room([model], attempts=3) as runner:
        assert play(lambda: ask(runner)).score == 0.8
    assert model.calls == lost + 1


def test_each_live_request_adds_its_share_to_the_budget() -> None:
    model = Moody("m", LOST)
    with engine_room([model], attempts=3, breaker=BreakerOptions(calls=20)) as runner:

        async def scene() -> None:
            with pytest.raises(TransientModelError):
                await ask(runner)
            model.mood = 0.8
            for _ in range(5):
                await ask(runner)
            assert the_asker(runner)._budget.left == pytest.approx(10 - 2 + 5 * 0.2)

        play(scene)


@pytest.mark.parametrize("mood", [ModelError("no"), ValueError("no"), OSError("no"), float("nan")])
def test_only_what_may_pass_by_itself_is_tried_again(mood: Any) -> None:
    model = Moody("m", mood)
    with engine_room([model], attempts=5) as runner:
        with pytest.raises((ModelError, ValueError, OSError)):
            play(lambda: ask(runner))
        assert the_asker(runner)._budget.left == 10
    assert model.calls == 1


def test_a_timeout_is_not_tried_again() -> None:
    model = Moody("m", "hang")
    with engine_room([model], attempts=5, timeout_ms=40) as runner, pytest.raises(TimeoutError):
        play(lambda: ask(runner))
    assert model.calls == 1


def test_no_pause_passes_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who would wait beyond the deadline hears of the failure now, and takes nothing from the budget."""
    pauses: list[int] = []

    def hour(attempt: int, _: random.Random) -> float:
        pauses.append(attempt)
        return 3600.0

    monkeypatch.setattr(asker_module, "backoff_s", hour)
    model = Moody("m", LOST)
    with engine_room([model], attempts=5) as runner:
        with pytest.raises(TransientModelError):
            play(lambda: ask(runner, LONG))
        assert the_asker(runner)._budget.left == 10
    assert (model.calls, pauses) == (1, [1])


def test_who_leaves_during_a_pause_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asker_module, "backoff_s", lambda *_: 3600.0)
    model = Moody("m", LOST)
    with engine_room([model], attempts=5) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await turns_true(lambda: the_asker(runner)._budget.left < 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        play(scene)
    assert model.calls == 1


def two(first: Moody, second: Moody, **options: Any) -> Any:
    return engine_room([first], more={"m#1": second}, replicas=2, **options)


def test_a_second_replica_is_asked_after_a_while_and_the_first_answer_counts() -> None:
    hung, good = Moody("m", "hang"), Moody("m", 0.8)
    with two(hung, good, hedge_ms=20) as runner:

        async def scene() -> None:
            assert (await ask(runner)).score == 0.8
            assert (hung.calls, good.calls) == (1, 1)
            assert the_asker(runner)._budget.left == 9
            await turns_true(lambda: len(asyncio.all_tasks()) == 2)  # this scene and its frame: the loser has left

        play(scene)
        assert [each.failures for each in runner.breakers.values()] == [0, 0]


def test_a_first_replica_that_answers_after_all_wins() -> None:
    first, second = Moody("m", "hang"), Moody("m", "hang")
    with two(first, second, hedge_ms=10) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await second.working()
            first.release.set()
            assert (await task).score == 0.5
            assert not second.release.is_set()

        play(scene)


def test_the_losers_question_leaves_its_batch() -> None:
    """It waits behind a call that hangs, and nobody is asked about it any more."""
    first, second = Moody("m", "hang"), Moody("m", 0.8)
    with two(first, second, hedge_ms=10) as runner:

        async def scene() -> None:
            blocking = the_asker(runner).replicas[0].desk.submit(PIXELS)
            await first.working()
            second_batcher = the_asker(runner).replicas[1].desk
            second.mood = "hang"
            held = second_batcher.submit(PIXELS)
            await second.working()
            task = asyncio.ensure_future(ask(runner))
            await turns_true(lambda: all(each.desk.waiting == 1 for each in the_asker(runner).replicas))
            second.release.set()
            await task
            first.release.set()
            assert (await asyncio.wrap_future(blocking)).score == (await asyncio.wrap_future(held)).score == 0.5
            await turns_true(lambda: the_asker(runner).replicas[0].desk.waiting == 0)

        play(scene)
    assert (first.calls, second.calls) == (1, 2)


@pytest.mark.parametrize(
    ("options", "replicas"),
    [({}, 2), ({"hedge_ms": 5}, 1), ({"hedge_ms": 5, "retry_budget": 0.0}, 2), ({"hedge_ms": 600_000}, 2)],
    ids=["not configured", "one replica", "no budget", "fast enough"],
)
def test_no_hedge(options: dict[str, Any], replicas: int) -> None:
    first, second = Moody("m", "hang"), Moody("m", 0.8)
    with engine_room([first], more={"m#1": second}, replicas=replicas, **options) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await first.working()
            await asyncio.wait({task}, timeout=0.05)
            assert not task.done()
            first.release.set()
            assert (await task).score == 0.5

        play(scene)
    assert second.calls == 0


def test_no_hedge_to_a_replica_whose_breaker_is_open() -> None:
    first, second = Moody("m", "hang"), Moody("m", 0.8)
    with two(first, second, hedge_ms=10) as runner:
        runner.breakers["m", 1].force_open(3600)

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await first.working()
            await asyncio.wait({task}, timeout=0.05)
            first.release.set()
            assert (await task).score == 0.5

        play(scene)
        assert the_asker(runner)._budget.left == 10
    assert second.calls == 0


@pytest.mark.parametrize("first_fails", [True, False])
def test_a_hedge_that_fails_leaves_the_other_its_chance(*, first_fails: bool) -> None:
    first, second = Moody("m", "hang"), Moody("m", ModelError("no"))
    if first_fails:
        second.mood = "hang"
    with two(first, second, hedge_ms=10) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await second.working()
            await asyncio.sleep(0)
            (second if first_fails else first).release.set()
            assert (await task).score == 0.5

        play(scene)


def test_when_both_fail_the_failure_comes_out_and_none_goes_unheard() -> None:
    first, second = Moody("m", "hang"), Moody("m", ModelError("no"))
    with two(first, second, hedge_ms=10, timeout_ms=60) as runner, pytest.raises((TimeoutError, ModelError)):
        play(lambda: ask(runner))


def test_who_leaves_before_the_hedge_takes_the_question_along() -> None:
    first, second = Moody("m", "hang"), Moody("m", 0.8)
    with two(first, second, hedge_ms=600_000) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await first.working()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        play(scene)


def test_who_leaves_during_a_hedge_takes_both_questions_along() -> None:
    first, second = Moody("m", "hang"), Moody("m", "hang")
    with two(first, second, hedge_ms=10) as runner:

        async def scene() -> None:
            task = asyncio.ensure_future(ask(runner))
            await second.working()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        play(scene)


def test_the_least_busy_replica_is_asked() -> None:
    first, second = Moody("m", "hang"), Moody("m", 0.8)
    with two(first, second) as runner:

        async def scene() -> None:
            held = asyncio.ensure_future(ask(runner))
            await first.working()
            for _ in range(20):
                assert (await ask(runner)).score == 0.8
            first.release.set()
            await held

        play(scene)
    assert (first.calls, second.calls) == (1, 20)


def test_a_full_queue_reports_to_the_breaker_as_neither() -> None:
    model, clock = Moody("m", "hang"), Clock()
    with engine_room([model], max_queue=1, max_batch=1, attempts=3) as runner:
        set_clock(runner, clock)
        breaker = runner.breakers["m", 0]
        breaker.force_open(1.0)

        async def scene() -> None:
            with pytest.raises(BreakerOpenError, match="asked again in 1 s"):
                await ask(runner)
            batcher = the_asker(runner).replicas[0].desk
            held = [batcher.submit(PIXELS)]
            await model.working()
            held.append(batcher.submit(PIXELS))
            clock.now += 2.0
            for _ in range(3):  # the one probe is given back each time
                with pytest.raises(QueueFullError):
                    await ask(runner)
            model.release.set()
            await asyncio.gather(*map(asyncio.wrap_future, held))
            await ask(runner)
            assert breaker.state == "closed"

        play(scene)


def test_patience_is_ten_times_the_usual_and_never_above_the_option() -> None:
    with engine_room([ScriptedModel("m", 0.8)], timeout_ms=5000) as runner:
        asker = the_asker(runner)
        assert asker.timeout_s == 5.0
        for seconds, wanted in ((0.001, 1.0), (0.2, 2.0), (60.0, 5.0)):
            for _ in range(256):
                asker._latencies.add(seconds)
            assert asker.timeout_s == pytest.approx(wanted)


def test_a_long_queue_before_a_model_that_works_is_no_hang() -> None:
    model = ScriptedModel("busy", 0.5, delay_s=0.1)
    options = RunnerOptions(default=ModelOptions(max_batch=1, timeout_ms=400))
    resolved, models = scripted_cascade([model])
    runner = Runner(LoadedCascade(resolved, {}, models=models), options=options)

    async def scene() -> None:
        picture = Picture(PIXELS, "p", "0" * 64, "png", 8, 8)
        verdicts = await asyncio.gather(*(runner.detect(picture) for _ in range(10)))  # a second of work
        assert not any(verdict.degraded for verdict in verdicts)

    asyncio.run(scene())
    assert [each.state for each in runner.breakers.values()] == ["closed"]
    runner.close()
