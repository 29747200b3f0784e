"""One step of the arithmetic for all pictures that are ready for it at the same moment."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Progress, Round, advance
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["Steps"]

_FIELDS = tuple(field.name for field in fields(Progress))


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What one picture's members said, and who waits for what becomes of it."""

    turn: Round
    progress: Progress
    scores: NDArray[np.float64]
    failed: NDArray[np.bool_]
    done: asyncio.Future[None]


class Steps:
    """Takes steps together: a step of many costs little more than one, and pictures come out of a batch together.

    Parameters
    ----------
    cascade : ResolvedCascade
        What to obey.
    """

    def __init__(self, cascade: ResolvedCascade) -> None:
        self._cascade = cascade
        self._mine = threading.local()  # an event loop lives in one thread, and steps of one loop go together

    async def take(
        self, progress: Progress, turn: Round, scores: NDArray[np.float64], failed: NDArray[np.bool_]
    ) -> None:
        """As `decide.advance` for one picture, together with all that ask in the same turn of the loop.

        Parameters
        ----------
        progress : Progress
            Of one picture; changed in place.
        turn : Round
            The round that was asked, with k members.
        scores, failed : (1, k) arrays
            See `decide.advance`.
        """
        loop = asyncio.get_running_loop()
        waiting: list[_Step] | None = getattr(self._mine, "waiting", None)
        if waiting is None:
            waiting = self._mine.waiting = []
            loop.call_soon(self._go)
        step = _Step(turn, progress, scores, failed, loop.create_future())
        waiting.append(step)
        await step.done

    def _go(self) -> None:
        steps: list[_Step] = self._mine.waiting
        self._mine.waiting = None
        by_turn: dict[Round, list[_Step]] = {}
        for step in steps:
            by_turn.setdefault(step.turn, []).append(step)
        for turn, group in by_turn.items():
            try:
                self._advance(turn, group)
            except Exception as error:  # noqa: BLE001  # who waits must hear of it
                for step in group:
                    if not step.done.done():
                        step.done.set_exception(error)
            else:
                for step in group:
                    if not step.done.done():
                        step.done.set_result(None)

    def _advance(self, turn: Round, group: list[_Step]) -> None:
        if len(group) == 1:
            advance(self._cascade, group[0].progress, turn, group[0].scores, group[0].failed)
            return
        both = Progress(*(np.concatenate([getattr(step.progress, name) for step in group]) for name in _FIELDS))
        scores = np.concatenate([step.scores for step in group])
        advance(self._cascade, both, turn, scores, np.concatenate([step.failed for step in group]))
        for name in _FIELDS:
            column = getattr(both, name)
            for number, step in enumerate(group):
                setattr(step.progress, name, column[number : number + 1])
