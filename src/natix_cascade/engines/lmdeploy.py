"""A server as LMDeploy 0.18 is told of it, with its PyTorch or its TurboMind engine."""

from __future__ import annotations

from natix_cascade.engines.server import Command, ServerPlan

__all__ = ["command"]

_LEAST = 0.05


def command(plan: ServerPlan, host: str = "127.0.0.1") -> Command:
    """``lmdeploy serve api_server`` with all that the plan asks for.

    Parameters
    ----------
    plan : ServerPlan
        What is to be served.
    host : str
        Address to listen on.

    Notes
    -----
    ``--cache-max-entry-count`` is the key-value cache's share of the memory that is free once the weights are
    loaded, so it is worked out from the weights' size where that is known. Without ``--backend pytorch`` LMDeploy
    takes TurboMind, and quietly the other one where TurboMind does not know the model.
    """
    words = ["lmdeploy", "serve", "api_server", plan.model]
    words += ["--backend", "turbomind" if plan.engine == "lmdeploy_turbomind" else "pytorch"]
    words += ["--revision", plan.revision] if plan.revision else []
    if plan.trust_remote_code:
        words.append("--trust-remote-code")
    words += ["--model-name", plan.served, "--server-name", host, "--server-port", str(plan.port)]
    words += ["--dtype", "bfloat16"]
    if plan.precision == "fp8" and plan.weights == "plain":
        words += ["--model-format", "fp8"]
    words += ["--tp", str(len(plan.gpus)), *(("--ep", str(len(plan.gpus))) if plan.expert_parallel else ())]
    words += ["--cache-max-entry-count", f"{_of_free(plan):.4g}", "--session-len", str(plan.max_model_len)]
    words += ["--max-prefill-token-num", str(plan.max_batched_tokens)]
    words += ["--max-batch-size", str(plan.max_num_seqs), "--vision-max-batch-size", str(plan.pictures)]
    if plan.prefix_caching:
        words.append("--enable-prefix-caching")
    if plan.kv_cache != "auto":
        words += ["--quant-policy", "fp8" if plan.kv_cache == "fp8_e4m3" else plan.kv_cache]
    if plan.loras:
        words += ["--adapters", *(f"{lora.name}={lora.path}" for lora in plan.loras)]
    return Command(name=plan.name, words=tuple(words))


def _of_free(plan: ServerPlan) -> float:
    """The cache's share of what is free beside the weights."""
    if not plan.gpu_gb or plan.weights_gb >= plan.gpu_gb:
        return plan.memory_fraction
    free = plan.gpu_gb - plan.weights_gb
    return max(_LEAST, (plan.memory_fraction * plan.gpu_gb - plan.weights_gb) / free)
