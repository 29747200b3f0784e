"""The public face: load a cascade, ask about pictures."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.image import Limits, Picture, decode
from natix_cascade.image.source import Source
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.events import Listener
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.endpoints import Endpoints
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import ResolvedCascade

if TYPE_CHECKING:
    from natix_cascade.run.background import Background

__all__ = ["Cascade"]

_CLOSED = "the cascade is closed; load it again to ask more"


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
        self._loaded = loaded
        self._listeners = tuple(listeners)
        self._limits = limits or Limits()
        self._max_batch = max_batch
        self._direct = BulkRunner(loaded)
        self._background: Background | None = None
        self._state = threading.Condition()
        self._asking = 0
        self._closed = False
        resolved = loaded.resolved
        self._timed = resolved.deadline_ms is not None or any(level.budget_ms for level in resolved.levels)

    @classmethod
    def load(
        cls,
        cascade: str | Path | CascadeSpec = "embedded",
        *,
        policy: str | Path | Policy | None = None,
        cards: str | Path | None = None,
        threads: int | None = None,
        endpoints: str | Path | Endpoints | None = None,
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
        endpoints : str, Path, Endpoints or None
            File that says where the servers of vision-language models listen; default: the one that
            ``NATIX_CASCADE_ENDPOINTS`` names.
        listeners, limits
            See the class.

        Raises
        ------
        SpecError
            Something is missing or wrong in the files; the text names file, line and key.
        """
        loaded = LoadedCascade.load(cascade, policy=policy, cards=cards, threads=threads, endpoints=endpoints)
        return cls(loaded, listeners=listeners, limits=limits)

    @property
    def spec(self) -> ResolvedCascade:
        """Levels, cards and policy."""
        return self._loaded.resolved

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
        if not explain and deadline_ms is None and not self._timed and not self._listeners:
            return self._detect_here(source, name)
        engine = self._engine()
        return engine.wait_for(engine.runner.detect(source, deadline_ms=deadline_ms, explain=explain, name=name))

    async def detect_async(
        self,
        source: Source | Picture,
        *,
        deadline_ms: float | None = None,
        explain: bool = False,
        name: str | None = None,
    ) -> Verdict:
        """As `detect`, from a coroutine; many at a time are batched for each model."""
        runner = self._engine().runner
        return await runner.detect(source, deadline_ms=deadline_ms, explain=explain, name=name)

    def warm_up(self) -> None:
        """Load every model and ask it once, so that the first picture does not wait.

        Raises
        ------
        ModelError
            A model cannot be loaded, or does not answer.
        """
        engine = self._engine()
        silent = engine.wait_for(engine.runner.warm_up())
        if silent:
            raise ModelError("; ".join(f"model {name!r} did not answer: {why}" for name, why in silent.items()))

    def close(self) -> None:
        """Finish what `detect` has under way, then free threads and models.

        A picture of `detect_async` ends with a ModelError at its next level.
        """
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.wait_for(lambda: self._asking == 0)
        if self._background is not None:
            self._background.close()
        self._direct.close()
        self._loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _detect_here(self, source: Source | Picture, name: str | None) -> Verdict:
        """Judge in the caller's thread: nothing has to be cut short or told, so no other thread is needed."""
        with self._state:
            if self._closed:
                raise ModelError(_CLOSED)
            self._asking += 1
        try:
            began = time.perf_counter()
            if isinstance(source, Picture):
                picture = source if name is None else dataclasses.replace(source, id=name)
            else:
                picture = decode(source, limits=self._limits, short_side=self._loaded.short_side, id=name)
            verdict = self._direct.judge([picture])[0]
        finally:
            with self._state:
                self._asking -= 1
                self._state.notify_all()
        if isinstance(verdict, CascadeError):
            raise verdict
        return dataclasses.replace(verdict, latency_ms=(time.perf_counter() - began) * 1000)

    def _engine(self) -> Background:
        """The asynchronous runner: for coroutines, deadlines, heat maps and listeners."""
        from natix_cascade.run.background import Background  # noqa: PLC0415  # a lone picture does without asyncio
        from natix_cascade.run.options import ModelOptions, RunnerOptions  # noqa: PLC0415
        from natix_cascade.run.runner import Runner  # noqa: PLC0415

        with self._state:
            if self._closed:
                raise ModelError(_CLOSED)
            if self._background is None:
                options = RunnerOptions(default=ModelOptions(max_batch=self._max_batch))
                runner = Runner(self._loaded, listeners=self._listeners, limits=self._limits, options=options)
                self._background = Background(runner)
            return self._background
