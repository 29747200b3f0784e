"""How hard a picture was for the cascade, as one number: the order of `hardest`, for tools that sort by numbers."""

from __future__ import annotations

from natix_cascade.decide.verdict import Verdict
from natix_cascade.observe.hardest import KINDS, kind_of

__all__ = ["HARD", "WRONG", "hardness"]

WRONG = 0.75
"""From here on the verdict is known to be wrong."""
HARD = 0.05
"""From here on a case is hard: wrong, degraded, disputed, or less than 80 % sure."""


def hardness(verdict: Verdict, truth: bool | None) -> float:  # noqa: FBT001  # the value, not a flag
    """How hard a picture was, in [0, 1]: a quarter of the scale for each of `KINDS`, the hardest kind the uppermost.

    Within its quarter a wrong verdict stands by its confidence, a disputed one by the share of opinions against it, and
    the others by how unsure they are.

    Parameters
    ----------
    verdict : Verdict
        What the cascade said.
    truth : bool or None
        What is true; None: unknown.
    """
    kind = kind_of(verdict, truth)
    within = {"wrong": verdict.confidence, "disputed": 1 - verdict.consensus_ratio}.get(kind, 1 - verdict.confidence)
    return (len(KINDS) - 1 - KINDS.index(kind) + within) / len(KINDS)
