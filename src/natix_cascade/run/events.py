"""What happens on a picture's way, as frozen facts for listeners (metrics, traces, logs)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.image import Picture
from natix_cascade.image.source import Source
from natix_cascade.trace import TraceContext, new_id

__all__ = [
    "BreakerChanged",
    "Call",
    "CascadeLoaded",
    "Event",
    "FeedbackGiven",
    "LevelFinished",
    "LevelStarted",
    "Listener",
    "Listeners",
    "PictureFailed",
    "ScoreGiven",
    "VerdictGiven",
]


@dataclass(frozen=True, slots=True)
class Call:
    """The request that brought a picture.

    Attributes
    ----------
    id : str
        Of the request and of its verdict: 32 hex digits.
    began : float
        When it came in, in seconds since 1970.
    trace : TraceContext
        The request's span.
    """

    id: str
    began: float
    trace: TraceContext

    @classmethod
    def begin(cls, *, share: float = 0.0) -> Call:
        """A call that nobody has told anything about."""
        name = new_id()
        return cls(name, time.time(), TraceContext.of_request(name, share=share))


@dataclass(frozen=True, slots=True)
class LevelStarted:
    """Models of one level are about to be asked about one picture.

    Attributes
    ----------
    picture : str
        The picture's id.
    level : str
        The level's name.
    models : tuple of str
        Who is asked.
    call : Call or None
        Where the picture came from.
    """

    picture: str
    level: str
    models: tuple[str, ...]
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class LevelFinished:
    """A level's opinions are in.

    Attributes
    ----------
    picture, level : str
        Which picture, which level.
    opinions : tuple of Opinion
        Answers and failures.
    exited : bool
        Whether the verdict was given here.
    latency_ms : float
        Of the level.
    call : Call or None
        Where the picture came from.
    """

    picture: str
    level: str
    opinions: tuple[Opinion, ...]
    exited: bool
    latency_ms: float
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class VerdictGiven:
    """A picture has its verdict.

    Attributes
    ----------
    verdict : Verdict
        The verdict.
    call : Call or None
        Where the picture came from.
    source : Source, Picture or None
        The picture as it came; who wants to look at it decodes it, and re-encodes what is sent on.
    waited_ms : float
        From the call's beginning to that of the picture's way, from which its opinions count their time.
    """

    verdict: Verdict
    call: Call | None = None
    source: Source | Picture | None = field(default=None, repr=False)
    waited_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PictureFailed:
    """A picture has no verdict.

    Attributes
    ----------
    picture : str
        The picture's id.
    error : Exception
        Why.
    call : Call or None
        Where the picture came from.
    latency_ms : float
        Until then.
    waited_ms : float
        From the call's beginning to that of the picture's way.
    """

    picture: str
    error: Exception
    call: Call | None = None
    latency_ms: float = 0.0
    waited_ms: float = 0.0

    @property
    def kind(self) -> str:
        """The name of the error's class, also of one that another process has raised."""
        return str(getattr(self.error, "kind", None) or type(self.error).__name__)


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A model's breaker has opened, half opened or closed.

    Attributes
    ----------
    model : str
        Whose.
    replica : int
        Which copy of it.
    state : str
        ``closed``, ``open`` or ``half_open``.
    """

    model: str
    replica: int
    state: str


@dataclass(frozen=True, slots=True)
class CascadeLoaded:
    """A cascade begins to work, or another policy does.

    Attributes
    ----------
    cascade, policy : str
        ``name@version``.
    promises : dict
        What the policy promises at least, by metric; see `ResolvedCascade.promises`.
    """

    cascade: str
    policy: str
    promises: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedbackGiven:
    """Somebody has told the truth about a verdict.

    Attributes
    ----------
    verdict_id : str
        About which one; the `Call.id` of its picture.
    verdict : Verdict
        As it was given.
    created : float
        When it was given, in seconds since 1970.
    label : bool
        The truth.
    note : str or None
        What was written to it.
    """

    verdict_id: str
    verdict: Verdict
    created: float
    label: bool
    note: str | None = None

    @property
    def was_right(self) -> bool:
        """Whether the verdict agrees with it."""
        return self.verdict.detected == self.label


@dataclass(frozen=True, slots=True)
class ScoreGiven:
    """A judge has looked at a verdict.

    Attributes
    ----------
    verdict_id : str
        About which one.
    judge, rubric : str
        The judge's model, and ``name@version`` of what it was asked to look at.
    score : float or None
        From 0 (certainly wrong) to 1 (certainly right); None: it abstained, or did not answer.
    reason : str
        A sentence. Written by a model: never to be executed or trusted.
    cost_usd, latency_ms : float
        Of the score.
    by_chance : bool
        The verdict was drawn by chance, not for being remarkable: only such scores are a fair sample.
    failure : str or None
        Why there is no answer.
    """

    verdict_id: str
    judge: str
    rubric: str
    score: float | None
    reason: str
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    by_chance: bool = True
    failure: str | None = None


Event = (
    LevelStarted
    | LevelFinished
    | VerdictGiven
    | PictureFailed
    | BreakerChanged
    | CascadeLoaded
    | FeedbackGiven
    | ScoreGiven
)
Listener = Callable[[Event], None]

_log = logging.getLogger("natix_cascade.events")


class Listeners:
    """Hands events to listeners; one that raises is logged once and taken off, and never breaks an answer."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    @property
    def share(self) -> float:
        """What share of the traces that begin here is to be kept: the largest that a listener says it draws."""
        return max((getattr(each, "share", 0.0) for each in tuple(self._listeners)), default=0.0)

    @property
    def hears_levels(self) -> bool:
        """Whether anybody wants to hear of single levels; those who do not have `hears_levels` false."""
        return any(getattr(each, "hears_levels", True) for each in tuple(self._listeners))

    def with_one(self, listener: Listener) -> Listeners:
        """These and one more, which is heard first and taken off with its picture."""
        return Listeners((listener, self) if self else (listener,))

    def __call__(self, event: Event) -> None:
        """Hand an event to every listener."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001  # a listener may fail in any way and must never break an answer
                try:
                    self._listeners.remove(listener)
                except ValueError:  # another thread has just taken it off
                    continue
                _log.exception("listener %r raised and was taken off", listener)
