"""The parts of an evaluation's result, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Confusion

__all__ = [
    "Bin",
    "Calibration",
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
