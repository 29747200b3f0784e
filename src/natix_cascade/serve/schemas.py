"""The JSON that the service answers with, as types: for its description, not for checking at run time."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Answer",
    "Breakers",
    "CascadeShown",
    "FeedbackGiven",
    "Health",
    "Leaving",
    "ModelsShown",
    "ProblemShown",
    "Ready",
    "Reloaded",
    "Status",
    "Verdicts",
    "Views",
]


class ProblemShown(BaseModel):
    """A problem (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    retry_after_s: float | None = None


class PlaceShown(BaseModel):
    """Degrees."""

    lat: float
    lon: float


class BoxShown(BaseModel):
    """A thing and its place."""

    label: str
    score: float
    box: list[float] = Field(description="x0, y0, x1, y1 as shares of width and height")


class EvidenceShown(BaseModel):
    """What a model saw."""

    boxes: list[BoxShown] = []
    text: str | None = Field(None, description="Written by a model: not to be trusted or executed")
    mask_share: float | None = Field(None, description="Share of the picture that its mask covers")


class OpinionShown(BaseModel):
    """What one model said."""

    level: str
    score: float | None = Field(description="Before calibration")
    probability: float | None = Field(description="Calibrated")
    latency_ms: float
    cost_usd: float
    failure: str | None
    evidence: EvidenceShown | None = None
    began_ms: float | None = Field(None, description="When it was asked, from the beginning of the picture's way")
    queue_ms: float | None = Field(None, description="Of the latency, the wait before the model took it up")
    batch_size: int | None = Field(None, description="Pictures that it answered together")


class ExplanationShown(BaseModel):
    """Evidence by place."""

    boxes: list[BoxShown] = Field([], description="What the models saw; those of one level's detectors fused")
    heat_map: list[list[float]] | None = Field(description="Log-odds over the whole picture")
    picture: str = Field(description="data URL: the picture as it was judged")
    marked_picture: str = Field(description="data URL: the evidence laid over it")


class FeedbackShown(BaseModel):
    """The truth about a verdict."""

    feedback_id: str
    created: str
    label: bool
    note: str | None
    was_right: bool
    picture_kept: bool


class Answer(BaseModel):
    """A verdict. It has one key more, named after the question, as `roadwork_detected`: the yes or no."""

    model_config = ConfigDict(extra="allow")
    verdict_id: str
    created: str
    place: PlaceShown | None
    label: bool | None
    stored: bool
    id: str
    sha256: str
    probability: float = Field(description="P(yes), mapped so that the decision threshold lies at 0.5; never 0.5")
    confidence: float
    consensus_ratio: float
    exit_level: str
    exit_reason: str = Field("", description="threshold, agreement, window, last_level, deadline, max_level or failure")
    levels_executed: list[str]
    model_predictions: dict[str, OpinionShown]
    latency_ms: float
    cost_usd: float
    gmacs: float
    degraded: bool
    reasons: list[str]
    cascade: str
    policy: str
    explanation: ExplanationShown | None = None
    feedback: list[FeedbackShown] | None = None


class Verdicts(BaseModel):
    """Earlier answers, the newest first."""

    verdicts: list[Answer]
    next: str | None = Field(description="Give it as `before` for the page after this one")


class FeedbackGiven(FeedbackShown):
    """What was stored."""

    verdict_id: str


class QuestionShown(BaseModel):
    """What is asked of every picture."""

    id: str
    text: str
    positive: str
    negative: str


class MemberShown(BaseModel):
    """A model's place in a level."""

    model: str
    weight: float
    required: bool
    band: list[float] | None


class LevelShown(BaseModel):
    """Models that are asked together."""

    name: str
    mode: str
    threshold: float
    exit: dict[str, Any] | None
    budget_ms: float | None
    on_failure: str
    members: list[MemberShown]


class CascadeShown(BaseModel):
    """What is at work."""

    name: str
    policy: str
    question: QuestionShown
    levels: list[LevelShown]
    generation: int


class BreakerShown(BaseModel):
    """A breaker as the worker sees it that sees it worst."""

    model: str
    replica: int
    state: str
    failures: int


class ModelShown(BaseModel):
    """A card, and how the model is."""

    model_config = ConfigDict(extra="allow")
    name: str
    ready: bool
    problem: str | None
    breakers: list[BreakerShown]


class ModelsShown(BaseModel):
    """All models of the cascade."""

    models: list[ModelShown]


class Latency(BaseModel):
    """Milliseconds, of the last 60 s."""

    p50: float | None
    p95: float | None
    p99: float | None


class Status(BaseModel):
    """Live figures of all workers."""

    uptime_s: float
    requests: int
    rejected: int
    degraded: int
    failed: int
    rate_per_s: float
    latency_ms: Latency
    exits: dict[str, int]
    workers: int
    cascade: str
    policy: str
    generation: int
    ready: bool
    draining: bool
    in_flight: int
    max_in_flight: int
    breakers: list[BreakerShown]


class Views(BaseModel):
    """What the metrics say of the last minutes."""

    at: float = Field(description="Until when, in seconds since 1970")
    seconds: float = Field(description="That the figures are about")
    views: dict[str, Any] = Field(description="overview, models, quality, cost, gpus")
    series: dict[str, list[float | None]] = Field(description="Lines over these minutes, with their times in `at`")


class Health(BaseModel):
    """The process lives."""

    status: str
    version: str


class Ready(BaseModel):
    """Whether it can judge, and why not."""

    ready: bool
    reasons: list[str]


class Reloaded(BaseModel):
    """What is at work now."""

    generation: int
    cascade: str
    policy: str


class Leaving(BaseModel):
    """It has begun to leave."""

    draining: bool
    in_flight: int


class Breakers(BaseModel):
    """Breakers of all models."""

    breakers: list[BreakerShown]
