"""How hard a picture was for the cascade: which ones are worth looking at first, and worth learning from."""

from __future__ import annotations

from natix_cascade.decide.verdict import Verdict

__all__ = ["HARD", "hardness"]

HARD = 0.1
"""From here on a case is hard: known to be wrong, or sure of less than 80 % once disagreement is counted."""


def hardness(verdict: Verdict, truth: bool | None) -> float:  # noqa: FBT001  # the value, not a flag
    """How hard a picture was, in [0, 1]; above 0.5 exactly where the verdict is known to be wrong.

    With p the probability of the true answer and a the weighted share of opinions for it, ``1 - p * a`` says how far
    the cascade was from being sure and of one mind. Right answers take the lower half of the scale, wrong ones the
    upper.
    Where the truth is not known, the verdict is taken to be right.

    Parameters
    ----------
    verdict : Verdict
        What the cascade said.
    truth : bool or None
        What is true; None: unknown.
    """
    wrong = truth is not None and truth != verdict.detected
    sure = 1 - verdict.confidence if wrong else verdict.confidence
    agreed = 1 - verdict.consensus_ratio if wrong else verdict.consensus_ratio
    return (1 - sure * agreed + wrong) / 2
