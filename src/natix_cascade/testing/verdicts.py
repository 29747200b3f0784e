"""Verdicts for tests of what happens to them afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.verdict import Opinion, Verdict

__all__ = ["some_verdict"]


def some_verdict(**changes: Any) -> Verdict:
    """A plain one: two levels of two models, yes, undisputed, whole; fields can be changed by name."""
    cones = Evidence((Box("cone", 0.9, 0.1, 0.2, 0.3, 0.6),), "orange cones beside the lane")
    plain = Verdict(
        id="street.jpg",
        sha256=hashlib.sha256(b"street").hexdigest(),
        question="roadwork",
        detected=True,
        probability=0.93,
        confidence=0.93,
        consensus_ratio=1.0,
        exit_level="look",
        levels_executed=("gate", "look"),
        opinions=(
            Opinion("gatekeeper", "gate", 0.6, 0.62, 4.0, gmacs=0.1, began_ms=1.0, queue_ms=0.5, batch_size=2),
            Opinion(
                "looker",
                "look",
                0.9,
                0.94,
                12.0,
                0.001,
                1.0,
                evidence=cones,
                began_ms=5.5,
                queue_ms=1.0,
                batch_size=1,
            ),
        ),
        latency_ms=18.5,
        cost_usd=0.001,
        gmacs=1.1,
        degraded=False,
        reasons=("look is the last level: the vote is P(roadwork) = 0.930, yes begins at 0.500",),
        cascade="street@1",
        policy="street-fit@1",
        exit_reason="last_level",
    )
    return replace(plain, **changes)
