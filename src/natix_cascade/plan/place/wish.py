"""What is wished of a placement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from natix_cascade.spec.base import Spec
from natix_cascade.spec.origin import Precision

__all__ = ["Wish"]

_Share = Annotated[float, Interval(ge=0, le=1)]


def _kept() -> dict[Precision, float]:
    return {"bf16": 1.0, "fp8": 0.99, "int4": 0.95}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Spec):
    """What is wished of a placement.

    Attributes
    ----------
    objective : {"accuracy", "throughput"}
        The most value; or, of the placements that keep the share `keep` of it, the one with the most pictures/s.
    concurrency : int
        Requests that a server answers at once; each has its own key-value cache.
    batched_tokens : int
        Tokens of a step of a server (vLLM's ``--max-num-batched-tokens``): its activations grow with them.
    picture : {"224x224", "640x448"}
        Size at which pictures are sent.
    kv_bytes : {1, 2}
        Bytes of a number in the key-value cache: 2 at bf16, 1 at fp8.
    batch : int
        Pictures of a batch of an in-process model.
    precisions : tuple of str
        What servers may load.
    sleep : bool
        Whether servers may sleep: weights in the host's RAM, woken when they are needed.
    kept : dict
        What is left of a model's value at a precision: a prior, until records of that precision are there.
    asleep : float
        A sleeping model's share of its value: it answers only after it was woken.
    on_cpu : float
        A slow in-process model's share of its value on the CPU of a machine with GPUs.
    rates : dict
        Model to pictures/s on one GPU, for `throughput`.
    shares : dict
        Level to the share of pictures that reach it; levels that are not named are reached by all.
    keep : float
        See `objective`.
    seconds : float
        Time limit of the solver.
    seed : int
        Of the solver.
    """

    objective: Literal["accuracy", "throughput"] = "accuracy"
    concurrency: Annotated[int, Ge(1)] = 16
    batched_tokens: Annotated[int, Ge(64)] = 4096
    picture: Literal["224x224", "640x448"] = "640x448"
    kv_bytes: Literal[1, 2] = 2
    batch: Annotated[int, Ge(1)] = 8
    precisions: tuple[Precision, ...] = ("bf16", "fp8", "int4")
    sleep: bool = True
    kept: dict[Precision, _Share] = field(default_factory=_kept)
    asleep: _Share = 0.5
    on_cpu: _Share = 0.9
    rates: dict[str, Annotated[float, Gt(0)]] = field(default_factory=dict)
    shares: dict[str, _Share] = field(default_factory=dict)
    keep: _Share = 1.0
    seconds: Annotated[float, Gt(0)] = 20.0
    seed: int = 0
