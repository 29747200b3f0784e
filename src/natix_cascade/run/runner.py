"""The asynchronous runner: one picture at a time through the levels, many pictures at once."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from natix_cascade.decide import Progress, Round, rounds, start, stop, wanted
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CascadeError, DeadlineError, ModelError, SpecError
from natix_cascade.image import Limits, Picture
from natix_cascade.image.source import Source
from natix_cascade.run.asker import Asker
from natix_cascade.run.breaker import Breaker
from natix_cascade.run.decoders import Decoders
from natix_cascade.run.desk import Answer
from natix_cascade.run.events import (
    BreakerChanged,
    Call,
    LevelFinished,
    LevelStarted,
    Listener,
    Listeners,
    PictureFailed,
    VerdictGiven,
)
from natix_cascade.run.latency import Latencies
from natix_cascade.run.loaded import LoadedCascade, cores
from natix_cascade.run.options import ModelOptions, RunnerOptions
from natix_cascade.run.retry import RetryBudget
from natix_cascade.run.steps import Steps
from natix_cascade.run.verdicts import Ended, make_verdicts
from natix_cascade.spec.resolved import Level, Member
from natix_cascade.trace import current

__all__ = ["Runner"]

_THIS = np.array([True])
_COARSE_S = 0.002  # event loops count in milliseconds: their timers may be this early
_FORGET_S = 30.0  # how long a level that was slow is believed to be slow


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """What came of asking one member."""

    member: Member
    answer: Answer | None
    failure: str | None
    began_ms: float
    latency_ms: float
    timed_out: bool = False


@dataclass(slots=True)
class _Way:
    """One picture's way so far."""

    picture: Picture
    progress: Progress
    began: float
    until: float
    explain: bool
    last_level: int
    tell: Listeners
    source: Source | Picture
    call: Call | None
    waited_ms: float
    opinions: list[Opinion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    level_began: float = 0.0
    level_first: int = 0

    def left(self) -> float:
        """Seconds to the deadline."""
        return self.until - time.perf_counter()

    def is_over(self) -> bool:
        """Whether the deadline has passed, as far as an event loop's timer can tell."""
        return self.left() <= _COARSE_S

    def note_deadline(self) -> None:
        """Say in the verdict that time ran out."""
        if not self.notes:
            self.notes.append("the deadline passed: this is the best answer so far")


class Runner:
    """Asks the levels of a cascade about pictures, until the arithmetic says that it is enough.

    Each model has a thread of its own (a bulkhead): one that batches the questions of all pictures under way, or, for a
    model on a server, one that keeps many questions on their way. It has a queue with an end, and a breaker. No level
    starts whose usual time (95 % of the latest pictures) does not fit into what is left of a picture's deadline, unless
    nobody has answered yet.

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade and its models.
    listeners : iterable of callable
        Each is handed every event; see `natix_cascade.run.events`.
    limits : Limits
        What a picture may be.
    options : RunnerOptions
        How the models are asked.
    """

    def __init__(
        self,
        loaded: LoadedCascade,
        *,
        listeners: Iterable[Listener] = (),
        limits: Limits | None = None,
        options: RunnerOptions | None = None,
    ) -> None:
        self.loaded = loaded
        self._cascade = loaded.resolved
        self._rounds = rounds(self._cascade)
        self._tell = Listeners(listeners)
        self._closed = False
        self._options = options or RunnerOptions()
        decoders = self._options.decoders or cores()
        self._decoders = Decoders(decoders, limits or Limits(), loaded.short_side)
        budget = RetryBudget(self._options.retry_budget)
        self._askers = {
            name: Asker(
                name,
                functools.partial(loaded.model, name),
                self._options_of(name),
                budget,
                remote=self._cascade.cards[name].is_remote,
                on_change=lambda model, replica, state: self._tell(BreakerChanged(model, replica, state)),
            )
            for name in self._cascade.models
        }
        self._steps = Steps(self._cascade)
        self._level_times = [Latencies(max_age_s=_FORGET_S) for _ in self._cascade.levels]

    @property
    def breakers(self) -> Mapping[tuple[str, int], Breaker]:
        """Breakers by model and replica."""
        return {(name, each.number): each.breaker for name, asker in self._askers.items() for each in asker.replicas}

    async def detect(
        self,
        source: Source | Picture,
        *,
        deadline_ms: float | None = None,
        explain: bool = False,
        name: str | None = None,
        max_level: str | None = None,
        listener: Listener | None = None,
        call: Call | None = None,
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
        max_level : str or None
            The last level that may be asked; the verdict says so where it ends there undecided.
        listener : callable or None
            Is handed the events of this picture, beside the runner's own listeners.
        call : Call or None
            The request that brought the picture; it goes along with the events, and its trace with questions to
            servers. Where somebody listens and there is none, one begins here.

        Raises
        ------
        PictureError
            It is not a usable picture.
        DeadlineError
            Time ran out before any model had answered.
        ModelError
            No model answered.
        SpecError
            There is no level of this name.
        """
        if self._closed:
            raise ModelError("the cascade is closed; load it again to ask more")
        began = time.perf_counter()
        budget = deadline_ms if deadline_ms is not None else self._cascade.deadline_ms
        until = began + budget / 1000 if budget is not None else float("inf")
        shown = name or (str(source) if isinstance(source, str | os.PathLike) else "")
        last_level = self._level_index(max_level)
        tell = self._tell if listener is None else self._tell.with_one(listener)
        if call is None and tell:
            call = Call.begin(share=tell.share)
        waited_ms = 0.0 if call is None else max(0.0, (time.time() - call.began) * 1000)
        try:
            picture = source if isinstance(source, Picture) else await self._decoders.decode(source, name, until)
            if name is not None and picture.id != name:
                picture = replace(picture, id=name)
            shown = picture.id
            progress = start(self._cascade, 1)
            return await self._run(
                _Way(picture, progress, began, until, explain, last_level, tell, source, call, waited_ms)
            )
        except CascadeError as error:
            tell(PictureFailed(shown, error, call, (time.perf_counter() - began) * 1000, waited_ms))
            raise

    def close(self, limit_s: float = 10.0) -> None:
        """Finish what is under way, then free threads and models; models that hang longer are left behind."""
        self._closed = True
        until = time.monotonic() + limit_s
        for asker in self._askers.values():
            asker.close(max(until - time.monotonic(), 0.0))
        self._decoders.close()
        self.loaded.close()

    async def warm_up(self, *, tune: bool = False) -> dict[str, str]:
        """Load every model and ask each of its replicas once.

        Parameters
        ----------
        tune : bool
            Measure too which batches pay, and let none be larger.

        Returns
        -------
        dict
            Models that did not answer, and why.
        """
        side = self.loaded.short_side
        grey = np.full((side, side, 3), 128, np.uint8)
        silent: dict[str, str] = {}
        for name, asker in self._askers.items():
            try:
                await asker.warm_up(grey, tune=tune)
            except Exception as error:  # noqa: BLE001  # whatever it is, the model is not ready
                silent[name] = str(error) or type(error).__name__
        return silent

    def _options_of(self, name: str) -> ModelOptions:
        """Options of a model; as many replicas as it has servers, where they do not say."""
        options = self._options.of(name)
        return options if options.replicas else replace(options, replicas=self.loaded.replicas(name))

    def _level_index(self, name: str | None) -> int:
        if name is None:
            return len(self._cascade.levels) - 1
        for level in self._cascade.levels:
            if level.name == name:
                return level.index
        known = ", ".join(level.name for level in self._cascade.levels)
        raise SpecError(f"no level {name!r} in cascade {self._cascade.name}; its levels are {known}")

    async def _run(self, way: _Way) -> Verdict:
        begun = -1
        for turn in self._rounds:
            if way.progress.exit_level[0] >= 0:
                break
            level = self._cascade.levels[turn.level]
            if self._must_stop(way, turn, level, first=begun != turn.level):
                if begun == turn.level:
                    self._tell_finished(way, level)
                break
            if begun != turn.level:
                begun, way.level_began, way.level_first = turn.level, time.perf_counter(), len(way.opinions)
                if way.tell.hears_levels:
                    way.tell(LevelStarted(way.picture.id, level.name, self._to_ask(way, turn, level), way.call))
            await self._ask(way, turn, level)
            if way.progress.exit_level[0] >= 0 or _is_last(turn, level):
                self._level_times[turn.level].add(time.perf_counter() - way.level_began)
                self._tell_finished(way, level)
        verdict = self._verdict(way)
        way.tell(VerdictGiven(verdict, way.call, way.source, way.waited_ms))
        return verdict

    def _verdict(self, way: _Way) -> Verdict:
        picture, spent = way.picture, (time.perf_counter() - way.began) * 1000
        ended = Ended(picture.id, picture.sha256, way.opinions, spent, way.notes, way.remarks)
        verdict = make_verdicts(self._cascade, way.progress, [ended])[0]
        if isinstance(verdict, CascadeError):
            if way.is_over():
                raise DeadlineError(f"{picture.id}: the deadline passed before any model had answered")
            raise verdict
        return verdict

    def _must_stop(self, way: _Way, turn: Round, level: Level, *, first: bool) -> bool:
        """Whether the way ends before this round; why is noted."""
        if turn.level > way.last_level:
            last = self._cascade.levels[way.last_level].name
            way.remarks.append(f"{last} was the last level that might be asked")
            stop(self._cascade, way.progress, _THIS, degraded=False)
            return True
        if self._no_time_for(way, turn, level, first=first):
            stop(self._cascade, way.progress, _THIS)
            return True
        return False

    def _no_time_for(self, way: _Way, turn: Round, level: Level, *, first: bool) -> bool:
        """Whether what is left of the deadline is too little."""
        left = way.left()
        if way.is_over():
            way.note_deadline()
            return True
        if not first or left == float("inf") or np.isnan(way.progress.probability[0]):
            return False  # under way, no deadline, or nobody has answered yet: a late answer is better than none
        usual = self._level_times[turn.level].quantile(0.95)
        if usual is None or usual <= left:
            return False
        usually, had = usual * 1000, left * 1000
        way.notes.append(
            f"{level.name} was not started: it usually takes up to {usually:.0f} ms and {had:.0f} ms were left"
        )
        return True

    def _to_ask(self, way: _Way, turn: Round, level: Level) -> tuple[str, ...]:
        if level.mode != "one":
            return tuple(member.model for member in level.members)
        ask = wanted(self._cascade, way.progress, turn)[0]
        return tuple(member.model for member, yes in zip(level.members, ask, strict=True) if yes)

    def _tell_finished(self, way: _Way, level: Level) -> None:
        if not way.tell.hears_levels:
            return
        opinions, exited = tuple(way.opinions[way.level_first :]), bool(way.progress.exit_level[0] >= 0)
        latency_ms = (time.perf_counter() - way.level_began) * 1000
        way.tell(LevelFinished(way.picture.id, level.name, opinions, exited, latency_ms, way.call))

    async def _ask(self, way: _Way, turn: Round, level: Level) -> None:
        """Ask the wanted members of one round and hand their answers to the arithmetic."""
        ask = wanted(self._cascade, way.progress, turn)[0]
        members = [m for m, yes in zip(self._cascade.members[turn.first : turn.last], ask, strict=True) if yes]
        until = way.until
        if level.budget_ms is not None:
            until = min(until, way.level_began + level.budget_ms / 1000)
        if len(members) == 1:
            heard = [await self._hear(way, members[0], until)]
        else:
            heard = await asyncio.gather(*(self._hear(way, member, until) for member in members))
        if way.is_over() and any(one.timed_out for one in heard):
            way.note_deadline()
        scores, failed = np.full((1, len(ask)), np.nan), np.zeros((1, len(ask)), bool)
        for one in heard:
            column = one.member.column - turn.first
            scores[0, column] = np.nan if one.answer is None or one.answer.score is None else one.answer.score
            failed[0, column] = one.failure is not None
        await self._steps.take(way.progress, turn, scores, failed)
        for one in heard:
            card, answer = self._cascade.cards[one.member.model], one.answer
            has_opinion = answer is not None and answer.score is not None
            paid = answer.cost_usd if answer is not None else None
            way.opinions.append(
                Opinion(
                    model=one.member.model,
                    level=level.name,
                    score=answer.score if answer else None,
                    probability=float(way.progress.opinions[0, one.member.column]) if has_opinion else None,
                    latency_ms=one.latency_ms,
                    cost_usd=card.cost.usd if paid is None else paid,
                    gmacs=card.cost.gmacs,
                    failure=one.failure,
                    heat_map=answer.heat_map if answer else None,
                    evidence=answer.evidence if answer else None,
                    began_ms=one.began_ms,
                    queue_ms=answer.queue_ms if answer else None,
                    batch_size=answer.batch_size if answer else None,
                )
            )

    async def _hear(self, way: _Way, member: Member, until: float) -> _Heard:
        """One member's answer or failure; only being cancelled gets out of here as an exception."""
        began = time.perf_counter()
        began_ms = (began - way.began) * 1000
        token = current.set(way.call.trace.child(member.model)) if way.call is not None else None
        try:
            answer = await self._askers[member.model].ask(way.picture.pixels, explain=way.explain, until=until)
        except TimeoutError:
            ms = (time.perf_counter() - began) * 1000
            return _Heard(member, None, f"no answer within {ms:.0f} ms", began_ms, ms, timed_out=True)
        except Exception as error:  # noqa: BLE001  # an engine may fail in any way: its member drops out
            ms = (time.perf_counter() - began) * 1000
            return _Heard(member, None, str(error) or type(error).__name__, began_ms, ms)
        finally:
            if token is not None:
                current.reset(token)
        return _Heard(member, answer, None, began_ms, answer.latency_ms)


def _is_last(turn: Round, level: Level) -> bool:
    return not level.members or turn.last == level.members[-1].column + 1
