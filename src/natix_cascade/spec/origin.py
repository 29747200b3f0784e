"""Where a model comes from, where it stands in the catalogue, and what serves it: parts of a card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len

from natix_cascade.spec.base import Spec

__all__ = ["Link", "Origin", "Precision", "Server", "Serving", "Source"]

Precision = Literal["bf16", "fp8", "int4"]
Server = Literal["onnxruntime", "transformers", "torch", "vllm", "sglang", "lmdeploy", "lmdeploy_turbomind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin(Spec):
    """A model's place in the catalogue.

    Attributes
    ----------
    number : int
        Its row.
    level : str
        Level and branch, such as ``"0, 2D"``.
    role : str
        What it is there for.
    designed_as : str
        What the design called it.
    replaced_because : str
        Why another model stands in, if one does.
    unverified : tuple of str
        What nobody has confirmed: identifier, parameters, licence.
    """

    number: Annotated[int, Ge(1)]
    level: str
    role: str
    designed_as: str = ""
    replaced_because: str = ""
    unverified: tuple[Literal["identifier", "parameters", "licence"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Spec):
    """What a training project leaves behind for this model.

    Attributes
    ----------
    output : str
        Path below the training project's folder of outputs, such as ``qwen3_vl_4b`` or ``yolo_master/best.pt``.
    kind : {"adapter", "checkpoint", "head"}
        A folder with a LoRA adapter (adapter_config.json and safetensors), a file of all weights, or a file of the
        head only, which goes as ``head.safetensors`` beside the fetched backbone.
    """

    output: Annotated[str, Len(1)]
    kind: Literal["adapter", "checkpoint", "head"] = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Spec):
    """Where the weights are to be had.

    Attributes
    ----------
    identifier : str
        ``organisation/name`` on the model hub, or empty where there is none.
    revision : str or None
        Commit; None: the first fetch pins the one that it finds.
    files : tuple of str
        Patterns of the files that are needed; all others stay there.
    gated : bool
        Its licence must be accepted on the hub first.
    link : Link or None
        For trained models: what a training project adds.
    """

    identifier: str = ""
    revision: str | None = None
    files: tuple[str, ...] = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")
    gated: bool = False
    link: Link | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving(Spec):
    """What runs the model, and the memory that it takes.

    Attributes
    ----------
    servers : tuple of str
        Those that truly serve it.
    architecture : str
        ``model_type`` of its configuration.
    memory_gb : dict
        Precision to GB (1e9 bytes) of weights.
    active_parameters : int or None
        For mixtures of experts: parameters that one token goes through.
    layers, kv_heads, head_dim : int
        Of the language model's attention: a token's key-value cache has ``2 * layers * kv_heads * head_dim`` numbers.
        0 for models without one.
    heads : int
        Attention heads of the language model; tensor parallelism must divide them.
    picture_tokens : dict
        Tokens of a picture at ``"224x224"`` and ``"640x448"``.
    """

    servers: Annotated[tuple[Server, ...], Len(1)]
    architecture: str = ""
    memory_gb: dict[Precision, Annotated[float, Gt(0)]] = field(default_factory=dict)
    active_parameters: Annotated[int, Ge(0)] | None = None
    layers: Annotated[int, Ge(0)] = 0
    kv_heads: Annotated[int, Ge(0)] = 0
    head_dim: Annotated[int, Ge(0)] = 0
    heads: Annotated[int, Ge(0)] = 0
    picture_tokens: dict[str, Annotated[int, Ge(1)]] = field(default_factory=dict)
