"""Calibrators, votes and exit rules: the parts of a policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.spec.base import Spec

__all__ = [
    "Agreement",
    "Binning",
    "ByLabel",
    "Calibrator",
    "ExitRule",
    "Identity",
    "Isotonic",
    "Platt",
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
    """A straight line on the log-odds: slope and shift (Platt, 1999).

    Attributes
    ----------
    slope, intercept : float
        Of the line.
    offsets : dict
        For answers of more than two kinds: what is added to the log-odds when the model gives this label.
    """

    kind: Literal["platt"] = "platt"
    slope: Annotated[float, Gt(0)] = 1.0
    intercept: float = 0.0
    offsets: dict[str, float] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLabel(Spec):
    """For answers of more than two kinds: exit when the winning label's probability reaches its own threshold.

    Attributes
    ----------
    default : float or None
        For labels that have none of their own; ``None`` keeps their pictures in.
    labels : dict
        Label to threshold.
    """

    rule: Literal["by_label"] = "by_label"
    default: Probability | None = None
    labels: dict[str, Probability | None] = field(default_factory=dict)


ExitRule = Threshold | Agreement | Window | ByLabel
