"""A server as vLLM 0.32 is told of it."""

from __future__ import annotations

import json

from natix_cascade.engines.server import Command, ServerPlan

__all__ = ["command"]


def command(plan: ServerPlan, host: str = "127.0.0.1") -> Command:
    """``vllm serve`` with all that the plan asks for.

    Parameters
    ----------
    plan : ServerPlan
        What is to be served.
    host : str
        Address to listen on; a container's own network wants ``0.0.0.0``.

    Notes
    -----
    bf16 weights become fp8 while they are loaded (``--quantization fp8``); weights that are quantised on disk say so
    themselves, but for modelopt's. The memory share is of the whole card and holds everything.

    The processes in front prepare pictures on the CPU, and with one of them they are the bound: on one H100 ten of them
    answered 4 to 5 times as many pictures of 224x224 as the defaults did (``bench/gpu_vlm.py``). No picture comes
    twice, so a cache of prepared ones only costs; and threads that each of the processes would start for itself get in
    each other's way.
    """
    words = ["vllm", "serve", plan.model, *(("--revision", plan.revision) if plan.revision else ())]
    if plan.trust_remote_code:
        words += ["--trust-remote-code", *(("--code-revision", plan.revision) if plan.revision else ())]
    words += ["--served-model-name", plan.served, "--host", host, "--port", str(plan.port)]
    words += ["--dtype", "bfloat16", *_quantization(plan)]
    words += ["--tensor-parallel-size", str(len(plan.gpus))]
    if plan.expert_parallel:
        words.append("--enable-expert-parallel")
    words += ["--gpu-memory-utilization", f"{plan.memory_fraction:.4g}", "--max-model-len", str(plan.max_model_len)]
    words += ["--max-num-seqs", str(plan.max_num_seqs), "--max-logprobs", "20"]
    words += ["--max-num-batched-tokens", str(plan.max_batched_tokens)]
    words.append("--enable-prefix-caching" if plan.prefix_caching else "--no-enable-prefix-caching")
    words += ["--limit-mm-per-prompt", _json({"image": plan.pictures, "video": 0})]
    words += ["--api-server-count", str(plan.api_processes), "--mm-processor-cache-gb", "0"]
    if plan.encoder_data_parallel:
        words += ["--mm-encoder-tp-mode", "data"]
    if plan.sleep:
        words.append("--enable-sleep-mode")
    words += [*_cache(plan), *_loras(plan)]
    environment = {"VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
    if plan.sleep:
        environment["VLLM_SERVER_DEV_MODE"] = "1"
    return Command(name=plan.name, words=tuple(words), environment=environment)


def _quantization(plan: ServerPlan) -> list[str]:
    if plan.weights == "modelopt":
        return ["--quantization", "modelopt"]
    return ["--quantization", "fp8"] if plan.precision == "fp8" and plan.weights == "plain" else []


def _cache(plan: ServerPlan) -> list[str]:
    words = ["--kv-cache-dtype", plan.kv_cache] if plan.kv_cache != "auto" else []
    if plan.lmcache:
        words += ["--kv-transfer-config", _json({"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"})]
    if plan.kv_offload_gb is not None:
        words += ["--kv-offloading-size", f"{plan.kv_offload_gb:g}", "--kv-offloading-backend", "native"]
    return words


def _loras(plan: ServerPlan) -> list[str]:
    if not plan.loras:
        return []
    modules = [f"{lora.name}={lora.path}" for lora in plan.loras]
    ranks = ["--max-lora-rank", str(plan.max_lora_rank), "--max-loras", str(len(modules))]
    return ["--enable-lora", *ranks, "--lora-modules", *modules]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
