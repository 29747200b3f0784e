"""What an experiment measured, and its figures. Pure arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from natix_cascade.decide.metrics import accuracy, mcc
from natix_cascade.decide.verdict import Verdict

__all__ = ["Outcome", "Trial", "trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one example.

    Attributes
    ----------
    verdict : Verdict or None
        The new one; None: there is none.
    truth : bool or None
        None: nobody said.
    error : str or None
        Why there is no verdict.
    """

    verdict: Verdict | None
    truth: bool | None
    error: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the verdict is true; None where one of the two is not known."""
        return None if self.verdict is None or self.truth is None else self.verdict.detected == self.truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An experiment's figures.

    Attributes
    ----------
    policy, cascade : str
        ``name@version``.
    experiment : str
        Its id in Phoenix.
    judged, failed : int
        Examples with a verdict and without.
    n : int
        Judged ones whose truth is known: accuracy and MCC are of these.
    accuracy, mcc : float or None
        None: no truth is known.
    cost_usd, gmacs : float
        Mean of a picture; 0 where nothing was judged.
    latency_ms : float
        Median of a picture, one at a time.
    exits : dict
        Judged examples by the level that gave their verdict.
    """

    policy: str
    cascade: str
    experiment: str
    judged: int
    failed: int
    n: int
    accuracy: float | None
    mcc: float | None
    cost_usd: float
    gmacs: float
    latency_ms: float
    exits: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def trial(policy: str, cascade: str, experiment: str, outcomes: Sequence[Outcome]) -> Trial:
    """The figures of these outcomes."""
    verdicts = [each.verdict for each in outcomes if each.verdict is not None]
    known = [
        (each.truth, each.verdict.detected) for each in outcomes if each.verdict is not None and each.truth is not None
    ]
    labels, answers = [truth for truth, _ in known], [answer for _, answer in known]
    return Trial(
        policy=policy,
        cascade=cascade,
        experiment=experiment,
        judged=len(verdicts),
        failed=len(outcomes) - len(verdicts),
        n=len(known),
        accuracy=accuracy(labels, answers) if known else None,
        mcc=mcc(labels, answers) if known else None,
        cost_usd=fmean(v.cost_usd for v in verdicts) if verdicts else 0.0,
        gmacs=fmean(v.gmacs for v in verdicts) if verdicts else 0.0,
        latency_ms=median(v.latency_ms for v in verdicts) if verdicts else 0.0,
        exits=dict(Counter(v.exit_level for v in verdicts)),
    )
