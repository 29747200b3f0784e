"""Which batches pay on this machine, measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from natix_cascade.models.base import Model
from natix_cascade.run.mail import LoopReply

__all__ = ["tuned", "useful_batch"]

_WORTH = 0.98  # a batch of twice the size must save at least 2 % a picture
_BESIDE_S = 0.0003  # of a batch beside its model: threads wake, the arithmetic of decisions, answers go out
_TURNS = 9


async def tuned(load: Callable[[], Model], pixels: NDArray[np.uint8], most: int, timeout_s: float) -> int:
    """Measure the useful batch in a thread, which a model that hangs may keep.

    Parameters
    ----------
    load : callable
        Returns the model.
    pixels : NDArray
        ``(H, W, 3)`` uint8: the picture that it is asked about.
    most : int
        Largest batch.
    timeout_s : float
        Seconds after which it stays at `most`.

    Returns
    -------
    int
        Pictures in a batch, 1 to `most`.

    Raises
    ------
    ModelError
        The model fails, in whichever way.
    """
    reply: LoopReply[int] = LoopReply()

    def measure() -> None:
        try:
            reply.set_result(useful_batch(load(), pixels, most))
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
            reply.set_exception(error)

    threading.Thread(target=measure, name="natix-tune", daemon=True).start()
    try:
        return await reply.wait(timeout_s)
    except TimeoutError:
        return most


def useful_batch(model: Model, pixels: NDArray[np.uint8], most: int) -> int:
    """Measure which batch takes the least time a picture: 1, 2, 4, ... up to `most`.

    On a small CPU larger batches of a large network are slower, as they leave the cache; on a GPU they pay. What is
    done once for a batch, however large, is counted too. Two sizes take turns, and the fastest call of each counts, so
    that a busy machine does not decide; the first size that does not pay ends the search.
    """
    question = model.prepare(pixels)

    def spent(size: int) -> float:
        began = time.perf_counter()
        model.predict([question] * size)
        return (time.perf_counter() - began + _BESIDE_S) / size

    best = 1
    while 2 * best <= most:
        pairs = [(spent(best), spent(2 * best)) for _ in range(_TURNS)]
        if min(larger for _, larger in pairs) > _WORTH * min(smaller for smaller, _ in pairs):
            break
        best *= 2
    return best
