"""A runner and the event loop in which callers who are not asynchronous themselves use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from natix_cascade.errors import ModelError
from natix_cascade.run.runner import Runner

__all__ = ["Background"]

T = TypeVar("T")


class Background:
    """A runner with a thread that runs its event loop.

    Parameters
    ----------
    runner : Runner
        Closed with the loop.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in the loop and wait for its result."""
        with self._lock:  # held until the work is in the loop: `close` waits for all that got there
            if self._closed:
                work.close()
                raise ModelError("the cascade is closed; load it again to ask more")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="natix-loop", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # interrupted: nobody waits for it any more
            future.cancel()
            raise

    def close(self) -> None:
        """Finish what `wait_for` has under way, then end the loop and free the runner."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_others_done(), loop).result()
        self.runner.close()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _others_done() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
