"""Promises 5 and 6 of the service: breakers and retries, through the runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine_room import LONG, PIXELS, Clock, Moody, engine_room, play, set_clock, turns_true

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import BreakerOpenError, CascadeError, DeadlineError, ModelError, TransientModelError
from natix_cascade.image import Picture
from natix_cascade.run.events import BreakerChanged, Event
from natix_cascade.run.options import BreakerOptions, ModelOptions
from natix_cascade.run.runner import Runner
from natix_cascade.testing import ScriptedLevel, ScriptedModel

Grey = Callable[[int], Picture]

LOST = TransientModelError("the connection was lost")
BREAKER = BreakerOptions(window=10, calls=3, failure_rate=0.5, open_s=15.0)
STUCK = ModelOptions(timeout_ms=60, attempts=1, breaker=BREAKER)


async def failing(runner: Runner, picture: Picture, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        await runner.detect(picture, **options)
    return str(caught.value)


async def opens(runner: Runner, picture: Picture, key: tuple[str, int] = ("m", 0)) -> None:
    """Ask until the breaker is open."""
    for _ in range(50):
        if runner.breakers[key].state == "open":
            return
        await asyncio.gather(runner.detect(picture), return_exceptions=True)
    raise AssertionError


# 5. Breaker


def test_promise_5_timeouts_open_it_and_the_member_drops_out_of_the_vote(grey: Grey) -> None:
    stuck, heard = Moody("stuck", "hang"), []
    good, other = ScriptedModel("good", 0.8), ScriptedModel("other", 0.35)
    level = ScriptedLevel(models=(good, stuck, other), weights={"good": 2.0, "stuck": 5.0})
    twin = ScriptedLevel(models=(ScriptedModel("good", 0.8), ScriptedModel("other", 0.35)), weights={"good": 2.0})

    def hear(event: Event) -> None:
        if isinstance(event, BreakerChanged):
            heard.append(event)

    with engine_room([level], of={"stuck": STUCK}, listeners=[hear]) as runner, engine_room([twin]) as whole:

        async def scene() -> None:
            await opens(runner, grey(1), ("stuck", 0))
            calls = stuck.calls
            verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in range(20)))
            wanted = await whole.detect(grey(1))
            for verdict in verdicts:
                assert (verdict.degraded, wanted.degraded) == (True, False)
                assert (verdict.probability, verdict.consensus_ratio) == (wanted.probability, wanted.consensus_ratio)
                assert [o.failure is None for o in verdict.opinions] == [True, False, True]
                assert any(
                    reason.startswith("stuck did not answer and dropped out of the vote: its breaker is open")
                    for reason in verdict.reasons
                )
            assert stuck.calls == calls

        play(scene)
        assert {key: each.state for key, each in runner.breakers.items()} == {
            ("good", 0): "closed", ("stuck", 0): "open", ("other", 0): "closed",
        }  # fmt: skip
    assert heard == [BreakerChanged("stuck", 0, "open")]


def test_promise_5_a_level_with_one_member_and_the_levels_after_it(grey: Grey) -> None:
    last = ScriptedModel("last", 0.95)
    with engine_room([Moody("stuck", "hang"), last], of={"stuck": STUCK}) as runner:

        async def scene() -> Verdict:
            await opens(runner, grey(1), ("stuck", 0))
            return await runner.detect(grey(2))

        verdict = play(scene)
    assert (verdict.degraded, verdict.exit_level, verdict.detected) == (True, "level-2", True)


def test_promise_5_when_all_are_open_the_error_says_when_to_come_back(grey: Grey) -> None:
    with engine_room([Moody("m", LOST)], breaker=BREAKER, attempts=1) as runner:
        set_clock(runner, Clock())

        async def scene() -> str:
            await opens(runner, grey(1))
            return await failing(runner, grey(2))

        assert "m: its breaker is open: it did not answer lately and is asked again in 15 s" in play(scene)


@pytest.mark.parametrize("probes", [1, 3])
def test_promise_5_half_open_lets_exactly_the_probes_through(grey: Grey, probes: int) -> None:
    model, clock = Moody("m", LOST), Clock()
    breaker = BreakerOptions(window=10, calls=3, open_s=15.0, probes=probes)
    with engine_room([model], breaker=breaker, attempts=1, max_batch=1) as runner:
        set_clock(runner, clock)

        async def scene() -> None:
            await opens(runner, grey(1))
            calls, model.mood = model.calls, "hang"
            assert "breaker is open" in await failing(runner, grey(1))
            assert model.calls == calls
            clock.now += 15.0
            assert runner.breakers["m", 0].state == "half_open"
            tasks = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(50)]
            await turns_true(lambda: sum(each.done() for each in tasks) == 50 - probes)
            refused = [each.exception() for each in tasks if each.done()]
            assert all("breaker is open" in str(each) for each in refused)
            model.release.set()
            answered = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(each, Verdict) for each in answered) == probes
            assert model.calls == calls + probes
            assert runner.breakers["m", 0].state == "closed"
            assert all(await asyncio.gather(*(runner.detect(grey(value)) for value in range(50))))

        play(scene)


def test_promise_5_a_probe_that_fails_opens_it_again_and_one_that_leaves_gives_its_place_back(grey: Grey) -> None:
    model, clock = Moody("m", LOST), Clock()
    with engine_room([model], breaker=BREAKER, attempts=1) as runner:
        set_clock(runner, clock)
        breaker = runner.breakers["m", 0]

        async def scene() -> None:
            await opens(runner, grey(1))
            clock.now += 15.0
            assert LOST.args[0] in await failing(runner, grey(1))
            assert breaker.state == "open"
            clock.now += 15.0
            model.mood = "hang"
            probe = asyncio.ensure_future(runner.detect(grey(1)))
            await turns_true(lambda: runner._askers["m"].replicas[0].desk.running_for() > 0)
            assert "breaker is open" in await failing(runner, grey(2))
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            assert breaker.state == "half_open"
            model.release.set()
            model.mood = np.nan  # no answer, but no sign that it is gone either
            assert "no probability" in await failing(runner, grey(3))
            assert breaker.state == "half_open"
            model.mood = 0.8
            assert await runner.detect(grey(4))
            assert breaker.state == "closed"

        play(scene)


def test_promise_5_it_recovers_though_the_calls_that_hang_never_return(grey: Grey) -> None:
    model, clock = Moody("m", "hang"), Clock()
    with engine_room([model], timeout_ms=60, breaker=BREAKER) as runner:
        set_clock(runner, clock)
        batcher = runner._askers["m"].replicas[0].desk

        async def scene() -> None:
            await opens(runner, grey(1))
            model.mood = 0.8
            await turns_true(lambda: batcher.running_for() > 0.06)
            clock.now += 15.0
            assert (await runner.detect(grey(1))).opinions[0].score == 0.8
            assert runner.breakers["m", 0].state == "closed"
            verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in range(20)))
            assert not any(each.degraded for each in verdicts)

        play(scene)
        assert not model.release.is_set()


def test_promise_5_traffic_that_goes_on_does_not_use_up_the_workers_before_it_opens(grey: Grey) -> None:
    """Each picture that waited while a worker was left behind counts, not only the one whose call hung."""
    model = Moody("m", "hang")
    breaker = BreakerOptions(window=20, calls=6)
    with engine_room([model], timeout_ms=150, breaker=breaker, max_batch=1) as runner:
        batcher = runner._askers["m"].replicas[0].desk

        async def scene() -> None:
            first = asyncio.ensure_future(runner.detect(grey(0)))
            await model.working()
            await turns_true(lambda: batcher.running_for() > 0.07)
            others = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(1, 6)]
            await asyncio.gather(first, return_exceptions=True)
            await turns_true(lambda: batcher.running_for() > 0.15)
            others.append(asyncio.ensure_future(runner.detect(grey(6))))  # finds the worker hanging: a new one starts
            await asyncio.gather(*others, return_exceptions=True)
            assert runner.breakers["m", 0].state == "open"

        play(scene)
        assert batcher.renewals <= 2


def test_promise_5_each_replica_has_its_own(grey: Grey) -> None:
    hung, good = Moody("m", "hang"), Moody("m", 0.8)
    with engine_room([hung], more={"m#1": good}, replicas=2, timeout_ms=60, attempts=1, breaker=BREAKER) as runner:

        async def scene() -> None:
            for _ in range(20):
                await asyncio.gather(*(runner.detect(grey(value)) for value in range(4)), return_exceptions=True)
                if runner.breakers["m", 0].state == "open":
                    break
            assert [each.state for each in runner.breakers.values()] == ["open", "closed"]
            calls = hung.calls
            verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in range(30)))
            assert not any(each.degraded for each in verdicts)
            assert hung.calls == calls

        play(scene)


def test_promise_5_pictures_with_too_little_time_do_not_open_it(grey: Grey) -> None:
    model = Moody("m", "hang")
    with engine_room([model], breaker=BREAKER, timeout_ms=LONG * 1000) as runner:

        async def scene() -> None:
            patient = asyncio.ensure_future(runner.detect(grey(0)))
            await model.working()
            hasty = [runner.detect(grey(value), deadline_ms=5) for value in range(30)]
            results = await asyncio.gather(*hasty, return_exceptions=True)
            assert all(isinstance(each, DeadlineError) for each in results)
            assert (runner.breakers["m", 0].state, runner.breakers["m", 0].failures) == ("closed", 0)
            model.release.set()
            assert await patient

        play(scene)


@pytest.mark.parametrize(
    ("mood", "opened"),
    [
        (np.nan, False), (2.0, False), (ModelError("no"), False), (ValueError("no"), False), (StopIteration(), False),
        (SystemExit(), False), (asyncio.CancelledError(), False), (LOST, True),
    ],
    ids=["nan", "above 1", "ModelError", "ValueError", "StopIteration", "SystemExit", "CancelledError", "transient"],
)  # fmt: skip
def test_promise_5_what_counts(grey: Grey, mood: Any, *, opened: bool) -> None:
    """A wrong answer to one picture is no sign that the model is gone; and no fault ends a worker or the loop."""
    model = Moody("m", mood)
    with engine_room([model], breaker=BREAKER, attempts=1) as runner:

        async def scene() -> None:
            for value in range(8):
                results = await asyncio.gather(
                    *(runner.detect(grey(value), deadline_ms=LONG * 1000) for _ in range(3)), return_exceptions=True
                )
                assert all(isinstance(each, ModelError) for each in results)
            assert (runner.breakers["m", 0].state == "open") == opened
            assert bool(runner.breakers["m", 0].failures) == opened
            if not opened:
                model.mood = 0.8
                assert await runner.detect(grey(1))

        play(scene)


# 6. Retries


def test_promise_6_the_budget_bounds_all_retries(grey: Grey) -> None:
    """Nobody answers: at most a fifth more pictures are asked about than live requests, and the ten in hand."""
    model = Moody("m", LOST)
    never = BreakerOptions(window=1_000_000, calls=1_000_000)
    with engine_room([model], attempts=5, breaker=never, max_batch=8) as runner:

        async def scene() -> None:
            for _ in range(10):
                results = await asyncio.gather(
                    *(runner.detect(grey(value)) for value in range(30)), return_exceptions=True
                )
                assert all(isinstance(each, ModelError) for each in results)

        play(scene)
    assert 300 < model.pictures <= 1.2 * 300 + 10


def test_promise_6_a_budget_of_nothing_never_retries(grey: Grey) -> None:
    model = Moody("m", LOST)
    with engine_room([model], retry_budget=0.0) as runner:
        assert LOST.args[0] in play(lambda: failing(runner, grey(1)))
    assert model.calls == 1


def test_promise_6_a_lost_batch_is_not_asked_again_one_by_one() -> None:
    model = Moody("m", LOST)
    with engine_room([model], attempts=1, max_batch=4, max_delay_ms=60_000) as runner:
        asker = runner._askers["m"]

        async def scene() -> list[Any]:
            asks = (asker.ask(PIXELS, explain=False, until=float("inf")) for _ in range(4))
            return await asyncio.gather(*asks, return_exceptions=True)

        assert all(isinstance(each, TransientModelError) for each in play(scene))
    assert model.batches == (4,)


def test_promise_6_the_budget_is_shared_by_all_models(grey: Grey) -> None:
    first, second = Moody("first", LOST), Moody("second", LOST)
    with engine_room([(first, second)], attempts=5, breaker=BreakerOptions(calls=20)) as runner:

        async def scene() -> None:
            while runner._askers["first"]._budget.left >= 1:
                await asyncio.gather(runner.detect(grey(1)), return_exceptions=True)
            assert runner._askers["second"]._budget is runner._askers["first"]._budget

        play(scene)


def test_promise_6_an_open_breaker_ends_the_retries(grey: Grey) -> None:
    model = Moody("m", LOST)
    with engine_room([model], attempts=50, breaker=BreakerOptions(calls=3)) as runner:
        assert "breaker is open" in play(lambda: failing(runner, grey(1)))
    assert model.calls == 3
    assert issubclass(BreakerOpenError, CascadeError)
