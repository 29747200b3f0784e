"""Promises 2, 3, 4 and 7 of the service: cancellation, queues, batches, bulkheads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from engine_room import LONG, Moody, engine_room, play, turns_true, waiting

from natix_cascade.errors import DeadlineError, ModelError, QueueFullError
from natix_cascade.image import Picture
from natix_cascade.run import decoders, tuning
from natix_cascade.run.options import ModelOptions
from natix_cascade.testing import ScriptedModel

Grey = Callable[[int], Picture]


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


def test_promise_2_who_leaves_while_a_batch_waits_for_company_is_not_asked_about(grey: Grey) -> None:
    model = ScriptedModel("m", 0.6)
    with engine_room([model], max_batch=3, max_delay_ms=60_000) as runner:

        async def scene() -> None:
            leaves = asyncio.ensure_future(runner.detect(grey(0)))
            await asyncio.sleep(0)
            await turns_true(lambda: waiting(runner, "m") == 0)  # it is in a batch
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
            assert all(await asyncio.gather(*(runner.detect(grey(value)) for value in (1, 2))))

        play(scene)
    assert model.batches == (2,)


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

    monkeypatch.setattr(decoders, "decode", decode)
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
            assert all(each.desk.max_batch <= 4 for asker in runner._askers.values() for each in asker.replicas)
            await asyncio.gather(*(runner.detect(grey(value)) for value in range(60)))

        play(scene)
    assert all(max(model.batches) <= 4 for model in models)


def test_promise_4_tuning_takes_the_batch_that_pays(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "useful_batch", lambda *_: 2)
    model = Moody("m", 0.6)
    with engine_room([model], more={"m#1": Moody("m", 0.6)}, max_batch=8, replicas=2) as runner:

        async def scene() -> None:
            await runner.warm_up(tune=True)
            await asyncio.gather(*(runner.detect(grey(value)) for value in range(30)))

        play(scene)
        assert [each.desk.max_batch for each in runner._askers["m"].replicas] == [2, 2]
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
