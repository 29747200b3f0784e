"""What a model takes on a GPU beside its weights and its key-value cache: figures, each with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval

from natix_cascade.spec.base import Spec

__all__ = ["GIB", "Allowances"]

GIB = 2**30

_Count = Annotated[int, Ge(0)]
_Amount = Annotated[float, Ge(0)]


def _measured() -> dict[str, float]:
    return {"qwen3-vl-4b": 9.5, "qwen3-vl-8b-thinking": 17.0, "qwen3-vl-30b-a3b-thinking": 58.3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances(Spec):
    """Figures of the memory account; a machine's TOML file may replace each under ``[allowances]``.

    Attributes
    ----------
    measured_gib : dict
        Card name to GiB of weights in memory at bf16, where it was measured: vLLM 0.22.1 on one H100, full-size
        configurations with random weights.
    loading_gb : float
        What a server holds beyond the card's weights, GB. The three measured models hold 1.3, 0.8 and 0.6 GB more
        than their cards say; the largest is taken for all others.
    prompt_tokens, answer_tokens : int
        Of the shipped prompt with the chat template, and of a constrained answer with room to spare.
    unknown_picture_tokens : int
        Tokens of a picture where the card does not say: the most of any card at 640x448.
    activation_bytes : float
        Bytes for each token of a step and number of the hidden state: 1.26 GiB over 8,192 x 4,096 for Llama 3 8B on
        an 80 GB GPU, the same with one GPU and with two (vllm-project/vllm pull request 10511). The hidden size is
        taken as heads * head_dim.
    encoder_bytes : float
        Bytes for each picture token of a step in the vision encoder: 4 patches of 1,280 numbers of 2 bytes, ten times
        over. An estimate.
    graph_bytes : float
        Bytes of CUDA graphs for each layer and captured batch size: 0.63 GiB over 28 layers and 67 sizes for a 7B on
        an H100 (QwenLM/Qwen3-VL issue 1057).
    context_gib : float
        CUDA context and libraries of one process on one GPU. An estimate; logs show 0.2 to 0.6 GiB.
    parallel_gib : float
        Buffers between GPUs for each GPU of a tensor-parallel server: 3.58 less 1.79 GiB in the pull request above.
    fragmentation : float
        Share of a GPU that stays unused.
    adapter : float
        A LoRA adapter's share of its base's bf16 weights: rank 64 on all linear layers of an 8B.
    pixel_bytes : float
        In-process models: bytes of activations for each input pixel of a batch: five maps of 64 channels at half the
        resolution, 2 bytes. An estimate.
    cpu_parameters : int
        In-process models up to this size may run on the CPU when there is a GPU; larger ones would be too slow.
    cpu_rate : float
        A model's pictures/s on the CPU as a share of those on a GPU.
    parallel_rate : float
        What each GPU of a tensor-parallel server yields, against one GPU alone.
    host_kept : float
        Share of the host's RAM for everything else.
    """

    measured_gib: dict[str, Annotated[float, Gt(0)]] = field(default_factory=_measured)
    loading_gb: _Amount = 1.3
    prompt_tokens: _Count = 256
    answer_tokens: _Count = 16
    unknown_picture_tokens: _Count = 1792
    activation_bytes: _Amount = 40.3
    encoder_bytes: _Amount = 102_400.0
    graph_bytes: _Amount = 360_000.0
    context_gib: _Amount = 0.6
    parallel_gib: _Amount = 1.8
    fragmentation: Annotated[float, Interval(ge=0, lt=1)] = 0.02
    adapter: Annotated[float, Interval(ge=0, le=1)] = 0.02
    pixel_bytes: _Amount = 160.0
    cpu_parameters: _Count = 100_000_000
    cpu_rate: Annotated[float, Interval(gt=0, le=1)] = 0.02
    parallel_rate: Annotated[float, Interval(gt=0, le=1)] = 0.8
    host_kept: Annotated[float, Interval(ge=0, lt=1)] = 0.1
