"""What the engines call the same thing: the table of the handbook, and hints where one's word is given to another."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONCEPTS", "Concept", "called"]

PACKAGES = ("vllm", "sglang", "lmdeploy")


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing and its flags.

    Attributes
    ----------
    what : str
        In words.
    vllm, sglang, lmdeploy : tuple of str
        Flags, with a fixed value where the thing is one; empty where the engine has none.
    """

    what: str
    vllm: tuple[str, ...] = ()
    sglang: tuple[str, ...] = ()
    lmdeploy: tuple[str, ...] = ()


CONCEPTS = (
    Concept("name in requests", ("--served-model-name",), ("--served-model-name",), ("--model-name",)),
    Concept("address", ("--host", "--port"), ("--host", "--port"), ("--server-name", "--server-port")),
    Concept("commit of the weights", ("--revision",), ("--revision",), ("--revision",)),
    Concept("numbers", ("--dtype",), ("--dtype",), ("--dtype",)),
    Concept("fp8 weights from bf16 ones", ("--quantization fp8",), ("--quantization fp8",), ("--model-format fp8",)),
    Concept("modelopt checkpoint", ("--quantization modelopt",), ("--quantization modelopt_fp8",), ()),
    Concept(
        "fp8 key-value cache",
        ("--kv-cache-dtype fp8_e4m3",),
        ("--kv-cache-dtype fp8_e4m3",),
        ("--quant-policy fp8",),
    ),
    Concept("memory", ("--gpu-memory-utilization",), ("--mem-fraction-static",), ("--cache-max-entry-count",)),
    Concept("longest request", ("--max-model-len",), ("--context-length",), ("--session-len",)),
    Concept("requests at once", ("--max-num-seqs",), ("--max-running-requests",), ("--max-batch-size",)),
    Concept(
        "prefix caching",
        ("--enable-prefix-caching", "--no-enable-prefix-caching"),
        ("--disable-radix-cache",),
        ("--enable-prefix-caching",),
    ),
    Concept(
        "pictures",
        ("--limit-mm-per-prompt",),
        ("--limit-mm-data-per-request", "--enable-multimodal"),
        ("--vision-max-batch-size",),
    ),
    Concept("picture encoder data-parallel", ("--mm-encoder-tp-mode data",), ("--mm-enable-dp-encoder",), ()),
    Concept("tensor parallel", ("--tensor-parallel-size",), ("--tp-size",), ("--tp",)),
    Concept("expert parallel", ("--enable-expert-parallel",), ("--ep-size",), ("--ep",)),
    Concept(
        "LoRA adapters",
        ("--enable-lora", "--lora-modules", "--max-lora-rank", "--max-loras"),
        ("--enable-lora", "--lora-paths", "--max-lora-rank", "--max-loras-per-batch"),
        ("--adapters",),
    ),
    Concept("LMCache", ("--kv-transfer-config",), ("--enable-lmcache",), ()),
    Concept(
        "key-value blocks in main memory",
        ("--kv-offloading-size", "--kv-offloading-backend native"),
        ("--enable-hierarchical-cache", "--hicache-size"),
        (),
    ),
    Concept("sleep", ("--enable-sleep-mode",), ("--enable-memory-saver", "--enable-weights-cpu-backup"), ()),
    Concept("processes in front", ("--api-server-count",), ("--tokenizer-worker-num",), ()),
    Concept("code of the weights", ("--trust-remote-code",), ("--trust-remote-code",), ("--trust-remote-code",)),
    Concept("engine inside LMDeploy", (), (), ("--backend pytorch", "--backend turbomind")),
    Concept(
        "speculative decoding", ("--speculative-config",), ("--speculative-algorithm",), ("--speculative-algorithm",)
    ),
)


def called(flag: str, package: str) -> str | None:
    """What an engine calls the thing that another engine calls `flag`; None where nobody does."""
    for concept in CONCEPTS:
        for other in PACKAGES:
            theirs = [one.split()[0] for one in getattr(concept, other)]
            own = [one.split()[0] for one in getattr(concept, package)]
            if other != package and flag in theirs and flag not in own:
                title = {"vllm": "vLLM", "sglang": "SGLang", "lmdeploy": "LMDeploy"}
                if not own:
                    return f"that is {title[other]}'s; {title[package]} has no {concept.what}"
                same = theirs.index(flag) if len(own) == len(theirs) else 0
                return f"that is {title[other]}'s; {title[package]} calls it {own[same]}"
    return None
