from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from engine_room import LONG, play
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.run import mail as mail_module
from natix_cascade.run.mail import LoopReply

uvloop = pytest.importorskip("uvloop")
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def in_a_thread(work: Callable[[], Any]) -> None:
    """Do it in another thread, and be back when it is done: the loop of the caller stands still meanwhile."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive()


@pytest.mark.parametrize("factory", LOOPS)
def test_answers_of_many_threads_all_arrive_once(factory: Any) -> None:
    replies, threads = 10_000, 8

    async def scene() -> None:
        waits = [LoopReply[int]() for _ in range(replies)]
        seen: list[int] = []
        for each in waits:
            each.future.add_done_callback(lambda future: seen.append(future.result()))
        order = list(range(replies))
        random.Random(1).shuffle(order)  # noqa: S311  # chance that repeats itself

        def give(thread: int) -> None:
            for number in order[thread::threads]:
                assert waits[number].set_running_or_notify_cancel()
                waits[number].set_result(number)

        with ThreadPoolExecutor(threads) as pool:
            work = [asyncio.get_running_loop().run_in_executor(pool, give, thread) for thread in range(threads)]
            answers = await asyncio.gather(*(each.wait(LONG) for each in waits))
            await asyncio.gather(*work)
        assert answers == list(range(replies))
        assert sorted(seen) == answers

    play(scene, factory)


def test_what_comes_together_wakes_the_loop_once_and_what_comes_later_again() -> None:
    async def scene() -> None:
        loop: Any = asyncio.get_running_loop()
        wakes, wake = [], loop.call_soon_threadsafe

        def counted(*args: Any, **more: Any) -> Any:
            wakes.append(args)
            return wake(*args, **more)

        loop.call_soon_threadsafe = counted
        for round_ in (1, 2, 3):
            replies = [LoopReply[int]() for _ in range(100)]

            def give(replies: list[LoopReply[int]] = replies) -> None:
                for number, reply in enumerate(replies):
                    reply.set_result(number)

            in_a_thread(give)
            assert [await each.wait(None) for each in replies] == list(range(100))
            assert len(wakes) == round_

    play(scene)


@pytest.mark.parametrize("factory", LOOPS)
def test_two_loops_at_once_get_their_own_answers(factory: Any) -> None:
    """Each loop's replies are given by the other loop's thread and by a third."""
    both = threading.Barrier(2)
    boxes: dict[str, list[LoopReply[str]]] = {}
    loops: dict[str, Any] = {}

    def run(name: str, other: str) -> None:
        async def scene() -> None:
            loops[name] = asyncio.get_running_loop()
            boxes[name] = [LoopReply[str]() for _ in range(500)]
            await asyncio.to_thread(both.wait, LONG)
            third = asyncio.ensure_future(asyncio.to_thread(give, other, slice(0, None, 2)))
            give(other, slice(1, None, 2))
            answers = await asyncio.gather(*(each.wait(LONG) for each in boxes[name]))
            assert answers == [f"{name} {number}" for number in range(500)]
            await third

        play(scene, factory)

    def give(name: str, which: slice) -> None:
        for number, reply in list(enumerate(boxes[name]))[which]:
            reply.set_result(f"{name} {number}")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, "a", "b"), pool.submit(run, "b", "a")]:
            done.result(LONG)
    assert loops["a"] is not loops["b"]


@pytest.mark.parametrize("factory", LOOPS)
def test_a_closed_loop_is_no_error_and_does_not_stay_in_memory(factory: Any) -> None:
    loop = factory()

    async def make() -> list[LoopReply[int]]:
        replies = [LoopReply[int]() for _ in range(4)]
        replies[0].set_result(1)  # in the box when the loop ends
        return replies

    replies = loop.run_until_complete(make())
    replies[1].set_result(2)
    loop.close()
    replies[2].set_result(3)
    replies[3].set_exception(ValueError("late"))
    assert not replies[3]._mail._box
    gone = weakref.ref(loop)
    del replies, loop
    gc.collect()
    assert gone() is None


def test_a_loop_that_ended_with_answers_in_the_box_goes_when_the_next_one_comes() -> None:
    async def one() -> None:
        LoopReply[int]().set_result(1)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(one())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    play(one)
    gc.collect()
    assert gone() is None
    assert len(mail_module._mails) <= 1


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (ValueError("no"), ValueError, "no"),
        (StopIteration(3), RuntimeError, "StopIteration 3"),
        (SystemExit(2), RuntimeError, "SystemExit 2"),
        (KeyboardInterrupt(), RuntimeError, "KeyboardInterrupt"),
        (asyncio.CancelledError(), RuntimeError, "CancelledError"),
    ],
)
def test_any_error_arrives_and_what_comes_behind_it_too(error: BaseException, kind: Any, says: str) -> None:
    async def scene() -> None:
        bad, good = LoopReply[int](), LoopReply[int]()
        in_a_thread(lambda: (bad.set_exception(error), good.set_result(1)))
        assert await good.wait(LONG) == 1
        with pytest.raises(kind, match=says) as caught:
            await bad.wait(LONG)
        assert error in {caught.value, caught.value.__cause__}

    play(scene)


def test_who_leaves_is_seen_to_have_left_and_a_late_answer_disturbs_nobody() -> None:
    async def scene() -> None:
        late, gone, stays = LoopReply[int](), LoopReply[int](), LoopReply[int]()
        assert not late.cancelled()
        with pytest.raises(TimeoutError):
            await late.wait(0.0)
        task = asyncio.ensure_future(gone.wait(None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for each in (late, gone):
            assert each.cancelled()
            assert not each.set_running_or_notify_cancel()
        in_a_thread(lambda: (late.set_result(1), gone.set_exception(ValueError()), stays.set_result(3)))
        assert await stays.wait(LONG) == 3

    play(scene)


STEPS = st.tuples(st.sampled_from(["answer", "fail", "cancel", "late", "turn"]), st.integers(min_value=0, max_value=5))


class Decisions:
    """What became of each reply: an answer counts when the loop opens the box, leaving counts at once."""

    def __init__(self, replies: int) -> None:
        self.replies = [LoopReply[int]() for _ in range(replies)]
        self.decided: dict[int, str] = {}
        self.posted: list[tuple[int, str]] = []

    def post(self, number: int, what: str) -> None:
        reply = self.replies[number]
        in_a_thread(lambda: reply.set_result(number) if what == "answer" else reply.set_exception(ValueError()))
        self.posted.append((number, what))

    def leave(self, number: int, what: str) -> None:
        future = self.replies[number].future
        if what != "late":
            future.cancel()
        elif not future.done():  # as the timer of `wait` does
            future.set_exception(TimeoutError())
        self.decided.setdefault(number, what)

    def opened(self) -> None:
        for number, what in self.posted:
            self.decided.setdefault(number, what)
        self.posted.clear()


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_whatever_the_order_each_question_ends_once_and_as_it_was_first_decided(steps: list[tuple[str, int]]) -> None:
    async def scene() -> None:
        book = Decisions(6)
        tasks = [asyncio.ensure_future(each.wait(None)) for each in book.replies]
        await asyncio.sleep(0)
        for what, number in steps:
            if what == "turn":
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                book.opened()
            else:
                (book.leave if what in {"late", "cancel"} else book.post)(number, what)
        for number in range(6):
            book.post(number, "answer")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        book.opened()
        kinds = {int: "answer", ValueError: "fail", asyncio.CancelledError: "cancel", TimeoutError: "late"}
        assert {number: kinds[type(result)] for number, result in enumerate(results)} == book.decided
        assert all(result == number for number, result in enumerate(results) if type(result) is int)

    play(scene, collect=False)


def test_a_storm_of_answers_deadlines_and_cancellations_leaves_nothing_open() -> None:
    """Threads answer while the loop times out and cancels: each wait ends, as one of the three."""

    async def scene() -> None:
        chance = random.Random(2)  # noqa: S311  # chance that repeats itself
        replies = [LoopReply[int]() for _ in range(4000)]
        tasks = [asyncio.ensure_future(each.wait(chance.choice([0.0, 0.002, LONG]))) for each in replies]

        def give(thread: int) -> None:
            for number in range(thread, len(replies), 8):
                if replies[number].set_running_or_notify_cancel():
                    replies[number].set_result(number)

        work = [asyncio.ensure_future(asyncio.to_thread(give, thread)) for thread in range(8)]
        for number in chance.sample(range(len(tasks)), 1000):
            tasks[number].cancel()
            if number % 50 == 0:
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*work)
        for number, result in enumerate(results):
            assert result == number or isinstance(result, TimeoutError | asyncio.CancelledError)
        assert all(each.future.done() for each in replies)

    play(scene)


def test_who_is_given_more_time_waits_on_and_no_longer() -> None:
    async def scene() -> tuple[int, list[float]]:
        reply: LoopReply[int] = LoopReply()
        given = [0.01, 0.01, 0.0]
        with pytest.raises(TimeoutError):
            await reply.wait(0.01, lambda: given.pop(0))
        other: LoopReply[int] = LoopReply()
        asyncio.get_running_loop().call_later(0.05, other.set_result, 7)
        return await other.wait(0.001, lambda: LONG), given

    assert asyncio.run(scene()) == (7, [])
