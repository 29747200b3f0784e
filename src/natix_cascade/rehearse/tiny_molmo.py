"""Tiny Molmo 2 and Phi-4-multimodal."""

from __future__ import annotations

from natix_cascade.rehearse.tiny_recipe import LENGTH, Json, Recipe, chat_template, default_rope, language_config
from natix_cascade.rehearse.tiny_tokenizer import SpecialTokens, Vocabulary

__all__ = ["MOLMO2", "PHI4_MULTIMODAL"]

_HALF = [0.5, 0.5, 0.5]

# Molmo 2: its picture tokens live in a second embedding behind the text's.

_PICTURE_TOKENS = (
    "<im_start>",
    "<im_end>",
    "<im_patch>",
    "<im_col>",
    "<low_res_im_start>",
    "<|image|>",
    "<im_low>",
    "<frame_start>",
    "<frame_end>",
    "<|video|>",
)
_MOLMO_TOKENS = SpecialTokens(
    names=("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_PICTURE_TOKENS),
    begin="<|endoftext|>",
    end="<|im_end|>",
    pad="<|endoftext|>",
    roles={"image_token": "<|image|>", "video_token": "<|video|>"},
)


def _molmo2(vocabulary: Vocabulary) -> Json:
    first = vocabulary[_PICTURE_TOKENS[0]]
    return {
        "text_config": {
            "vocab_size": first,
            "additional_vocab_size": vocabulary.size - first,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 64,
            "qk_norm_type": "qwen3",
            "max_position_embeddings": LENGTH,
            "rope_parameters": default_rope(),
        },
        "vision_config": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "image_size": [112, 112],
            "patch_size": 14,
        },
        "adapter_config": {
            "vision_feature_layer": [1, 0],
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "intermediate_size": 128,
            "text_hidden_size": 128,
        },
        "image_start_token_id": vocabulary["<im_start>"],
        "low_res_image_start_token_id": vocabulary["<low_res_im_start>"],
        "image_end_token_id": vocabulary["<im_end>"],
        "image_patch_id": vocabulary["<im_patch>"],
        "frame_start_token_id": vocabulary["<frame_start>"],
        "frame_end_token_id": vocabulary["<frame_end>"],
    }


_MOLMO_PICTURES: Json = {
    "processor_class": "Molmo2Processor",
    "size": {"height": 112, "width": 112},
    "patch_size": 14,
    "pooling_size": [2, 2],
    "image_mean": _HALF,
    "image_std": _HALF,
}

MOLMO2 = Recipe(
    model="Molmo2ForConditionalGeneration",
    configuration="Molmo2Config",
    tokens=_MOLMO_TOKENS,
    template=chat_template(start="<|im_start|>", middle="\n", end="<|im_end|>\n", picture="<|image|>"),
    options=_molmo2,
    files={
        "preprocessor_config.json": {
            **_MOLMO_PICTURES,
            "image_processor_type": "Molmo2ImageProcessor",
            "max_crops": 4,
            "overlap_margins": [2, 2],
        },
        "video_preprocessor_config.json": {**_MOLMO_PICTURES, "video_processor_type": "Molmo2VideoProcessor"},
        "processor_config.json": {"processor_class": "Molmo2Processor", "image_use_col_tokens": True},
    },
)

# Phi-4-multimodal: tiles of 448 pixels as in the original, whose processor counts 256 tokens for each whatever its
# size; the audio half is there and stays silent.

_PHI_TOKENS = SpecialTokens(
    names=("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|image|>", "<|audio|>"),
    begin="<|endoftext|>",
    end="<|end|>",
    pad="<|endoftext|>",
    roles={"image_token": "<|image|>", "audio_token": "<|audio|>"},
)


def _phi4(vocabulary: Vocabulary) -> Json:
    return {
        **language_config(vocabulary, end="<|end|>", pad="<|endoftext|>"),
        "original_max_position_embeddings": LENGTH,
        "rope_parameters": default_rope(partial_rotary_factor=0.75),
        "eos_token_id": [vocabulary["<|endoftext|>"], vocabulary["<|end|>"]],
        "vision_config": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 448,
            "crop_size": 448,
            "patch_size": 14,
            "image_token_id": vocabulary["<|image|>"],
        },
        "audio_config": {
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_blocks": 2,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 64,
            "depthwise_separable_out_channel": 64,
            "nemo_conv_channels": 16,
            "bias_max_distance": 16,
            "audio_token_id": vocabulary["<|audio|>"],
        },
    }


PHI4_MULTIMODAL = Recipe(
    model="Phi4MultimodalForCausalLM",
    configuration="Phi4MultimodalConfig",
    tokens=_PHI_TOKENS,
    template=chat_template(start="<|", middle="|>", end="<|end|>", picture="<|image|>"),
    options=_phi4,
    files={
        "preprocessor_config.json": {
            "processor_class": "Phi4MultimodalProcessor",
            "image_processor_type": "Phi4MultimodalImageProcessor",
            "feature_extractor_type": "Phi4MultimodalFeatureExtractor",
            "size": {"height": 448, "width": 448},
            "patch_size": 14,
            "dynamic_hd": 4,
        },
        "processor_config.json": {"processor_class": "Phi4MultimodalProcessor"},
    },
)
