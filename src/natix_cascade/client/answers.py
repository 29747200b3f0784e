"""What the service says of pictures, as frozen objects; those that may grow keep their JSON in `raw`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from natix_cascade.client.errors import ServiceError

__all__ = [
    "Answer",
    "Explanation",
    "Feedback",
    "Opinion",
    "Page",
    "PictureProblem",
    "understand",
]

T = TypeVar("T")
_DETECTED = "_detected"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one model said, or why it did not.

    Attributes
    ----------
    model, level : str
        Who, and where in the cascade.
    score, probability : float or None
        The model's own P(yes) before calibration, and the calibrated one.
    latency_ms, cost_usd : float
        What the answer took and cost.
    failure : str or None
        One sentence when there is no answer; without one and without a score, it has no opinion of such pictures.
    evidence : dict
        What it saw: ``boxes`` (label, score, box), ``text``, ``mask_share``, where it shows any.
    """

    model: str
    level: str
    score: float | None
    probability: float | None
    latency_ms: float
    cost_usd: float
    failure: str | None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: str, data: Mapping[str, Any]) -> Opinion:
        """Read one entry of ``model_predictions``."""
        return cls(model, data["level"], data["score"], data["probability"], data["latency_ms"], data["cost_usd"],
                   data.get("failure"), data.get("evidence") or {})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where in the picture the evidence lies.

    Attributes
    ----------
    heat_map : tuple of rows or None
        Evidence by place in log-odds, rows from top to bottom; None where no model gave any.
    picture, marked_picture : bytes or None
        JPEG of the picture as it was judged, and with the evidence laid over it.
    """

    heat_map: tuple[tuple[float, ...], ...] | None
    picture: bytes | None = field(repr=False)
    marked_picture: bytes | None = field(repr=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Explanation:
        """Read the ``explanation`` of a verdict."""
        rows = data.get("heat_map")
        heat_map = None if rows is None else tuple(tuple(row) for row in rows)
        return cls(heat_map, _data_url(data.get("picture")), _data_url(data.get("marked_picture")))


@dataclass(frozen=True, slots=True)
class Feedback:
    """An acknowledged truth about a picture; it is on the service's disk.

    Attributes
    ----------
    feedback_id, verdict_id : str
        Of the truth, and of the verdict it is about.
    label : bool
        The truth.
    was_right : bool or None
        The verdict agrees with it.
    picture_kept : bool
        The service holds the picture for the learning loop.
    note : str or None
        What was written to it.
    """

    feedback_id: str
    verdict_id: str
    label: bool
    was_right: bool | None
    picture_kept: bool
    note: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any], *, verdict_id: str | None = None) -> Feedback:
        """Read an answer of ``/v1/feedback``, or an entry under a verdict's ``feedback``."""
        about = data.get("verdict_id", verdict_id)
        if about is None:
            raise KeyError("verdict_id")
        return cls(data["feedback_id"], about, data["label"], data.get("was_right"),
                   bool(data.get("picture_kept", False)), data.get("note"), data)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """The service's verdict on one picture; true in a boolean sense when the answer is yes.

    Attributes
    ----------
    verdict_id : str
        To look it up again, and to give feedback.
    created : datetime
        With its time zone.
    place : (float, float) or None
        Latitude and longitude in degrees, as they were given.
    label : bool or None
        The truth, as it was given.
    stored : bool
        The service has written the verdict down.
    id, sha256 : str
        Which picture: its name, and the digest of its encoded bytes.
    question : str
        Id of the question, such as ``"roadwork"``.
    detected : bool
        Yes or no.
    probability, confidence, consensus_ratio : float
        P(yes); that of the given answer; weighted share of the opinions that agree with it.
    exit_level : str
        The level at which the answer was given.
    levels_executed : tuple of str
        The levels that were asked.
    opinions : tuple of Opinion
        All answers and failures.
    latency_ms, cost_usd, gmacs : float
        Of the whole way through the cascade.
    degraded : bool
        Something that should have answered did not, or time ran out.
    reasons : tuple of str
        Sentences: why it ended there, what failed, who disagreed.
    cascade, policy : str
        ``name@version``.
    exit_reason : str
        Why it ended there, in one word; empty from an older service.
    explanation : Explanation or None
        Where it was asked for.
    feedback : tuple of Feedback
        Of an earlier verdict, where there is some.
    raw : mapping
        The JSON object itself, for keys that are newer than this client.
    """

    verdict_id: str
    created: datetime
    place: tuple[float, float] | None
    label: bool | None
    stored: bool
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
    exit_reason: str
    explanation: Explanation | None
    feedback: tuple[Feedback, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.detected

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Answer:
        """Read a verdict of the service."""
        question = next(key for key in data if key.endswith(_DETECTED)).removesuffix(_DETECTED)
        place, explanation = data.get("place"), data.get("explanation")
        return cls(
            verdict_id=data["verdict_id"],
            created=datetime.fromisoformat(data["created"]),
            place=None if place is None else (float(place["lat"]), float(place["lon"])),
            label=data.get("label"),
            stored=bool(data["stored"]),
            id=data["id"],
            sha256=data["sha256"],
            question=question,
            detected=bool(data[question + _DETECTED]),
            probability=data["probability"],
            confidence=data["confidence"],
            consensus_ratio=data["consensus_ratio"],
            exit_level=data["exit_level"],
            levels_executed=tuple(data["levels_executed"]),
            opinions=tuple(Opinion.of(model, opinion) for model, opinion in data["model_predictions"].items()),
            latency_ms=data["latency_ms"],
            cost_usd=data["cost_usd"],
            gmacs=data["gmacs"],
            degraded=bool(data["degraded"]),
            reasons=tuple(data["reasons"]),
            cascade=data["cascade"],
            policy=data["policy"],
            exit_reason=data.get("exit_reason", ""),
            explanation=None if explanation is None else Explanation.of(explanation),
            feedback=tuple(Feedback.of(each, verdict_id=data["verdict_id"]) for each in _listed(data.get("feedback"))),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class PictureProblem:
    """A picture of `infer_many` without a verdict.

    It is neither yes nor no: asking for its truth value raises a TypeError, so that it cannot pass for either.

    Attributes
    ----------
    index : int
        Position among the pictures, from 0.
    name : str or None
        The picture's name, where it has one.
    error : ServiceError or OSError
        What went wrong.
    """

    index: int
    name: str | None
    error: ServiceError | OSError

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"picture {self.index} ({self.name}) has no verdict, so it is neither yes nor no: {self.error}; "
            "tell the two apart with isinstance(result, PictureProblem)"
        )


@dataclass(frozen=True, slots=True)
class Page:
    """The latest verdicts; `next` is the `before` of the page behind them, None at the end."""

    verdicts: tuple[Answer, ...]
    next: str | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Page:
        """Read a page of ``/v1/verdicts``."""
        return cls(tuple(Answer.of(each) for each in data["verdicts"]), data["next"])


def understand(call: str, read: Callable[[Any], T], data: object) -> T:
    """Read an answer.

    Raises
    ------
    ServiceError
        It is not what the API promises: another kind of server, or another version.
    """
    try:
        return read(data)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ServiceError(
            f"{call}: the answer cannot be understood ({why}); is this a natix-cascade service of the client's version?"
        ) from error


def _listed(value: Any) -> list[Mapping[str, Any]]:
    """Some services give one object where others give a list of them."""
    if value is None:
        return []
    return [value] if isinstance(value, Mapping) else list(value)


def _data_url(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value.partition(",")[2], validate=True)
