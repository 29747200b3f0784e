"""YOLO11-X's layers, written from its published description, to measure their speed with random weights.

Blocks: a bottleneck of two 3x3 convolutions; a CSP block that keeps half its channels aside; a CSP block of such blocks
that hands every step on; pooling of three reaches; position-sensitive attention; a head of two branches per scale with
sides as distributions over 16 steps. 80 classes, 56.9 million parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STEPS = 16
_WIDTHS = (96, 192, 384, 768, 768)


class _Conv(nn.Sequential):
    def __init__(
        self, ins: int, outs: int, size: int = 1, stride: int = 1, groups: int = 1, *, act: bool = True
    ) -> None:
        conv = nn.Conv2d(ins, outs, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outs), nn.SiLU() if act else nn.Identity())


class _Bottleneck(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(_Conv(width, width, 3), _Conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x)


class _Split(nn.Module):
    """Half the channels go through two bottlenecks, the other half around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.through = nn.Sequential(_Conv(width, half), _Bottleneck(half), _Bottleneck(half))
        self.around = _Conv(width, half)
        self.join = _Conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.through(x), self.around(x)], 1))


class _Stage(nn.Module):
    """Two such blocks in a row; all that they saw and made is joined."""

    def __init__(self, ins: int, outs: int, share: float = 0.5) -> None:
        super().__init__()
        inner = int(outs * share)
        self.enter = _Conv(ins, 2 * inner)
        self.blocks = nn.ModuleList(_Split(inner) for _ in range(2))
        self.join = _Conv(4 * inner, outs)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.join(torch.cat(parts, 1))


class _Pools(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = _Conv(width, width // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = _Conv(width * 2, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.join(torch.cat(parts, 1))


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.value, self.key = width // 64, 64, 32
        self.qkv = _Conv(width, width + 2 * self.key * self.heads, act=False)
        self.place = _Conv(width, width, 3, groups=width, act=False)
        self.out = _Conv(width, width, act=False)
        self.feed = nn.Sequential(_Conv(width, 2 * width), _Conv(2 * width, width, act=False))

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, across = x.shape
        both = self.qkv(x).view(batch, self.heads, 2 * self.key + self.value, height * across)
        query, key, value = (part.transpose(-2, -1) for part in both.split([self.key, self.key, self.value], dim=2))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value).transpose(-2, -1)
        place = self.place(value.transpose(-2, -1).reshape(batch, width, height, across))
        x = x + self.out(mixed.reshape(batch, width, height, across) + place)
        return x + self.feed(x)


class _SplitAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.join = _Conv(width, width), _Conv(width, width)
        self.blocks = nn.Sequential(_Attention(width // 2), _Attention(width // 2))

    def forward(self, x: Tensor) -> Tensor:
        aside, through = self.enter(x).chunk(2, 1)
        return self.join(torch.cat([aside, self.blocks(through)], 1))


class _Sides(nn.Sequential):
    def __init__(self, ins: int, width: int) -> None:
        super().__init__(_Conv(ins, width, 3), _Conv(width, width, 3), nn.Conv2d(width, 4 * _STEPS, 1))


class _Classes(nn.Sequential):
    def __init__(self, ins: int, width: int, classes: int) -> None:
        first = nn.Sequential(_Conv(ins, ins, 3, groups=ins), _Conv(ins, width))
        second = nn.Sequential(_Conv(width, width, 3, groups=width), _Conv(width, width))
        super().__init__(first, second, nn.Conv2d(width, classes, 1))


class Yolo11(nn.Module):
    """The X size: widths 1.5 times the base, at most 768 channels, two blocks a stage."""

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        one, two, three, four, five = _WIDTHS
        self.stem = nn.Sequential(_Conv(3, one, 3, 2), _Conv(one, two, 3, 2), _Stage(two, three, 0.25))
        self.stride8 = nn.Sequential(_Conv(three, three, 3, 2), _Stage(three, four, 0.25))
        self.stride16 = nn.Sequential(_Conv(four, four, 3, 2), _Stage(four, four))
        deep = (_Conv(four, five, 3, 2), _Stage(five, five), _Pools(five), _SplitAttention(five))
        self.stride32 = nn.Sequential(*deep)
        self.up16, self.up8 = _Stage(five + four, four), _Stage(four + four, three)
        self.down16, self.down32 = _Conv(three, three, 3, 2), _Conv(four, four, 3, 2)
        self.out16, self.out32 = _Stage(three + four, four), _Stage(four + five, five)
        widths = (three, four, five)
        self.sides = nn.ModuleList(_Sides(width, max(_STEPS, three // 4, 4 * _STEPS)) for width in widths)
        self.classes = nn.ModuleList(_Classes(width, max(three, min(classes, 100)), classes) for width in widths)
        self.register_buffer("steps", torch.arange(_STEPS, dtype=torch.float32), persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return sides and class probabilities of every place, shape (batch, places, 4 + classes)."""
        eight = self.stride8(self.stem(pixel_values))
        sixteen = self.stride16(eight)
        deep = self.stride32(sixteen)
        middle = self.up16(torch.cat([nn.functional.interpolate(deep, scale_factor=2.0), sixteen], 1))
        fine = self.up8(torch.cat([nn.functional.interpolate(middle, scale_factor=2.0), eight], 1))
        middle = self.out16(torch.cat([self.down16(fine), middle], 1))
        deep = self.out32(torch.cat([self.down32(middle), deep], 1))
        answers = []
        for x, sides, classes in zip((fine, middle, deep), self.sides, self.classes, strict=True):
            odds = sides(x).flatten(2).unflatten(1, (4, _STEPS)).softmax(2)
            reach = (odds * self.steps.to(odds.dtype).view(1, 1, -1, 1)).sum(2)
            answers.append(torch.cat([reach, classes(x).flatten(2).sigmoid()], 1).transpose(1, 2))
        return torch.cat(answers, 1)
