"""Cascades: a question, levels of models, and how each level ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.spec.base import Spec
from natix_cascade.spec.rules import Agreement, ExitRule, Threshold, VoteSpec, Window

__all__ = ["Agreement", "CascadeSpec", "LevelSpec", "MemberSpec", "Question", "Threshold", "VoteSpec", "Window"]

Probability = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Spec):
    """What is asked of every picture, as data.

    Attributes
    ----------
    id : str
        Short name; verdicts carry ``<id>_detected``.
    text : str
        The question in words.
    positive, negative : str
        The two answers; cards name them as classes.
    """

    id: Annotated[str, Len(1)] = "roadwork"
    text: str = "Is there roadwork here?"
    positive: str = "roadwork"
    negative: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSpec(Spec):
    """A model's place in a level.

    Attributes
    ----------
    model : str
        The card's name.
    weight : float
        Of its vote.
    band : tuple of float or None
        For ``mode: one``: this member is picked when the probability so far is in ``[low, high)``.
    required : bool
        Its failure makes the verdict degraded even when others answered.
    """

    model: Annotated[str, Len(1)]
    weight: Annotated[float, Ge(0)] = 1.0
    band: tuple[Probability, Probability] | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSpec(Spec):
    """Models that are asked together.

    Attributes
    ----------
    name : str
        Unique in the cascade.
    members : tuple of MemberSpec
        May be empty only for a last level that just counts the votes so far (a consensus).
    mode : {"all", "one", "until-agreement"}
        All in parallel; one, picked by bands of the probability so far; or one after the other until the exit holds.
    vote : VoteSpec
        How opinions become one probability.
    exit : Threshold, Agreement, Window or None
        When a verdict is given here; the last level always gives one.
    budget_ms : float or None
        The level's members have this long together; who has not answered by then has failed.
    on_failure : {"drop", "escalate", "abort"}
        A failed member drops out and the rest renormalise; or the level may not exit and the next is asked; or the
        picture ends with the best verdict so far. The verdict says it is degraded in each case.
    """

    name: Annotated[str, Len(1)]
    members: tuple[MemberSpec, ...] = ()
    mode: Literal["all", "one", "until-agreement"] = "all"
    vote: VoteSpec = field(default_factory=VoteSpec)
    exit: ExitRule | None = None
    budget_ms: Annotated[float, Gt(0)] | None = None
    on_failure: Literal["drop", "escalate", "abort"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSpec(Spec):
    """A question and the levels that answer it.

    Attributes
    ----------
    name, version, description : str
        For people and for verdicts.
    question : Question
        What is asked.
    levels : tuple of LevelSpec
        In the order in which they are asked.
    policy : str or None
        Name or file of the policy that is used by default.
    threshold : float
        Yes begins here when no policy says otherwise.
    deadline_ms : float or None
        Default time for one picture.
    """

    name: Annotated[str, Len(1)]
    version: str = "1"
    description: str = ""
    question: Question = field(default_factory=Question)
    levels: Annotated[tuple[LevelSpec, ...], Len(1)]
    policy: str | None = None
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    deadline_ms: Annotated[float, Gt(0)] | None = None
