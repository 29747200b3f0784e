"""Tiny instances of the transformers engine's architectures: true configurations with small numbers in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from natix_cascade.files import write_whole
from natix_cascade.models import cpu_torchvision
from natix_cascade.rehearse.tiny_words import (
    write_bert_words,
    write_clip_words,
    write_florence_words,
    write_gemma_words,
)
from natix_cascade.spec.library import bundle
from natix_cascade.spec.task import Detect

__all__ = ["NETWORKS", "labels_of", "write_network"]

_PUBLISHED, _TRAINED = "yolo11x", "yolo-master-n"  # cards that say what such detectors know
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3}
_Built = tuple[str, Any, dict[str, Any]]
"""Name of the network in transformers, its configuration, and the settings of its pictures."""


def labels_of(card: str) -> tuple[str, ...]:
    """What the detector of a shipped card knows."""
    task = bundle().cards[card].task
    return task.labels if isinstance(task, Detect) else ()


def write_network(architecture: str, folder: Path, labels: Sequence[str], seed: int) -> None:
    """Write a folder as the model hub lays it out: configuration, safetensors, tokenizer and picture settings.

    Parameters
    ----------
    architecture : str
        One of `NETWORKS`.
    folder : Path
        Where to.
    labels : sequence of str
        Of detectors; none: those of the published or of the trained model.
    seed : int
        Of the random weights.
    """
    import torch  # noqa: PLC0415  # heavy, and not everybody has it

    cpu_torchvision.install()
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    kind, config, pictures = NETWORKS[architecture](folder, labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = getattr(transformers, kind)(config)
        _enliven(torch, network, _LIVELY.get(architecture, ()))
    network.eval().save_pretrained(str(folder))
    settings = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **pictures}
    write_whole(folder / "preprocessor_config.json", json.dumps(settings, indent=2).encode())


def _florence2(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del labels
    words = write_florence_words(folder)
    text = t.BartConfig(
        vocab_size=len(words), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=256,
        forced_eos_token_id=2, init_std=0.5,
    )  # fmt: skip
    vision = t.Florence2Config().vision_config.to_dict() | {
        "depths": [1, 1, 1, 1], "embed_dim": [8, 16, 24, 32], "num_heads": [1, 2, 2, 2], "num_groups": [1, 2, 2, 2],
        "window_size": 4, "projection_dim": 32,
    }  # fmt: skip
    config = t.Florence2Config(
        text_config=text.to_dict(),
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        is_encoder_decoder=True,
    )
    clip = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3}
    size = {"size": {"height": 128, "width": 128}, "do_center_crop": False, "image_seq_length": 17}
    return "Florence2ForConditionalGeneration", config, {"image_processor_type": "CLIPImageProcessor", **clip, **size}


def _dinov3(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del folder, labels
    config = t.DINOv3ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_register_tokens=4,
        use_gated_mlp=True, hidden_act="silu", image_size=64,
    )  # fmt: skip
    size = {"size": {"height": 64, "width": 64}, "image_processor_type": "DINOv3ViTImageProcessorFast"}
    return "DINOv3ViTModel", config, _IMAGENET | size


def _rt_detr_v2(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del folder
    backbone = t.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = t.RTDetrV2Config(
        backbone_config=backbone, encoder_in_channels=[16, 24, 32], num_queries=30, **_small_detr(),
        **_named(labels or labels_of(_PUBLISHED)),
    )  # fmt: skip
    return "RTDetrV2ForObjectDetection", config, _detr_pictures("RTDetrImageProcessor")


def _d_fine(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del folder
    backbone = t.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 16, 24, 32], stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 24, 32, 32], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True], stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5], hidden_sizes=[16, 24, 32, 32], depths=[1, 1, 1, 1], embedding_size=8,
        use_learnable_affine_block=False, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = t.DFineConfig(
        backbone_config=backbone, encoder_in_channels=[24, 32, 32], num_queries=30, lqe_hidden_dim=8,
        depth_mult=0.34, **_small_detr(), **_named(labels or labels_of(_PUBLISHED)),
    )  # fmt: skip
    return "DFineForObjectDetection", config, _detr_pictures("RTDetrImageProcessor")


def _rf_detr(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del folder
    backbone = t.RfDetrDinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=64, patch_size=16, num_windows=1,
        out_features=["stage2", "stage4"],
    )  # fmt: skip
    config = t.RfDetrConfig(
        backbone_config=backbone, d_model=32, decoder_layers=1, decoder_ffn_dim=64, decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2, decoder_n_points=2, num_queries=30, group_detr=1, c2f_num_blocks=1,
        **_named(labels or labels_of(_TRAINED)),
    )  # fmt: skip
    size = {"size": {"height": 112, "width": 112}, "image_processor_type": "RfDetrImageProcessor"}
    return "RfDetrForObjectDetection", config, _IMAGENET | size


def _grounding_dino(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del labels
    words = write_bert_words(folder)
    backbone = t.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = t.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=256,
    )  # fmt: skip
    config = t.GroundingDinoConfig(
        backbone_config=backbone, text_config=text.to_dict(), d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=30,
        num_feature_levels=4, disable_custom_kernels=True,
    )  # fmt: skip
    size = {"size": {"shortest_edge": 96, "longest_edge": 160}, "image_processor_type": "GroundingDinoImageProcessor"}
    return "GroundingDinoForObjectDetection", config, _IMAGENET | size


def _sam3(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del labels
    words = write_clip_words(folder)
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    vision = {
        "backbone_config": {
            "model_type": "sam3_vit_model", **small, "num_hidden_layers": 2, "image_size": 112, "window_size": 4,
            "pretrain_image_size": 56, "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }  # fmt: skip
    text = {
        "vocab_size": len(words), **small, "num_hidden_layers": 2, "projection_dim": 32, "max_position_embeddings": 32,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "hidden_act": "gelu",
    }  # fmt: skip
    config = t.Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config={**small, "num_layers": 1},
        detr_encoder_config={**small, "num_layers": 1},
        detr_decoder_config={**small, "num_layers": 1, "num_queries": 20},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    size = {"size": {"height": 112, "width": 112}, "image_processor_type": "Sam3ImageProcessorFast"}
    return "Sam3Model", config, {**_HALF, "resample": 2, **size}


def _siglip(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del labels
    words = write_gemma_words(folder)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(words), **small, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    config = t.SiglipConfig(text_config=text, vision_config={**small, "image_size": 64, "patch_size": 16})
    size = {"size": {"height": 64, "width": 64}, "image_processor_type": "SiglipImageProcessor"}
    return "SiglipModel", config, {**_HALF, **size}


def _depth_anything(folder: Path, labels: Sequence[str]) -> _Built:
    import transformers as t  # noqa: PLC0415

    del folder, labels
    backbone = t.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=70, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = t.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        head_hidden_size=8, depth_estimation_type="metric", max_depth=80,
    )  # fmt: skip
    size = {"size": {"height": 70, "width": 70}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    return "DepthAnythingForDepthEstimation", config, {**_HALF, **size, "image_processor_type": "DPTImageProcessor"}


NETWORKS: dict[str, Callable[[Path, Sequence[str]], _Built]] = {
    "florence2": _florence2,
    "dinov3_vit": _dinov3,
    "rt_detr_v2": _rt_detr_v2,
    "d_fine": _d_fine,
    "rf_detr": _rf_detr,
    "grounding-dino": _grounding_dino,
    "sam3": _sam3,
    "siglip": _siglip,
    "depth_anything": _depth_anything,
}
"""Architecture to the function that gives its configuration."""


def _small_detr() -> dict[str, Any]:
    return {
        "d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 64, "encoder_attention_heads": 2,
        "decoder_in_channels": [32, 32, 32], "decoder_ffn_dim": 64, "decoder_layers": 2, "decoder_attention_heads": 2,
        "num_denoising": 0, "hidden_expansion": 0.5,
    }  # fmt: skip


def _detr_pictures(kind: str) -> dict[str, Any]:
    size = {"size": {"height": 128, "width": 128}, "do_normalize": False, "do_pad": False}
    return {**_IMAGENET, **size, "image_processor_type": kind}


_LIVELY: dict[str, tuple[tuple[str, float, float], ...]] = {
    "rt_detr_v2": ((r"class_embed", 4.0, 2.5),),
    "d_fine": ((r"class_embed", 3.0, 2.5),),
    "rf_detr": ((r"^class_embed", 20.0, 3.5),),
    "grounding-dino": ((r"decoder.*final_layer_norm|decoder\.layer_norm", 0.1, 0.0),),
    "sam3": (
        (r"dot_product_scoring.*(proj|mlp\.)|mask_decoder", 6.0, 0.0),
        (r"presence_head\.layer3", 1.0, 3.0),
    ),
    "depth_anything": ((r"neck", 3.0, 0.0), (r"head\.conv\d", 6.0, 0.0)),
}
"""Architecture to patterns of names, the factor of their weights, and what is added to their biases.

Fresh networks say the same of everything; after this their answers differ by picture, and some are above the cards'
thresholds."""


def _enliven(torch: Any, network: Any, changes: Sequence[tuple[str, float, float]]) -> None:
    with torch.no_grad():
        for pattern, factor, shift in changes:
            for name, values in network.named_parameters():
                if re.search(pattern, name):
                    if name.endswith("bias"):
                        values.add_(shift)
                    else:
                        values.mul_(factor)


def _named(labels: Sequence[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
