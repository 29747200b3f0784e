"""What servers are planned from: where models lie, and how servers are to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.engines.server import Engine, KvCache, Rank, Weights
from natix_cascade.spec.base import Spec
from natix_cascade.spec.origin import Precision

__all__ = ["Checkpoint", "Placed", "Placement", "ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Spec):
    """Where one model lies.

    Attributes
    ----------
    model : str
        The card's name.
    precision : {"bf16", "fp8", "int4"}
        Of its weights in memory.
    gpus : tuple of int
        One, or several that share it.
    memory_fraction : float
        Share of each of these GPUs' memory.
    asleep : bool
        Loaded, then put to sleep.
    """

    model: Annotated[str, Len(1)]
    precision: Precision = "bf16"
    gpus: Annotated[tuple[Annotated[int, Ge(0)], ...], Len(1)]
    memory_fraction: Annotated[float, Interval(gt=0, le=1)]
    asleep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement(Spec):
    """What lies where, as a file.

    Attributes
    ----------
    placed : tuple of Placed
        Models that are not named are left out.
    """

    placed: Annotated[tuple[Placed, ...], Len(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Spec):
    """Quantised weights of a model, in place of its own.

    Attributes
    ----------
    model : str
        Identifier on the model hub, or a folder.
    weights : {"quantized", "modelopt"}
        Who says how they are quantised.
    revision : str or None
        Commit on the hub.
    """

    model: Annotated[str, Len(1)]
    weights: Weights = "quantized"
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions(Spec):
    """How servers are to be.

    Attributes
    ----------
    engine : str or None
        The one to use wherever it serves the model; default: the first that a card names.
    engines : dict
        Card's name to engine, before `engine`.
    models : str or None
        Folder of fetched weights; without it servers get identifiers of the hub and fetch by themselves.
    adapters : str or None
        Folder of linked adapters, one folder a card; None: base models answer in place of trained ones.
    checkpoints : dict
        Card's name to quantised weights.
    first_port : int
        Servers listen on this port and those after it.
    gpu_gb : float
        Memory of one GPU in GB; 0 if not known.
    kv_cache, max_model_len, max_num_seqs, max_batched_tokens, max_lora_rank, prefix_caching, pictures, lmcache, \
    kv_offload_gb, api_processes
        As in `ServerPlan`; where an engine has no such thing it goes without.
    encoder_data_parallel : bool
        Used for the models that can, on several GPUs.
    expert_parallel : bool
        Used for mixtures of experts, on several GPUs.
    sleep : bool
        All can sleep; those that start asleep always can.
    trust_remote_code : bool
        Models whose weights bring their own code may run it.
    api_key_env : str or None
        Environment variable with the key that servers ask for (vLLM reads ``VLLM_API_KEY``).
    """

    engine: Engine | None = None
    engines: dict[str, Engine] = field(default_factory=dict)
    models: str | None = None
    adapters: str | None = "models/custom"
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    first_port: Annotated[int, Interval(ge=1024, le=65000)] = 8101
    gpu_gb: Annotated[float, Ge(0)] = 0.0
    kv_cache: KvCache = "auto"
    max_model_len: Annotated[int, Ge(64)] = 2048
    max_num_seqs: Annotated[int, Ge(1)] = 16
    max_batched_tokens: Annotated[int, Ge(64)] = 4096
    max_lora_rank: Rank = 64
    prefix_caching: bool = True
    pictures: Annotated[int, Ge(1)] = 1
    lmcache: bool = False
    kv_offload_gb: Annotated[float, Gt(0)] | None = None
    api_processes: Annotated[int, Ge(1)] = 4
    encoder_data_parallel: bool = False
    expert_parallel: bool = False
    sleep: bool = False
    trust_remote_code: bool = False
    api_key_env: str | None = None
