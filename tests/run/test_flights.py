from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from engine_room import LONG, PIXELS, play, turns_true

from natix_cascade.errors import ModelError, QueueFullError, TransientModelError
from natix_cascade.models.base import Answers, AsyncModel
from natix_cascade.run.desk import Desk, HangError
from natix_cascade.run.flights import Flights
from natix_cascade.spec.card import ModelCard
from natix_cascade.testing import ScriptedModel
from natix_cascade.testing.chat import ask_card

EVER = float("inf")


def numbered(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, np.uint8)


class Server:
    """A model elsewhere, whose answers are let go by number."""

    def __init__(self, concurrency: int = 4, *, holds: Callable[[int], bool] = lambda _: False) -> None:
        self.concurrency = concurrency
        self.holds = holds
        self.asked: list[int] = []
        self.given_up: list[int] = []
        self.under_way = self.most = 0
        self.go = threading.Event()
        self.fault: BaseException | None = None
        self.odd: Answers | None = None
        self.explained: list[bool] = []
        self.loops: set[int] = set()
        self.closed = 0

    @property
    def card(self) -> ModelCard:
        return ask_card("far")

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        return pixels

    def predict(self, batch: Sequence[np.ndarray], *, explain: bool = False) -> Answers:
        raise NotImplementedError

    async def answer(self, prepared: np.ndarray, *, explain: bool = False) -> Answers:
        number = int(prepared[0, 0, 0])
        self.loops.add(id(asyncio.get_running_loop()))
        self.asked.append(number)
        self.explained.append(explain)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            while self.holds(number) and not self.go.is_set():  # noqa: ASYNC110  # set from another thread
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.given_up.append(number)
            raise
        finally:
            self.under_way -= 1
        if self.fault is not None:
            raise self.fault
        return self.odd or Answers(np.array([number / 100]))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def flights_of() -> Iterator[Callable[..., Flights]]:
    made: list[tuple[Flights, Any]] = []

    def make(model: Any, **options: Any) -> Flights:
        flights = Flights(lambda: model, **options)
        made.append((flights, model))
        return flights

    yield make
    for flights, model in made:
        getattr(model, "go", threading.Event()).set()
        getattr(model, "release", threading.Event()).set()
        flights.close()


FlightsOf = Callable[..., Flights]


def test_it_is_a_desk_and_the_model_waits(flights_of: FlightsOf) -> None:
    server = Server()
    desk: Desk = flights_of(server)
    assert isinstance(server, AsyncModel)
    assert desk.submit(numbered(7)).result(LONG).score == pytest.approx(0.07)
    assert (desk.waiting, desk.running_for()) == (0, 0.0)


@pytest.mark.parametrize("most", [1, 3, 8])
def test_never_more_under_way_than_the_model_takes(flights_of: FlightsOf, most: int) -> None:
    server = Server(most, holds=lambda _: True)
    flights = flights_of(server)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(flights.ask(numbered(n))) for n in range(20)]
        await turns_true(lambda: server.under_way == most)
        assert (flights.under_way, flights.waiting) == (most, 20 - most)
        server.go.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.score for answer in answers] == [n / 100 for n in range(20)]

    play(scene)
    assert server.most == most
    assert sorted(server.asked) == list(range(20))


def test_one_that_takes_long_holds_up_nobody(flights_of: FlightsOf) -> None:
    server = Server(2, holds=lambda number: number == 99)
    flights = flights_of(server)

    async def scene() -> None:
        slow = asyncio.ensure_future(flights.ask(numbered(99)))
        for number in range(10):
            assert (await flights.ask(numbered(number))).score == number / 100
        assert not slow.done()
        server.go.set()
        await slow

    play(scene)


def test_who_leaves_frees_the_place_at_the_server_and_in_the_queue(flights_of: FlightsOf) -> None:
    server = Server(2, holds=lambda number: number < 50)
    flights = flights_of(server)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(flights.ask(numbered(n))) for n in range(5)]
        await turns_true(lambda: server.under_way == 2)
        for task in tasks[1:4]:  # one on its way, two in the queue
            task.cancel()
        await asyncio.gather(*tasks[1:4], return_exceptions=True)
        await turns_true(lambda: server.given_up == [1])
        await turns_true(lambda: server.asked == [0, 1, 4])
        for task in (tasks[0], tasks[4]):
            task.cancel()
        assert (await flights.ask(numbered(60))).score == 0.6

    play(scene)


def test_a_future_that_is_cancelled_leaves_too(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda number: number == 1)
    flights = flights_of(server)
    futures = [flights.submit(numbered(n)) for n in (1, 2, 3)]
    wait_until(lambda: server.under_way == 1)
    assert futures[1].cancel()
    assert futures[0].cancel()
    assert futures[2].result(LONG).score == 0.03
    assert server.asked == [1, 3]


def wait_until(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_who_waits_no_longer_closes_the_request(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda _: True)
    flights = flights_of(server)

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            await flights.ask(numbered(1), timeout_s=0.05)
        await turns_true(lambda: server.given_up == [1])
        assert flights.under_way == 0

    play(scene)


def test_a_full_queue_refuses_at_once_and_those_who_left_do_not_fill_it(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda _: True)
    flights = flights_of(server, max_queue=2)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(flights.ask(numbered(0)))]
        await turns_true(lambda: server.under_way == 1)
        tasks += [asyncio.ensure_future(flights.ask(numbered(n))) for n in (1, 2)]
        await turns_true(lambda: flights.waiting == 2)
        with pytest.raises(QueueFullError, match="2 pictures wait"):
            await flights.ask(numbered(3))
        tasks[1].cancel()
        await turns_true(lambda: flights.waiting == 1)
        tasks.append(asyncio.ensure_future(flights.ask(numbered(4))))
        await turns_true(lambda: flights.waiting == 2)
        server.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    play(scene)
    assert server.asked == [0, 2, 4]


def test_patience_begins_with_the_place_not_with_the_queue(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda number: number == 0)
    flights = flights_of(server)

    async def scene() -> None:
        slow = asyncio.ensure_future(flights.ask(numbered(0)))
        await turns_true(lambda: server.under_way == 1)
        late = time.perf_counter() + LONG
        queued = asyncio.ensure_future(flights.ask_patiently(PIXELS, explain=False, until=late, patience_s=0.1))
        await asyncio.sleep(0.4)
        assert not queued.done()
        server.go.set()
        await asyncio.gather(slow, queued)

    play(scene)


def test_a_request_that_hangs_is_told_from_a_picture_with_too_little_time(flights_of: FlightsOf) -> None:
    server = Server(4, holds=lambda _: True)
    flights = flights_of(server)

    async def scene() -> None:
        with pytest.raises(HangError):
            await flights.ask_patiently(PIXELS, explain=False, until=EVER, patience_s=0.05)
        soon = time.perf_counter() + 0.05
        with pytest.raises(TimeoutError) as caught:
            await flights.ask_patiently(PIXELS, explain=False, until=soon, patience_s=LONG)
        assert not isinstance(caught.value, HangError)
        await turns_true(lambda: flights.under_way == server.under_way == 0)

    play(scene)


def test_a_model_that_does_not_load_hangs_too() -> None:
    hold = threading.Event()
    flights = Flights(lambda: hold.wait(LONG) and Server())  # type: ignore[arg-type,return-value]

    async def scene() -> None:
        with pytest.raises(HangError):
            await flights.ask_patiently(PIXELS, explain=False, until=EVER, patience_s=0.05)
        assert flights.running_for() > 0.04
        hold.set()
        assert (await flights.ask(PIXELS)).score == 0

    play(scene)
    flights.close()


def test_a_model_that_cannot_be_loaded_is_tried_again_with_the_next_question() -> None:
    tries = []

    def load() -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ModelError("no weights")
        return Server()

    flights = Flights(load)
    with pytest.raises(ModelError, match="no weights"):
        flights.submit(PIXELS).result(LONG)
    assert flights.submit(PIXELS).result(LONG).score == 0
    assert len(tries) == 2
    flights.close()


@pytest.mark.parametrize("fault", [ModelError("no"), TransientModelError("away"), ValueError("odd"), StopIteration()])
def test_a_failure_is_one_questions_own(flights_of: FlightsOf, fault: BaseException) -> None:
    server = Server()
    flights = flights_of(server)
    server.fault = fault
    with pytest.raises((ModelError, ValueError, RuntimeError, StopIteration)):
        flights.submit(PIXELS).result(LONG)
    server.fault = None
    assert flights.submit(numbered(5)).result(LONG).score == 0.05
    assert flights.under_way == 0


@pytest.mark.parametrize("odd", [[float("nan")], [0.1, 0.2], [], [2.0]])
def test_odd_answers_are_failures(flights_of: FlightsOf, odd: list[float]) -> None:
    server = Server()
    server.odd = Answers(np.array(odd))
    with pytest.raises(ModelError, match="answer"):
        flights_of(server).submit(PIXELS).result(LONG)


def test_each_question_is_explained_or_not(flights_of: FlightsOf) -> None:
    server = Server()
    flights = flights_of(server)
    flights.submit(PIXELS, explain=True).result(LONG)
    flights.submit(PIXELS).result(LONG)
    assert server.explained == [True, False]


def test_a_model_that_computes_is_asked_one_by_one(flights_of: FlightsOf) -> None:
    model = ScriptedModel("m", [0.1, 0.2, 0.3])
    futures = [flights.submit(PIXELS) for flights in [flights_of(model)] for _ in range(3)]
    assert [future.result(LONG).score for future in futures] == [0.1, 0.2, 0.3]
    assert model.batches == (1, 1, 1)


def test_all_is_asked_from_one_loop_whoever_asks(flights_of: FlightsOf) -> None:
    server = Server()
    flights = flights_of(server)
    for _ in range(3):
        play(lambda: flights.ask(PIXELS))
    flights.submit(PIXELS).result(LONG)
    assert len(server.loops) == 1


def test_renewal_gives_up_what_is_under_way(flights_of: FlightsOf) -> None:
    server = Server(2, holds=lambda number: number < 10)
    flights = flights_of(server)

    async def scene() -> None:
        tasks = [asyncio.ensure_future(flights.ask(numbered(n))) for n in (1, 2)]
        await turns_true(lambda: server.under_way == 2)
        assert flights.running_for() > 0
        assert flights.renew()
        for task in tasks:
            with pytest.raises(TransientModelError, match="given up"):
                await task
        assert (await flights.ask(numbered(20))).score == 0.2

    play(scene)
    assert flights.renewals == 1


def test_closing_lets_what_is_under_way_be_answered(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda number: number == 0)
    flights = flights_of(server)
    futures = [flights.submit(numbered(n)) for n in (0, 1)]
    wait_until(lambda: server.under_way == 1)
    threading.Timer(0.1, server.go.set).start()
    flights.close()
    assert [future.result(0).score for future in futures] == [0, 0.01]
    with pytest.raises(ModelError, match="closed"):
        flights.submit(PIXELS)
    assert not flights.renew()
    assert server.closed == 0  # whoever loaded it frees it


def test_closing_gives_up_what_hangs(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda _: True)
    flights = flights_of(server)
    futures = [flights.submit(numbered(n)) for n in (0, 1)]
    wait_until(lambda: server.under_way == 1)
    began = time.monotonic()
    flights.close(0.1)
    assert time.monotonic() - began < 5
    for future in futures:
        with pytest.raises(ModelError):
            future.result(LONG)
    assert server.given_up == [0]
    flights.close()


def test_what_is_given_up_before_it_began_is_told_too(flights_of: FlightsOf) -> None:
    hold = threading.Event()
    server = Server(3)
    server.prepare = lambda pixels: (hold.wait(LONG), pixels)[1]  # type: ignore[method-assign]
    flights = flights_of(server)
    futures = [flights.submit(numbered(n)) for n in range(3)]  # the third waits for a thread that prepares it
    wait_until(lambda: flights.under_way == 3)
    assert flights.renew()
    for future in futures:
        with pytest.raises(TransientModelError, match="given up"):
            future.result(LONG)
    hold.set()
    assert server.asked == []


def test_closing_before_any_question() -> None:
    Flights(Server).close()


def test_no_threads_are_left() -> None:
    before = threading.active_count()
    flights = Flights(Server)
    flights.submit(PIXELS).result(LONG)
    flights.close()
    wait_until(lambda: threading.active_count() <= before)


def test_who_asked_from_a_loop_that_is_gone_harms_nobody(flights_of: FlightsOf) -> None:
    server = Server(1, holds=lambda number: number == 0)
    flights = flights_of(server)

    async def leave() -> None:
        asyncio.ensure_future(flights.ask(numbered(0)))  # noqa: RUF006  # nobody waits for it: that is the test
        await turns_true(lambda: server.under_way == 1)

    asyncio.run(leave())
    assert flights.submit(numbered(3)).result(LONG).score == 0.03
