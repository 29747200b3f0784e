"""The miner's judge against services that answer, fail, hang and lie; behind it is the real embedded cascade."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Iterator

import pytest

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError, DeadlineError, ModelError
from natix_cascade.image import challenge_jpeg, decode
from natix_cascade.run.cascade import Cascade
from natix_cascade.serve.miner.embedded import Embedded
from natix_cascade.serve.miner.judge import Asker, Judge
from natix_cascade.serve.miner.reply import GUESS, Heard, Reply
from natix_cascade.testing import render_scene

PICTURE = challenge_jpeg(decode(render_scene(3, roadwork=True).jpeg()).pixels, "L0", seed=0)
IMAGE = base64.b64encode(PICTURE).decode()


class Said:
    confidence = 0.9
    exit_level = "far"
    reasons = ("because",)

    def __init__(self, probability: float, *, degraded: bool = False) -> None:
        self.detected = probability > 0.5
        self.probability = probability
        self.degraded = degraded


class Service:
    """Says what it is told to; a service without an answer hangs until it is cancelled."""

    def __init__(self, answer: Heard | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[bytes, float]] = []
        self.left_alone = False

    async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Heard:
        assert name is None
        self.asked.append((picture, deadline_ms))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.left_alone = True
        assert self.answer is not None
        return self.answer


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    one = Embedded()
    yield one
    one.close()


@pytest.fixture(scope="module")
def own() -> Verdict:
    with Cascade.load("embedded", threads=1) as cascade:
        return cascade.detect(PICTURE)


def ask(service: Asker | None, embedded: Asker, image: str = IMAGE, budget_s: float = 60.0) -> tuple[Judge, Reply]:
    judge = Judge(service, embedded, budget_s=budget_s)
    return judge, asyncio.run(judge.answer(image))


def test_the_services_answer_is_sent() -> None:
    service, unused = Service(Said(0.81)), Embedded()
    judge, reply = ask(service, unused)
    assert reply.prediction == 0.81
    assert "Because." in reply.explanation
    assert service.asked[0][0] == PICTURE
    assert 0 < service.asked[0][1] < 60_000
    assert not unused.loaded
    assert str(judge.tally) == "challenges 1, service 1, fallback 0, guessed 0, degraded 0, refused 0"


def test_a_degraded_answer_is_counted() -> None:
    judge, _ = ask(Service(Said(0.2, degraded=True)), Embedded())
    assert judge.tally.degraded == 1


@pytest.mark.parametrize(
    "failure", [ModelError("503"), OSError("no route"), ZeroDivisionError(), Said(math.nan), Said(2.0), Said(-1.0)]
)
def test_a_service_that_fails_or_lies_is_replaced(
    failure: Exception | Said, embedded: Embedded, own: Verdict, caplog: pytest.LogCaptureFixture
) -> None:
    judge, reply = ask(Service(failure), embedded)
    assert reply.prediction == pytest.approx(own.probability)
    assert "The service did not answer; the embedded cascade has answered." in reply.explanation
    assert judge.tally.fallback == 1
    assert "the embedded cascade answers" in caplog.text


def test_a_late_service_is_replaced_and_let_go(
    embedded: Embedded, own: Verdict, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(embedded.infer(PICTURE, deadline_ms=60_000))  # loaded
    service = Service(None)
    judge, reply = ask(service, embedded, budget_s=3.0)
    assert (reply.prediction > 0.5) == own.detected
    assert "The service was late; the embedded cascade has answered." in reply.explanation
    assert service.left_alone
    assert (judge.tally.service, judge.tally.fallback) == (0, 1)
    assert "late" in caplog.text


def test_a_slow_service_that_makes_it_is_believed(embedded: Embedded) -> None:
    """The embedded cascade has answered long before; the service is the better one and its answer is taken."""

    class Slow(Service):
        async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Heard:  # noqa: ARG002
            await beside.asked.wait()
            return Said(0.123)

    class Beside:
        def __init__(self) -> None:
            self.asked = asyncio.Event()

        async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Heard:
            answer = await embedded.infer(picture, deadline_ms=deadline_ms, name=name)
            self.asked.set()
            return answer

    beside = Beside()
    judge, reply = ask(Slow(None), beside, budget_s=4.0)
    assert reply.prediction == 0.123
    assert (judge.tally.service, judge.tally.fallback) == (1, 0)


def test_without_a_service_the_embedded_cascade_answers(embedded: Embedded, own: Verdict) -> None:
    judge, reply = ask(None, embedded)
    assert reply.prediction == pytest.approx(own.probability)
    assert "has answered" not in reply.explanation
    assert judge.tally.fallback == 1


@pytest.mark.parametrize(
    "image",
    [
        "",
        "not base64!",
        "AAAA",
        base64.b64encode(PICTURE[:2000]).decode(),
        base64.b64encode(b"GIF89a" * 9).decode(),
        "é",
    ],
    ids=["empty", "no base64", "zeros", "truncated", "gif", "not ascii"],
)
@pytest.mark.parametrize("service", [None, ModelError("422")], ids=["alone", "with a service"])
def test_a_picture_that_is_none_is_guessed(image: str, service: Exception | None, embedded: Embedded) -> None:
    judge, reply = ask(None if service is None else Service(service), embedded, image)
    assert reply.prediction == GUESS
    assert "guess" in reply.explanation
    assert judge.tally.guessed == 1


def test_when_everything_fails_it_still_answers(caplog: pytest.LogCaptureFixture) -> None:
    judge, reply = ask(Service(ModelError("down")), Service(RuntimeError("down too")))
    assert reply.prediction == GUESS
    assert judge.tally.guessed == 1
    assert "nobody could judge" in caplog.text
    _, again = ask(None, Embedded("no-such-cascade"))
    assert again.prediction == GUESS


def test_when_everything_hangs_it_still_answers() -> None:
    class Hangs(Service):
        async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Heard:
            try:
                async with asyncio.timeout(deadline_ms / 1000):
                    return await super().infer(picture, deadline_ms=deadline_ms, name=name)
            except TimeoutError:
                raise DeadlineError("late") from None

    service, embedded = Service(None), Hangs(None)
    judge, reply = ask(service, embedded, budget_s=0.6)
    assert reply.prediction == GUESS
    assert service.left_alone
    assert embedded.left_alone
    assert judge.tally.guessed == 1


def test_many_at_once_are_all_answered(embedded: Embedded, own: Verdict) -> None:
    judge = Judge(Service(ModelError("overloaded")), embedded, budget_s=60)

    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(judge.answer(IMAGE) for _ in range(60)))

    replies = asyncio.run(all_at_once())
    assert {reply.prediction > 0.5 for reply in replies} == {own.detected}
    assert judge.tally.fallback == 60


def test_the_embedded_cascade_keeps_its_deadline_while_it_loads() -> None:
    one = Embedded()
    with pytest.raises(DeadlineError, match="deadline"):
        asyncio.run(one.infer(PICTURE, deadline_ms=0.001))
    one.close()


def test_a_cascade_that_is_not_there_is_an_error_of_its_own() -> None:
    with pytest.raises(CascadeError):
        asyncio.run(Embedded("no-such-cascade").infer(PICTURE, deadline_ms=60_000))
