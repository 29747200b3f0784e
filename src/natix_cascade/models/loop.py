"""An event loop in a thread of its own: what waits for servers does not disturb whoever asks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from natix_cascade.errors import ModelError

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads and other loops; its own thread starts with the first one.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._closed = False

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine; cancelling the future cancels it.

        Raises
        ------
        ModelError
            The loop is closed, or belongs to a process from which this one was forked.
        """
        try:
            with self._lock:
                return asyncio.run_coroutine_threadsafe(work, self._running())
        except ModelError:
            work.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; an interrupt of the wait cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def soon(self, what: Callable[[], object]) -> None:
        """Call something in the loop; nothing happens where it is closed already."""
        with self._lock:
            if not self._closed:
                self._running().call_soon_threadsafe(what)

    def close(self, last: Callable[[], Coroutine[Any, Any, object]] | None = None) -> None:
        """Cancel what is under way, run `last` in a loop that was begun, and end the thread; twice is harmless."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._process != os.getpid():
            return
        asyncio.run_coroutine_threadsafe(_end(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        """With the lock held: the loop, begun where it is not."""
        if self._closed:
            raise ModelError("the model is closed; load it again to ask more")
        if self._process != os.getpid():
            raise ModelError("the model was loaded in another process; load it again after the fork")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
            self._thread.start()
        return self._loop


async def _end(last: Callable[[], Coroutine[Any, Any, object]] | None) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if last is not None:
        await last()
    await asyncio.get_running_loop().shutdown_asyncgens()
