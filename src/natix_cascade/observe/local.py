"""Observing inside one process: for programs that use a cascade as a library."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from natix_cascade.observe.build import observers
from natix_cascade.observe.hub import Hub
from natix_cascade.observe.keeper import Keeper
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import ObserveOptions
from natix_cascade.run.events import Event

__all__ = ["LocalListener", "listener"]

_LAST_S = 5.0  # to send what is held, at the end


class LocalListener:
    """A listener with observers of its own, each in a thread; hearing of an event takes microseconds.

    Parameters
    ----------
    options : ObserveOptions
        What is observed; metrics are not counted here.
    state : Path or None
        Folder in which observers may keep what they must not forget; None: one that ends with the listener.

    Raises
    ------
    CascadeError
        An observer cannot be made: its package is missing, or a reference to a secret cannot be read.
    """

    hears_levels = False

    def __init__(self, options: ObserveOptions, state: Path | None = None) -> None:
        with ExitStack() as undo:
            folder = state or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="natix-observe-")))
            self._hub = hub = Hub()
            undo.callback(hub.close, _LAST_S)
            for each in observers(options, folder, lambda event: hub(Observation(event))):
                hub.add(each)
            self._keeper = Keeper(options, hub)
            undo.callback(self._keeper.close)
            self._closing = undo.pop_all()

    @property
    def share(self) -> float:
        """What share of the verdicts is drawn by chance."""
        return self._keeper.share

    def __call__(self, event: Event) -> None:
        """Hear of an event; never waits."""
        self._keeper(event)

    def close(self) -> None:
        """Let the observers send what they hold, at most five seconds; calling it twice is harmless."""
        self._closing.pop_all().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def listener(options: ObserveOptions, state: Path | None = None) -> LocalListener:
    """A listener for ``Cascade.load(..., listeners=[...])``; close it after the cascade.

    >>> from natix_cascade import Cascade
    >>> from natix_cascade.observe.options import ObserveOptions, TraceOptions
    >>> options = ObserveOptions(share=1.0, traces=TraceOptions(url="http://127.0.0.1:4318/v1/traces"))
    >>> with listener(options) as heard, Cascade.load("embedded", listeners=[heard]) as cascade:  # doctest: +SKIP
    ...     cascade.detect("photo.jpg")

    Parameters, errors: see `LocalListener`.
    """
    return LocalListener(options, state)
