"""A real ``vllm serve`` for tiny models on CPUs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from natix_cascade.rehearse.server_process import HOST, ServerProcess

__all__ = ["VLLM_ARCHITECTURES", "chat_server", "vllm_server"]

VLLM_ARCHITECTURES: tuple[str, ...] = ("qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "llama4", "internvl", "internvl_moe")
"""Tiny models that vLLM 0.32 serves on CPUs; it reads Molmo 2, Phi-4-multimodal and Ovis in their authors' layout only,
which wants code from the hub."""

_VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_CI_ENV": "1",
    "TORCH_COMPILE_DISABLE": "1",  # else the first request for log-probabilities compiles for 15 s
    "PYTHONPATH": "",  # the caller's packages are none of its business
}
_CACHE_BYTES = 64 * 2**20  # keys and values: plenty for a tiny model
_RANK = 8


def vllm_server(
    vllm: Path,
    folder: Path,
    *,
    names: Sequence[str],
    port: int,
    log: Path,
    lora: Mapping[str, Path] | None = None,
    length: int = 4096,
    reasoning_parser: str | None = None,
    ready_s: float = 300,
) -> ServerProcess:
    """Make a server of one model under several names, and of its LoRA adapters; enter it to start it.

    Parameters
    ----------
    vllm : Path
        The ``vllm`` command of an environment that `natix_cascade.engines.vllm_cpu` prepared.
    folder : Path
        The model.
    names : sequence of str
        What requests may call it.
    port : int
        Where it listens on 127.0.0.1.
    log : Path
        File for its output.
    lora : mapping of str to Path or None
        Adapters by the names that requests call them.
    length : int
        Most tokens of prompt and answer together.
    reasoning_parser : str or None
        Takes the chain of thought out of the answer, for example ``"qwen3"``.
    ready_s : float
        Longest start.
    """
    command = [str(vllm), "serve", str(folder), "--served-model-name", *names, "--host", HOST, "--port", str(port)]
    command += ["--dtype", "bfloat16", "--enforce-eager", "--max-model-len", str(length), "--max-num-seqs", "8"]
    command += ["--kv-cache-memory-bytes", str(_CACHE_BYTES), "--max-logprobs", "20", "--enable-prompt-tokens-details"]
    command += ["--limit-mm-per-prompt", json.dumps({"image": 1, "video": 0}), "--skip-mm-profiling"]
    if lora:
        command += ["--enable-lora", "--max-lora-rank", str(_RANK), "--max-loras", str(min(len(lora), 4))]
        command += ["--lora-modules", *(f"{name}={path}" for name, path in lora.items())]
    if reasoning_parser is not None:
        command += ["--reasoning-parser", reasoning_parser]
    return ServerProcess("vllm serve", command, port=port, log=log, environment=_VLLM_ENVIRONMENT, ready_s=ready_s)


def chat_server(models: Mapping[str, Path], *, port: int, log: Path, ready_s: float = 120) -> ServerProcess:
    """Make a process of `natix_cascade.rehearse.chat_server`; enter it to start it.

    Parameters
    ----------
    models : mapping of str to Path
        Folders by the names that requests call them.
    port : int
        Where it listens on 127.0.0.1.
    log : Path
        File for its output.
    ready_s : float
        Longest start.
    """
    command = [sys.executable, "-m", "natix_cascade.rehearse.chat_server", "--port", str(port)]
    for name, folder in models.items():
        command += ["--model", f"{name}={folder}"]
    return ServerProcess("the chat server", command, port=port, log=log, ready_s=ready_s)
