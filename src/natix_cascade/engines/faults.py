"""What is wrong with a wished server before any engine is asked: wishes that its engine refuses, or drops silently."""

from __future__ import annotations

from collections.abc import Iterator

from natix_cascade.engines.facts import ENCODER_DATA_PARALLEL, TITLES, not_served
from natix_cascade.engines.server import ServerPlan

__all__ = ["faults", "heads_fault"]


def faults(plan: ServerPlan) -> Iterator[str]:
    """Say what speaks against a server; nothing where it can be started.

    Parameters
    ----------
    plan : ServerPlan
        As wished.

    Yields
    ------
    str
        One sentence each: what is wished, why it does not hold, what to do.
    """
    why = not_served(plan.engine, plan.architecture) if plan.architecture else None
    if why is not None:
        yield f"{why}; give it to another engine"
    split = heads_fault(len(plan.gpus), plan.heads)
    if split is not None:
        yield split
    yield from _encoder(plan)
    yield from _cache(plan)
    yield from _weights(plan)
    if plan.asleep and not plan.sleep:
        yield "it is to be asleep but cannot sleep; set sleep too"
    if len(set(plan.gpus)) < len(plan.gpus):
        yield "a GPU stands twice; name each once"
    if plan.engine == "lmdeploy_turbomind" and plan.loras:
        yield "TurboMind takes no LoRA adapters; use LMDeploy's PyTorch engine"
    if plan.engine.startswith("lmdeploy") and plan.api_processes > 1:
        yield "LMDeploy has one process in front; set api_processes to 1"


def heads_fault(gpus: int, heads: int) -> str | None:
    """Why a model of so many attention heads cannot be split over so many GPUs."""
    if not heads or heads % gpus == 0:
        return None
    fits = ", ".join(str(n) for n in range(1, 17) if heads % n == 0)
    return f"{gpus} GPUs do not divide its {heads} attention heads; use {fits}"


def _encoder(plan: ServerPlan) -> Iterator[str]:
    if not plan.encoder_data_parallel:
        return
    able = ENCODER_DATA_PARALLEL[plan.engine]
    if plan.engine.startswith("lmdeploy"):
        yield "LMDeploy has no data-parallel picture encoder; leave it out"
    elif plan.architecture and not plan.architecture.startswith(able):
        drops = "drops the wish silently" if plan.engine == "vllm" else "has it for others only"
        yield f"the picture encoder of {plan.architecture} is not data-parallel ({TITLES[plan.engine]} {drops})"
    elif len(plan.gpus) == 1:
        yield "a data-parallel picture encoder wants several GPUs; leave it out"


def _cache(plan: ServerPlan) -> Iterator[str]:
    offload = plan.kv_offload_gb is not None
    if plan.engine.startswith("lmdeploy"):
        if plan.lmcache or offload:
            yield "LMDeploy has neither LMCache nor a key-value cache in main memory; leave them out"
        if plan.engine == "lmdeploy_turbomind" and plan.kv_cache != "auto":
            yield "TurboMind's key-value cache takes int4 or int8, not fp8; leave it auto"
        return
    if plan.lmcache and offload:
        yield "LMCache and the engine's own offloading are two answers to one wish; keep one"
    if plan.engine == "sglang" and (plan.lmcache or offload) and not plan.prefix_caching:
        yield "SGLang's cache in main memory builds on prefix caching; switch that on"


def _weights(plan: ServerPlan) -> Iterator[str]:
    if plan.precision == "int4" and plan.weights == "plain":
        yield "no engine makes int4 weights while loading; name a quantised checkpoint"
    if plan.precision == "bf16" and plan.weights != "plain":
        yield f"a {plan.weights} checkpoint is not bf16; say fp8 or int4"
    if plan.weights == "modelopt" and plan.precision == "int4":
        yield "modelopt checkpoints are taken as fp8 here; say fp8, or give an AWQ or GPTQ one as quantized"
    if plan.engine.startswith("lmdeploy"):
        if plan.weights == "modelopt":
            yield "LMDeploy does not read modelopt checkpoints; give it to vLLM or SGLang"
        if plan.engine == "lmdeploy_turbomind" and plan.precision == "fp8" and plan.weights == "plain":
            yield "TurboMind does not make fp8 weights while loading; name an fp8 checkpoint"
