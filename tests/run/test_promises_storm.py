"""All promises at once: many pictures, models that fail in every way, clients that leave, more than one loop."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_room import LONG, Moody, engine_room, play, turns_true, waiting
from numpy.typing import NDArray

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError, ModelError, TransientModelError
from natix_cascade.image import Picture
from natix_cascade.models.base import Answers
from natix_cascade.run.options import BreakerOptions
from natix_cascade.testing import ScriptedModel

Grey = Callable[[int], Picture]

uvloop = pytest.importorskip("uvloop")


class Wild(Moody):
    """Answers, hangs, loses the connection or raises, as chance will have it, until it is `tamed`."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name)
        self.tamed = False
        self._chance = random.Random(seed)  # noqa: S311  # chance that repeats itself

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        moods: list[Any] = [0.3, 0.6, 0.97, 0.6, TransientModelError("lost"), ValueError("boom"), np.nan]
        hangs = not self.tamed and self._chance.random() < 0.02
        self.mood = 0.95 if self.tamed else "hang" if hangs else self._chance.choice(moods)
        return super().predict(batch, explain=explain)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_storm_leaves_nothing_behind_and_afterwards_all_is_well(grey: Grey, factory: Any) -> None:
    first, second, third, twin = (Wild(name, seed) for seed, name in enumerate(["a", "b", "c", "c"]))
    breaker = BreakerOptions(window=10, calls=5, open_s=0.05)
    room = engine_room(
        [first, (second, third)], more={"a#1": Wild("a", 8), "b#1": Wild("b", 9), "c#1": twin},
        replicas=2, timeout_ms=150, hedge_ms=5, max_batch=4, max_queue=40, breaker=breaker,
    )  # fmt: skip
    chance = random.Random(3)  # noqa: S311  # chance that repeats itself
    with room as runner:
        wild = [runner.loaded.model(name, replica) for name in ("a", "b", "c") for replica in (0, 1)]

        async def scene() -> None:
            ends: Counter[str] = Counter()
            for _ in range(6):
                tasks = [
                    asyncio.ensure_future(runner.detect(grey(1), deadline_ms=chance.choice([None, 5.0, 50.0, 5000.0])))
                    for _ in range(100)
                ]
                await asyncio.sleep(0)
                for task in chance.sample(tasks, 20):
                    task.cancel()
                for end in await asyncio.gather(*tasks, return_exceptions=True):
                    assert isinstance(end, Verdict | CascadeError | asyncio.CancelledError), repr(end)
                    ends[type(end).__name__] += 1
            assert ends["CancelledError"] > 0
            assert ends["Verdict"] > 0
            for model in wild:
                model.tamed = True  # type: ignore[attr-defined]
                model.release.set()  # type: ignore[attr-defined]
            await turns_true(lambda: not any(waiting(runner, name, n) for name in ("a", "b", "c") for n in (0, 1)))

            async def healed() -> bool:
                verdict = (await asyncio.gather(runner.detect(grey(1)), return_exceptions=True))[0]
                return isinstance(verdict, Verdict) and not verdict.degraded

            for _ in range(2000):
                if all([await healed() for _ in range(5)]):
                    return
                await asyncio.sleep(0.005)
            raise AssertionError

        play(scene, factory)


def test_one_runner_in_several_loops_at_once(grey: Grey) -> None:
    """As a cascade whose `detect` and `detect_async` are used side by side."""
    model = ScriptedModel("m", lambda pixels: float(pixels[0, 0, 0]) / 300)
    with engine_room([model], max_batch=8) as runner:

        def run(first: int) -> None:
            async def scene() -> None:
                values = [first + number % 50 for number in range(200)]
                verdicts = await asyncio.gather(
                    *(runner.detect(grey(value), deadline_ms=LONG * 1000) for value in values)
                )
                assert [each.opinions[0].score for each in verdicts] == [value / 300 for value in values]

            play(scene, collect=False)

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(run, 50 * thread) for thread in range(4)]:
                done.result(LONG)
    assert model.pictures == 800


def test_closing_while_a_model_hangs_ends_what_is_under_way(grey: Grey) -> None:
    model = Moody("m", "hang")
    with engine_room([model], timeout_ms=100) as runner:

        async def scene() -> None:
            tasks = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(20)]
            await model.working()
            await asyncio.to_thread(runner.close, 0.01)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, Verdict | ModelError) for each in results)  # closing frees the model
            with pytest.raises(ModelError, match="closed"):
                await runner.detect(grey(1))

        play(scene)
