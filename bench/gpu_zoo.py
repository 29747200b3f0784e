"""Full-size networks of the catalogue with random weights: what the speed of a picture depends on, without a download.

Every network is built from the values of its public configuration. ``own`` is the input it was made for (height,
width); ``fits`` says to which sizes pictures of other shapes are rounded where the architecture allows them at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gpu_yolo import Yolo11

Size = tuple[int, int]
Inputs = dict[str, Tensor]

PROMPT = "traffic cone. barrier. drum. work sign. excavator. worker in vest. arrow board."
_WORDS = 22
"""Tokens of PROMPT in BERT's vocabulary, without [CLS] and [SEP]: seven classes, each closed by a full stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A network to be measured.

    Attributes
    ----------
    name : str
        Of its card in the catalogue.
    note : str
        What is measured, and what is not.
    own : tuple of int
        Height and width of the input that it was made for.
    step : int
        Other pictures are rounded to multiples of this; 0 where only ``own`` works.
    build : callable
        Returns the module; its forward takes what ``inputs`` gives and returns one tensor, sorted where the order of
        a network's answers depends on rounding (the queries of DETRs).
    inputs : callable
        Takes batch, height and width; returns keyword tensors on the CPU.
    graphs : bool
        Whether one forward is free of waits for the GPU, so that CUDA graphs and compilation make sense.
    mixed : bool
        Weights stay float32 and autocast chooses bfloat16: where positions in bfloat16 give no finite answers.
    places : int
        How many squares of 16 pixels a picture must have, where queries are chosen among them.
    """

    name: str
    note: str
    own: Size
    step: int
    build: Callable[[], nn.Module]
    inputs: Callable[[int, int, int], Inputs]
    graphs: bool = True
    mixed: bool = False
    places: int = 0


def pixels(batch: int, height: int, width: int) -> Inputs:
    """Pictures as networks get them: about zero mean and unit variance."""
    return {"pixel_values": torch.randn(batch, 3, height, width)}


class Wrapped(nn.Module):
    """A network and the one tensor that is read from its output."""

    def __init__(self, network: nn.Module, read: Callable[[Any], Tensor], **fixed: Any) -> None:
        super().__init__()
        self.network = network
        self._read = read
        self._fixed = fixed

    def forward(self, **inputs: Tensor) -> Tensor:
        """Run the network."""
        return self._read(self.network(**inputs, **self._fixed))


def _sorted_logits(output: Any) -> Tensor:
    return output.logits.float().amax(-1).sort(dim=-1).values


class _Head(nn.Module):
    """A backbone with one linear layer on its pooled feature."""

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, 1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return one logit a picture."""
        return self.head(self.backbone(pixel_values=pixel_values).pooler_output)


def _dinov3() -> nn.Module:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=20,
        hidden_act="silu",
        use_gated_mlp=True,
        num_register_tokens=4,
    )
    return _Head(DINOv3ViTModel(config), 1280)


class _TwoStreams(nn.Module):
    """ADFNet: the picture, and the picture brightened by x^(1/2.2), each through a ResNet-50 of its own."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.day, self.night = resnet50(), resnet50()
        self.day.fc = self.night.fc = nn.Identity()
        self.head = nn.Sequential(nn.Linear(4096, 1024), nn.ReLU(), nn.Linear(1024, 1))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return one logit a picture."""
        unit = (pixel_values * self.std + self.mean).clamp(0, 1)
        bright = (unit.pow(1 / 2.2) - self.mean) / self.std
        return self.head(torch.cat([self.day(pixel_values), self.night(bright)], 1))


def _rtdetr() -> nn.Module:
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    return Wrapped(RTDetrV2ForObjectDetection(RTDetrV2Config(num_labels=80)), _sorted_logits)


def _dfine() -> nn.Module:
    from transformers import DFineConfig, DFineForObjectDetection

    backbone = {
        "model_type": "hgnet_v2",
        "hidden_sizes": [256, 512, 1024, 2048],
        "stem_channels": [3, 32, 64],
        "stage_in_channels": [64, 128, 512, 1024],
        "stage_mid_channels": [64, 128, 256, 512],
        "stage_out_channels": [128, 512, 1024, 2048],
        "stage_num_blocks": [1, 2, 5, 2],
        "stage_downsample": [False, True, True, True],
        "stage_light_block": [False, False, True, True],
        "stage_kernel_size": [3, 3, 5, 5],
        "stage_numb_of_layers": [6, 6, 6, 6],
        "embedding_size": 32,
        "out_indices": [2, 3, 4],
        "return_idx": [1, 2, 3],
    }
    config = DFineConfig(
        backbone_config=backbone,
        num_labels=80,
        encoder_in_channels=[512, 1024, 2048],
        encoder_hidden_dim=384,
        encoder_ffn_dim=2048,
        decoder_n_points=[3, 6, 3],
        decoder_in_channels=[384, 384, 384],
    )
    return Wrapped(DFineForObjectDetection(config), _sorted_logits)


def _rfdetr() -> nn.Module:
    from transformers import RfDetrConfig, RfDetrForObjectDetection

    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": 384,
        "num_attention_heads": 6,
        "image_size": 704,
        "patch_size": 16,
        "num_windows": 2,
        "out_features": ["stage3", "stage6", "stage9", "stage12"],
    }
    config = RfDetrConfig(backbone_config=backbone, decoder_layers=4, decoder_n_points=2, num_labels=91)
    return Wrapped(RfDetrForObjectDetection(config), _sorted_logits)


def _grounding() -> nn.Module:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    backbone = {
        "model_type": "swin",
        "image_size": 384,
        "embed_dim": 128,
        "depths": [2, 2, 18, 2],
        "num_heads": [4, 8, 16, 32],
        "window_size": 12,
        "out_indices": [2, 3, 4],
    }
    return Wrapped(GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone)), _grounded)


def _grounded(output: Any) -> Tensor:
    best = output.logits.float().clamp(-1e4, 1e4).amax(-1)  # padding beyond the prompt is minus infinity
    return best.sort(dim=-1).values


def _grounding_inputs(batch: int, height: int, width: int) -> Inputs:
    stops = {4, 7, 9, 12, 15, 19, 22}
    ids = [101, *(1012 if k in stops else 2000 + k for k in range(1, _WORDS + 1)), 102]
    tokens = torch.tensor([ids]).repeat(batch, 1)
    return {
        **pixels(batch, height, width),
        "pixel_mask": torch.ones(batch, height, width, dtype=torch.long),
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "token_type_ids": torch.zeros_like(tokens),
    }


def _sam3() -> nn.Module:
    from transformers import Sam3Config, Sam3Model

    return Wrapped(Sam3Model(Sam3Config()), lambda output: output.pred_logits.float().sort(dim=-1).values)


def _sam3_inputs(batch: int, height: int, width: int) -> Inputs:
    ids = torch.tensor([[49406, 4100, 5100, 49407] + [49407] * 28]).repeat(batch, 1)
    mask = torch.tensor([[1] * 4 + [0] * 28]).repeat(batch, 1)
    return {**pixels(batch, height, width), "input_ids": ids, "attention_mask": mask}


class _ZeroShot(nn.Module):
    """SigLIP 2: the picture's feature against texts whose features are worked out once for all pictures."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import SiglipVisionConfig, SiglipVisionModel

        config = SiglipVisionConfig(
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=384,
            patch_size=16,
        )
        self.vision = SiglipVisionModel(config)
        self.register_buffer("texts", nn.functional.normalize(torch.randn(8, 1152), dim=-1))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the similarity with every text."""
        same = tuple(pixel_values.shape[-2:]) == (384, 384)
        pooled = self.vision(pixel_values=pixel_values, interpolate_pos_encoding=not same).pooler_output
        return nn.functional.normalize(pooled, dim=-1) @ self.texts.T


def _depth() -> nn.Module:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    backbone = {
        "model_type": "dinov2",
        "image_size": 518,
        "patch_size": 14,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "out_features": ["stage5", "stage12", "stage18", "stage24"],
        "reshape_hidden_states": False,
        "apply_layernorm": True,
    }
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=1024,
        neck_hidden_sizes=[256, 512, 1024, 1024],
        fusion_hidden_size=256,
    )
    return Wrapped(DepthAnythingForDepthEstimation(config), lambda output: output.predicted_depth)


def _florence_config() -> Any:
    from transformers import BartConfig, Florence2Config
    from transformers.models.florence2.configuration_florence2 import Florence2VisionConfig

    vision = Florence2VisionConfig(
        embed_dim=[256, 512, 1024, 2048],
        num_heads=[8, 16, 32, 64],
        num_groups=[8, 16, 32, 64],
        projection_dim=1024,
    )
    text = BartConfig(
        vocab_size=51328,
        d_model=1024,
        encoder_layers=12,
        decoder_layers=12,
        encoder_ffn_dim=4096,
        decoder_ffn_dim=4096,
        encoder_attention_heads=16,
        decoder_attention_heads=16,
        max_position_embeddings=4096,
    )
    return Florence2Config(vision_config=vision, text_config=text, image_token_id=51289)


class _Caption(nn.Module):
    """Florence-2: the picture and a task's words in, twenty words out, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Florence2ForConditionalGeneration

        self.network = Florence2ForConditionalGeneration(_florence_config())

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the words' numbers."""
        words = {"max_new_tokens": 20, "min_new_tokens": 20, "num_beams": 1, "do_sample": False}
        mask = torch.ones_like(input_ids)
        return self.network.generate(
            pixel_values=pixel_values, input_ids=input_ids, attention_mask=mask, **words
        ).float()


def _caption_inputs(batch: int, height: int, width: int) -> Inputs:
    picture = [51289] * ((height // 32) * (width // 32) + 1)
    ids = torch.tensor([[0, *picture, 2264, 473, 5, 2274, 6190, 116, 2]]).repeat(batch, 1)
    return {**pixels(batch, height, width), "input_ids": ids}


def _davit() -> nn.Module:
    from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone

    network = Florence2VisionBackbone(_florence_config().vision_config)
    return Wrapped(network, lambda output: getattr(output, "last_hidden_state", output))


def _davit_inputs(batch: int, height: int, width: int) -> Inputs:
    return {"hidden_states": torch.randn(batch, 3, height, width)}


ZOO: tuple[Entry, ...] = (
    Entry(
        name="dinov3-vith16plus",
        note="backbone and one linear head",
        own=(224, 224),
        step=16,
        build=_dinov3,
        inputs=pixels,
    ),
    Entry(
        name="adfnet", note="both streams on every picture", own=(224, 224), step=32, build=_TwoStreams, inputs=pixels
    ),
    Entry(
        name="rtdetr-v2-r50",
        note="80 classes, no post-processing",
        own=(640, 640),
        step=32,
        build=_rtdetr,
        mixed=True,
        inputs=pixels,
    ),
    Entry(
        name="d-fine-x",
        note="80 classes, no post-processing",
        own=(640, 640),
        step=32,
        build=_dfine,
        mixed=True,
        inputs=pixels,
    ),
    Entry(
        name="rf-detr-large",
        note="91 classes, no post-processing",
        own=(704, 704),
        step=32,
        build=_rfdetr,
        places=300,
        mixed=True,
        inputs=pixels,
    ),
    Entry(
        name="yolo11-x",
        note="layers as published, batch norms not folded, without NMS; stands for yolo26-x too",
        own=(640, 640),
        step=32,
        build=Yolo11,
        inputs=pixels,
    ),
    Entry(
        name="siglip2-so400m-384",
        note="picture tower against eight ready texts",
        own=(384, 384),
        step=16,
        build=_ZeroShot,
        inputs=pixels,
    ),
    Entry(
        name="depth-anything-v2-large",
        note="DINOv2-L and DPT; stands for depth-anything-3 metric large",
        own=(518, 518),
        step=14,
        build=_depth,
        inputs=pixels,
    ),
    Entry(
        name="grounding-dino-base",
        note=f"prompt of {_WORDS} tokens: {PROMPT}; own input is 640x448 scaled so that the short side is 800",
        own=(800, 1152),
        step=32,
        build=_grounding,
        mixed=True,
        inputs=_grounding_inputs,
        graphs=False,
    ),
    Entry(name="sam3", note="one concept prompt", own=(1008, 1008), step=0, build=_sam3, inputs=_sam3_inputs),
    Entry(
        name="florence-2-large (picture encoder)",
        note="DaViT alone",
        own=(768, 768),
        step=32,
        build=_davit,
        inputs=_davit_inputs,
    ),
    Entry(
        name="florence-2-large",
        note="caption of 20 tokens, greedy, transformers' generate",
        own=(768, 768),
        step=0,
        build=_Caption,
        inputs=_caption_inputs,
        graphs=False,
    ),
)
