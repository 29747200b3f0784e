"""When a call is tried again, by a clock that the test turns."""

from __future__ import annotations

import pytest

from natix_cascade.client.errors import (
    LateError,
    OverloadedError,
    RefusedPictureError,
    ServiceError,
    UnauthorizedError,
    UnreachableError,
)
from natix_cascade.client.patience import MARGIN_S, Deadline, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_leaves_the_answer_time_for_its_way() -> None:
    clock = Clock()
    deadline = Deadline.of(400.0, 10.0, clock)
    assert deadline.for_service_ms == pytest.approx(400)
    assert deadline.left_s == pytest.approx(0.4 + MARGIN_S)
    clock.now += 0.3
    assert deadline.for_service_ms == pytest.approx(100)
    clock.now += 0.3
    assert deadline.for_service_ms < 0 < deadline.left_s
    clock.now += 10
    assert deadline.left_s == 0


def test_without_a_deadline_the_timeout_bounds_everything() -> None:
    deadline = Deadline.of(None, 10.0, Clock())
    assert deadline.left_s == pytest.approx(10)
    assert deadline.for_service_ms == pytest.approx(10_000 - 1000 * MARGIN_S)
    assert Deadline.of(None, 0.1, Clock()).for_service_ms == pytest.approx(75)
    assert Deadline.of(None, 600.0, Clock()).for_service_ms == 60_000


@pytest.mark.parametrize("wrong", [0, -1, 60_001, float("nan")])
def test_a_deadline_that_the_service_would_refuse_is_refused_here(wrong: float) -> None:
    with pytest.raises(ValueError, match="deadline_ms"):
        Deadline.of(wrong, 10.0)


@pytest.mark.parametrize(
    ("error", "repeatable", "again"),
    [
        (OverloadedError("busy", status=503), False, True),
        (OverloadedError("too fast", status=429), False, True),
        (UnreachableError("no connection"), False, True),
        (UnreachableError("broke off", maybe_done=True), True, True),
        (UnreachableError("broke off", maybe_done=True), False, False),
        (LateError("late", status=504), True, False),
        (ServiceError("bad gateway", status=502), True, False),
        (ServiceError("fault", status=500), True, False),
        (RefusedPictureError("corrupt", status=422), True, False),
        (UnauthorizedError("who?", status=401), True, False),
        (KeyboardInterrupt(), True, False),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(error: BaseException, *, repeatable: bool, again: bool) -> None:
    wait = Patience(Deadline.of(None, 10.0, Clock()), repeatable)(error)
    assert (wait is not False) is again


def test_waits_grow_and_are_not_all_the_same() -> None:
    def waits() -> list[float]:
        patience = Patience(Deadline.of(None, 60.0, Clock()), repeatable=True)
        return [float(patience(UnreachableError("no connection"))) for _ in range(8)]

    several = [waits() for _ in range(20)]
    assert len({tuple(each) for each in several}) == 20
    assert all(0 < each[0] <= 0.05 for each in several)
    assert all(0.5 <= each[7] <= 2.0 for each in several)


def test_retry_after_is_waited_for() -> None:
    patience = Patience(Deadline.of(None, 60.0, Clock()), repeatable=True)
    assert 3.0 < float(patience(OverloadedError("busy", retry_after_s=3.0))) <= 3.05


def test_a_wait_that_outlasts_the_deadline_is_not_begun() -> None:
    clock = Clock()
    patience = Patience(Deadline.of(2000.0, 60.0, clock), repeatable=True)
    assert patience(OverloadedError("busy", retry_after_s=2.5)) is False
    assert patience(OverloadedError("busy", retry_after_s=1.0)) is not False
    clock.now += 1.5
    assert patience(OverloadedError("busy", retry_after_s=1.0)) is False
    clock.now += 0.5
    assert patience(UnreachableError("no connection")) is False


def test_the_error_of_a_late_call_names_what_went_before() -> None:
    patience = Patience(Deadline.of(500.0, 60.0, Clock()), repeatable=True)
    patience(OverloadedError("the queue is full"))
    text = str(patience.late("POST /v1/infer"))
    assert "0.75 s" in text
    assert "the queue is full" in text
    assert "deadline_ms" in text
