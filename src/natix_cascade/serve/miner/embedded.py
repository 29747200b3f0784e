"""The embedded cascade in the miner's own process: it answers when the service does not."""

from __future__ import annotations

import asyncio
import threading

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import DeadlineError
from natix_cascade.run.cascade import Cascade

__all__ = ["Embedded"]


class Embedded:
    """A cascade that is loaded when it is first needed, on one thread for each model.

    Parameters
    ----------
    cascade : str
        Which; as for `Cascade.load`.
    """

    def __init__(self, cascade: str = "embedded") -> None:
        self._name = cascade
        self._lock = threading.Lock()
        self._cascade: Cascade | None = None

    @property
    def loaded(self) -> bool:
        """Whether it was needed yet."""
        return self._cascade is not None

    async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Verdict:
        """Judge one picture; many at a time are batched.

        Raises
        ------
        CascadeError
            It is not a usable picture, no model answered, or time ran out.
        """
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                cascade = self._cascade
                if cascade is None:
                    cascade = await asyncio.to_thread(self._load)
                return await cascade.detect_async(picture, deadline_ms=deadline_ms, name=name)
        except TimeoutError:
            raise DeadlineError(f"the deadline of {deadline_ms:.0f} ms passed before any model had answered") from None

    def close(self) -> None:
        """Free the models; a picture that is under way is finished without them."""
        with self._lock:
            if self._cascade is not None:
                self._cascade.close()

    def _load(self) -> Cascade:
        with self._lock:
            if self._cascade is None:
                cascade = Cascade.load(self._name, threads=1)
                cascade.warm_up()
                self._cascade = cascade
            return self._cascade
