"""Augmentations for training, on batches and on the GPU: geometry in one warp, then colour, noise and JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # the field's name for it
from torch import Tensor

__all__ = ["SIDE", "AugmentSettings", "augment_batch", "boxes_on_map", "jpeg"]

SIDE = 224
"""Side of the subnet's pictures, in pixels."""

_LUMA = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_QUANT_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_QUANT_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
) + (99,) * 32  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """Shares of the kinds of views and strengths of the changes.

    Attributes
    ----------
    square, full : float
        Share of centred square views (the subnet's L0) and of whole frames stretched to a square (how `detect` sees a
        wide picture); the rest are rotated random crops (L1).
    smallest : float
        Smallest area of a random crop.
    colour : float
        Strength of brightness, contrast, gamma and hue changes, 1 = normal.
    desaturate : float
        Share of pictures whose colours are weakened (the subnet's L2 and L3 do so to half to two thirds).
    grey : float
        Share of pictures without any colour.
    degrade : float
        Share with each of down-up sampling, noise, blur.
    erase : float
        Share with a grey rectangle.
    """

    square: float = 0.2
    full: float = 0.2
    smallest: float = 0.2
    colour: float = 1.0
    desaturate: float = 0.5
    grey: float = 0.05
    degrade: float = 0.33
    erase: float = 0.2


def augment_batch(
    canvas: Tensor, sizes: Tensor, settings: AugmentSettings, *, side: int = SIDE, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random training views.

    Parameters
    ----------
    canvas : Tensor
        ``(n, 3, C, C)`` uint8, each picture in the top left corner.
    sizes : Tensor
        ``(n, 2)`` height and width of each picture in pixels.
    settings : AugmentSettings
        What to do how often.
    side : int
        Pixels a side of the view.
    generator : torch.Generator
        On the canvas' device.

    Returns
    -------
    views : Tensor
        ``(n, 3, side, side)`` float in 0-255.
    affine : Tensor
        ``(n, 2, 3)`` maps from the views' places in [-1, 1] to the pictures' pixels; see `boxes_on_map`.
    """
    draw = _Draw(canvas.shape[0], canvas.device, generator)
    affine = _geometry(sizes.float(), settings, draw)
    x = _warp(canvas, affine, side) / 255
    x = _colour(x, settings, draw)
    x = _degrade(x, settings, draw)
    x = _erase(x, settings, draw)
    x = jpeg((x * 255).clamp(0, 255), draw.uniform(50, 95))
    return x.round(), affine


def boxes_on_map(affine: Tensor, boxes: Tensor, cells: int, *, smallest: float = 5.0) -> Tensor:
    """Which cells of a heat map see a box: the target of the heat map, and by its maximum of the logit.

    Parameters
    ----------
    affine : Tensor
        ``(n, 2, 3)`` from `augment_batch`.
    boxes : Tensor
        ``(n, k, 4)`` left, top, right, bottom in picture pixels; rows of NaN are no boxes.
    cells : int
        Cells a side of the map.
    smallest : float
        Boxes lower than this many pixels of a 224-pixel view do not count.

    Returns
    -------
    Tensor
        ``(n, cells, cells)`` float, 0 or 1.
    """
    centre = (torch.arange(cells, device=affine.device).float() + 0.5) * (2.0 / cells) - 1
    grid = torch.stack(
        [
            centre.expand(cells, cells),
            centre[:, None].expand(cells, cells),
            torch.ones_like(centre.expand(cells, cells)),
        ],
        -1,
    )
    points = torch.einsum("nij,yxj->nyxi", affine, grid)[:, :, :, None]
    scale = affine[:, :, :2].square().sum(1).sqrt().amax(1)[:, None]  # picture pixels for half a view
    tall = boxes[:, :, 3] - boxes[:, :, 1] >= smallest * scale / (SIDE / 2)
    margin = (scale / cells * 0.5)[:, None, None]
    left, top, right, bottom = (boxes[:, None, None, :, k] for k in range(4))
    x, y = points[..., 0], points[..., 1]
    inside = (x >= left - margin) & (x <= right + margin) & (y >= top - margin) & (y <= bottom + margin)
    return (inside & tall[:, None, None]).any(3).float()


class _Draw:
    """Random numbers for a batch."""

    def __init__(self, n: int, device: torch.device, generator: torch.Generator) -> None:
        self.n, self.device, self.generator = n, device, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(self.n, *shape, device=self.device, generator=self.generator) * (high - low) + low

    def chance(self, share: float) -> Tensor:
        return self.uniform(0, 1) < share

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.n, *shape, device=self.device, generator=self.generator)

    def choice(self, *values: float) -> Tensor:
        index = torch.randint(len(values), (self.n,), device=self.device, generator=self.generator)
        return torch.tensor(values, device=self.device)[index]


def _geometry(sizes: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    """Affine maps ``(n, 2, 3)`` from the view's pixels in [-1, 1] to the picture's pixels."""
    height, width = sizes[:, 0], sizes[:, 1]
    shorter = torch.minimum(height, width)
    kind = draw.uniform(0, 1)
    square, full = kind < settings.square, kind > 1 - settings.full
    area = height * width * draw.uniform(settings.smallest, 1.0)
    crop = torch.minimum(area.sqrt(), shorter)
    crop = torch.where(square, shorter * draw.uniform(0.9, 1.0), crop)
    stretch = draw.uniform(math.log(0.85), math.log(1 / 0.85)).exp()
    crop_w, crop_h = torch.minimum(crop * stretch, width), torch.minimum(crop / stretch, height)
    jitter = draw.uniform(0.85, 1.0)
    crop_w, crop_h = torch.where(full, width * jitter, crop_w), torch.where(full, height * jitter, crop_h)
    free_x, free_y = (width - crop_w) / 2, (height - crop_h) / 2
    spread = torch.where(square, 0.25, 1.0)
    centre_x = width / 2 + draw.uniform(-1, 1) * free_x * spread
    centre_y = height / 2 + draw.uniform(-1, 1) * free_y * spread
    turn = torch.where(square | full, draw.uniform(-4, 4) * draw.chance(0.3), draw.uniform(-20, 20)) * (math.pi / 180)
    flip = torch.where(draw.chance(0.5), -1.0, 1.0)
    cos, sin = turn.cos(), turn.sin()
    dx, dy = centre_x - width / 2, centre_y - height / 2
    # The subnet turns the whole picture about its centre and crops afterwards.
    x_row = torch.stack([cos * flip * crop_w / 2, -sin * crop_h / 2, width / 2 + cos * dx - sin * dy], 1)
    y_row = torch.stack([sin * flip * crop_w / 2, cos * crop_h / 2, height / 2 + sin * dx + cos * dy], 1)
    return torch.stack([x_row, y_row], 1)


def _warp(canvas: Tensor, affine: Tensor, side: int, oversample: int = 2) -> Tensor:
    """Sample the views, with black outside of the picture; twice as fine, then averaged against aliasing."""
    n, _, size, _ = canvas.shape
    theta = affine * (2.0 / size)
    theta[:, :, 2] -= 1.0
    grid = F.affine_grid(theta, [n, 3, side * oversample, side * oversample], align_corners=False)
    fine = F.grid_sample(canvas.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(fine, oversample)


def _grey(x: Tensor) -> Tensor:
    return (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])[:, None]


def _per_picture(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _colour(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    strength = settings.colour
    active = draw.chance(0.8).float() * strength
    x = x.clamp(1e-4, 1) ** _per_picture((active * draw.uniform(-0.35, 0.35)).exp())
    x = x * _per_picture(1 + active * draw.uniform(-0.3, 0.25))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * _per_picture(1 + active * draw.uniform(-0.35, 0.35)) + mean
    x = x * (1 + _per_picture(active) * draw.uniform(-0.08, 0.08, 3)[:, :, None, None])
    grey = _grey(x)
    saturation = torch.where(draw.chance(settings.desaturate), draw.uniform(0.25, 0.5), draw.uniform(0.7, 1.3))
    saturation = torch.where(draw.chance(settings.grey), 0.0, saturation)
    x = grey + (x - grey) * _per_picture(saturation)
    return (x * _per_picture(draw.choice(1.0, 1.0, 0.85, 0.725))).clamp(0, 1)


def _degrade(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    side = x.shape[-1]
    for factor in (2, 3):
        low = F.interpolate(x, size=side // factor, mode="bilinear", align_corners=False)
        back = F.interpolate(low, size=side, mode="bilinear", align_corners=False)
        x = torch.where(_per_picture(draw.chance(settings.degrade / 2)), back, x)
    sigma = torch.where(draw.chance(settings.degrade), draw.uniform(0.4, 1.7), 0.01)
    x = _blur(x, sigma)
    noise = draw.normal(3, side, side) * _per_picture(draw.uniform(0.0, 0.05) * draw.chance(settings.degrade))
    return (x + noise).clamp(0, 1)


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a sigma for each picture, as two products with band matrices."""
    places = torch.arange(x.shape[-1], device=x.device).float()
    band = torch.softmax(-((places[:, None] - places[None]) ** 2) / (2 * sigma[:, None, None] ** 2), 2)[:, None]
    return band @ x @ band.transpose(2, 3)


def _erase(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    side = x.shape[-1]
    place = torch.arange(side, device=x.device).float()[None] / side
    height, width = draw.uniform(0.08, 0.3), draw.uniform(0.08, 0.3)
    top, left = draw.uniform(0, 1) * (1 - height), draw.uniform(0, 1) * (1 - width)
    rows = (place >= top[:, None]) & (place < (top + height)[:, None])
    columns = (place >= left[:, None]) & (place < (left + width)[:, None])
    hole = rows[:, None, :, None] & columns[:, None, None, :] & _per_picture(draw.chance(settings.erase))
    return torch.where(hole, draw.uniform(0, 1, 3)[:, :, None, None], x)


def _dct_matrix(side: int, device: torch.device) -> Tensor:
    """The 8-point DCT of each block of a line of `side` pixels: block-diagonal ``(side, side)``."""
    k = torch.arange(8, device=device).float()
    matrix = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) * 0.5
    matrix[0] /= math.sqrt(2)
    return torch.block_diag(*[matrix] * (side // 8))


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """JPEG's loss (8x8 DCT, standard tables, 4:2:0) without the bitstream (ITU-T T.81).

    Parameters
    ----------
    x : Tensor
        ``(n, 3, H, W)`` float in 0-255, sides divisible by 16.
    quality : Tensor
        ``(n,)`` libjpeg quality, 1-100.

    Returns
    -------
    Tensor
        Same shape, float in 0-255.
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None]  # noqa: PLR2004  # libjpeg's rule
    to_ycc = torch.tensor(_LUMA, device=x.device)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, x)
    luma = _quantise(ycc[:, :1] - 128, _table(_QUANT_LUMA, scale)) + 128
    chroma = _quantise(F.avg_pool2d(ycc[:, 1:], 2), _table(_QUANT_CHROMA, scale))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    to_rgb = torch.linalg.inv(to_ycc)
    return torch.einsum("ij,njhw->nihw", to_rgb, torch.cat([luma, chroma], 1)).clamp(0, 255)


def _table(values: tuple[int, ...], scale: Tensor) -> Tensor:
    base = torch.tensor(values, device=scale.device).float()[None]
    return ((base * scale + 50) / 100).floor().clamp(1, 255).reshape(-1, 1, 8, 8)


def _quantise(x: Tensor, table: Tensor) -> Tensor:
    rows, columns = _dct_matrix(x.shape[2], x.device), _dct_matrix(x.shape[3], x.device)
    steps = table.repeat(1, 1, x.shape[2] // 8, x.shape[3] // 8)
    coefficients = ((rows @ x @ columns.T) / steps).round() * steps
    return rows.T @ coefficients @ columns
