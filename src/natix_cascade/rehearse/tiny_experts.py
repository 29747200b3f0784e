"""Tiny Llama 4 (experts in every second layer), Ovis2 and InternVL, dense and with experts."""

from __future__ import annotations

from natix_cascade.rehearse.tiny_recipe import LENGTH, Json, Recipe, chat_template, default_rope, language_config
from natix_cascade.rehearse.tiny_tokenizer import SpecialTokens, Vocabulary

__all__ = ["INTERNVL", "INTERNVL_MOE", "LLAMA4", "OVIS2"]

_HALF = [0.5, 0.5, 0.5]
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def _chatml(picture: str) -> str:
    return chat_template(start="<|im_start|>", middle="\n", end="<|im_end|>\n", picture=picture)


def _dense(vocabulary: Vocabulary) -> Json:
    return language_config(vocabulary, end="<|im_end|>", pad="<|endoftext|>", model_type="qwen2")


def _experts(vocabulary: Vocabulary) -> Json:
    return language_config(
        vocabulary,
        end="<|im_end|>",
        pad="<|endoftext|>",
        model_type="qwen3_moe",
        head_dim=64,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=128,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        norm_topk_prob=True,
    )


# Llama 4: 336-pixel tiles in the original, 112 here; every fourth layer without positions.

_LLAMA_TOKENS = SpecialTokens(
    names=(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|header_start|>",
        "<|header_end|>",
        "<|eot|>",
        "<|image_start|>",
        "<|image_end|>",
        "<|image|>",
        "<|patch|>",
        "<|tile_x_separator|>",
        "<|tile_y_separator|>",
        "<|finetune_right_pad|>",
    ),
    begin="<|begin_of_text|>",
    end="<|eot|>",
    pad="<|finetune_right_pad|>",
    roles={},
)


def _llama4(vocabulary: Vocabulary) -> Json:
    return {
        "text_config": {
            **language_config(vocabulary, end="<|eot|>", pad="<|finetune_right_pad|>"),
            "bos_token_id": vocabulary["<|begin_of_text|>"],
            "intermediate_size_mlp": 256,
            "num_hidden_layers": 4,
            "head_dim": 64,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": LENGTH,
            "use_qk_norm": True,
        },
        "vision_config": {
            "hidden_size": 64,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 112,
            "patch_size": 14,
            "pixel_shuffle_ratio": 0.5,
            "projector_input_dim": 128,
            "projector_output_dim": 128,
            "vision_output_dim": 128,
            "rope_parameters": default_rope(),
        },
        "boi_token_index": vocabulary["<|image_start|>"],
        "eoi_token_index": vocabulary["<|image_end|>"],
        "image_token_index": vocabulary["<|patch|>"],
    }


LLAMA4 = Recipe(
    model="Llama4ForConditionalGeneration",
    configuration="Llama4Config",
    tokens=_LLAMA_TOKENS,
    template='{{ "<|begin_of_text|>" }}'
    + chat_template(start="<|header_start|>", middle="<|header_end|>\n\n", end="<|eot|>", picture="<|image|>"),
    options=_llama4,
    files={
        "preprocessor_config.json": {
            "image_processor_type": "Llama4ImageProcessor",
            "processor_class": "Llama4Processor",
            "size": {"height": 112, "width": 112},
            "max_patches": 4,
            "resize_to_max_canvas": False,
            "image_mean": _HALF,
            "image_std": _HALF,
        },
        "processor_config.json": {
            "processor_class": "Llama4Processor",
            "patch_size": 14,
            "pixel_shuffle_ratio": 0.5,
            "fake_image_token": "<|image|>",
            "image_token": "<|image|>",
        },
    },
)

# Ovis2: pictures become distributions over a vocabulary of visual words.

_INDICATORS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
_OVIS_TOKENS = SpecialTokens(
    names=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<IMG_ATOM>", *_INDICATORS),
    end="<|im_end|>",
    pad="<|endoftext|>",
    roles={},
)


def _ovis2(vocabulary: Vocabulary) -> Json:
    return {
        "text_config": _experts(vocabulary),
        "vision_config": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 112,
            "patch_size": 14,
            "hidden_stride": 2,
            "vocab_size": 256,
            "num_visual_indicator_tokens": 5,
        },
        "image_token_id": vocabulary["<IMG_ATOM>"],
        "visual_indicator_token_ids": [vocabulary[name] for name in _INDICATORS],
        "vocab_size": vocabulary.size,
        "hidden_size": 128,
        "tie_word_embeddings": False,
    }


OVIS2 = Recipe(
    model="Ovis2ForConditionalGeneration",
    configuration="Ovis2Config",
    tokens=_OVIS_TOKENS,
    template=_chatml("<image>\n"),
    options=_ovis2,
    files={
        "preprocessor_config.json": {
            "image_processor_type": "Ovis2ImageProcessor",
            "processor_class": "Ovis2Processor",
            "size": {"height": 112, "width": 112},
            "crop_to_patches": True,
            "max_patches": 4,
            **_CLIP,
        },
        "processor_config.json": {
            "processor_class": "Ovis2Processor",
            "image_seq_length": 16,
            "image_token": "<image>",
        },
    },
)

# InternVL 3 (dense) and 3.5 (experts).

_INTERNVL_TOKENS = SpecialTokens(
    names=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    end="<|im_end|>",
    pad="<|endoftext|>",
    roles={
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
)


def _internvl(text: Json, vocabulary: Vocabulary) -> Json:
    return {
        "text_config": text,
        "vision_config": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [112, 112],
            "patch_size": [14, 14],
            "attention_bias": True,
            "layer_scale_init_value": 1.0,
        },
        "image_token_id": vocabulary["<IMG_CONTEXT>"],
        "image_seq_length": 16,
        "downsample_ratio": 0.5,
        "tie_word_embeddings": False,
    }


_INTERNVL_FILES: dict[str, Json] = {
    "preprocessor_config.json": {
        "image_processor_type": "GotOcr2ImageProcessor",
        "processor_class": "InternVLProcessor",
        "size": {"height": 112, "width": 112},
        "crop_to_patches": True,
        "max_patches": 4,
        **_IMAGENET,
    },
    "video_preprocessor_config.json": {
        "video_processor_type": "InternVLVideoProcessor",
        "size": {"height": 112, "width": 112},
        **_IMAGENET,
    },
    "processor_config.json": {"processor_class": "InternVLProcessor", "image_seq_length": 16},
}

INTERNVL = Recipe(
    model="InternVLForConditionalGeneration",
    configuration="InternVLConfig",
    tokens=_INTERNVL_TOKENS,
    template=_chatml("<IMG_CONTEXT>\n"),
    options=lambda vocabulary: _internvl(_dense(vocabulary), vocabulary),
    files=_INTERNVL_FILES,
)
INTERNVL_MOE = Recipe(
    model="InternVLForConditionalGeneration",
    configuration="InternVLConfig",
    tokens=_INTERNVL_TOKENS,
    template=_chatml("<IMG_CONTEXT>\n"),
    options=lambda vocabulary: _internvl(_experts(vocabulary), vocabulary),
    files=_INTERNVL_FILES,
)
