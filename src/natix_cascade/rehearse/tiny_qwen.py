"""Tiny Qwen3-VL, Qwen3-VL with experts, and Qwen2.5-VL."""

from __future__ import annotations

from natix_cascade.rehearse.tiny_recipe import Json, Recipe, chat_template, default_rope, language_config
from natix_cascade.rehearse.tiny_tokenizer import SpecialTokens, Vocabulary

__all__ = ["QWEN2_5_VL", "QWEN3_VL", "QWEN3_VL_MOE"]

_TOKENS = SpecialTokens(
    names=(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
        "<think>",
        "</think>",
    ),
    end="<|im_end|>",
    pad="<|endoftext|>",
    roles={
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    },
)
_SECTIONS = [12, 10, 10]  # rotary dimensions for time, height and width; half of a head's 64
_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 448 * 448}


def _template(*, thinks: bool) -> str:
    return chat_template(
        start="<|im_start|>",
        middle="\n",
        end="<|im_end|>\n",
        picture="<|vision_start|><|image_pad|><|vision_end|>",
        thinks=thinks,
    )


def _ids(vocabulary: Vocabulary) -> Json:
    return {
        "image_token_id": vocabulary["<|image_pad|>"],
        "video_token_id": vocabulary["<|video_pad|>"],
        "vision_start_token_id": vocabulary["<|vision_start|>"],
        "vision_end_token_id": vocabulary["<|vision_end|>"],
    }


def _qwen3(vocabulary: Vocabulary, **text: object) -> Json:
    return {
        "text_config": language_config(
            vocabulary,
            end="<|im_end|>",
            pad="<|endoftext|>",
            head_dim=64,
            rope_parameters=default_rope(mrope_section=_SECTIONS, mrope_interleaved=True),
            **text,
        ),
        "vision_config": {
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 128,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0],
        },
        "tie_word_embeddings": False,
        **_ids(vocabulary),
    }


def _qwen3_experts(vocabulary: Vocabulary) -> Json:
    return _qwen3(
        vocabulary,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=96,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        norm_topk_prob=True,
    )


def _qwen2_5(vocabulary: Vocabulary) -> Json:
    return {
        "text_config": language_config(
            vocabulary, end="<|im_end|>", pad="<|endoftext|>", rope_parameters=default_rope(mrope_section=_SECTIONS)
        ),
        "vision_config": {
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 128,
            "tokens_per_second": 2,
        },
        "tie_word_embeddings": False,
        **_ids(vocabulary),
    }


def _files(*, patch: int, mean: list[float], deviation: list[float], processor: str, video: str) -> dict[str, Json]:
    pictures: Json = {
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": mean,
        "image_std": deviation,
        "size": _PIXELS,
        "processor_class": processor,
    }
    return {
        "preprocessor_config.json": {**pictures, "image_processor_type": "Qwen2VLImageProcessor"},
        "video_preprocessor_config.json": {**pictures, "video_processor_type": video},
    }


_HALF = [0.5, 0.5, 0.5]
_QWEN3_FILES = _files(
    patch=16, mean=_HALF, deviation=_HALF, processor="Qwen3VLProcessor", video="Qwen3VLVideoProcessor"
)

QWEN3_VL = Recipe(
    model="Qwen3VLForConditionalGeneration",
    configuration="Qwen3VLConfig",
    tokens=_TOKENS,
    template=_template(thinks=True),
    options=_qwen3,
    files=_QWEN3_FILES,
)
QWEN3_VL_MOE = Recipe(
    model="Qwen3VLMoeForConditionalGeneration",
    configuration="Qwen3VLMoeConfig",
    tokens=_TOKENS,
    template=_template(thinks=True),
    options=_qwen3_experts,
    files=_QWEN3_FILES,
    transposed=r"mlp\.experts\.(gate_up|down)_proj$",
)
QWEN2_5_VL = Recipe(
    model="Qwen2_5_VLForConditionalGeneration",
    configuration="Qwen2_5_VLConfig",
    tokens=_TOKENS,
    template=_template(thinks=False),
    options=_qwen2_5,
    files=_files(
        patch=14,
        mean=[0.48145466, 0.4578275, 0.40821073],
        deviation=[0.26862954, 0.26130258, 0.27577711],
        processor="Qwen2_5_VLProcessor",
        video="Qwen2VLVideoProcessor",
    ),
)
