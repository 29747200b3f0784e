"""Calibrators, votes, exit rules and the policy that binds them to models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.spec.base import Spec

__all__ = [
    "Agreement",
    "Binning",
    "Calibrator",
    "ExitRule",
    "Identity",
    "Isotonic",
    "LevelPolicy",
    "Platt",
    "Policy",
    "Temperature",
    "Threshold",
    "VoteSpec",
    "Window",
]

Probability = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Spec):
    """The score is taken as the probability."""

    kind: Literal["identity"] = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature(Spec):
    """Log-odds divided by one number (Guo et al., 2017, arXiv 1706.04599)."""

    kind: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Gt(0)] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Platt(Spec):
    """A straight line on the log-odds: slope and shift (Platt, 1999)."""

    kind: Literal["platt"] = "platt"
    slope: Annotated[float, Gt(0)] = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic(Spec):
    """A non-decreasing line through knots, linear between them (Zadrozny and Elkan, 2002)."""

    kind: Literal["isotonic"] = "isotonic"
    scores: Annotated[tuple[float, ...], Len(1)]
    probabilities: Annotated[tuple[Probability, ...], Len(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binning(Spec):
    """Histogram binning: a constant per bin, made non-decreasing; `edges` are the inner borders."""

    kind: Literal["binning"] = "binning"
    edges: tuple[float, ...] = ()
    probabilities: Annotated[tuple[Probability, ...], Len(1)]


Calibrator = Identity | Temperature | Platt | Isotonic | Binning


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteSpec(Spec):
    """How opinions become one probability.

    Attributes
    ----------
    method : {"log_odds", "mean", "majority"}
        Weighted mean of the log-odds, of the probabilities, or of the yes/no votes.
    over : {"level", "all"}
        Only this level's opinions, or all that were given so far.
    """

    method: Literal["log_odds", "mean", "majority"] = "log_odds"
    over: Literal["level", "all"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Spec):
    """Exit with yes at ``p >= yes``, with no at ``p <= no``; ``None`` closes that side."""

    rule: Literal["threshold"] = "threshold"
    yes: Probability | None = None
    no: Probability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Spec):
    """Exit when at least `members` opinions were given and the share on the winning side is at least `ratio`."""

    rule: Literal["agreement"] = "agreement"
    members: Annotated[int, Ge(1)] = 2
    ratio: Annotated[float, Interval(gt=0.5, le=1)] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Spec):
    """Go on only inside a window around the threshold: exit at ``|logit p - logit threshold| >= half_width``."""

    rule: Literal["window"] = "window"
    half_width: Annotated[float, Ge(0)] = 1.0


ExitRule = Threshold | Agreement | Window


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPolicy(Spec):
    """What a policy sets for one level; ``None`` keeps what the cascade says.

    Attributes
    ----------
    exit : Threshold, Agreement, Window or None
        The exit rule.
    weights : dict
        Vote weight by model name.
    threshold : float or None
        Where yes begins for verdicts that are given after this level (default: the policy's own).
    """

    exit: ExitRule | None = None
    weights: dict[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    threshold: Annotated[float, Interval(gt=0, lt=1)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Spec):
    """Calibrators, weights and exit thresholds for one cascade; written by a fit on data, obeyed by the runner.

    Attributes
    ----------
    name, version, cascade : str
        Which policy, and for which cascade.
    threshold : float
        Verdict is yes when the vote's probability is at least this.
    calibrators : dict
        Model name to calibrator.
    levels : dict
        Level name to what is set for it.
    models : dict
        Model name to the sha256 of the weights that the policy was fitted with; others are refused.
    made_from : str
        Data and method, for people.
    certificate : dict
        What is guaranteed, if anything.
    """

    name: Annotated[str, Len(1)]
    version: str = "1"
    cascade: str
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    calibrators: dict[str, Calibrator] = field(default_factory=dict)
    levels: dict[str, LevelPolicy] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    made_from: str = ""
    certificate: dict[str, float | str] = field(default_factory=dict)
