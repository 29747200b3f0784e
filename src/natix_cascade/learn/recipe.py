"""The recipe of the shipped models."""

from __future__ import annotations

from dataclasses import dataclass, field

from natix_cascade.learn.augment import AugmentSettings
from natix_cascade.learn.train import NetworkSettings, TrainSettings

__all__ = ["COMPOSITES", "RECIPE", "Member"]

COMPOSITES = 8000
"""Composited pictures, made once before training."""

_LIGHT = AugmentSettings(desaturate=0.4, degrade=0.25, colour=0.7, grey=0.03)
_HEAVY = AugmentSettings(desaturate=0.65, degrade=0.4, colour=1.0, grey=0.12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One shipped model.

    Attributes
    ----------
    name, title : str
        Of its card.
    network : NetworkSettings
        What it is.
    train : TrainSettings
        How it is trained.
    start : str or None
        The member whose weights it starts from; otherwise ImageNet's.
    teachers : tuple of str
        Members whose mean it is distilled from; they are trained before.
    storage : str
        How its weights are stored: int8 where it costs no MCC on the calibration split.
    shipped : bool
        Some only teach.
    """

    name: str
    title: str = ""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    start: str | None = None
    teachers: tuple[str, ...] = ()
    storage: str = "fp16"
    shipped: bool = True


_TEACHERS = ("road-lite0-first", "road-lite1", "road-lite2")

RECIPE: tuple[Member, ...] = (
    Member(
        name="road-lite0-first",
        train=TrainSettings(steps=1700, augment=_LIGHT),
        shipped=False,
    ),
    Member(
        name="road-lite1",
        title="EfficientNet-Lite1 at 240 px, trained against weak colours",
        network=NetworkSettings(size=1, side=240),
        train=TrainSettings(steps=1500, augment=_HEAVY, seed=1),
        storage="int8",
    ),
    Member(
        name="road-lite2",
        title="EfficientNet-Lite2 at 256 px",
        network=NetworkSettings(size=2, side=256, drop=0.4),
        train=TrainSettings(steps=1500, augment=_LIGHT, seed=2),
    ),
    Member(
        name="road-lite0",
        title="EfficientNet-Lite0 at 224 px, taught by the ensemble",
        train=TrainSettings(steps=680, rate=4e-4, teacher=0.7, augment=_LIGHT, seed=4),
        start="road-lite0-first",
        teachers=_TEACHERS,
    ),
    Member(
        name="road-gate",
        title="The gate: eleven blocks of EfficientNet-Lite0 at 112 px, distilled from the ensemble",
        network=NetworkSettings(blocks=11, side=112, drop=0.1, stochastic_depth=0.0),
        train=TrainSettings(steps=1200, rate=1.2e-3, heat=0.0, augment=_LIGHT, seed=3),
        teachers=_TEACHERS,
        storage="fp32",  # small anyway, and a session is made in half the time
    ),
)
