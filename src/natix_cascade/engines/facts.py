"""What the engines of the pinned releases do not do, with the reasons: read off their sources.

vLLM 0.32.0, SGLang 0.5.23, LMDeploy 0.18.0.
"""

from __future__ import annotations

from natix_cascade.engines.server import Engine

__all__ = ["ENCODER_DATA_PARALLEL", "IMAGES", "REMOTE_CODE", "TITLES", "VERSIONS", "not_served", "release_of"]

VERSIONS = {"vllm": "0.32.0", "sglang": "0.5.23", "lmdeploy": "0.18.0"}
"""The pinned release of each engine's package."""

IMAGES = {
    "vllm": f"docker.io/vllm/vllm-openai:v{VERSIONS['vllm']}",
    "sglang": f"docker.io/lmsysorg/sglang:v{VERSIONS['sglang']}",
    "lmdeploy": f"docker.io/openmmlab/lmdeploy:v{VERSIONS['lmdeploy']}",
}
"""Container images by their publishers' naming; nothing here could pull one."""

TITLES: dict[Engine, str] = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "lmdeploy": "LMDeploy (PyTorch)",
    "lmdeploy_turbomind": "LMDeploy (TurboMind)",
}

_NOT_SERVED: dict[Engine, dict[str, str]] = {
    "sglang": {"molmo": "SGLang has no Molmo", "ovis": "SGLang has no Ovis"},
    "lmdeploy": {
        "molmo2": "LMDeploy knows the first Molmo, not Molmo 2",
        "ovis": "LMDeploy has no Ovis",
        "phi4": "LMDeploy knows Phi-3-vision, not Phi-4",
    },
    "lmdeploy_turbomind": {
        "qwen3_vl": "TurboMind has no Qwen3-VL (LMDeploy falls back to its PyTorch engine with a mere warning)",
        "llama4": "TurboMind has no Llama 4 (LMDeploy falls back to its PyTorch engine with a mere warning)",
        "phi4": "TurboMind has no Phi-4",
        "molmo": "TurboMind has no Molmo",
        "ovis": "TurboMind has no Ovis",
    },
}

_QWEN_INTERN_LLAMA = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "llama4")
ENCODER_DATA_PARALLEL: dict[Engine, tuple[str, ...]] = {
    "vllm": _QWEN_INTERN_LLAMA,
    "sglang": ("qwen2_5_vl", "qwen3_vl", "internvl", "llama4"),
    "lmdeploy": (),
    "lmdeploy_turbomind": (),
}
"""Beginnings of the architectures whose picture encoder can work data-parallel; vLLM drops the wish silently for
others (molmo2, phi4, ovis among them)."""

REMOTE_CODE = ("molmo2", "ovis", "phi4", "internvl")
"""Beginnings of the architectures whose published weights bring Python code of their own."""


def not_served(engine: Engine, architecture: str) -> str | None:
    """Why an engine cannot serve an architecture; None where nothing speaks against it."""
    return next(
        (why for begin, why in _NOT_SERVED.get(engine, {}).items() if architecture.replace("-", "_").startswith(begin)),
        None,
    )


def release_of(engine: Engine) -> tuple[str, str]:
    """Package of an engine and its pinned version."""
    package = "lmdeploy" if engine.startswith("lmdeploy") else engine
    return package, VERSIONS[package]
