"""The asynchronous runner: one picture at a time through the levels, many pictures at once."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from natix_cascade.decide import Progress, Round, advance, rounds, start, stop, wanted
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CascadeError, DeadlineError, ModelError
from natix_cascade.image import Limits, Picture, decode
from natix_cascade.image.source import Source
from natix_cascade.run.batcher import Answer, Batcher
from natix_cascade.run.events import LevelFinished, LevelStarted, Listener, Listeners, PictureFailed, VerdictGiven
from natix_cascade.run.loaded import LoadedCascade, cores
from natix_cascade.run.verdicts import Ended, make_verdicts
from natix_cascade.spec.resolved import Level, Member

__all__ = ["Runner"]


@dataclass(slots=True)
class _Way:
    """One picture's way so far."""

    picture: Picture
    progress: Progress
    began: float
    until: float
    explain: bool
    opinions: list[Opinion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    level_began: float = 0.0
    level_first: int = 0

    def left(self) -> float:
        """Seconds to the deadline."""
        return self.until - time.perf_counter()

    def note_deadline(self) -> None:
        """Say in the verdict that time ran out."""
        if not self.notes:
            self.notes.append("the deadline passed: this is the best answer so far")


class Runner:
    """Asks the levels of a cascade about pictures, until the arithmetic says that it is enough.

    Each model has a worker thread of its own (a bulkhead) that batches the questions of all pictures under way.

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade and its models.
    listeners : iterable of callable
        Each is handed every event; see `natix_cascade.run.events`.
    limits : Limits
        What a picture may be.
    max_batch, max_delay_ms
        Of the micro-batches; see `Batcher`.
    """

    def __init__(
        self,
        loaded: LoadedCascade,
        *,
        listeners: Iterable[Listener] = (),
        limits: Limits | None = None,
        max_batch: int = 16,
        max_delay_ms: float = 0.0,
    ) -> None:
        self.loaded = loaded
        self._cascade = loaded.resolved
        self._rounds = rounds(self._cascade)
        self._limits = limits or Limits()
        self._tell = Listeners(listeners)
        self._closed = False
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="natix-decode")
        self._batchers = {
            name: Batcher(functools.partial(loaded.model, name), max_batch=max_batch, max_delay_ms=max_delay_ms)
            for name in self._cascade.models
        }

    async def detect(
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
            The picture.
        deadline_ms : float or None
            Answer within this time with what is known by then; default: the cascade's own.
        explain : bool
            Ask for heat maps too.
        name : str or None
            The picture's id in the verdict.

        Raises
        ------
        PictureError
            It is not a usable picture.
        DeadlineError
            Time ran out before any model had answered.
        ModelError
            No model answered.
        """
        if self._closed:
            raise ModelError("the cascade is closed; load it again to ask more")
        began = time.perf_counter()
        budget = deadline_ms if deadline_ms is not None else self._cascade.deadline_ms
        until = began + budget / 1000 if budget is not None else float("inf")
        shown = name or (str(source) if isinstance(source, str | os.PathLike) else "")
        try:
            picture = source if isinstance(source, Picture) else await self._decode(source, name, until)
            if name is not None and picture.id != name:
                picture = replace(picture, id=name)
            shown = picture.id
            way = _Way(picture, start(self._cascade, 1), began, until, explain)
            return await self._run(way)
        except CascadeError as error:
            self._tell(PictureFailed(shown, error))
            raise

    def close(self, limit_s: float = 10.0) -> None:
        """Finish what is under way, then free threads and models; models that hang longer are left behind."""
        self._closed = True
        until = time.monotonic() + limit_s
        for batcher in self._batchers.values():
            batcher.close(max(until - time.monotonic(), 0.0))
        self._decoders.shutdown()
        self.loaded.close()

    async def warm_up(self) -> None:
        """Load every model and ask it once."""
        side = self.loaded.short_side
        grey = np.full((side, side, 3), 128, np.uint8)
        await asyncio.gather(*(asyncio.wrap_future(batcher.submit(grey)) for batcher in self._batchers.values()))

    async def _decode(self, source: Source, name: str | None, until: float) -> Picture:
        work = functools.partial(decode, source, limits=self._limits, short_side=self.loaded.short_side, id=name)
        future = asyncio.get_running_loop().run_in_executor(self._decoders, work)
        left = None if until == float("inf") else max(until - time.perf_counter(), 0.0)
        try:
            return await asyncio.wait_for(future, left)
        except TimeoutError:
            raise DeadlineError(
                f"{name or 'picture'}: the deadline passed while it was decoded; give more time"
            ) from None

    async def _run(self, way: _Way) -> Verdict:
        begun = -1
        for turn in self._rounds:
            if way.progress.exit_level[0] >= 0:
                break
            level = self._cascade.levels[turn.level]
            if way.left() <= 0:
                self._out_of_time(way)
                if begun == turn.level:
                    self._tell_finished(way, level)
                break
            if begun != turn.level:
                begun, way.level_began, way.level_first = turn.level, time.perf_counter(), len(way.opinions)
                if self._tell:
                    self._tell(LevelStarted(way.picture.id, level.name, self._to_ask(way, turn, level)))
            await self._ask(way, turn, level)
            if way.progress.exit_level[0] >= 0 or _is_last(turn, level):
                self._tell_finished(way, level)
        ended = Ended(
            way.picture.id, way.picture.sha256, way.opinions, (time.perf_counter() - way.began) * 1000, way.notes
        )
        verdict = make_verdicts(self._cascade, way.progress, [ended])[0]
        if isinstance(verdict, CascadeError):
            if way.left() <= 0:
                raise DeadlineError(f"{way.picture.id}: the deadline passed before any model had answered")
            raise verdict
        self._tell(VerdictGiven(verdict))
        return verdict

    def _to_ask(self, way: _Way, turn: Round, level: Level) -> tuple[str, ...]:
        if level.mode != "one":
            return tuple(member.model for member in level.members)
        ask = wanted(self._cascade, way.progress, turn)[0]
        return tuple(member.model for member, yes in zip(level.members, ask, strict=True) if yes)

    def _tell_finished(self, way: _Way, level: Level) -> None:
        if not self._tell:
            return
        opinions, exited = tuple(way.opinions[way.level_first :]), bool(way.progress.exit_level[0] >= 0)
        latency_ms = (time.perf_counter() - way.level_began) * 1000
        self._tell(LevelFinished(way.picture.id, level.name, opinions, exited, latency_ms))

    def _out_of_time(self, way: _Way) -> None:
        way.note_deadline()
        stop(self._cascade, way.progress, np.array([True]))

    async def _ask(self, way: _Way, turn: Round, level: Level) -> None:
        """Ask the wanted members of one round and hand their answers to the arithmetic."""
        ask = wanted(self._cascade, way.progress, turn)[0]
        members = [m for m, yes in zip(self._cascade.members[turn.first : turn.last], ask, strict=True) if yes]
        scores, failed = np.full((1, len(ask)), np.nan), np.zeros((1, len(ask)), bool)
        asked_at = time.perf_counter()
        futures = {asyncio.wrap_future(self._submit(member, way)): member for member in members}
        timeout = way.left()
        if level.budget_ms is not None:
            timeout = min(timeout, level.budget_ms / 1000 - (asked_at - way.level_began))
        if futures:
            try:
                await asyncio.wait(futures, timeout=None if timeout == float("inf") else max(timeout, 0.0))
            except asyncio.CancelledError:  # who asked has gone: leave every batch
                for future in futures:
                    future.cancel()
                raise
        if way.left() <= 0 and not all(future.done() for future in futures):
            way.note_deadline()
        heard: list[tuple[Member, Answer | None, str | None]] = []
        for future, member in futures.items():
            answer, failure = _outcome(future, timeout)
            heard.append((member, answer, failure))
            column = member.column - turn.first
            scores[0, column] = answer.score if answer else np.nan
            failed[0, column] = failure is not None
        advance(self._cascade, way.progress, turn, scores, failed)
        elapsed = (time.perf_counter() - asked_at) * 1000
        for member, answer, failure in heard:
            card = self._cascade.cards[member.model]
            way.opinions.append(
                Opinion(
                    model=member.model,
                    level=level.name,
                    score=answer.score if answer else None,
                    probability=float(way.progress.opinions[0, member.column]) if answer else None,
                    latency_ms=answer.latency_ms if answer else elapsed,
                    cost_usd=card.cost.usd,
                    gmacs=card.cost.gmacs,
                    failure=failure,
                    heat_map=answer.heat_map if answer else None,
                )
            )

    def _submit(self, member: Member, way: _Way) -> Future[Answer]:
        return self._batchers[member.model].submit(way.picture.pixels, explain=way.explain)


def _is_last(turn: Round, level: Level) -> bool:
    return not level.members or turn.last == level.members[-1].column + 1


def _outcome(future: asyncio.Future[Answer], timeout: float) -> tuple[Answer | None, str | None]:
    if not future.done():
        future.cancel()
        return None, f"no answer within {max(timeout, 0.0) * 1000:.0f} ms"
    error = future.exception() if not future.cancelled() else None
    if future.cancelled() or error is not None:
        return None, str(error) or type(error).__name__
    return future.result(), None
