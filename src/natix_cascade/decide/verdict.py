"""The answer of a cascade and the opinions behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence

__all__ = ["Opinion", "Verdict"]

_DETECTED = "_detected"


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
    began_ms : float or None
        When it was asked, counted from the beginning of the picture's way; None where many pictures were asked at once.
    queue_ms : float or None
        Of the latency, what passed before the model took the question up; None without an answer.
    batch_size : int or None
        Pictures that the model answered together; None without an answer.
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
    began_ms: float | None = None
    queue_ms: float | None = None
    batch_size: int | None = None

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
            **({"began_ms": round(self.began_ms, 3)} if self.began_ms is not None else {}),
            **({"queue_ms": round(self.queue_ms, 3)} if self.queue_ms is not None else {}),
            **({"batch_size": self.batch_size} if self.batch_size is not None else {}),
        }

    @classmethod
    def from_dict(cls, model: str, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote; `gmacs`, the heat map and masks are not in it.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not that.
        """
        evidence = data.get("evidence")
        return cls(
            model=model,
            level=str(data["level"]),
            score=_number(data["score"]),
            probability=_number(data["probability"]),
            latency_ms=float(data["latency_ms"]),
            cost_usd=float(data["cost_usd"]),
            failure=data["failure"],
            evidence=None if evidence is None else Evidence.from_dict(evidence),
            began_ms=_number(data.get("began_ms")),
            queue_ms=_number(data.get("queue_ms")),
            batch_size=data.get("batch_size"),
        )


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
    exit_reason : str
        Why it ended there, in one word: the exit rule that let it out (``threshold``, ``agreement``, ``window``), or
        ``last_level``, ``deadline``, ``max_level`` (no level after it might be asked) or ``failure``.
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
    exit_reason: str = "last_level"

    def __bool__(self) -> bool:
        return self.detected

    @property
    def disagrees(self) -> bool:
        """Whether an opinion stands against the answer."""
        return self.consensus_ratio < 1

    @property
    def failed_models(self) -> tuple[str, ...]:
        """Who was asked and did not answer."""
        return tuple(opinion.model for opinion in self.opinions if opinion.failure is not None)

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
            "exit_reason": self.exit_reason,
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote, whatever stands beside it; heat maps and masks are not in it.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not that.
        """
        key = next((name for name in data if name.endswith(_DETECTED)), _DETECTED)
        return cls(
            id=str(data["id"]),
            sha256=str(data["sha256"]),
            question=key.removesuffix(_DETECTED),
            detected=bool(data[key]),
            probability=float(data["probability"]),
            confidence=float(data["confidence"]),
            consensus_ratio=float(data["consensus_ratio"]),
            exit_level=str(data["exit_level"]),
            levels_executed=tuple(data["levels_executed"]),
            opinions=tuple(Opinion.from_dict(name, said) for name, said in data["model_predictions"].items()),
            latency_ms=float(data["latency_ms"]),
            cost_usd=float(data["cost_usd"]),
            gmacs=float(data["gmacs"]),
            degraded=bool(data["degraded"]),
            reasons=tuple(data["reasons"]),
            cascade=str(data["cascade"]),
            policy=str(data["policy"]),
            exit_reason=str(data.get("exit_reason", "")),
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
