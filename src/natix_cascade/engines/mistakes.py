"""Mistakes that are made often, with their reasons: better than "unknown flag"."""

from __future__ import annotations

import re

__all__ = ["GUIDED", "OLD_FLAGS", "WRONG_VALUES", "environment_reason"]

OLD_FLAGS: dict[str, dict[str, str]] = {
    "vllm": {
        "--guided-decoding-backend": "it is gone; answers are constrained per request (structured_outputs), and the "
        "cascade reads logprob_token_ids, which needs no grammar",
        "--disable-log-requests": "it is gone; requests are logged only with --enable-log-requests",
        "--num-scheduler-steps": "multi-step scheduling is gone with the old engine",
        "--use-v2-block-manager": "it is gone with the old engine",
        "--swap-space": "it is gone with the old engine; --kv-offloading-size GiB keeps blocks in main memory",
        "--task": "it is --runner (and --convert) now",
        "--device": "it is gone; the build decides",
        "--max-seq-len-to-capture": "it is --max-cudagraph-capture-size now",
        "--num-lookahead-slots": "it is part of --speculative-config now",
        "--speculative-model": "it is part of --speculative-config (or --spec-model) now",
        "--image-input-type": "it is gone; pictures are always taken as pixels",
    },
    "sglang": {
        "--enable-prefix-caching": "prefix caching is on; --disable-radix-cache switches it off",
        "--disable-radix": "it is --disable-radix-cache",
    },
    "lmdeploy": {"--tensor-parallel-size": "it is --tp"},
}
"""Package to flag to reason."""

WRONG_VALUES: dict[tuple[str, str, str], str] = {
    ("sglang", "--kv-cache-dtype", "fp8"): "SGLang wants the kind of fp8; write fp8_e4m3 (or fp8_e5m2)",
    ("vllm", "--quantization", "modelopt_fp8"): "modelopt_fp8 is SGLang's name; vLLM's is modelopt",
    ("vllm", "--quantization", "int4"): "vLLM makes no int4 weights while loading; give it a quantised checkpoint, "
    "which says itself how to read it",
    ("vllm", "--kv-cache-dtype", "int8"): "write int8_per_token_head",
    ("vllm", "--kv-cache-dtype", "int4"): "write int4_per_token_head",
    ("lmdeploy", "--model-format", "modelopt"): "LMDeploy does not read modelopt checkpoints",
}
"""(package, flag, value) to reason."""

GUIDED = re.compile(r"\bguided_(choice|json|regex|grammar|decoding_backend)\b")
"""Request fields of older vLLM releases, which newer ones ignore without a word."""

_SPARK = re.compile(r"^((VLLM|SGLANG|LMDEPLOY)_)?((USE|ENABLE)_)?SPARK(_|$)|SPARSITY_RATIO$")
_OLD_VARIABLES = {
    "VLLM_USE_V1": "V1 is the only engine since 0.11",
    "VLLM_ATTENTION_BACKEND": "it is the flag --attention-backend now",
}


def environment_reason(variable: str) -> str | None:
    """Why a variable that no engine reads must go, where there is more to say than that."""
    if _SPARK.search(variable):
        return (
            "no release of vLLM, SGLang or LMDeploy reads it: SparK is a method of a paper, not a switch; a key-value "
            "cache is made smaller by --kv-cache-dtype (LMDeploy: --quant-policy), and no weight becomes smaller by it"
        )
    return _OLD_VARIABLES.get(variable)
