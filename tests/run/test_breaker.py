from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from natix_cascade.run.breaker import Breaker
from natix_cascade.run.options import BreakerOptions

OPTIONS = BreakerOptions(window=4, calls=2, failure_rate=0.5, open_s=10.0, probes=2)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


MakeBreaker = Callable[..., Breaker]


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def breaker_of(clock: Clock, changes: list[str]) -> MakeBreaker:
    def make(**options: Any) -> Breaker:
        return Breaker(replace(OPTIONS, **options), clock=clock, on_change=changes.append)

    return make


def opened(breaker: Breaker) -> Breaker:
    while breaker.state == "closed":
        assert breaker.allow()
        breaker.failure()
    return breaker


def half_open(breaker: Breaker, clock: Clock) -> Breaker:
    opened(breaker)
    clock.now += breaker.options.open_s
    assert breaker.state == "half_open"
    return breaker


def test_it_opens_when_the_share_of_failures_is_reached(breaker_of: MakeBreaker, changes: list[str]) -> None:
    breaker = breaker_of(window=4, calls=4, failure_rate=0.5)
    for report in (breaker.success, breaker.failure, breaker.success):
        report()
    assert breaker.state == "closed"
    assert breaker.allow()
    breaker.failure()
    assert breaker.state == "open"
    assert not breaker.allow()
    assert breaker.failures == 2
    assert changes == ["open"]


def test_fewer_calls_than_asked_for_never_open_it(breaker_of: MakeBreaker) -> None:
    breaker = breaker_of(window=10, calls=5, failure_rate=0.1)
    for _ in range(4):
        breaker.failure()
    assert breaker.state == "closed"
    breaker.failure()
    assert breaker.state == "open"


def test_a_window_smaller_than_the_calls_asked_for_can_open_when_it_is_full(breaker_of: MakeBreaker) -> None:
    breaker = breaker_of(window=2, calls=5)
    breaker.failure()
    assert breaker.state == "closed"
    breaker.failure()
    assert breaker.state == "open"


def test_old_failures_slide_out_of_the_window(breaker_of: MakeBreaker) -> None:
    breaker = breaker_of(window=4, calls=4, failure_rate=0.75)
    for report in (breaker.failure, breaker.failure, breaker.success, breaker.success, breaker.success):
        report()
    assert breaker.failures == 1
    breaker.success()
    assert breaker.failures == 0


def test_released_calls_are_neither_success_nor_failure(breaker_of: MakeBreaker) -> None:
    breaker = breaker_of()
    for _ in range(10):
        assert breaker.allow()
        breaker.release()
    assert (breaker.state, breaker.failures) == ("closed", 0)


def test_open_refuses_until_its_time_is_over(breaker_of: MakeBreaker, clock: Clock, changes: list[str]) -> None:
    breaker = opened(breaker_of())
    assert breaker.retry_after_s() == 10.0
    clock.now += 9.5
    assert not breaker.allow()
    assert breaker.retry_after_s() == 0.5
    clock.now += 0.5
    assert breaker.state == "half_open"
    assert breaker.retry_after_s() == 0.0
    assert changes == ["open", "half_open"]


def test_half_open_lets_exactly_the_probes_through(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = half_open(breaker_of(probes=3), clock)
    assert [breaker.allow() for _ in range(6)] == [True, True, True, False, False, False]


def test_it_closes_with_an_empty_window_when_all_probes_succeed(
    breaker_of: MakeBreaker, clock: Clock, changes: list[str]
) -> None:
    breaker = half_open(breaker_of(calls=2), clock)
    tickets = [breaker.enter(), breaker.enter()]
    breaker.success(tickets[0])
    assert breaker.state == "half_open"
    assert not breaker.allow()  # one has succeeded and one is out: that is all
    breaker.success(tickets[1])
    assert (breaker.state, breaker.failures) == ("closed", 0)
    breaker.failure()
    assert breaker.state == "closed"  # one failure of one call: fewer than `calls`
    assert changes == ["open", "half_open", "closed"]


def test_one_failed_probe_opens_it_for_the_whole_time(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = half_open(breaker_of(), clock)
    first, second = breaker.enter(), breaker.enter()
    clock.now += 3.0
    breaker.failure(first)
    assert breaker.state == "open"
    assert breaker.retry_after_s() == 10.0
    breaker.success(second)  # too late to matter
    assert breaker.state == "open"
    assert breaker.openings == 2


def test_a_released_probe_gives_its_permit_back(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = half_open(breaker_of(probes=1), clock)
    assert breaker.allow()
    assert not breaker.allow()
    breaker.release()
    assert breaker.state == "half_open"
    assert breaker.allow()
    breaker.success()
    assert breaker.state == "closed"


def test_a_probe_that_never_reports_counts_as_failed(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = half_open(breaker_of(probes=1), clock)
    lost = breaker.enter()
    clock.now += 9.0
    assert breaker.state == "half_open"
    clock.now += 1.0
    assert breaker.state == "open"
    assert breaker.retry_after_s() == 10.0
    clock.now += 10.0
    assert breaker.allow()
    breaker.success(lost)  # of the round before
    assert breaker.state == "half_open"
    breaker.success()
    assert breaker.state == "closed"


def test_an_hour_without_calls_leaves_it_half_open_whatever_was_lost(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = half_open(breaker_of(probes=1), clock)
    assert breaker.allow()
    clock.now += 3600.0
    assert breaker.allow()


def test_calls_of_before_the_opening_are_no_probes(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = breaker_of(probes=1)
    slow = [breaker.enter(), breaker.enter()]
    half_open(breaker, clock)
    probe = breaker.enter()
    breaker.failure(slow[0])
    breaker.success(slow[1])
    assert breaker.state == "half_open"
    breaker.success(probe)
    assert breaker.state == "closed"
    breaker.failure(slow[0])
    breaker.failure(probe)
    assert breaker.failures == 0  # both are of an earlier time


def test_another_replica_can_open_it_and_keep_it_open(breaker_of: MakeBreaker, clock: Clock) -> None:
    breaker = breaker_of()
    breaker.force_open(4.0)
    assert (breaker.state, breaker.openings, breaker.retry_after_s()) == ("open", 0, 4.0)
    breaker.force_open(2.0)
    breaker.force_open(0.0)
    breaker.force_open(-1.0)
    assert breaker.retry_after_s() == 4.0
    breaker.force_open(6.0)
    assert breaker.retry_after_s() == 6.0
    clock.now += 6.0
    probe = breaker.enter()
    assert probe
    breaker.force_open(1.0)
    breaker.success(probe)
    assert breaker.state == "open"


def test_nothing_is_forced_open_for_no_time(breaker_of: MakeBreaker) -> None:
    breaker = breaker_of()
    breaker.force_open(0.0)
    assert breaker.state == "closed"


def test_a_listener_may_ask_the_breaker_and_may_fail(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, str]] = []

    def listen(state: str) -> None:
        seen.append((state, breaker.state))
        raise LookupError("a listener's own fault")

    breaker = Breaker(OPTIONS, clock=clock, on_change=listen)
    with caplog.at_level(logging.ERROR, "natix_cascade.breaker"):
        opened(breaker)
    assert seen == [("open", "open")]
    assert "listener" in caplog.text


@pytest.mark.parametrize("probes", [1, 3])
def test_fifty_threads_get_exactly_the_permits(clock: Clock, probes: int) -> None:
    breaker = half_open(Breaker(replace(OPTIONS, probes=probes), clock=clock), clock)
    line = threading.Barrier(50)

    def ask() -> bool:
        line.wait()
        return breaker.allow()

    with ThreadPoolExecutor(50) as pool:
        granted = [future.result() for future in [pool.submit(ask) for _ in range(50)]]
    assert sum(granted) == probes


def test_no_report_of_many_threads_is_lost(clock: Clock) -> None:
    breaker = Breaker(BreakerOptions(window=4000, calls=4000, failure_rate=1.0), clock=clock)

    def work(failed: bool) -> None:  # noqa: FBT001
        for _ in range(100):
            ticket = breaker.enter()
            (breaker.failure if failed else breaker.success)(ticket)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(work, [True, False] * 20))
    assert breaker.failures == 2000


class Laws(RuleBasedStateMachine):
    """Calls of any age report in any order; what is let through keeps the promises."""

    @initialize(
        window=st.integers(1, 6),
        calls=st.integers(1, 6),
        failure_rate=st.sampled_from([0.1, 0.5, 0.55, 1.0]),
        probes=st.integers(1, 3),
        open_s=st.sampled_from([1.0, 8.0]),
    )
    def begin(self, window: int, calls: int, failure_rate: float, probes: int, open_s: float) -> None:
        self.options = BreakerOptions(
            window=window, calls=calls, failure_rate=failure_rate, probes=probes, open_s=open_s
        )
        self.clock = Clock()
        self.breaker = Breaker(self.options, clock=self.clock, on_change=self.changed)
        self.state = "closed"  # as the listener was told
        self.out: list[int] = []  # tickets of calls that have not reported
        self.round: set[int] = set()  # permits of this time of being half-open that are out
        self.era: set[int] = set()  # tickets given since it closed last
        self.window: list[bool] = []
        self.succeeded = 0  # probes of this time
        self.shut_until = 0.0

    def changed(self, state: str) -> None:
        allowed = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
        assert (self.state, state) in allowed
        self.state = state
        self.succeeded = 0
        self.round.clear()
        self.era.clear()
        self.window.clear()

    @rule()
    def call(self) -> None:
        before = self.breaker.state
        ticket = self.breaker.enter()
        if before == "closed":
            assert ticket
            self.era.add(ticket)
        elif before == "open":
            assert not ticket
        if ticket:
            assert self.clock.now >= self.shut_until
            self.out.append(ticket)
            if before == "half_open":
                assert ticket not in self.round
                self.round.add(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), what=st.sampled_from(["success", "failure", "release"]))
    def report(self, data: st.DataObject, what: str) -> None:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before = self.breaker.state
        counts = before == "closed" and ticket in self.era and what != "release"
        probe = before == "half_open" and ticket in self.round
        window = [*self.window, what == "failure"][-self.options.window :] if counts else self.window
        getattr(self.breaker, what)(ticket)
        if probe and what == "failure":
            assert self.breaker.state == "open"
            self.shut_until = self.clock.now + self.options.open_s
        elif before == "closed":
            share = sum(window) / len(window) if window else 0.0
            enough = len(window) >= min(self.options.calls, self.options.window)
            opens = counts and enough and share >= self.options.failure_rate
            assert self.breaker.state == ("open" if opens else "closed")
            if opens:
                self.shut_until = self.clock.now + self.options.open_s
            else:
                self.window = list(window)
        elif probe:
            self.succeeded += what == "success" and self.breaker.state == "half_open"
        else:
            assert self.breaker.state == before  # it was of an earlier time
        self.round.discard(ticket)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 8.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(seconds=st.sampled_from([0.5, 4.0]))
    def force(self, seconds: float) -> None:
        self.breaker.force_open(seconds)
        self.shut_until = max(self.shut_until, self.clock.now + seconds)
        assert self.breaker.state == "open"

    @invariant()
    def never_more_permits_than_probes(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state == "half_open":
            assert len(self.round) + self.succeeded <= self.options.probes

    @invariant()
    def left_alone_it_can_always_be_tried_again(self) -> None:
        if hasattr(self, "breaker"):
            now, state = self.clock.now, self.breaker.state
            assert self.breaker.retry_after_s() <= max(self.options.open_s, 4.0)
            assert (state == "open") == (self.breaker.retry_after_s() > 0)
            assert now == self.clock.now


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
