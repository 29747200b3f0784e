"""The public face: load a cascade, ask about pictures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ModelError
from natix_cascade.image import Limits, Picture
from natix_cascade.image.source import Source
from natix_cascade.run.events import Listener
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.runner import Runner
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["Cascade"]

T = TypeVar("T")


class Cascade:
    """A cascade that is ready to be asked; safe to share between threads and tasks.

    >>> from natix_cascade import Cascade
    >>> cascade = Cascade.load("embedded")
    >>> cascade.detect("photo.jpg").detected  # doctest: +SKIP
    True

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade and its models; `load` makes one.
    listeners : iterable of callable
        Each is handed every event of `natix_cascade.run.events`.
    limits : Limits
        What a picture may be.
    max_batch : int
        Most pictures that a model is asked about at once when many are under way.
    """

    def __init__(
        self,
        loaded: LoadedCascade,
        *,
        listeners: Iterable[Listener] = (),
        limits: Limits | None = None,
        max_batch: int = 16,
    ) -> None:
        self._runner = Runner(loaded, listeners=listeners, limits=limits, max_batch=max_batch)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def load(
        cls,
        cascade: str | Path | CascadeSpec = "embedded",
        *,
        policy: str | Path | Policy | None = None,
        cards: str | Path | None = None,
        threads: int | None = None,
        listeners: Iterable[Listener] = (),
        limits: Limits | None = None,
    ) -> Self:
        """Load a cascade; its models are read from disk when they are first needed.

        Parameters
        ----------
        cascade : str, Path or CascadeSpec
            A shipped name, or a YAML or JSON file.
        policy : str, Path, Policy or None
            Another policy than the cascade's own; ``"none"`` takes the models' raw scores.
        cards : str, Path or None
            Folder of model cards; default: ``cards/`` beside the cascade's file.
        threads : int or None
            Threads for each model; by default what the cores allow.
        listeners, limits
            See the class.

        Raises
        ------
        SpecError
            Something is missing or wrong in the files; the text names file, line and key.
        """
        loaded = LoadedCascade.load(cascade, policy=policy, cards=cards, threads=threads)
        return cls(loaded, listeners=listeners, limits=limits)

    @property
    def spec(self) -> ResolvedCascade:
        """Levels, cards and policy."""
        return self._runner.loaded.resolved

    def detect(
        self,
        source: Source | Picture,
        *,
        deadline_ms: float | None = None,
        explain: bool = False,
        name: str | None = None,
    ) -> Verdict:
        """Judge one picture.

        Parameters
        ----------
        source : bytes, path, file object or Picture
            JPEG, PNG or WebP.
        deadline_ms : float or None
            Answer within this time with what is known by then.
        explain : bool
            Ask the models for heat maps too.
        name : str or None
            The picture's id in the verdict.

        Returns
        -------
        Verdict
            Yes or no, how sure, and why; true in a boolean sense when the answer is yes.

        Raises
        ------
        PictureError
            It is not a usable picture.
        DeadlineError
            Time ran out before any model had answered.
        ModelError
            No model answered.
        """
        return self._wait_for(self.detect_async(source, deadline_ms=deadline_ms, explain=explain, name=name))

    async def detect_async(
        self,
        source: Source | Picture,
        *,
        deadline_ms: float | None = None,
        explain: bool = False,
        name: str | None = None,
    ) -> Verdict:
        """As `detect`, from a coroutine; many at a time are batched for each model."""
        return await self._runner.detect(source, deadline_ms=deadline_ms, explain=explain, name=name)

    def warm_up(self) -> None:
        """Load every model and ask it once, so that the first picture does not wait."""
        self._wait_for(self._runner.warm_up())

    def close(self) -> None:
        """Finish what `detect` has under way, then free threads and models.

        A picture of `detect_async` ends with a ModelError at its next level.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_others_done(), loop).result()
        self._runner.close()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in the event loop that serves callers who are not asynchronous themselves."""
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


async def _others_done() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
