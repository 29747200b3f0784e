"""Runners whose models hang, fail and recover on command, and event loops that nothing may be left in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from natix_cascade.models.base import Answers
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.testing import ScriptedModel, scripted_cascade

LONG = 20.0  # seconds that only catch a hang
PIXELS = np.zeros((8, 8, 3), np.uint8)

T = TypeVar("T")


class Moody(ScriptedModel):
    """Does what its mood says at each call: a score, an exception, or "hang" until `release` (never, in a test)."""

    def __init__(self, name: str, mood: float | BaseException | str = 0.5) -> None:
        super().__init__(name)
        self.mood = mood
        self.begun = threading.Semaphore(0)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """As its mood is when it is asked."""
        del explain
        mood = self.mood
        with self._lock:
            self._batches.append(len(batch))
        self.begun.release()
        if mood == "hang":
            self.release.wait()
            mood = 0.5
        if isinstance(mood, BaseException):
            raise mood
        return Answers(np.full(len(batch), mood, np.float64))

    async def working(self) -> None:
        """Wait for a call to begin that nobody has waited for yet."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=LONG)


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def engine_room(
    levels: Sequence[Any],
    *,
    more: Mapping[str, ScriptedModel] | None = None,
    listeners: Sequence[Any] = (),
    retry_budget: float = 0.2,
    decoders: int | None = None,
    of: Mapping[str, ModelOptions] | None = None,
    **options: Any,
) -> Iterator[Runner]:
    """A runner; `more` are models of further replicas, `of` options by model. At the end whoever hangs is freed."""
    resolved, models = scripted_cascade(levels)
    loaded = LoadedCascade(resolved, {}, models={**models, **(more or {})})
    chosen = RunnerOptions(
        default=ModelOptions(**options), models=dict(of or {}), retry_budget=retry_budget, decoders=decoders
    )
    runner = Runner(loaded, options=chosen, listeners=listeners)
    try:
        yield runner
    finally:
        for model in (*models.values(), *(more or {}).values()):
            model.release.set()  # type: ignore[attr-defined]  # all are scripted
        runner.close()


def play(
    scene: Callable[[], Coroutine[Any, Any, T]], factory: Callable[[], Any] | None = None, *, collect: bool = True
) -> T:
    """Run a scene in an event loop of its own; nothing may be left in the loop, and nothing said to it unheard."""
    unheard: list[dict[str, Any]] = []

    async def whole() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        result = await asyncio.wait_for(scene(), LONG)
        for _ in range(5):  # what was cancelled at the end needs a turn to leave
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        if collect:  # what nobody retrieved is said when it is collected
            gc.collect()
        await asyncio.sleep(0)
        return result

    with asyncio.Runner(loop_factory=factory) as loop:
        result = loop.run(whole())
    assert not unheard
    return result


async def turns_true(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    limit = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < limit
        await asyncio.sleep(0.001)


def waiting(runner: Runner, model: str, replica: int = 0) -> int:
    """Questions in the queue of a model's worker."""
    return runner._askers[model].replicas[replica].desk.waiting


def set_clock(runner: Runner, clock: Clock) -> None:
    """Give all breakers of a runner this clock."""
    for breaker in runner.breakers.values():
        breaker._clock = clock
