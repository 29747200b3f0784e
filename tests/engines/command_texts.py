"""Commands with the mistakes that people make, and commands that are right."""

from __future__ import annotations

TAKEN = [
    "vllm serve m --max_model_len 2k --gpu-memory-utilization=0.5 -tp 2 -O3",
    "vllm serve m --compilation-config.mode 3 --hf-overrides '{\"a\": 1}'",
    "vllm serve m --served-model-name a b c --no-enable-prefix-caching",
    "vllm serve m --max-model-len $LENGTH --kv-cache-dtype ${KIND:-auto}",
    "vllm serve m --seed -1",
    "python3 -m vllm.entrypoints.openai.api_server --model m --port 8000",
    "python -m sglang.launch_server --model-path m --port 8000",
    "/opt/x/bin/lmdeploy serve api_server m --backend pytorch --quant-policy INT8",
    "docker run --gpus all vllm/vllm-openai:v0.32.0 --model m --port 8000",
]
"""Right, however they are spelt."""

MISTAKES = [
    ("sglang serve m --kv-cache-dtype fp8", "--kv-cache-dtype", "fp8_e4m3"),
    ("vllm serve m --quantization modelopt_fp8", "--quantization", "vLLM's is modelopt"),
    ("vllm serve m -q int4", "-q", "none of"),
    ("vllm serve m --guided-decoding-backend xgrammar", "--guided-decoding-backend", "structured_outputs"),
    ("vllm serve m --tp-size 2", "--tp-size", "vLLM calls it --tensor-parallel-size"),
    ("sglang serve m --max-model-len 2048", "--max-model-len", "SGLang calls it --context-length"),
    ("lmdeploy serve api_server m --enable-lmcache", "--enable-lmcache", "LMDeploy has no LMCache"),
    ("vllm serve m --max-model-le 2048", "--max-model-le", "write --max-model-len"),
    ("vllm serve m --max-model-len 4kk", "--max-model-len", "4k"),
    ("vllm serve m --port x", "--port", "whole number"),
    ("vllm serve m --limit-mm-per-prompt image=1", "--limit-mm-per-prompt", "JSON"),
    ("vllm serve m --enable-lora=yes", "--enable-lora", "takes no value"),
    ("vllm serve m --port", "--port", "missing"),
    ("vllm serve m --seed.part 3", "--seed.part", "no parts"),
    ("vllm serve m stray", "stray", "alone"),
    ("vllm serve --port 8000 m", "m", "first word"),
    ("vllm serve --port 8000", "--model", "no model"),
    ("lmdeploy serve api_server --tp 1", "model_path", "no model"),
    ("vllm serve allenai/Molmo2-8B --mm-encoder-tp-mode data", "--mm-encoder-tp-mode", "silently"),
    ("vllm serve Qwen/Qwen3-VL-4B-Instruct -tp 3", "-tp", "32 attention heads"),
    ("sglang serve --model-path allenai/Molmo2-8B", "allenai/Molmo2-8B", "no Molmo"),
    ("sglang serve --model-path /models/Ovis2.6-30B", "/models/Ovis2.6-30B", "no Ovis"),
    ("lmdeploy serve api_server Qwen/Qwen3-VL-8B-Thinking", "Qwen/Qwen3-VL-8B-Thinking", "--backend pytorch"),
    ("lmdeploy serve api_server some/Llama-4-Scout", "some/Llama-4-Scout", "TurboMind"),
    ("lmdeploy serve api_server some/Phi-4 --backend pytorch", "some/Phi-4", "Phi-3"),
    ("lmdeploy serve api_server OpenGVLab/InternVL3-78B --adapters a=b", "--adapters", "pytorch"),
    ("lmdeploy serve api_server OpenGVLab/InternVL3-78B --quant-policy fp8", "--quant-policy", "int8"),
    ("lmdeploy serve api_server m --quant-policy fp9", "--quant-policy", "did you mean fp8"),
    ("vllm serve m --lora-modules a=b", "--lora-modules", "--enable-lora"),
    (
        """vllm serve m --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1"}' --kv-offloading-size 8""",
        "--kv-offloading-size",
        "keep one",
    ),
    ("sglang serve m --enable-hierarchical-cache --disable-radix-cache", "--disable-radix-cache", "leave it on"),
]  # fmt: skip
"""Command, flag that is wrong, and a part of the reason."""
