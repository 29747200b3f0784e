"""The listener that chooses what is observed and hands it on, in microseconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from natix_cascade.image import Limits, Picture
from natix_cascade.image.source import Source
from natix_cascade.observe.observation import Kept, Observation
from natix_cascade.observe.options import ObserveOptions
from natix_cascade.observe.sampling import Allowance, Sampler, is_remarkable
from natix_cascade.observe.shown import as_shown
from natix_cascade.run.events import Call, Event, LevelFinished, LevelStarted, PictureFailed, VerdictGiven
from natix_cascade.trace import drawn

__all__ = ["Keeper"]

_MOST_PICTURES = 32  # that wait to be encoded
_log = logging.getLogger("natix_cascade.observe")


class Keeper:
    """Samples verdicts and failures, keeps all else but single levels, and hands it on.

    Parameters
    ----------
    options : ObserveOptions
        What is kept, and who wants to see pictures.
    hand : callable
        Takes observations; must not block, but may a little where they have a picture: those come from a thread of
        their own. Called from several threads.
    dropped : callable
        Told ``pictures`` for each picture that somebody wanted to see and there was no time to encode.
    workers : int
        Processes that share the judge's pace.
    limits : Limits
        What a picture may be.
    """

    hears_levels = False

    def __init__(
        self,
        options: ObserveOptions,
        hand: Callable[[Observation], None],
        *,
        dropped: Callable[[str], None] = lambda _: None,
        workers: int = 1,
        limits: Limits | None = None,
    ) -> None:
        self._options, self._hand, self._dropped = options, hand, dropped
        pace = options.judge.per_minute / 60 / workers if options.judge is not None else 0.0
        self._drawn, self._remarkable = Allowance(pace), Allowance(pace / 2)  # more would be encoded for nothing
        self._sampler = Sampler(options.share, options.drawn_per_s, options.remarkable_per_s)
        self._limits = limits or Limits()
        self._pictures = ThreadPoolExecutor(1, thread_name_prefix="natix-keep")
        self._room = threading.Semaphore(_MOST_PICTURES)

    @property
    def share(self) -> float:
        """What share of the verdicts is drawn by chance."""
        return self._options.share

    def __call__(self, event: Event) -> None:
        """Hand it on, or let it go."""
        if isinstance(event, LevelStarted | LevelFinished):
            return
        if not isinstance(event, VerdictGiven | PictureFailed):
            self._hand(Observation(event))
            return
        kept = self._sampler(event, event.call or Call.begin())
        if kept is None:
            return
        if isinstance(event, VerdictGiven) and event.source is not None and self._is_seen(event, kept):
            self._with_picture(event, event.source, kept)
        else:
            self._hand(Observation(event, kept, share=self._sampler.share))

    def close(self) -> None:
        """Encode what waits, then end."""
        self._pictures.shutdown()

    def _is_seen(self, event: VerdictGiven, kept: Kept) -> bool:
        """Whether somebody wants to see the picture."""
        judge, traces = self._options.judge, self._options.traces
        if traces is not None and traces.pixels:
            return True
        if judge is None:
            return False
        if kept == "chance" and event.call is not None:
            return drawn(event.call.id, self._sampler.share * judge.share) and self._drawn.take()
        return judge.remarkable and is_remarkable(event) and self._remarkable.take()

    def _with_picture(self, event: VerdictGiven, source: Source | Picture, kept: Kept) -> None:
        if not self._room.acquire(blocking=False):
            self._dropped("pictures")
            self._hand(Observation(event, kept, share=self._sampler.share))
            return

        share = self._sampler.share

        def work() -> None:
            picture = None
            try:
                picture = as_shown(source, self._limits)
            except Exception as error:  # noqa: BLE001  # without it, the rest is worth something too
                _log.warning("a picture cannot be shown to the judge: %s", error)
            finally:
                self._room.release()
            self._hand(Observation(event, kept, picture, share))

        self._pictures.submit(work)
