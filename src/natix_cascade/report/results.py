"""What an evaluation found, as frozen data; and the same as a plain dictionary for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Confusion
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


@dataclass(frozen=True, slots=True)
class LevelResult:
    """Answers at one level of difficulty.

    Attributes
    ----------
    level : str
        L0 to L3, or ``clean``.
    n : int
        Answers: pictures times repetitions, less those that nobody answered.
    mcc, accuracy, reward : float
        The reward is Subnet 72's, from this MCC and this accuracy.
    low, high : float
        95 % interval of the MCC, by bootstrap over groups.
    recall, specificity : float or None
        Share of right answers among the yes and the no pictures; None where there are none.
    confusion : Confusion
        Counts.
    """

    level: str
    n: int
    mcc: float
    accuracy: float
    reward: float
    low: float
    high: float
    recall: float | None
    specificity: float | None
    confusion: Confusion


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """The cascade, the full ensemble or one model, over all levels of difficulty; every level counts the same.

    Attributes
    ----------
    name : str
        Which judge.
    place : str
        The cascade's level in which a model stands; empty for the cascade and the ensemble.
    threshold : float
        Where its yes begins, after calibration.
    levels : tuple of LevelResult
        L0 to L3, as far as asked for.
    clean : LevelResult or None
        On the pictures as they are; None when there was no answer at all.
    mean_mcc, low, high : float
        Mean of the levels' MCC and its own 95 % interval.
    recall, specificity : float or None
        Pooled over the levels.
    ms, gmacs, usd : float
        Means for one picture, of the models asked: their measured milliseconds added up, their
        multiply-accumulates (1e9), their price.
    asked : float
        Share of the pictures about which it is asked in the cascade.
    failures : int
        Answers that are missing.
    """

    name: str
    place: str
    threshold: float
    levels: tuple[LevelResult, ...]
    clean: LevelResult | None
    mean_mcc: float
    low: float
    high: float
    recall: float | None
    specificity: float | None
    ms: float
    gmacs: float
    usd: float
    asked: float
    failures: int


@dataclass(frozen=True, slots=True)
class ExitResult:
    """Who leaves at one level of the cascade, as shares of all answers: L0 to L3, each counting the same.

    Attributes
    ----------
    level : str
        Name in the cascade.
    executed : float
        Reach it.
    share, yes, no : float
        Leave here; and with which answer.
    accuracy : float or None
        Share of right answers among those that leave here.
    """

    level: str
    executed: float
    share: float
    yes: float
    no: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class PartResult:
    """A source or a quality, pooled over L0 to L3; what one class cannot show is None.

    Attributes
    ----------
    name : str
        As the manifest says.
    positives, negatives : int
        Pictures (not answers).
    recall, specificity, accuracy, mcc : float or None
        Of the cascade.
    """

    name: str
    positives: int
    negatives: int
    recall: float | None
    specificity: float | None
    accuracy: float | None
    mcc: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of the reliability diagram: mean probability, frequency of yes, and weight in answers."""

    probability: float
    frequency: float
    weight: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error of the cascade's vote, and its bins that are not empty."""

    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that was judged wrong, at the variant with the surest wrong answer.

    Attributes
    ----------
    name, path, source, quality : str
        Which picture.
    label : bool
        The truth.
    level, repetition : str, int
        The variant.
    probability : float
        The verdict's (yes begins at 0.5).
    exit_level : str
        Where the cascade gave it.
    wrong, variants : int
        How many of the picture's variants are wrong.
    seed : int
        Of the variant's augmentation.
    """

    name: str
    path: str
    source: str
    quality: str
    label: bool
    level: str
    repetition: int
    probability: float
    exit_level: str
    wrong: int
    variants: int
    seed: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How the pictures were varied and the intervals drawn."""

    levels: tuple[str, ...]
    repetitions: int
    seed: int
    flips: bool
    bootstrap: int


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Every answer of the cascade; N variants, ``clean`` included.

    Attributes
    ----------
    name, level : (N,) array of str
        Picture, and level of difficulty.
    repetition : (N,) array of int
        Which augmentation.
    label, answer : (N,) array of bool
        Truth and verdict.
    vote, probability : (N,) array of float
        The vote's calibrated P(yes); and the verdict's, in which yes begins at 0.5. NaN where nobody answered.
    weight : (N,) array of float
        What it counts in pooled figures: 1 / repetitions, and 0 for ``clean`` and where nobody answered.
    scores : (N, M) array of float
        What each model said before calibration, by column of the cascade.
    """

    name: NDArray[np.str_]
    level: NDArray[np.str_]
    repetition: NDArray[np.int64]
    label: NDArray[np.bool_]
    answer: NDArray[np.bool_]
    vote: NDArray[np.float64]
    probability: NDArray[np.float64]
    weight: NDArray[np.float64]
    scores: NDArray[np.float64]


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
        A, S and B, pooled over L0 to L3; None where there are no such pictures.
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
            "recall": result.recall,
            "recall_by_quality": dict(self.recall_by_quality),
            "specificity": result.specificity,
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
