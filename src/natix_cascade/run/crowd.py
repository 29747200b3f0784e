"""Many pictures to the servers of models at once: what `BulkRunner` asks models with that are not computed here."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import BreakerOpenError, TransientModelError
from natix_cascade.models.loop import LoopThread
from natix_cascade.run.asker import Asker
from natix_cascade.run.desk import Answer
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import BreakerOptions, ModelOptions
from natix_cascade.run.retry import RetryBudget

__all__ = ["Crowd"]

_PATIENCE_MS = 3_600_000.0  # the endpoint's own timeout comes first
_ATTEMPTS = 5
_OPEN_S = 5.0
_ROUNDS = 12  # waits for a breaker that is open, or tries after an answer that was lost, before a picture is given up
_PAUSE_S = 0.1
_EVER = float("inf")


class Crowd:
    """Asks models on servers about lists of pictures, all at a time, over all replicas.

    Nobody waits for a single picture here, so what may pass by itself is waited for: a server that is busy, a breaker
    that is open, an answer that is lost. After a minute a picture is given up, and until an answer comes again the
    others do not wait.

    Parameters
    ----------
    loaded : LoadedCascade
        Whose models are asked.
    """

    def __init__(self, loaded: LoadedCascade) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._askers: dict[str, Asker] = {}
        self._given_up: set[str] = set()
        self._budget = RetryBudget(1.0, burst=1000)
        self._loop = LoopThread("natix-crowd")

    def ask(self, name: str, pixels: Sequence[NDArray[np.uint8]]) -> list[Answer | str]:
        """An answer, or what went wrong, for each picture."""
        return self._loop.run(self._ask_all(self._asker(name), pixels))

    def close(self) -> None:
        """End the threads; the models stay loaded."""
        for asker in self._askers.values():
            asker.close(0.0)
        self._loop.close()

    def _asker(self, name: str) -> Asker:
        with self._lock:
            asker = self._askers.get(name)
            if asker is None:
                options = ModelOptions(
                    max_queue=1_000_000,
                    timeout_ms=_PATIENCE_MS,
                    attempts=_ATTEMPTS,
                    breaker=BreakerOptions(open_s=_OPEN_S),
                    replicas=self._loaded.replicas(name),
                )
                load = functools.partial(self._loaded.model, name)
                asker = self._askers[name] = Asker(name, load, options, self._budget, remote=True)
            return asker

    async def _ask_all(self, asker: Asker, pixels: Sequence[NDArray[np.uint8]]) -> list[Answer | str]:
        return list(await asyncio.gather(*(self._ask(asker, each) for each in pixels)))

    async def _ask(self, asker: Asker, pixels: NDArray[np.uint8]) -> Answer | str:
        rounds = 0
        while True:
            try:
                answer = await asker.ask(pixels, explain=False, until=_EVER)
            except (BreakerOpenError, TransientModelError) as error:
                failure = str(error)
            except TimeoutError:
                failure = "no answer for longer than is usual"
            except Exception as error:  # noqa: BLE001  # an engine may fail in any way; the picture must not be lost
                return str(error) or type(error).__name__
            else:
                self._given_up.discard(asker.name)
                return answer
            rounds += 1
            if rounds > _ROUNDS:
                self._given_up.add(asker.name)
            if asker.name in self._given_up:
                return failure
            await asyncio.sleep(max(_PAUSE_S, min(each.breaker.retry_after_s() for each in asker.replicas)))
