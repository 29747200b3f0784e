"""A server as SGLang 0.5.23 is told of it."""

from __future__ import annotations

import json

from natix_cascade.engines.server import Command, ServerPlan

__all__ = ["command"]

_OUTSIDE_GB = 4.0  # activations and CUDA graphs of a vision-language model, which SGLang's share leaves out
_LEAST = 0.05


def command(plan: ServerPlan, host: str = "127.0.0.1") -> Command:
    """``sglang serve`` with all that the plan asks for.

    Parameters
    ----------
    plan : ServerPlan
        What is to be served.
    host : str
        Address to listen on.

    Notes
    -----
    ``--mem-fraction-static`` is the share of weights and key-value cache alone: what activations take (4 GB a card)
    is taken off the plan's share. A key-value cache of plain ``fp8`` is refused by SGLang: it wants the kind.
    """
    words = ["sglang", "serve", "--model-path", plan.model, *(("--revision", plan.revision) if plan.revision else ())]
    if plan.trust_remote_code:
        words.append("--trust-remote-code")
    words += ["--served-model-name", plan.served, "--host", host, "--port", str(plan.port)]
    words += ["--dtype", "bfloat16", *_quantization(plan), "--tp-size", str(len(plan.gpus))]
    if plan.expert_parallel:
        words += ["--ep-size", str(len(plan.gpus))]
    words += ["--mem-fraction-static", f"{_static(plan):.4g}", "--context-length", str(plan.max_model_len)]
    words += ["--max-running-requests", str(plan.max_num_seqs), "--enable-multimodal"]
    words += ["--chunked-prefill-size", str(plan.max_batched_tokens)]
    words += ["--limit-mm-data-per-request", json.dumps({"image": plan.pictures, "video": 0}, separators=(",", ":"))]
    words += ["--tokenizer-worker-num", str(plan.api_processes)]
    if not plan.prefix_caching:
        words.append("--disable-radix-cache")
    if plan.kv_cache != "auto":
        words += ["--kv-cache-dtype", plan.kv_cache]
    if plan.encoder_data_parallel:
        words.append("--mm-enable-dp-encoder")
    if plan.lmcache:
        words.append("--enable-lmcache")
    if plan.kv_offload_gb is not None:
        words += ["--enable-hierarchical-cache", "--hicache-size", str(max(1, round(plan.kv_offload_gb)))]
    if plan.sleep:
        words += ["--enable-memory-saver", "--enable-weights-cpu-backup"]
    return Command(name=plan.name, words=(*words, *_loras(plan)))


def _static(plan: ServerPlan) -> float:
    outside = _OUTSIDE_GB / plan.gpu_gb if plan.gpu_gb else 0.05
    return max(_LEAST, plan.memory_fraction - outside)


def _quantization(plan: ServerPlan) -> list[str]:
    if plan.weights == "modelopt":
        return ["--quantization", "modelopt_fp8"]
    return ["--quantization", "fp8"] if plan.precision == "fp8" and plan.weights == "plain" else []


def _loras(plan: ServerPlan) -> list[str]:
    if not plan.loras:
        return []
    batch = ["--max-loras-per-batch", str(len(plan.loras) + 1)]  # the base model counts as one
    paths = [f"{lora.name}={lora.path}" for lora in plan.loras]
    return ["--enable-lora", "--max-lora-rank", str(plan.max_lora_rank), *batch, "--lora-paths", *paths]
