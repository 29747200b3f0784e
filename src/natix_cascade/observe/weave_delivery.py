"""Observations on their way to Weave, each written once as far as can be told."""

from __future__ import annotations

import http
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from natix_cascade.observe.observation import Observation
from natix_cascade.observe.weave_api import RefusedError, TraceServer, UnreachableError
from natix_cascade.observe.weave_calls import (
    call_id,
    judge_object,
    late_calls,
    observed_calls,
    score_feedback,
    truth_feedback,
)
from natix_cascade.run.events import FeedbackGiven, ScoreGiven

__all__ = ["Delivery"]

_REMEMBERED: Final = 4096  # verdicts whose calls are known to be there; of others the server is asked
_MOST_JUDGES: Final = 64
_FIRM: Final = 3  # from this try on, an error of the server's own is taken to be about what it was sent
_TOGETHER: Final = 200
_T = TypeVar("_T")


class Delivery:
    """Writes observations to a trace server.

    Parameters
    ----------
    server : TraceServer
        Where to.
    """

    def __init__(self, server: TraceServer) -> None:
        self._server = server
        self._there: OrderedDict[str, None] = OrderedDict()
        self._judges: dict[tuple[str, str], str] = {}

    def __call__(self, batch: Sequence[Observation], tries: int = 0) -> list[RefusedError]:
        """Write a batch.

        Parameters
        ----------
        batch : sequence of Observation
            Verdicts and failures, feedback and scores.
        tries : int
            How often it was tried before: the server is then asked what it has of it.

        Returns
        -------
        list of RefusedError
            One for each call or piece of feedback that the server does not take; all others are written.

        Raises
        ------
        UnreachableError
            Some may not be written; to be tried again.
        """
        refused: list[RefusedError] = []
        events = [observation.event for observation in batch]
        truths = [event for event in events if isinstance(event, FeedbackGiven)]
        scores = [event for event in events if isinstance(event, ScoreGiven)]
        calls = [call for observation in batch for call in observed_calls(observation, self._server.project)]
        calls += self._untold(truths, {call["id"] for call in calls})
        self._write_calls(calls, tries, refused)
        items = [item for event in truths for item in truth_feedback(event, self._server.project)]
        items += [item for event in scores for item in self._scored(event, tries, refused)]
        self._write_feedback(items, tries, refused)
        return refused

    def _untold(self, truths: Sequence[FeedbackGiven], coming: set[str]) -> list[dict[str, Any]]:
        """The calls of verdicts that were not kept, now that somebody knows the truth about them."""
        asked = {call_id(event.verdict_id): event for event in truths}
        unknown = {name: event for name, event in asked.items() if name not in coming and name not in self._there}
        if not unknown:
            return []
        there = self._server.written(list(unknown))
        self._remember(there)
        return [
            call
            for name, event in unknown.items()
            if name not in there
            for call in late_calls(event, self._server.project)
        ]

    def _write_calls(self, calls: Sequence[dict[str, Any]], tries: int, refused: list[RefusedError]) -> None:
        if not calls:
            return
        had = self._server.written([call["id"] for call in calls]) if tries else {}
        left = [call for call in calls if not had.get(call["id"])]
        for some in _requests(left):
            _divided(some, lambda these: self._server.write_calls(these, had), _judged(tries, refused))
        self._remember(call["id"] for call in calls if "parent_id" not in call)

    def _write_feedback(self, items: Sequence[dict[str, Any]], tries: int, refused: list[RefusedError]) -> None:
        if not items:
            return
        had = self._server.written_feedback([item["id"] for item in items]) if tries else set()
        for some in _requests([item for item in items if item["id"] not in had]):
            _divided(some, self._server.write_feedback, _judged(tries, refused))

    def _scored(self, event: ScoreGiven, tries: int, refused: list[RefusedError]) -> list[dict[str, Any]]:
        who = event.judge, event.rubric
        if who not in self._judges:
            if len(self._judges) >= _MOST_JUDGES:
                self._judges.clear()
            try:
                self._judges[who] = self._server.write_object(judge_object(event, self._server.project))
            except RefusedError as error:
                _judged(tries, refused)(error)
                return []
        return [score_feedback(event, self._server.project, self._judges[who])]

    def _remember(self, names: Iterable[str]) -> None:
        for name in names:
            self._there[name] = None
            self._there.move_to_end(name)
        while len(self._there) > _REMEMBERED:
            self._there.popitem(last=False)


def _judged(tries: int, refused: list[RefusedError]) -> Callable[[RefusedError], None]:
    """What to do about one thing that is refused: write it down, or blame the server and try again."""

    def judge(error: RefusedError) -> None:
        if error.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR and tries < _FIRM:
            raise UnreachableError(f"{error}; it is tried again")
        refused.append(error)

    return judge


def _requests(items: Sequence[_T]) -> list[Sequence[_T]]:
    """What goes together: a server over SQLite must be done with it before the connection is given up."""
    return [items[first : first + _TOGETHER] for first in range(0, len(items), _TOGETHER)]


def _divided(
    items: Sequence[_T], write: Callable[[Sequence[_T]], None], refuse: Callable[[RefusedError], None]
) -> None:
    """Write them together; where that is refused, by halves, until it is known which ones are refused."""
    try:
        write(items)
    except RefusedError as error:
        if len(items) == 1:
            refuse(error)
            return
        middle = len(items) // 2
        _divided(items[:middle], write, refuse)
        _divided(items[middle:], write, refuse)
