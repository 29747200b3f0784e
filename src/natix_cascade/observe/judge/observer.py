"""The observer that has verdicts judged: it never waits, asks a few at a time, and writes down what it asked."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Final

from natix_cascade.models.loop import LoopThread
from natix_cascade.observe.judge.asking import TRIES, Judge, Judgement
from natix_cascade.observe.judge.budget import DAY_S, Budget, Purse, window_s
from natix_cascade.observe.judge.falling import Rolling
from natix_cascade.observe.judge.journal import Answer, Journal, Question
from natix_cascade.observe.judge.rubric import load_rubric
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import JudgeOptions
from natix_cascade.observe.sampling import is_remarkable
from natix_cascade.run.breaker import Breaker
from natix_cascade.run.events import Event, FeedbackGiven, ScoreGiven, VerdictGiven
from natix_cascade.run.options import BreakerOptions
from natix_cascade.trace import drawn

__all__ = ["JudgeObserver"]

_log = logging.getLogger("natix_cascade.observe.judge")
_MOST_AT_A_TIME = 4
_MOST_WAITING = 32
_LAST_S = 4.0  # for what is under way, at the end
_FILED_S = 60.0  # between two notes of how many were passed over
_LONGEST_LEAVE_S = 600.0
_WARY: Final = BreakerOptions(window=6, calls=3, failure_rate=0.5, open_s=60.0, probes=1)


class JudgeObserver:
    """Asks a judge about a share of the verdicts, and joins what people say of them.

    Parameters
    ----------
    options : JudgeOptions
        Who is asked, by which rubric, how often and for how much.
    state : Path
        Folder of its journal.
    tell : callable
        Takes each `ScoreGiven`; called from another thread.
    window : int
        Scores in a rolling window.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    CascadeError
        The rubric, the endpoint or the journal cannot be used.
    """

    name = "judge"

    def __init__(
        self,
        options: JudgeOptions,
        state: Path,
        tell: Callable[[Event], None],
        *,
        window: int = 200,
        clock: Callable[[], float] = time.time,
    ) -> None:
        few = min(options.endpoint.concurrency, _MOST_AT_A_TIME)
        options = replace(options, endpoint=replace(options.endpoint, concurrency=few))
        self._options, self._tell, self._clock = options, tell, clock
        self._rubric = load_rubric(options.rubric)
        self._judge = Judge(options, self._rubric)
        self._journal = Journal(state)
        now = clock()
        self._budget = Budget(
            options.per_minute,
            options.usd_per_day,
            entered=self._journal.entered(now - 2 * window_s(options.per_minute)),
            spent=self._journal.spent(now // DAY_S * DAY_S),
            clock=clock,
        )
        self._rolling = Rolling(window, self._journal.scores(self._rubric.digest, self._judge.model, 2 * window))
        self._breaker = Breaker(_WARY)
        self._loop = LoopThread("natix-judge-asking")
        self._places = asyncio.Semaphore(few)
        self._waiting: set[Future[None]] = set()
        self._skipped: Counter[str] = Counter()
        self._lock = threading.Lock()  # of the two above
        self._filed = now
        self._poor_day = -1

    def __call__(self, observation: Observation) -> None:
        """Take one in: verdicts to be judged, and what people say of verdicts.

        Raises
        ------
        CascadeError
            The journal cannot be written.
        """
        event = observation.event
        if isinstance(event, FeedbackGiven):
            self._journal.truth(self._clock(), event.verdict_id, label=event.label)
        elif isinstance(event, VerdictGiven) and event.call is not None:
            by_chance = observation.kept == "chance"
            share = observation.share if by_chance else None
            if self._is_wanted(event, event.call.id, share):
                self._consider(event, event.call.id, observation.picture, by_chance=by_chance)
        self._file()

    def close(self) -> None:
        """Give what is under way a few seconds, then free all."""
        with self._lock:
            waiting = set(self._waiting)
        wait(waiting, _LAST_S)
        self._loop.close(self._judge.close)
        self._file(at_once=True)
        self._journal.close()

    def _is_wanted(self, event: VerdictGiven, id: str, share: float | None) -> bool:  # noqa: A002
        """By chance: drawn from those that were drawn. Clients cannot have verdicts judged by marking their traces."""
        if share is not None:
            return drawn(id, share * self._options.share)
        return self._options.remarkable and is_remarkable(event)

    def _consider(self, event: VerdictGiven, id: str, picture: bytes | None, *, by_chance: bool) -> None:  # noqa: A002
        with self._lock:
            busy = len(self._waiting) >= _MOST_WAITING
        if picture is None:
            self._skip("no picture")
        elif event.verdict.question != self._rubric.about:
            self._skip("another question")
        elif busy:
            self._skip("busy")
        elif self._breaker.state == "open":
            self._skip("server away")
        else:
            purse = self._budget.enter(self._judge.most_usd(event.verdict, picture), by_chance=by_chance)
            if isinstance(purse, str):
                self._skip(purse)
                if purse == "money" and by_chance:
                    self._say_poor()
            else:
                self._begin(event, id, picture, purse, by_chance=by_chance)

    def _begin(self, event: VerdictGiven, id: str, picture: bytes, purse: Purse, *, by_chance: bool) -> None:  # noqa: A002
        future = self._loop.submit(self._ask(event, id, picture, purse, by_chance=by_chance))
        with self._lock:
            self._waiting.add(future)
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[None]) -> None:
        with self._lock:
            self._waiting.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            _log.warning("a score was lost: %s: %s", type(error).__name__, error)

    async def _ask(self, event: VerdictGiven, id: str, picture: bytes, purse: Purse, *, by_chance: bool) -> None:  # noqa: A002
        try:
            async with self._places:
                ticket = self._breaker.enter()
                if not ticket:
                    self._skip("server away")
                    return
                try:
                    await self._judged(event, id, picture, purse, ticket, by_chance=by_chance)
                finally:
                    self._breaker.release(ticket)  # nothing was reported: it was cancelled, or could not be written
        finally:
            purse.close()

    async def _judged(
        self,
        event: VerdictGiven,
        id: str,  # noqa: A002
        picture: bytes,
        purse: Purse,
        ticket: int,
        *,
        by_chance: bool,
    ) -> None:
        verdict, rubric = event.verdict, self._rubric
        number = self._journal.ask(
            Question(
                created=self._clock(),
                verdict_id=id,
                answer=verdict.detected,
                probability=verdict.probability,
                cascade=verdict.cascade,
                policy=verdict.policy,
                rubric=rubric.title,
                digest=rubric.digest,
                judge=self._judge.model,
                by_chance=by_chance,
                most_usd=TRIES * self._judge.most_usd(verdict, picture),
            )
        )
        try:
            found = await self._judge.score(verdict, picture, purse)
        except asyncio.CancelledError:
            ended = Judgement(failure="the service ended before the judge answered", cost_usd=purse.spent)
            self._write(number, ended)
            raise
        self._report(ticket, found)
        self._write(number, found)
        self._tell(
            ScoreGiven(
                id,
                self._judge.model,
                rubric.title,
                found.score,
                found.reason,
                found.cost_usd,
                found.latency_ms,
                by_chance=by_chance,
                failure=found.failure,
            )
        )
        if by_chance and found.score is not None:
            self._watch(found.score)

    def _write(self, number: int, found: Judgement) -> None:
        self._journal.answer(
            number,
            Answer(
                created=self._clock(),
                score=found.score,
                abstained=found.score is None and found.failure is None,
                reason=found.reason,
                cost_usd=found.cost_usd,
                latency_ms=found.latency_ms,
                failure=found.failure,
            ),
        )

    def _report(self, ticket: int, found: Judgement) -> None:
        """Tell the breaker; a server that says when to come back is left alone until then."""
        if not found.ill:
            self._breaker.success(ticket)
            return
        before = self._breaker.state
        self._breaker.failure(ticket)
        if found.retry_after_s:
            self._breaker.force_open(min(found.retry_after_s, _LONGEST_LEAVE_S))
        if before != "open" and self._breaker.state == "open":
            _log.warning("the judge is left alone for a while: %s", found.failure)

    def _watch(self, score: float) -> None:
        fall = self._rolling.add(score)
        if fall is not None:
            _log.warning(
                "the judge's scores have fallen: mean %.3f over the last %d verdicts drawn by chance, %.3f over the %d "
                "before (Welch's test, p = %.1g); see natix-cascade observe judge report",
                fall.now,
                fall.n,
                fall.before,
                fall.n,
                fall.p,
            )

    def _say_poor(self) -> None:
        """Once a day."""
        day = int(self._clock() // DAY_S)
        if day != self._poor_day:
            self._poor_day = day
            spent, most = self._budget.spent, self._options.usd_per_day
            _log.warning("the judge rests until midnight UTC: %.4f of usd_per_day = %g are spent", spent, most)

    def _skip(self, why: str) -> None:
        with self._lock:
            self._skipped[why] += 1

    def _file(self, *, at_once: bool = False) -> None:
        """Note how many were passed over, once a minute."""
        now = self._clock()
        if not at_once and 0 <= now - self._filed < _FILED_S:
            return
        self._filed = now
        with self._lock:
            counts, self._skipped = self._skipped, Counter()
        if counts:
            self._journal.skipped(now, counts)
