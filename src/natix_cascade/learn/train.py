"""Training one network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the field's name for it
from numpy.typing import NDArray
from torch import Tensor

from natix_cascade.learn.augment import AugmentSettings, augment_batch, boxes_on_map
from natix_cascade.learn.data import Pictures
from natix_cascade.learn.network import Pool, RoadNet, backbone_file

__all__ = ["NetworkSettings", "Teacher", "TrainSettings", "build", "teach", "train"]

Teacher = Callable[[Tensor], Tensor]
"""Views ``(n, 3, 224, 224)`` to soft labels ``(n,)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Which network, and the side of its input in pixels."""

    size: int = 0
    pool: Pool = "log-sum-exp"
    blocks: int | None = None
    side: int = 224
    drop: float = 0.3
    stochastic_depth: float = 0.2

    @property
    def stride(self) -> int:
        """Pixels for one cell of the heat map."""
        return 32 if self.blocks is None else 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is trained.

    Attributes
    ----------
    steps, batch : int
        Length.
    rate, decay : float
        AdamW's learning rate (one-cycle; the evidence layer learns three times as fast) and weight decay.
    composites : float
        Share of a batch that is composited.
    heat : float
        Weight of the loss on the heat map, where boxes are known.
    smoothing : float
        Of labels.
    teacher : float
        Weight of the teacher's soft labels against the labels, when there is a teacher.
    augment : AugmentSettings
        Views.
    seed : int
        Of everything random.
    """

    steps: int = 1500
    batch: int = 96
    rate: float = 6e-4
    decay: float = 0.05
    composites: float = 0.35
    heat: float = 0.3
    smoothing: float = 0.05
    teacher: float = 0.8
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    seed: int = 0


def build(settings: NetworkSettings, *, image_size: int | None = None) -> RoadNet:
    """A network of these settings; its weights are random. `image_size` is needed for export only."""
    return RoadNet(
        settings.size,
        pool=settings.pool,
        blocks=settings.blocks,
        image_size=image_size,
        drop=settings.drop,
        stochastic_depth=settings.stochastic_depth,
    )


def _pretrained(settings: NetworkSettings) -> RoadNet:
    network = build(settings)
    network.load_backbone(torch.load(backbone_file(settings.size), map_location="cpu", weights_only=True))
    return network


def train(  # one loop, read from top to bottom
    network: NetworkSettings,
    settings: TrainSettings,
    real: Pictures,
    chances: NDArray[np.float64],
    rendered: Pictures,
    *,
    device: str,
    teacher: Teacher | None = None,
    start: RoadNet | None = None,
    on_step: Callable[[int, float, float], None] | None = None,
) -> RoadNet:
    """Train one network; the result is the running mean of the weights (EMA).

    Parameters
    ----------
    network, settings
        What and how.
    real, rendered : Pictures
        Photographs, and photographs with rendered objects; on the device.
    chances : NDArray
        ``(n,)`` chance of each photograph.
    start : RoadNet or None
        Trained weights to begin with instead of ImageNet's.
    teacher : callable or None
        Gives soft labels for the very views that the network sees.
    on_step : callable or None
        Called with step, loss and seconds.
    """
    torch.manual_seed(settings.seed)
    generator = torch.Generator(device=device).manual_seed(settings.seed)
    model = (start or _pretrained(network)).to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer, schedule = _optimizer(model, settings)
    mean = _Ema(model)
    probability = torch.tensor(chances, dtype=torch.float32, device=device)
    cells = math.ceil(network.side / network.stride)
    from_rendered = round(settings.batch * settings.composites)
    began = time.perf_counter()
    for step in range(settings.steps):
        index = torch.multinomial(probability, settings.batch - from_rendered, replacement=True, generator=generator)
        other = torch.randint(len(rendered.labels), (from_rendered,), device=device, generator=generator)
        with torch.no_grad():
            views, affine = augment_batch(
                torch.cat([real.canvas[index], rendered.canvas[other]]),
                torch.cat([real.sizes[index], rendered.sizes[other]]),
                settings.augment,
                generator=generator,
            )
            seen = boxes_on_map(affine[len(index) :], rendered.boxes[other], cells)
            known = rendered.known[other]
            labels = torch.where(known, seen.flatten(1).amax(1), rendered.labels[other])
            targets = torch.cat([real.labels[index], labels]) * (1 - 2 * settings.smoothing) + settings.smoothing
            if teacher is not None:
                targets = settings.teacher * teacher(views) + (1 - settings.teacher) * targets
            pixels = _to_side(views, network.side).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logit, heat = model(pixels)
        loss = F.binary_cross_entropy_with_logits(logit.float(), targets)
        if settings.heat and from_rendered:
            loss = loss + settings.heat * _heat_loss(heat[len(index) :].float(), seen, known)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        mean.update(step)
        if on_step is not None:
            on_step(step, float(loss.detach()), time.perf_counter() - began)
    return mean.into(model).eval()


def teach(students: Sequence[tuple[RoadNet, int]]) -> Teacher:
    """The mean log-odds of trained networks (each with its side in pixels) as a teacher."""

    def answer(views: Tensor) -> Tensor:
        logits = [
            model(_to_side(views, side).contiguous(memory_format=torch.channels_last))[0].float()
            for model, side in students
        ]
        return torch.stack(logits).mean(0).sigmoid()

    return answer


def _to_side(views: Tensor, side: int) -> Tensor:
    if side == views.shape[-1]:
        return views
    return F.interpolate(views, size=side, mode="bilinear", align_corners=False, antialias=side < views.shape[-1])


def _heat_loss(heat: Tensor, seen: Tensor, known: Tensor) -> Tensor:
    weight = torch.tensor(3.0, device=heat.device)
    by_cell = F.binary_cross_entropy_with_logits(heat, seen, pos_weight=weight, reduction="none")
    return (by_cell.mean((1, 2)) * known).mean()


def _optimizer(
    model: RoadNet, settings: TrainSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    head = list(model.evidence.parameters())
    backbone = [p for p in model.parameters() if all(p is not one for one in head)]
    rates = [settings.rate, 3 * settings.rate]
    optimizer = torch.optim.AdamW(
        [{"params": backbone, "lr": rates[0]}, {"params": head, "lr": rates[1]}], weight_decay=settings.decay
    )
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, settings.steps, pct_start=0.1)


class _Ema:
    """Running mean of all weights and statistics."""

    def __init__(self, model: RoadNet) -> None:
        state = model.state_dict()
        self._state = state
        self._keys = [key for key, value in state.items() if value.dtype.is_floating_point]
        self._mean = [state[key].detach().clone() for key in self._keys]

    def update(self, step: int) -> None:
        torch._foreach_lerp_(self._mean, [self._state[key] for key in self._keys], min(0.01, 1 / (step + 1)))  # type: ignore[attr-defined]

    def into(self, model: RoadNet) -> RoadNet:
        model.load_state_dict(model.state_dict() | dict(zip(self._keys, self._mean, strict=True)))
        return model
