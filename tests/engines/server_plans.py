"""Servers of all kinds that can be planned, for hypothesis and for plain tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from natix_cascade.engines.facts import TITLES
from natix_cascade.engines.faults import faults
from natix_cascade.engines.server import Lora, ServerPlan, ServerPlans

MODELS = {
    "qwen3_vl": ("Qwen/Qwen3-VL-4B-Instruct", 32),
    "qwen2_5_vl": ("Qwen/Qwen2.5-VL-72B-Instruct", 64),
    "internvl": ("OpenGVLab/InternVL3-78B", 64),
    "llama4": ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 40),
    "molmo2": ("allenai/Molmo2-8B", 32),
    "phi4_multimodal": ("microsoft/Phi-4-multimodal-instruct", 24),
    "ovis2": ("AIDC-AI/Ovis2.6-30B-A3B", 32),
}
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)
PATHS = st.from_regex(r"/[a-zA-Z0-9._ %$'\"-]{1,20}", fullmatch=True).map(str.rstrip).filter(lambda path: len(path) > 1)
GPUS = st.sampled_from([(0,), (1,), (0, 1), (2, 3), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5, 6, 7)])


def server(**changes: Any) -> ServerPlan:
    """A plain server, changed."""
    base: dict[str, Any] = {
        "name": "qwen3-vl-4b",
        "engine": "vllm",
        "model": "Qwen/Qwen3-VL-4B-Instruct",
        "served": "qwen3-vl-4b",
        "architecture": "qwen3_vl",
        "heads": 32,
        "gpus": (0,),
        "memory_fraction": 0.3,
        "port": 8101,
    }
    return ServerPlan(**(base | changes))


@st.composite
def wishes(draw: st.DrawFn) -> ServerPlan:
    """Any wish, also those that no engine fulfils."""
    architecture = draw(st.sampled_from(sorted(MODELS)))
    model, heads = MODELS[architecture]
    adapters = draw(st.lists(st.tuples(NAMES, PATHS), max_size=2, unique_by=lambda pair: pair[0]))
    sleep = draw(st.booleans())
    return ServerPlan(
        name=draw(NAMES),
        engine=draw(st.sampled_from(sorted(TITLES))),
        model=draw(st.sampled_from([model, f"/srv/models/{model.rsplit('/', 1)[-1]}"])),
        revision=draw(st.sampled_from([None, "9f1c0c5d3b"])),
        served=draw(NAMES),
        loras=tuple(Lora(name=name, path=path) for name, path in adapters),
        max_lora_rank=draw(st.sampled_from([8, 16, 32, 64, 128, 256])),
        architecture=architecture,
        heads=heads,
        gpus=draw(GPUS),
        expert_parallel=draw(st.booleans()),
        precision=draw(st.sampled_from(["bf16", "fp8", "int4"])),
        weights=draw(st.sampled_from(["plain", "quantized", "modelopt"])),
        kv_cache=draw(st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"])),
        memory_fraction=draw(st.floats(0.05, 1.0)),
        weights_gb=draw(st.sampled_from([0.0, 8.9])),
        gpu_gb=draw(st.sampled_from([0.0, 80.0])),
        max_model_len=draw(st.integers(64, 200_000)),
        max_num_seqs=draw(st.integers(1, 1024)),
        prefix_caching=draw(st.booleans()),
        pictures=draw(st.integers(1, 8)),
        encoder_data_parallel=draw(st.booleans()),
        lmcache=draw(st.booleans()),
        kv_offload_gb=draw(st.none() | st.floats(0.5, 512)),
        sleep=sleep,
        asleep=sleep and draw(st.booleans()),
        api_processes=draw(st.sampled_from([1, 1, 4])),
        trust_remote_code=draw(st.booleans()),
        port=draw(st.integers(1024, 65535)),
    )


def possible() -> st.SearchStrategy[ServerPlan]:
    """Servers that can be started: wishes without faults, made so where that is simple."""
    return wishes().map(_mended).filter(lambda plan: not list(faults(plan)))


def _mended(plan: ServerPlan) -> ServerPlan:
    from dataclasses import replace

    changes: dict[str, Any] = {}
    if plan.precision == "bf16":
        changes["weights"] = "plain"
    elif plan.precision == "int4":
        changes["weights"] = "quantized"
    if plan.engine == "lmdeploy_turbomind":
        changes |= {
            "loras": (),
            "kv_cache": "auto",
            "architecture": "internvl",
            "model": MODELS["internvl"][0],
            "heads": 64,
        }
        changes["weights"] = "plain" if plan.precision == "bf16" else "quantized"
    if plan.engine.startswith("lmdeploy"):
        changes |= {"lmcache": False, "kv_offload_gb": None, "api_processes": 1, "encoder_data_parallel": False}
        if plan.weights == "modelopt" and plan.precision == "fp8":
            changes["weights"] = "quantized"
    elif plan.lmcache:
        changes |= {"kv_offload_gb": None}
    if len(plan.gpus) == 1 or not plan.architecture.startswith(("qwen", "internvl", "llama4")):
        changes["encoder_data_parallel"] = False
    if plan.engine == "sglang":
        changes["prefix_caching"] = True
    return replace(plan, **changes)


def together(*plans: ServerPlan) -> ServerPlans:
    """Servers of one machine."""
    return ServerPlans(cascade="some@1", machine="8xH100-80GB", servers=plans)
