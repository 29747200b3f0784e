"""Which verdicts are worth a look first: an order of what was hard, by what is known of each. Pure arithmetic.

1. ``wrong``: the truth is known, and the verdict is not it. The surest mistakes first: nothing in the verdict warned.
2. ``degraded``: something that should have been asked did not answer. The least sure first.
3. ``disputed``: opinions stand against the answer. The least agreed first, then the least sure.
4. ``unsure``: all others, the least sure first.

Where all of that is equal, the picture's digest decides: the order of the input makes no difference.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Literal, Protocol, TypeVar

from natix_cascade.decide.verdict import Verdict

__all__ = ["KINDS", "Kind", "Subject", "hardest", "kind_of"]

Kind = Literal["wrong", "degraded", "disputed", "unsure"]
KINDS: tuple[Kind, ...] = ("wrong", "degraded", "disputed", "unsure")
"""The hardest first."""


class Subject(Protocol):
    """A verdict, and what is true."""

    @property
    def verdict(self) -> Verdict:
        """What the cascade said."""
        ...

    @property
    def truth(self) -> bool | None:
        """None: nobody said."""
        ...


S = TypeVar("S", bound=Subject)


def kind_of(verdict: Verdict, truth: bool | None) -> Kind:  # noqa: FBT001  # the value, not a flag
    """Why a verdict is hard: the first of `KINDS` that it is."""
    if truth is not None and truth != verdict.detected:
        return "wrong"
    if verdict.degraded:
        return "degraded"
    return "disputed" if verdict.disagrees else "unsure"


def hardest(subjects: Iterable[S], most: int) -> list[S]:
    """The hardest, in their order; of several verdicts on one picture the hardest.

    Parameters
    ----------
    subjects : iterable
        Verdicts with the truth where it is known; those on one picture share their digest.
    most : int
        How many, at most.
    """
    by_picture: dict[str, tuple[_Rank, S]] = {}
    for subject in subjects:
        rank, digest = _rank(subject), subject.verdict.sha256
        before = by_picture.get(digest)
        if before is None or rank < before[0]:
            by_picture[digest] = rank, subject
    chosen = heapq.nsmallest(most, by_picture.values(), key=lambda item: item[0])
    return [subject for _, subject in chosen]


_Rank = tuple[int, float, float, str, str]


def _rank(subject: Subject) -> _Rank:
    """Small is hard."""
    verdict = subject.verdict
    kind = kind_of(verdict, subject.truth)
    first = {"wrong": -verdict.confidence, "disputed": verdict.consensus_ratio}.get(kind, verdict.confidence)
    return KINDS.index(kind), first, verdict.confidence, verdict.sha256, verdict.id
