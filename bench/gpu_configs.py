"""Folders that vLLM serves with random weights: full-size Qwen3-VL configurations and a small tokenizer of our own.

The numbers are those of the public model configurations. The tokenizer is trained here on the words that are asked, so
that a word costs about one token, as it does with the real one; pictures cost what they cost with the real processor
(patches of 16, merged 2 x 2, at least 65,536 pixels), except that they are capped at 1,048,576 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SYSTEM = (
    "You are a careful inspector of street pictures. Decide whether the picture shows roadwork: cones, barriers, "
    "drums, work signs, excavators, workers in vests, arrow boards, or a surface that is being repaired. Parked "
    "construction vehicles, finished repairs and advertisements are not roadwork. Answer with one word."
)
QUESTION = "Is there roadwork in this picture? Answer yes or no."
ANSWERS = ("yes", "no")

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_SMALL_EYES = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "deepstack_visual_indexes": [5, 11, 17],
}
_LARGE_EYES = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "deepstack_visual_indexes": [8, 16, 24],
}
_EXPERTS = {
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
    "mlp_only_layers": [],
}
MODELS: dict[str, dict[str, Any]] = {
    "qwen3-vl-4b": {
        "text": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_key_value_heads": 8},
        "eyes": _SMALL_EYES,
        "tied": True,
    },
    "qwen3-vl-8b": {
        "text": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_key_value_heads": 8},
        "eyes": _LARGE_EYES,
        "tied": False,
    },
    "qwen3-vl-30b-a3b": {
        "text": {
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 48,
            "num_key_value_heads": 4,
            **_EXPERTS,
        },
        "eyes": _LARGE_EYES,
        "tied": False,
    },
    "tiny": {
        "text": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 2048,
        },
        "eyes": {
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "deepstack_visual_indexes": [0],
        },
        "tied": True,
    },
}


def lay_out(folder: Path, name: str) -> dict[str, int]:
    """Write configuration, tokenizer and processor of a model.

    Parameters
    ----------
    folder : Path
        Is made if it is not there.
    name : str
        One of MODELS.

    Returns
    -------
    dict of str to int
        The tokens of ``yes`` and ``no``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = _tokenizer(folder)
    _write(folder / "config.json", _config(MODELS[name], ids))
    _write(folder / "generation_config.json", {"eos_token_id": [ids["<|im_end|>"]], "pad_token_id": ids[_SPECIAL[0]]})
    picture = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "processor_class": "Qwen3VLProcessor",
        "size": {"shortest_edge": 65536, "longest_edge": 1048576},
    }
    _write(folder / "preprocessor_config.json", {**picture, "image_processor_type": "Qwen2VLImageProcessorFast"})
    _write(folder / "video_preprocessor_config.json", {**picture, "video_processor_type": "Qwen3VLVideoProcessor"})
    return {word: ids[word] for word in ANSWERS}


def config(name: str) -> dict[str, Any]:
    """Return a model's configuration, without the tokenizer whose numbers it names."""
    return _config(MODELS[name], dict.fromkeys(_SPECIAL, 0))


def _config(model: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    experts = "num_experts" in model["text"]
    kind = "qwen3_vl_moe" if experts else "qwen3_vl"
    turns = {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    text = {
        "model_type": f"{kind}_text",
        "vocab_size": 151936,
        "num_attention_heads": 32,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-6,
        "attention_bias": False,
        "rope_theta": 5000000,
        "rope_parameters": {**turns, "rope_theta": 5000000},
        "rope_scaling": turns,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "tie_word_embeddings": model["tied"],
        **model["text"],
    }
    eyes = {
        "model_type": kind if experts else "qwen3_vl_vision",
        "hidden_act": "gelu_pytorch_tanh",
        "in_channels": 3,
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": text["hidden_size"],
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        **model["eyes"],
    }
    return {
        "architectures": ["Qwen3VLMoeForConditionalGeneration" if experts else "Qwen3VLForConditionalGeneration"],
        "model_type": kind,
        "dtype": "bfloat16",
        "text_config": text,
        "vision_config": eyes,
        "tie_word_embeddings": model["tied"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


def _tokenizer(folder: Path) -> dict[str, int]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=[], initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([SYSTEM, QUESTION, *ANSWERS, "system", "user", "assistant"] * 50, trainer)
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in _SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen3VLProcessor",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "model_max_length": 262144,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "split_special_tokens": False,
        "errors": "replace",
        "additional_special_tokens": list(_SPECIAL[1:]),
        "chat_template": _TEMPLATE,
    }
    _write(folder / "tokenizer_config.json", described)
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    inner = json.loads(made.to_str())["model"]
    _write(folder / "vocab.json", inner["vocab"])
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in inner["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]), encoding="utf-8")
    return {text: int(made.token_to_id(text)) for text in (*_SPECIAL, *ANSWERS)}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
