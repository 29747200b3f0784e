from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from natix_cascade.observe.hub import Hub
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.post import Inbox, Post
from natix_cascade.run.events import BreakerChanged

ONE = Observation(BreakerChanged("m", 0, "open"))


class Collector:
    """An observer that does what a test says."""

    def __init__(self, name: str = "collector", work: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.seen: list[Observation] = []
        self.closed = False
        self._work = work

    def __call__(self, observation: Observation) -> None:
        self._work()
        self.seen.append(observation)

    def close(self) -> None:
        self.closed = True


def boom() -> None:
    raise ConnectionError("nobody there")


def test_all_get_all_in_order_and_are_closed() -> None:
    two = Collector(), Collector("other")
    hub = Hub(two)
    sent = [Observation(BreakerChanged("m", number, "open")) for number in range(100)]
    for each in sent:
        hub(each)
    assert hub.close()
    assert [one.seen for one in two] == [sent, sent]
    assert all(one.closed for one in two)


def test_one_that_hangs_holds_up_nobody_and_is_left_behind() -> None:
    gate = threading.Event()
    stuck, quick = Collector("stuck", gate.wait), Collector("quick")  # type: ignore[arg-type]  # what it returns is nobody's
    dropped: Counter[str] = Counter()
    hub = Hub((stuck, quick), most=10, dropped=lambda name: dropped.update([name]))
    began = time.perf_counter()
    for _ in range(50):
        hub(ONE)
        while len(quick.seen) < 1:
            time.sleep(0.001)
    assert not hub.close(0.3)
    assert time.perf_counter() - began < 5
    assert len(quick.seen) + dropped["quick"] == 50
    assert dropped["stuck"] >= 39  # one is in its hands, ten wait
    gate.set()


def test_one_that_raises_goes_on_and_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    failed: Counter[str] = Counter()
    hub = Hub((Collector("bad", boom),), failed=lambda name: failed.update([name]))
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            hub(ONE)
        assert hub.close()
    assert failed == {"bad": 20}
    assert [record.message for record in caplog.records] == ["bad: ConnectionError: nobody there"]


def test_pictures_that_wait_are_bounded() -> None:
    gate = threading.Event()
    dropped: Counter[str] = Counter()
    hub = Hub((Collector("slow", gate.wait),), dropped=lambda name: dropped.update([name]))  # type: ignore[arg-type]
    for _ in range(300):
        hub(Observation(ONE.event, picture=b"x" * 1000))
    assert 43 <= dropped["slow"] <= 44
    gate.set()
    assert hub.close()


def test_what_is_posted_arrives(tmp_path: Path) -> None:
    inbox, dropped = Inbox(tmp_path / "s"), Counter[str]()
    post = Post(tmp_path / "s", lambda: dropped.update(["x"]))
    post(ONE)
    post(Observation(ONE.event, picture=b"x" * 100_000))
    assert inbox.receive(1.0) == ONE
    assert inbox.receive(1.0) == Observation(ONE.event, picture=b"x" * 100_000)
    assert inbox.receive(0.01) is None
    assert not dropped
    inbox.close()
    post.close()


def test_without_an_inbox_a_full_one_or_too_large_a_picture_nothing_waits(tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    post = Post(tmp_path / "s", lambda: dropped.update(["x"]))
    post(ONE)
    assert dropped["x"] == 1
    inbox = Inbox(tmp_path / "s")
    post(Observation(ONE.event, picture=b"x" * 20_000_000))
    assert inbox.receive(1.0) == ONE  # without its picture
    assert dropped["x"] == 2
    began = time.perf_counter()
    for _ in range(20_000):  # nobody reads
        post(ONE)
    assert dropped["x"] > 10_000
    assert time.perf_counter() - began < 10
    assert inbox.receive(1.0) == ONE
    inbox.close()
    post(ONE)
    post.close()
