"""What is observed, and where it goes; the ``[observe]`` of a service's TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.errors import SecretError
from natix_cascade.secrets import SecretRef
from natix_cascade.spec.base import Spec
from natix_cascade.spec.endpoints import Endpoint

__all__ = ["JudgeOptions", "LogOptions", "ObserveOptions", "PhoenixOptions", "TraceOptions", "WeaveOptions"]

Share = Annotated[float, Interval(ge=0, le=1)]


class _WrongReferenceError(SecretError, ValueError):
    """A ValueError too, so that the validation of a file finds its line."""


def _expect_reference(name: str, text: str | None) -> None:
    if text is None:
        return
    try:
        SecretRef.parse(text)
    except SecretError as error:
        raise _WrongReferenceError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions(Spec):
    """Traces over OTLP/HTTP.

    Attributes
    ----------
    url : str
        Of the collector, up to and with ``/v1/traces``.
    headers : dict
        Header to a reference of its value (``env:NAME``, ``file:PATH``, ``vault:PATH#KEY``); a word may stand before
        it, as in ``Bearer env:NAME``. It is read anew when the collector answers 401 or 403.
    project : str
        ``service.name``, and Phoenix's project.
    pixels : bool
        Send pictures too, re-encoded; else only their digest.

    Raises
    ------
    SecretError
        The value of a header is no reference; it is not repeated.
    """

    url: Annotated[str, Len(1)]
    headers: dict[str, str] = field(default_factory=dict)
    project: Annotated[str, Len(1)] = "natix-cascade"
    pixels: bool = False

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            _expect_reference(f"headers.{name}", value.rpartition(" ")[2])  # a word such as Bearer may stand before it


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoenixOptions(Spec):
    """Arize Phoenix, which gets feedback and scores as annotations of the traces.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:6006``; traces go there too where no other collector is named.
    api_key : str or None
        Reference of its key.
    project : str
        Its project.

    Raises
    ------
    SecretError
        The key is no reference; it is not repeated.
    """

    url: Annotated[str, Len(1)]
    api_key: str | None = None
    project: Annotated[str, Len(1)] = "natix-cascade"

    def __post_init__(self) -> None:
        _expect_reference("api_key", self.api_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions(Spec):
    """A vision-language model that scores a share of the verdicts.

    Attributes
    ----------
    endpoint : Endpoint
        Where it is asked; `Endpoint.model` is its name there.
    rubric : str
        A shipped name, or a YAML file.
    share : float
        Of the verdicts that were drawn by chance.
    remarkable : bool
        Look also at degraded and disputed ones; their scores do not count in the rolling score.
    per_minute, usd_per_day : float
        Most scores, and most money.
    usd_per_million_input, usd_per_million_output : float
        The price of its tokens.
    """

    endpoint: Endpoint
    rubric: str = "roadwork"
    share: Share = 1.0
    remarkable: bool = True
    per_minute: Annotated[float, Gt(0)] = 30.0
    usd_per_day: Annotated[float, Gt(0)] = 5.0
    usd_per_million_input: Annotated[float, Ge(0)] = 0.0
    usd_per_million_output: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveOptions(Spec):
    """W&B Weave, which gets verdicts, feedback and scores.

    Attributes
    ----------
    project : str
        ``entity/project``, or a project of one's own entity.
    url : str or None
        Of a trace server of one's own; None: the hosted one.
    api_key : str or None
        Reference of the key; None: the variable ``WANDB_API_KEY``.

    Raises
    ------
    SecretError
        The key is no reference; it is not repeated.
    """

    project: Annotated[str, Len(1)]
    url: str | None = None
    api_key: str | None = None

    def __post_init__(self) -> None:
        _expect_reference("api_key", self.api_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions(Spec):
    """What the service writes to its standard error.

    Attributes
    ----------
    format : {"text", "json"}
        JSON: one object a line, with trace ids.
    level : {"debug", "info", "warning", "error"}
        From which on.
    verdicts_per_s : float
        Most lines about single verdicts, for each worker; 0 writes none.
    per_s : float
        Most lines of any one kind, for each worker; what was left out is counted.
    """

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    verdicts_per_s: Annotated[float, Ge(0)] = 0.0
    per_s: Annotated[float, Gt(0)] = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveOptions(Spec):
    """Who hears of verdicts.

    Attributes
    ----------
    metrics : bool
        Count for Prometheus.
    share : float
        Of the verdicts that are neither degraded nor disputed, how many are kept for traces, judge and Weave; which
        ones follows from their ids. 1: all, however many.
    drawn_per_s : float
        Most of those that each worker keeps on average: under load a smaller share is drawn. As many again are kept
        where a client has marked its trace as sampled.
    remarkable_per_s : float
        Most errors, degraded and disputed verdicts that each worker keeps beside those.
    traces, phoenix, judge, weave
        Where they go; None: nowhere.
    log : LogOptions
        Lines.
    """

    metrics: bool = True
    share: Share = 0.1
    drawn_per_s: Annotated[float, Gt(0)] = 5.0
    remarkable_per_s: Annotated[float, Gt(0)] = 5.0
    traces: TraceOptions | None = None
    phoenix: PhoenixOptions | None = None
    judge: JudgeOptions | None = None
    weave: WeaveOptions | None = None
    log: LogOptions = field(default_factory=LogOptions)

    @property
    def elsewhere(self) -> bool:
        """Whether anything leaves the workers."""
        return any(each is not None for each in (self.traces, self.phoenix, self.judge, self.weave))
