from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait

import numpy as np
import pytest
from numpy.typing import NDArray

from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.models.base import Answers
from natix_cascade.run.batcher import Batcher, _Question
from natix_cascade.run.desk import Answer
from natix_cascade.spec.card import ModelCard
from natix_cascade.testing import ScriptedModel, make_card

LONG = 20.0  # seconds that only catch a hang

MakeBatcher = Callable[..., Batcher]


def numbered(number: int) -> NDArray[np.uint8]:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0, :2] = divmod(number, 256)
    return pixels


def number_of(pixels: NDArray[np.generic]) -> int:
    return int(pixels[0, 0, 0]) * 256 + int(pixels[0, 0, 1])


class Gated:
    """Says when it has begun a batch, and answers each when it is let."""

    def __init__(self) -> None:
        self.card: ModelCard = make_card("gated")
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        return pixels

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        del explain
        self.batches.append([number_of(pixels) for pixels in batch])
        self.begun.release()
        assert self.go.acquire(timeout=LONG)
        return Answers(np.array([number_of(pixels) / 1000 for pixels in batch]))

    def close(self) -> None:
        pass


@pytest.fixture
def batcher_of() -> Iterator[MakeBatcher]:
    made: list[tuple[Batcher, object]] = []

    def make(model: object, *, max_batch: int = 16, max_delay_ms: float = 0.0) -> Batcher:
        batcher = Batcher(lambda: model, max_batch=max_batch, max_delay_ms=max_delay_ms)  # type: ignore[arg-type,return-value]
        made.append((batcher, model))
        return batcher

    yield make
    for batcher, model in made:
        if isinstance(model, ScriptedModel):
            model.release.set()
        if isinstance(model, Gated):
            model.go.release(100)
        batcher.close()


def score(future: Future[Answer]) -> float:
    return future.result(LONG).score


def busy(model: Gated, batcher: Batcher, number: int = 0) -> Future[Answer]:
    """Ask, and return when the model is at work."""
    future = batcher.submit(numbered(number))
    assert model.begun.acquire(timeout=LONG)
    return future


def test_a_batch_is_never_larger_than_said(batcher_of: MakeBatcher) -> None:
    model = Gated()
    batcher = batcher_of(model, max_batch=4)
    futures = [busy(model, batcher)] + [batcher.submit(numbered(n)) for n in range(1, 11)]
    model.go.release(10)
    assert [score(f) for f in futures] == [n / 1000 for n in range(11)]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_questions_gather_while_the_model_works(batcher_of: MakeBatcher) -> None:
    model = Gated()
    batcher = batcher_of(model)
    futures = [busy(model, batcher)] + [batcher.submit(numbered(n)) for n in range(1, 8)]
    model.go.release(2)
    wait(futures, LONG)
    assert [len(batch) for batch in model.batches] == [1, 7]


def test_a_lone_question_does_not_wait_for_company(batcher_of: MakeBatcher) -> None:
    model = ScriptedModel("m", 0.25)
    answer = batcher_of(model).submit(numbered(1)).result(LONG)
    assert (answer.score, model.batches) == (0.25, (1,))
    assert answer.heat_map is None
    assert answer.latency_ms > 0


def test_with_a_delay_a_full_batch_leaves_at_once(batcher_of: MakeBatcher) -> None:
    model = ScriptedModel("m", 0.25)
    batcher = batcher_of(model, max_batch=3, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(3)]
    assert [score(f) for f in futures] == [0.25] * 3  # within LONG, not within a minute
    assert model.batches == (3,)


def test_with_a_delay_a_batch_waits_for_company_and_then_leaves(batcher_of: MakeBatcher) -> None:
    model = ScriptedModel("m", 0.25)
    batcher = batcher_of(model, max_delay_ms=400)
    futures = [batcher.submit(numbered(n)) for n in range(3)]
    answers = [f.result(LONG) for f in futures]
    assert model.batches == (3,)
    assert max(a.latency_ms for a in answers) >= 390


def test_the_delay_counts_from_the_question_not_from_when_the_model_is_free() -> None:
    batcher = Batcher(lambda: ScriptedModel("m"), max_delay_ms=60_000)
    waited = _Question(numbered(1), False, Future(), time.perf_counter() - 61)
    batcher._queue.put(waited)
    began = time.perf_counter()
    assert batcher._gather() == ([waited], False)
    assert time.perf_counter() - began < LONG


def test_cancelled_questions_leave_their_batch_and_the_others_are_unharmed(batcher_of: MakeBatcher) -> None:
    model = Gated()
    batcher = batcher_of(model, max_batch=4)
    first = busy(model, batcher)
    futures = [batcher.submit(numbered(n)) for n in range(1, 9)]
    assert all(futures[n].cancel() for n in (0, 1, 2, 5))
    model.go.release(5)
    assert score(first) == 0.0
    assert [score(futures[n]) for n in (3, 4, 6, 7)] == [0.004, 0.005, 0.007, 0.008]
    assert model.batches == [[0], [4, 5, 7, 8]]  # the cancelled take no place
    with pytest.raises(CancelledError):
        futures[0].result(0)
    assert wait([futures[0]], LONG).done == {futures[0]}


def test_a_batch_of_cancelled_questions_is_not_asked(batcher_of: MakeBatcher) -> None:
    model = Gated()
    batcher = batcher_of(model)
    first = busy(model, batcher)
    gone = [batcher.submit(numbered(n)) for n in range(1, 4)]
    assert all(f.cancel() for f in gone)
    model.go.release(5)
    assert score(first) == 0.0
    assert score(batcher.submit(numbered(9))) == 0.009
    assert model.batches == [[0], [9]]


def test_one_bad_picture_fails_alone(batcher_of: MakeBatcher) -> None:
    def script(pixels: NDArray[np.uint8]) -> float:
        if number_of(pixels) == 2:
            raise ValueError("no such colour")
        return number_of(pixels) / 1000

    model = ScriptedModel("m", script)
    batcher = batcher_of(model, max_batch=4, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(4)]
    assert [score(futures[n]) for n in (0, 1, 3)] == [0.0, 0.001, 0.003]
    with pytest.raises(ValueError, match="no such colour"):
        futures[2].result(LONG)


def test_a_picture_that_cannot_be_prepared_fails_alone(batcher_of: MakeBatcher) -> None:
    class Picky(ScriptedModel):
        def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
            if number_of(pixels) == 1:
                raise RuntimeError("cannot be resized")
            return super().prepare(pixels)

    batcher = batcher_of(Picky("m", 0.5), max_batch=3, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(3)]
    assert [score(futures[n]) for n in (0, 2)] == [0.5, 0.5]
    with pytest.raises(RuntimeError, match="cannot be resized"):
        futures[1].result(LONG)


def test_a_failed_load_reaches_everyone_and_the_next_question_tries_again() -> None:
    loads = threading.Semaphore(0)
    tried: list[int] = []

    def load() -> ScriptedModel:
        assert loads.acquire(timeout=LONG)
        tried.append(1)
        if len(tried) == 1:
            raise ModelError("the disk is gone")
        return ScriptedModel("m", 0.75)

    batcher = Batcher(load, max_batch=2, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(2)]
    loads.release(1)
    for future in futures:
        with pytest.raises(ModelError, match="the disk is gone"):
            future.result(LONG)
    loads.release(1)
    futures = [batcher.submit(numbered(n)) for n in range(2)]
    assert [score(f) for f in futures] == [0.75] * 2
    assert len(tried) == 2
    batcher.close()


def test_the_model_is_loaded_once_and_only_when_asked() -> None:
    loaded: list[str] = []

    def load() -> ScriptedModel:
        loaded.append(threading.current_thread().name)
        return ScriptedModel("m", 0.75)

    batcher = Batcher(load)
    assert not loaded
    assert [score(batcher.submit(numbered(n))) for n in range(3)] == [0.75] * 3
    assert loaded == ["natix-model"]
    batcher.close()


@pytest.mark.parametrize(
    ("fault", "says"), [("short", "gave 0 answers to 1"), ("long", "gave 2 answers to 1"), ("nan", "answered nan")]
)
def test_useless_answers_are_failures(batcher_of: MakeBatcher, fault: str, says: str) -> None:
    model = ScriptedModel("m", 0.5, fault=fault, every=2)  # type: ignore[arg-type]
    batcher = batcher_of(model)
    assert score(batcher.submit(numbered(1))) == 0.5
    with pytest.raises(ModelError, match=says):
        batcher.submit(numbered(2)).result(LONG)
    assert score(batcher.submit(numbered(3))) == 0.5


def test_a_wrong_number_of_answers_is_asked_again_one_by_one(batcher_of: MakeBatcher) -> None:
    class Short(ScriptedModel):
        def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
            return Answers(super().predict(batch, explain=explain).scores[:1])

    model = Short("m", lambda pixels: number_of(pixels) / 1000)
    batcher = batcher_of(model, max_batch=3, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(3)]
    assert [score(f) for f in futures] == [0.0, 0.001, 0.002]
    assert model.batches == (3, 1, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5, 1.5])
def test_what_is_no_probability_fails_alone(batcher_of: MakeBatcher, bad: float) -> None:
    batcher = batcher_of(ScriptedModel("m", [0.0, bad, 1.0]), max_batch=3, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n)) for n in range(3)]
    assert [score(futures[n]) for n in (0, 2)] == [0.0, 1.0]
    with pytest.raises(ModelError, match=r"'m' answered .* no probability"):
        futures[1].result(LONG)


def test_too_few_heat_maps_are_a_failure_and_the_worker_lives_on(batcher_of: MakeBatcher) -> None:
    class Stingy(ScriptedModel):
        def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
            answers = super().predict(batch, explain=explain)
            return Answers(answers.scores, np.zeros((0, 2, 2), np.float32)) if explain else answers

    batcher = batcher_of(Stingy("m", 0.5))
    with pytest.raises(ModelError, match="heat maps"):
        batcher.submit(numbered(1), explain=True).result(LONG)
    assert score(batcher.submit(numbered(2))) == 0.5


def test_heat_maps_go_to_those_who_asked_for_them(batcher_of: MakeBatcher) -> None:
    def heat(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((2, 3), number_of(pixels), np.float32)

    batcher = batcher_of(ScriptedModel("m", 0.5, heat_map=heat), max_batch=3, max_delay_ms=60_000)
    futures = [batcher.submit(numbered(n), explain=n != 1) for n in range(3)]
    maps = [f.result(LONG).heat_map for f in futures]
    assert maps[1] is None
    for n in (0, 2):
        found = maps[n]
        assert found is not None
        assert found.shape == (2, 3)
        assert (found == n).all()


def test_close_answers_what_waits_and_frees_the_model(batcher_of: MakeBatcher) -> None:
    model = Gated()
    batcher = batcher_of(model, max_batch=2)
    futures = [busy(model, batcher)] + [batcher.submit(numbered(n)) for n in range(1, 6)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    model.go.release(10)
    closing.join(LONG)
    assert not closing.is_alive()
    assert [f.result(0).score for f in futures] == [n / 1000 for n in range(6)]
    with pytest.raises(CascadeError, match="closed"):
        batcher.submit(numbered(1))


def test_close_does_not_wait_out_the_delay_and_may_come_twice() -> None:
    model = ScriptedModel("m", 0.5)
    batcher = Batcher(lambda: model, max_delay_ms=60_000)
    future = batcher.submit(numbered(1))
    batcher.close()
    assert future.result(0).score == 0.5
    batcher.close()
    assert model.closed == 1


def test_close_without_a_question_loads_nothing() -> None:
    def load() -> ScriptedModel:
        raise AssertionError

    Batcher(load).close()


def test_a_thousand_questions_from_many_threads_each_get_their_own_answer(batcher_of: MakeBatcher) -> None:
    model = ScriptedModel("m", lambda pixels: number_of(pixels) / 1000, delay_s=0.001)
    batcher = batcher_of(model, max_batch=8)
    with ThreadPoolExecutor(16) as pool:
        futures = list(pool.map(lambda n: batcher.submit(numbered(n)), range(1000)))
    assert [score(f) for f in futures] == [n / 1000 for n in range(1000)]
    assert model.pictures == 1000
    assert max(model.batches) == 8


def test_the_worker_outlives_a_storm_of_failures_and_cancellations(batcher_of: MakeBatcher) -> None:
    model = ScriptedModel("m", lambda pixels: number_of(pixels) / 1000, fault="error", every=3)
    batcher = batcher_of(model, max_batch=5)
    futures = [batcher.submit(numbered(n)) for n in range(200)]
    for future in futures[::7]:
        future.cancel()
    wait(futures, LONG)
    for n, future in enumerate(futures):
        if future.cancelled():
            continue
        assert isinstance(future.exception(0), ModelError) or future.result(0).score == n / 1000
    answers = [batcher.submit(numbered(7)) for _ in range(3)]
    wait(answers, LONG)
    assert any(f.exception() is None for f in answers)


def test_a_model_that_hangs_does_not_hold_up_closing() -> None:
    model = ScriptedModel("stuck", fault="hang")
    batcher = Batcher(lambda: model)
    future = batcher.submit(np.zeros((32, 32, 3), np.uint8))
    began = time.monotonic()
    batcher.close(0.2)
    assert time.monotonic() - began < 20
    assert not future.done()
    model.release.set()
