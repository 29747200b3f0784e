"""Many pictures to the servers of models at once: what `BulkRunner` asks models with that are not computed here."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import BreakerOpenError
from natix_cascade.models.loop import LoopThread
from natix_cascade.run.asker import Asker
from natix_cascade.run.desk import Answer
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import ModelOptions
from natix_cascade.run.retry import RetryBudget

__all__ = ["Crowd"]

_PATIENCE_MS = 3_600_000.0  # the endpoint's own timeout comes first
_ATTEMPTS = 5
_ROUNDS = 3  # waits for a breaker that is open, before a picture is given up
_EVER = float("inf")


class Crowd:
    """Asks models on servers about lists of pictures, all at a time, over all replicas.

    Nobody waits for a single picture here, so what may pass by itself is waited for: a server that is busy, a breaker
    that is open, an answer that is lost (three times for each picture, then it is a failure).

    Parameters
    ----------
    loaded : LoadedCascade
        Whose models are asked.
    """

    def __init__(self, loaded: LoadedCascade) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._askers: dict[str, Asker] = {}
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
                    replicas=self._loaded.replicas(name),
                )
                load = functools.partial(self._loaded.model, name)
                asker = self._askers[name] = Asker(name, load, options, self._budget, remote=True)
            return asker

    async def _ask_all(self, asker: Asker, pixels: Sequence[NDArray[np.uint8]]) -> list[Answer | str]:
        return list(await asyncio.gather(*(_ask(asker, each) for each in pixels)))


async def _ask(asker: Asker, pixels: NDArray[np.uint8]) -> Answer | str:
    for round_ in range(_ROUNDS + 1):
        try:
            return await asker.ask(pixels, explain=False, until=_EVER)
        except BreakerOpenError as error:
            failure = str(error)
            if round_ < _ROUNDS:
                await asyncio.sleep(max(0.1, min(each.breaker.retry_after_s() for each in asker.replicas)))
        except TimeoutError:
            failure = "no answer for longer than is usual"
        except Exception as error:  # noqa: BLE001  # an engine may fail in any way; the picture must not be lost
            return str(error) or type(error).__name__
    return failure
