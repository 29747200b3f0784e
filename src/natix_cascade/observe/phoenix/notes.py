"""Feedback and scores, as annotations of the traces in Phoenix."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import PhoenixOptions
from natix_cascade.observe.phoenix.client import Note, Phoenix, PhoenixError
from natix_cascade.observe.secret import reveal
from natix_cascade.observe.words import word
from natix_cascade.run.events import Call, FeedbackGiven, ScoreGiven, VerdictGiven
from natix_cascade.trace import TraceContext

__all__ = ["PhoenixNotes", "of_feedback", "of_score", "verdict_of"]

_PAUSES_S = (0.5, 1.0, 2.0)
_RIGHT = 0.5  # from this score on a judge says: right


def of_feedback(event: FeedbackGiven) -> Note:
    """A user's word: the truth, and whether the verdict was right. The last word on a verdict counts."""
    return Note(
        span_id=_span(event.verdict_id),
        name="human_label",
        by="HUMAN",
        label=word(event.verdict.question, event.label),
        score=1.0 if event.was_right else 0.0,
        explanation=event.note,
        facts={"verdict": word(event.verdict.question, event.verdict.detected), "verdict_id": event.verdict_id},
    )


def of_score(event: ScoreGiven) -> Note:
    """A judge's word: ``right``, ``wrong`` or ``abstained``, with its score. Each judge and rubric has one."""
    label = "abstained" if event.score is None else "right" if event.score >= _RIGHT else "wrong"
    return Note(
        span_id=_span(event.verdict_id),
        name="judge",
        by="LLM",
        label=label,
        score=event.score,
        explanation=event.reason or None,
        facts={
            "judge": event.judge,
            "rubric": event.rubric,
            "by_chance": event.by_chance,
            "cost_usd": event.cost_usd,
            "latency_ms": event.latency_ms,
            "verdict_id": event.verdict_id,
        },
        key=f"{event.judge} {event.rubric}",
    )


def verdict_of(event: FeedbackGiven) -> VerdictGiven:
    """The verdict that was talked about, as it was told when it was given; of a client's own trace nothing is known."""
    began = event.created - event.verdict.latency_ms / 1000
    return VerdictGiven(event.verdict, Call(event.verdict_id, began, TraceContext.of_request(event.verdict_id)))


class PhoenixNotes:
    """An observer that annotates the spans of requests.

    A note that Phoenix does not take is tried again for some seconds, then it is lost and raises; while Phoenix is
    away, each further note is tried once.

    Parameters
    ----------
    options : PhoenixOptions
        Where.
    send_trace : callable
        Sends the trace of a verdict that feedback was given on and whose trace is not there.
    pauses_s : sequence of float
        Before each further try.

    Raises
    ------
    CascadeError
        The client is not installed, or the reference of the key cannot be read.
    """

    name = "phoenix"

    def __init__(
        self,
        options: PhoenixOptions,
        send_trace: Callable[[VerdictGiven], None],
        *,
        pauses_s: Sequence[float] = _PAUSES_S,
    ) -> None:
        self._key = options.api_key
        self._phoenix = Phoenix(options.url, api_key=reveal(self._key))
        self._send_trace, self._pauses = send_trace, tuple(pauses_s)
        self._away = False

    def __call__(self, observation: Observation) -> None:
        """Annotate, where it is feedback or a score; it blocks.

        Raises
        ------
        PhoenixError
            The note is lost.
        """
        event = observation.event
        if isinstance(event, FeedbackGiven):
            note = of_feedback(event)
            if not self._put(note, now=True):  # most verdicts leave no trace
                try:
                    self._send_trace(verdict_of(event))
                finally:  # it may tell of others that it lost
                    self._put(note, now=False)
        elif isinstance(event, ScoreGiven) and event.failure is None:
            self._put(of_score(event), now=False)  # what was judged was kept: its trace is there, or on its way

    def close(self) -> None:
        """Nothing is held."""
        self._phoenix.close()

    def _put(self, note: Note, *, now: bool) -> bool:
        for pause in () if self._away else self._pauses:
            try:
                return self._annotate(note, now=now)
            except PhoenixError as error:
                if not error.passing:
                    raise
            time.sleep(pause)
        self._away = True
        found = self._annotate(note, now=now)
        self._away = False
        return found

    def _annotate(self, note: Note, *, now: bool) -> bool:
        """Once; a key that is not taken is read anew: it may be another by now."""
        try:
            return self._phoenix.annotate(note, now=now)
        except PhoenixError as error:
            if not error.locked or self._key is None:
                raise
            self._phoenix.use_key(reveal(self._key, refused=True))
            return self._phoenix.annotate(note, now=now)


def _span(verdict_id: str) -> str:
    return TraceContext.of_request(verdict_id).span_id
