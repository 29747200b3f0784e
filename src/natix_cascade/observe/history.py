"""Readings of the metrics over the last hour, in the memory of one worker."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from natix_cascade.observe.views import Samples, Span, series, views

__all__ = ["History"]

_STEP_S = 10.0
_KEPT_S = 3600.0
_OURS = "cascade_"
_POINTS = 60


class History:
    """Readings, ten seconds apart.

    Parameters
    ----------
    read : callable
        What all processes have counted.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, read: Callable[[], CollectorRegistry], clock: Callable[[], float] = time.time) -> None:
        self._read, self._clock = read, clock
        self._columns: dict[tuple[str, Any], int] = {}
        self._names: list[tuple[str, Any]] = []  # of the columns; grows while another thread reads it
        self._rows: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=round(_KEPT_S / _STEP_S) + 1)

    def tick(self) -> None:
        """Read, if it is time to."""
        now = self._clock()
        if not self._rows or now - self._rows[-1][0] >= _STEP_S:
            self._rows.append((now, self._row(_samples(self._read()))))

    def shown(self, minutes: float) -> dict[str, Any]:
        """The five views of the last minutes, and lines over them.

        Parameters
        ----------
        minutes : float
            How far back figures and lines go.

        Returns
        -------
        dict
            ``at``, seconds since 1970; ``seconds`` that the figures are of, fewer where it has not run that long;
            ``views`` and ``series``.
        """
        now, present = self._clock(), _samples(self._read())
        rows = list(self._rows)
        recent = [row for row in rows if row[0] >= now - minutes * 60 - _STEP_S]
        span, hour = (self._span(now, present, seconds) for seconds in (minutes * 60, _KEPT_S))
        ever = Span({}, present, max(now - rows[0][0], 1.0) if rows else 1.0)
        step = max(1, (len(recent) - 1) // _POINTS)
        chosen = recent[::-1][::step][::-1]  # the latest is among them
        spans = (
            (until, Span(self._samples(before), self._samples(after), until - since))
            for (since, before), (until, after) in itertools.pairwise(chosen)
        )
        return {
            "at": now,
            "seconds": round(span.seconds, 1),
            "views": views(span, hour, ever),
            "series": series(spans),
        }

    def _span(self, now: float, present: Samples, seconds: float) -> Span:
        """From the last reading before that time on, or from the first one."""
        rows = list(self._rows)
        before = next((row for row in reversed(rows) if row[0] <= now - seconds), rows[0] if rows else None)
        if before is None:
            return Span({}, present, 1.0)
        return Span(self._samples(before[1]), present, max(now - before[0], 1.0))

    def _row(self, samples: Samples) -> NDArray[np.float64]:
        values = {(name, pairs): value for name, found in samples.items() for pairs, value in found.items()}
        for key in values.keys() - self._columns.keys():
            self._columns[key] = len(self._names)
            self._names.append(key)
        row = np.full(len(self._names), np.nan)
        row[[self._columns[key] for key in values]] = list(values.values())
        return row

    def _samples(self, row: NDArray[np.float64]) -> Samples:
        found: dict[str, dict[Any, float]] = {}
        for (name, pairs), value in zip(self._names, row.tolist(), strict=False):  # the columns of then come first
            if value == value:  # noqa: PLR0124  # not NaN
                found.setdefault(name, {})[pairs] = value
        return found


def _samples(registry: CollectorRegistry) -> Samples:
    found: dict[str, dict[Any, float]] = {}
    for family in registry.collect():
        if family.name.startswith(_OURS):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found
