"""What one server is to be, whatever engine runs it; each engine's module turns it into that engine's own command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.spec.base import Spec
from natix_cascade.spec.origin import Precision

__all__ = ["Command", "Engine", "KvCache", "Lora", "ServerPlan", "ServerPlans", "Weights"]

Engine = Literal["vllm", "sglang", "lmdeploy", "lmdeploy_turbomind"]
KvCache = Literal["auto", "fp8_e4m3", "fp8_e5m2"]
Weights = Literal["plain", "quantized", "modelopt"]
Rank = Literal[8, 16, 32, 64, 128, 256]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora(Spec):
    """A LoRA adapter on a server's base model.

    Attributes
    ----------
    name : str
        The name that requests ask for.
    path : str
        Folder of the adapter.
    """

    name: Annotated[str, Len(1)]
    path: Annotated[str, Len(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan(Spec):
    """One server: a base model on a set of GPUs, with all adapters that belong to it.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and dashes: names units, services and files.
    engine : {"vllm", "sglang", "lmdeploy", "lmdeploy_turbomind"}
        What runs it; ``lmdeploy`` is its PyTorch engine.
    model : str
        Identifier on the model hub, or a folder.
    revision : str or None
        Commit on the hub.
    cards : dict
        The cards that ask this server, and the name that each asks for.
    served : str
        Name of the base model in requests.
    loras : tuple of Lora
        Adapters served beside it.
    max_lora_rank : int
        Largest rank among them.
    architecture : str
        ``model_type`` of the model.
    heads : int
        Its attention heads, 0 if not known; the number of GPUs must divide them.
    gpus : tuple of int
        Indices of the GPUs; with several the model is split over them (tensor parallel).
    expert_parallel : bool
        Split a mixture of experts by experts rather than inside them.
    precision : {"bf16", "fp8", "int4"}
        Of the weights in memory.
    weights : {"plain", "quantized", "modelopt"}
        What lies on disk: bf16 weights; weights whose own configuration says how they are quantised; or a checkpoint
        of NVIDIA's modelopt.
    kv_cache : {"auto", "fp8_e4m3", "fp8_e5m2"}
        Numbers of the key-value cache.
    memory_fraction : float
        Share of each GPU's memory that this server may take, all in all.
    weights_gb, gpu_gb : float
        Weights on one GPU, and the GPU's memory, in GB (1e9 bytes); 0 if not known. LMDeploy and SGLang count shares
        differently: see their modules.
    max_model_len : int
        Tokens of one request, pictures included.
    max_num_seqs : int
        Requests computed together.
    max_batched_tokens : int
        Tokens of one step of the server: its activations grow with them.
    prefix_caching : bool
        Keep what requests have in common: the system prompt.
    pictures : int
        Most pictures of one request.
    encoder_data_parallel : bool
        Several GPUs each encode other pictures, rather than sharing every one.
    lmcache : bool
        Keep the key-value cache in LMCache too.
    kv_offload_gb : float or None
        Main memory (GiB) for key-value blocks that the GPU has no room for.
    sleep : bool
        It can be put to sleep: its weights leave the GPU until it is woken.
    asleep : bool
        It is put to sleep once it has started.
    api_processes : int
        Processes that take requests and prepare pictures.
    trust_remote_code : bool
        Run Python code that comes with the weights; wanted only by models that ship their own processor.
    port : int
        On 127.0.0.1.
    """

    name: Annotated[str, Len(1)]
    engine: Engine
    model: Annotated[str, Len(1)]
    revision: str | None = None
    cards: dict[str, str] = field(default_factory=dict)
    served: Annotated[str, Len(1)]
    loras: tuple[Lora, ...] = ()
    max_lora_rank: Rank = 64
    architecture: str = ""
    heads: Annotated[int, Ge(0)] = 0
    gpus: Annotated[tuple[Annotated[int, Ge(0)], ...], Len(1)]
    expert_parallel: bool = False
    precision: Precision = "bf16"
    weights: Weights = "plain"
    kv_cache: KvCache = "auto"
    memory_fraction: Annotated[float, Interval(gt=0, le=1)]
    weights_gb: Annotated[float, Ge(0)] = 0.0
    gpu_gb: Annotated[float, Ge(0)] = 0.0
    max_model_len: Annotated[int, Ge(64)] = 2048
    max_num_seqs: Annotated[int, Ge(1)] = 16
    max_batched_tokens: Annotated[int, Ge(64)] = 4096
    prefix_caching: bool = True
    pictures: Annotated[int, Ge(1)] = 1
    encoder_data_parallel: bool = False
    lmcache: bool = False
    kv_offload_gb: Annotated[float, Gt(0)] | None = None
    sleep: bool = False
    asleep: bool = False
    api_processes: Annotated[int, Ge(1)] = 1
    trust_remote_code: bool = False
    port: Annotated[int, Interval(ge=1024, le=65535)]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlans(Spec):
    """Servers of one machine, in the order in which they start.

    Attributes
    ----------
    cascade, machine : str
        What they were planned for, in words.
    servers : tuple of ServerPlan
        All of them.
    notes : tuple of str
        What to know about them.
    """

    cascade: str = ""
    machine: str = ""
    servers: tuple[ServerPlan, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that starts a server: words and environment, whatever file holds them.

    Attributes
    ----------
    words : tuple of str
        Program and arguments, unquoted.
    environment : dict
        What is set for it.
    name : str
        Of the server, if known.
    source : str
        Where it stands: file and line, unit or service.
    """

    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    name: str = ""
    source: str = ""
