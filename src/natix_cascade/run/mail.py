"""Answers from threads to an event loop: what comes together wakes the loop once."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["LoopReply", "Reply"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Reply(Protocol[T_contra]):
    """Where an answer goes; `concurrent.futures.Future` is one too."""

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""

    def set_running_or_notify_cancel(self) -> bool:
        """Whether somebody still waits; called before the work begins."""

    def set_result(self, result: T_contra) -> None:
        """Give the answer."""

    def set_exception(self, exception: BaseException | None) -> None:
        """Say why there is none."""


class LoopReply(Generic[T]):
    """A reply to the coroutine that awaits `future`; made in the event loop, given by any thread.

    Cheaper than `asyncio.wrap_future`: one object instead of two futures, and one wake-up of the loop for all answers
    that are given before it looks.
    """

    __slots__ = ("_mail", "future")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = loop.create_future()
        self._mail = _mail_of(loop)

    async def wait(self, timeout_s: float | None, more: Callable[[], float] | None = None) -> T:
        """The answer; who stops waiting leaves.

        Parameters
        ----------
        timeout_s : float or None
            Seconds.
        more : callable or None
            Asked when they are over: how many seconds to wait on; 0 ends it.

        Raises
        ------
        TimeoutError
            There was none in time.
        """
        future = self.future
        if timeout_s is None:
            return await future
        loop = future.get_loop()
        timer: asyncio.TimerHandle

        def late() -> None:
            nonlocal timer
            if future.done():
                return
            on = more() if more is not None else 0.0
            if on > 0:
                timer = loop.call_later(on, late)
            else:
                future.set_exception(TimeoutError())

        timer = loop.call_later(max(timeout_s, 0.0), late)
        try:
            return await future
        finally:
            timer.cancel()

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    def set_running_or_notify_cancel(self) -> bool:
        """Whether somebody still waits."""
        return not self.future.done()

    def set_result(self, result: T) -> None:
        """Give the answer."""
        self._mail.post(self.future, result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Say why there is none."""
        self._mail.post(self.future, None, _raisable(exception))


class _Mail:
    """What is on its way to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._box: deque[tuple[asyncio.Future[object], object, BaseException | None]] = deque()
        self._told = False

    def post(self, future: asyncio.Future[T], result: object, error: BaseException | None) -> None:
        """From any thread: put an answer into the box, and tell the loop unless it has been told."""
        loop = self._loop()
        if loop is None or loop.is_closed():  # nobody waits any more
            self._box.clear()
            return
        self._box.append((future, result, error))  # type: ignore[arg-type]  # the box holds answers of all kinds
        if self._told:
            return
        self._told = True
        try:
            loop.call_soon_threadsafe(self._open)
        except RuntimeError:  # it was closed between the look and the call
            self._box.clear()

    def _open(self) -> None:
        self._told = False  # first: what is posted from here on tells the loop again
        while self._box:
            future, result, error = self._box.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _raisable(error: BaseException | None) -> BaseException | None:
    """What a coroutine can be given: a future refuses StopIteration, and what is no Exception would end the loop."""
    if error is None or (isinstance(error, Exception) and not isinstance(error, StopIteration)):
        return error
    wrapped = RuntimeError(f"{type(error).__name__} {error}".rstrip())
    wrapped.__cause__ = error
    return wrapped


_mails: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mail] = weakref.WeakKeyDictionary()


def _mail_of(loop: asyncio.AbstractEventLoop) -> _Mail:
    mail = _mails.get(loop)
    if mail is None:
        for old in _mails.keyrefs():  # what nobody fetched before the end would keep a closed loop in memory
            closed = old()
            if closed is not None and closed.is_closed():
                _mails.pop(closed, None)
        mail = _mails[loop] = _Mail(loop)
    return mail
