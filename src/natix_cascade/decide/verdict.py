"""The answer of a cascade and the opinions behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence

__all__ = ["Opinion", "Verdict"]


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one model said of one picture, or why it did not.

    Attributes
    ----------
    model, level : str
        Who, and where in the cascade.
    score : float or None
        The model's own P(positive), before calibration; None without a failure: it has no opinion of such pictures.
    probability : float or None
        The calibrated one.
    latency_ms : float
        From the question to the answer, waiting in the model's queue included.
    cost_usd, gmacs : float
        What the answer cost.
    failure : str or None
        One sentence when there is no answer.
    heat_map : NDArray or None
        ``(h, w)`` evidence by place, in log-odds, when it was asked for and the model gives one.
    evidence : Evidence or None
        Boxes, text and masks, where the model gives them.
    """

    model: str
    level: str
    score: float | None
    probability: float | None
    latency_ms: float
    cost_usd: float = 0.0
    gmacs: float = 0.0
    failure: str | None = None
    heat_map: NDArray[np.float32] | None = field(default=None, repr=False)
    evidence: Evidence | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the heat map is left out."""
        return {
            "level": self.level,
            "score": self.score,
            "probability": self.probability,
            "latency_ms": round(self.latency_ms, 3),
            "cost_usd": self.cost_usd,
            "failure": self.failure,
            **({"evidence": self.evidence.as_dict()} if self.evidence is not None else {}),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The cascade's answer to its question for one picture, with its reasons.

    Attributes
    ----------
    id, sha256 : str
        Which picture: its name, and the digest of its encoded bytes.
    question : str
        Id of the question; `as_dict` has ``<question>_detected``.
    detected : bool
        Yes or no.
    probability : float
        P(yes), mapped so that the decision threshold lies at 0.5; never exactly 0.5.
    confidence : float
        Probability of the answer that was given: ``max(p, 1 - p)``.
    consensus_ratio : float
        Weighted share of the opinions that agree with the answer.
    exit_level : str
        The level at which the answer was given.
    levels_executed : tuple of str
        The levels that were asked.
    opinions : tuple of Opinion
        All answers and failures in the order in which they were asked.
    latency_ms, cost_usd, gmacs : float
        Of the whole way.
    degraded : bool
        Something that should have been asked did not answer, or time ran out.
    reasons : tuple of str
        Why it ended there, what was skipped, what failed: sentences.
    cascade, policy : str
        ``name@version``.
    """

    id: str
    sha256: str
    question: str
    detected: bool
    probability: float
    confidence: float
    consensus_ratio: float
    exit_level: str
    levels_executed: tuple[str, ...]
    opinions: tuple[Opinion, ...]
    latency_ms: float
    cost_usd: float
    gmacs: float
    degraded: bool
    reasons: tuple[str, ...]
    cascade: str
    policy: str

    def __bool__(self) -> bool:
        return self.detected

    @property
    def heat_map(self) -> NDArray[np.float32] | None:
        """Heat map of the last model that gave one."""
        return next((o.heat_map for o in reversed(self.opinions) if o.heat_map is not None), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "id": self.id,
            "sha256": self.sha256,
            f"{self.question}_detected": self.detected,
            "probability": self.probability,
            "confidence": self.confidence,
            "consensus_ratio": self.consensus_ratio,
            "exit_level": self.exit_level,
            "levels_executed": list(self.levels_executed),
            "model_predictions": {opinion.model: opinion.as_dict() for opinion in self.opinions},
            "latency_ms": round(self.latency_ms, 3),
            "cost_usd": self.cost_usd,
            "gmacs": self.gmacs,
            "degraded": self.degraded,
            "reasons": list(self.reasons),
            "cascade": self.cascade,
            "policy": self.policy,
        }
