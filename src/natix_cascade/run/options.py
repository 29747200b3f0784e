"""How a runner asks its models: batches, places in the queue, time, breakers, retries, hedges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval

from natix_cascade.spec.base import Spec

__all__ = ["BreakerOptions", "ModelOptions", "RunnerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions(Spec):
    """When a model that does not answer is left alone, and when it is tried again.

    Attributes
    ----------
    window : int
        Calls that are looked back upon.
    calls : int
        Fewest calls in the window before it may open.
    failure_rate : float
        Opens when at least this share of the window failed: timeouts and lost connections.
    open_s : float
        Seconds that it stays open.
    probes : int
        Calls that are let through when it is half-open; all must succeed for it to close.
    """

    window: Annotated[int, Ge(1)] = 20
    calls: Annotated[int, Ge(1)] = 5
    failure_rate: Annotated[float, Interval(gt=0, le=1)] = 0.5
    open_s: Annotated[float, Gt(0)] = 15.0
    probes: Annotated[int, Ge(1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(Spec):
    """How one model is asked.

    Attributes
    ----------
    max_batch : int
        Most pictures in one call; models on servers are asked about each by itself.
    max_delay_ms : float
        How long the first picture of a batch may wait for company.
    max_queue : int
        Most pictures that wait for one replica; more are refused at once.
    timeout_ms : float
        A call that takes longer has failed, whatever the picture's own deadline.
    replicas : int or None
        Copies of the model, each with its worker and its breaker. None: one, or as many as the model has servers.
    hedge_ms : float or None
        Ask a second replica when the first has not answered after this time. None: never.
    attempts : int
        Most tries after failures that may pass by themselves (a lost connection); the retry budget bounds them all.
    breaker : BreakerOptions
        See there.
    """

    max_batch: Annotated[int, Ge(1)] = 16
    max_delay_ms: Annotated[float, Ge(0)] = 0.0
    max_queue: Annotated[int, Ge(1)] = 1024
    timeout_ms: Annotated[float, Gt(0)] = 30_000.0
    replicas: Annotated[int, Ge(1)] | None = None
    hedge_ms: Annotated[float, Gt(0)] | None = None
    attempts: Annotated[int, Ge(1)] = 3
    breaker: BreakerOptions = field(default_factory=BreakerOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions(Spec):
    """How a runner asks all its models.

    Attributes
    ----------
    default : ModelOptions
        For every model that is not named below.
    models : dict
        Model name to its own options.
    retry_budget : float
        Retries and hedges are at most this share of the live requests.
    decoders : int or None
        Threads that decode pictures; None: as many as the cores.
    """

    default: ModelOptions = field(default_factory=ModelOptions)
    models: dict[str, ModelOptions] = field(default_factory=dict)
    retry_budget: Annotated[float, Interval(ge=0, le=1)] = 0.2
    decoders: Annotated[int, Ge(1)] | None = None

    def of(self, model: str) -> ModelOptions:
        """Options of one model."""
        return self.models.get(model, self.default)
