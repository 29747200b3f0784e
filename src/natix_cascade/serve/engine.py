"""The cascade that is at work, and how another one takes its place without a dropped request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.image import Limits
from natix_cascade.image.source import Source
from natix_cascade.run.events import CascadeLoaded, Listener, Listeners
from natix_cascade.run.loaded import LoadedCascade, cores
from natix_cascade.run.runner import Runner
from natix_cascade.serve.options import ServeOptions
from natix_cascade.serve.problems import ProblemError

__all__ = ["Engine", "Generation"]

_log = logging.getLogger("natix_cascade.serve")
_HOLD_S = 5.0  # for a request that comes before the models are there
_RETRY_S = 5.0  # between two tries to warm up what did not answer


@dataclass(slots=True, eq=False)
class Generation:
    """One loaded cascade with its runner.

    Attributes
    ----------
    number : int
        1 for the first; one more with each reload.
    cascade, policy : str or None
        As they were asked for.
    silent : dict
        Models that did not answer the warm-up picture, and why.
    under_way : int
        Pictures.
    """

    number: int
    cascade: str
    policy: str | None
    runner: Runner
    silent: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def missing(self) -> dict[str, str]:
        """Required models that did not answer the warm-up picture, and why."""
        levels = self.runner.loaded.resolved.levels
        required = {member.model for level in levels for member in level.members if member.required}
        return {name: why for name, why in self.silent.items() if name in required}


class Engine:
    """Judges pictures with the present generation.

    Parameters
    ----------
    options : ServeOptions
        What to load and how to ask.
    listeners : iterable of callable
        Handed every event of every generation.

    Attributes
    ----------
    tell : Listeners
        Who is handed events.
    changing : asyncio.Lock
        Held by whoever changes the generation: one change at a time.
    """

    def __init__(self, options: ServeOptions, listeners: Iterable[Listener] = ()) -> None:
        self._options = options
        self._cores = max(1, cores() // (options.workers or 1))  # that are this worker's
        self.tell = Listeners(listeners)
        self.present: Generation | None = None
        self.changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.limits = Limits(max_bytes=options.max_body_bytes)
        self.problem = "models are being loaded"
        self._loading = True
        self._loaded = asyncio.Event()

    @property
    def now(self) -> Generation:
        """The generation at work.

        Raises
        ------
        ProblemError
            503: nothing is loaded yet.
        """
        if self.present is None:
            raise ProblemError("not-ready", f"not ready: {self.problem}", retry_after_s=2.0)
        return self.present

    async def wait(self, left_s: float) -> None:
        """Hold a request of the first seconds until the models are there: another worker may be ready already.

        Parameters
        ----------
        left_s : float
            Seconds to the request's deadline.

        Raises
        ------
        ProblemError
            503: they cannot be loaded, or it takes long.
        """
        if self.present is None and self._loading:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_HOLD_S, left_s)):
                    await self._loaded.wait()
        _ = self.now

    @property
    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        if self.present is None:
            return [self.problem]
        return [f"model {name} did not answer its warm-up picture: {why}" for name, why in self.present.missing.items()]

    async def start(self, number: int = 1, cascade: str | None = None, policy: str | None = None) -> None:
        """Load and warm up the first generation; errors are said by `reasons`, and it is tried again."""
        while self.present is None:
            try:
                async with self.changing:
                    new = await self.prepare(cascade or self._options.cascade, policy or self._options.policy)
                    self.adopt(new, number)
            except Exception as error:  # noqa: BLE001  # whatever it is: /ready says so, and it is tried again
                self.problem = str(error) or type(error).__name__
                self._loading = False
                self._loaded.set()
                _log.error("not ready: %s", self.problem)  # said in one line
                await asyncio.sleep(_RETRY_S)
        while self.present is not None and self.present.missing:
            await asyncio.sleep(_RETRY_S)
            self.present.silent = await self.present.runner.warm_up()

    async def prepare(self, cascade: str, policy: str | None) -> Generation:
        """Load another generation beside the present one, and warm it up.

        Raises
        ------
        CascadeError
            It cannot be loaded, policy and models do not fit each other, or a required model that answers now would not
            answer then.
        """
        loaded = await asyncio.to_thread(self._load, cascade, policy)
        runner = Runner(loaded, listeners=(self.tell,), limits=self.limits, options=self._runner_options())
        new = Generation(0, cascade, policy, runner)
        new.silent = await runner.warm_up(tune=True)
        if self.present is not None and new.missing and not self.present.missing:
            await asyncio.to_thread(runner.close, 1.0)
            name, why = next(iter(new.missing.items()))
            raise CascadeError(f"model {name} did not answer its warm-up picture: {why}")
        return new

    def adopt(self, new: Generation, number: int) -> None:
        """Let a prepared generation take over; the old one finishes what it has under way.

        A later change that came first stays.
        """
        new.number = number
        old = self.present
        if old is not None and old.number >= number:
            old, new = new, old
        self.present = new
        resolved = new.runner.loaded.resolved
        self.tell(CascadeLoaded(resolved.name, resolved.policy, resolved.promises))
        self._loaded.set()
        if old is not None:
            task = asyncio.create_task(_retire(old))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def detect(self, source: Source, **options: Any) -> Verdict:
        """Judge one picture; see `Runner.detect`."""
        generation = self.now
        generation.under_way += 1
        generation.idle.clear()
        try:
            return await generation.runner.detect(source, **options)
        finally:
            generation.under_way -= 1
            if not generation.under_way:
                generation.idle.set()

    async def stop(self, limit_s: float) -> None:
        """Finish what is under way within the limit, and free all."""
        if self.present is None:
            return
        old, self.present = self.present, None
        self.problem = "the service is leaving"
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(limit_s):
                if old.under_way:
                    await old.idle.wait()
        except TimeoutError:
            _log.warning("%d pictures were cut short", old.under_way)
        await asyncio.to_thread(old.runner.close, 1.0)

    def _load(self, cascade: str, policy: str | None) -> LoadedCascade:
        options = self._options
        module, _, path = options.loader.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise CascadeError(f"no loader {options.loader!r}: {error}; write module:callable") from error
        threads = options.threads or self._cores
        more = {} if options.endpoints is None else {"endpoints": options.endpoints}
        try:
            return cast("LoadedCascade", found(cascade, policy=policy, cards=options.cards, threads=threads, **more))
        except (CascadeError, OSError):
            raise
        except Exception as error:  # a loader of one's own may fail in any way
            raise CascadeError(f"the loader {options.loader!r} failed: {type(error).__name__}: {error}") from error

    def _runner_options(self) -> Any:
        options = self._options.runner
        return options if options.decoders else replace(options, decoders=max(2, self._cores))


async def _retire(old: Generation) -> None:
    """Close a generation when its last picture has been answered."""
    began = time.monotonic()
    if old.under_way:
        await old.idle.wait()
    await asyncio.to_thread(_close, old.runner)
    _log.info("generation %d has left after %.1f s", old.number, time.monotonic() - began)


def _close(runner: Runner) -> None:
    """Close a runner and give its memory back to the system, which C's allocator would keep for the next one."""
    runner.close()
    del runner
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
