"""What an evaluation found, as frozen data; and the same as a plain dictionary for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from natix_cascade.report.findings import (
    Bin,
    Calibration,
    ExitResult,
    JudgeResult,
    LevelResult,
    Mistake,
    PartResult,
    Predictions,
    Settings,
)
from natix_cascade.report.records import Failure
from natix_cascade.spec.cascade import Question

__all__ = [
    "Bin",
    "Calibration",
    "Evaluation",
    "ExitResult",
    "JudgeResult",
    "LevelResult",
    "Mistake",
    "PartResult",
    "Predictions",
    "Settings",
]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All results of one evaluation.

    Attributes
    ----------
    cascade, policy : str
        ``name@version``.
    question : Question
        What was asked.
    settings : Settings
        How.
    pictures, positives, groups : int
        Rows of the manifest that were taken, those with label yes, and independent groups.
    splits : dict
        Rows by split.
    result, ensemble : JudgeResult
        The cascade; and all its members voting on every picture, without exits.
    models : tuple of JudgeResult
        Each model alone, through the policy's calibrator and at the policy's threshold for its level.
    thresholds : dict
        Where yes begins, by level of the cascade.
    exits : tuple of ExitResult
        By level of the cascade.
    recall_by_quality : dict
        A, S and B at the first level (L0): the whole picture, for a crop may have lost the works; None where there
        are no such pictures.
    recall_by_quality_pooled : dict
        The same over all levels.
    qualities, sources : tuple of PartResult
        Parts of the data.
    calibration : Calibration
        Of the cascade's vote over L0 to L3.
    mistakes : tuple of Mistake
        The surest first.
    mistaken : int
        Pictures with at least one wrong answer (`mistakes` may be cut short).
    mean_levels_executed, decode_ms : float
        Means for one picture.
    degraded : int
        Answers given although something that should have been asked failed.
    failures : tuple of Failure
        Pictures that could not be judged.
    notes : tuple of str
        What a reader must know.
    created : str
        UTC, ISO 8601.
    versions : dict
        Software and machine.
    predictions : Predictions
        Every answer.
    """

    cascade: str
    policy: str
    question: Question
    settings: Settings
    pictures: int
    positives: int
    groups: int
    splits: dict[str, int]
    result: JudgeResult
    ensemble: JudgeResult
    models: tuple[JudgeResult, ...]
    thresholds: dict[str, float]
    exits: tuple[ExitResult, ...]
    recall_by_quality: dict[str, float | None]
    recall_by_quality_pooled: dict[str, float | None]
    qualities: tuple[PartResult, ...]
    sources: tuple[PartResult, ...]
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    mistaken: int
    mean_levels_executed: float
    decode_ms: float
    degraded: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    created: str
    versions: dict[str, str]
    predictions: Predictions = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without NaN; `predictions` are left out."""
        result = self.result
        return {
            "cascade": self.cascade,
            "policy": self.policy,
            "question": asdict(self.question),
            "threshold": result.threshold,
            "thresholds": dict(self.thresholds),
            "settings": asdict(self.settings),
            "pictures": self.pictures,
            "positives": self.positives,
            "groups": self.groups,
            "splits": dict(self.splits),
            "levels": {level.level: asdict(level) for level in result.levels},
            "clean": asdict(result.clean) if result.clean else None,
            "mean_mcc": result.mean_mcc,
            "mean_mcc_low": result.low,
            "mean_mcc_high": result.high,
            "recall_by_quality": dict(self.recall_by_quality),
            "specificity": result.levels[0].specificity if result.levels else None,
            "recall_pooled": result.recall,
            "recall_by_quality_pooled": dict(self.recall_by_quality_pooled),
            "specificity_pooled": result.specificity,
            "exit_shares": {item.level: item.share for item in self.exits},
            "exits": [asdict(item) for item in self.exits],
            "levels_executed": {item.level: item.executed for item in self.exits},
            "mean_levels_executed": self.mean_levels_executed,
            "mean_latency_ms": result.ms,
            "mean_decode_ms": self.decode_ms,
            "mean_cost": result.usd,
            "mean_gmacs": result.gmacs,
            "models": [_judge(model) for model in self.models],
            "ensemble": _judge(self.ensemble),
            "by_source": [asdict(part) for part in self.sources],
            "by_quality": [asdict(part) for part in self.qualities],
            "reliability": asdict(self.calibration),
            "degraded": self.degraded,
            "errors": {"count": len(self.failures), "items": [asdict(item) for item in self.failures]},
            "mistaken": self.mistaken,
            "mistakes": [asdict(item) for item in self.mistakes],
            "notes": list(self.notes),
            "created": self.created,
            "versions": dict(self.versions),
        }


def _judge(judge: JudgeResult) -> dict[str, Any]:
    plain = asdict(judge)
    plain["levels"] = {level.level: asdict(level) for level in judge.levels}
    return plain
