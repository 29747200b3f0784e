"""Threads that decode pictures, so that the event loop never waits for one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from natix_cascade.errors import DeadlineError
from natix_cascade.image import Limits, Picture, decode
from natix_cascade.image.source import Source
from natix_cascade.run.mail import LoopReply

__all__ = ["Decoders"]


class Decoders:
    """A bounded pool of decoders.

    Parameters
    ----------
    threads : int
        Pictures that are decoded at the same time; the others wait.
    limits : Limits
        What a picture may be.
    short_side : int
        Pixels that the shorter side must keep.
    """

    def __init__(self, threads: int, limits: Limits, short_side: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="natix-decode")
        self._limits = limits
        self._short_side = short_side

    async def decode(self, source: Source, name: str | None, until: float) -> Picture:
        """Decode a picture.

        Parameters
        ----------
        source : bytes, path or file object
            JPEG, PNG or WebP.
        name : str or None
            The picture's id.
        until : float
            Of `time.perf_counter`: nobody waits longer.

        Raises
        ------
        PictureError
            It is not a usable picture.
        DeadlineError
            Time ran out.
        """
        reply: LoopReply[Picture] = LoopReply()
        left = until - time.perf_counter()
        if left > 0:  # else there is nobody to decode for
            self._pool.submit(self._work, reply, source, name)
        try:
            return await reply.wait(None if left == float("inf") else left)
        except TimeoutError:
            raise DeadlineError(
                f"{name or 'picture'}: the deadline passed while it was decoded; give more time"
            ) from None

    def close(self) -> None:
        """Finish what is under way, then end the threads."""
        self._pool.shutdown()

    def _work(self, reply: LoopReply[Picture], source: Source, name: str | None) -> None:
        """In a decoder's thread; a picture that nobody waits for any more is not decoded."""
        if not reply.set_running_or_notify_cancel():
            return
        try:
            picture = decode(source, limits=self._limits, short_side=self._short_side, id=name)
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
            reply.set_exception(error)
        else:
            reply.set_result(picture)
