"""A cascade under load, picture by picture: queues, batches, GPUs that models share, deadlines.

A discrete-event simulation on a heap. Pictures arrive; whether one leaves after a level is drawn by the levels' shares.
Every model has one queue and a server for each copy; a server takes a batch when it is full or its first picture has
waited long enough. What is left out: the network, decoding (unless it is a stage) and the computer around the GPUs.
Equal seeds give equal results; arrivals and the ways of the pictures are drawn apart, so that two settings can be
compared on the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from natix_cascade.errors import PlanError
from natix_cascade.plan.simulate_run import Arrivals, Run, Settings
from natix_cascade.plan.stages import Stage, check_stages

__all__ = ["Arrivals", "Latency", "Queue", "Settings", "Simulated", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds from arrival to leaving."""

    mean: float
    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Pictures that wait for a model (not those it works on), and how full its batches were."""

    mean: float
    most: int
    batch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came out.

    Attributes
    ----------
    throughput : float
        Pictures a second that left, while pictures kept coming.
    latency : Latency
        Of all that arrived after the warm-up.
    utilisation : dict
        Device to the share of its time that it worked.
    queues : dict
        Model to its queue, copies together.
    under_way : float
        Pictures in the cascade, on average.
    late : float
        Share of the pictures that left at the deadline.
    leave_at : dict
        Level to the share of pictures that left after it in time.
    pictures : int
        How many these figures are made of.
    """

    throughput: float
    latency: Latency
    utilisation: dict[str, float]
    queues: dict[str, Queue]
    under_way: float
    late: float
    leave_at: dict[str, float]
    pictures: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


_TURNS = 4
"""How often all that are under way are replaced before anything counts: at first only those leave that leave early."""


def simulate(
    stages: Sequence[Stage], arrivals: Arrivals, *, pictures: int = 20_000, settings: Settings | None = None
) -> Simulated:
    """Let so many pictures through.

    Raises
    ------
    PlanError
        The shares do not fit, the arrivals have no rate, or there are too few pictures to leave a warm-up behind.
    """
    check_stages(stages)
    settings = settings or Settings()
    warm = _warm(arrivals, pictures, settings)
    run = Run(stages, arrivals, settings, pictures=pictures, warm=warm)
    run.go()
    return _result(run, stages)


def _warm(arrivals: Arrivals, pictures: int, settings: Settings) -> int:
    if arrivals.kind == "closed" and arrivals.under_way < 1:
        raise PlanError("closed arrivals need under_way: how many pictures are in the cascade at any time")
    if arrivals.kind != "closed" and arrivals.rate <= 0:
        raise PlanError(f"{arrivals.kind} arrivals need a rate above 0: pictures a second")
    if not 0 <= settings.warm_up < 1:
        raise PlanError(f"the warm-up is a share of the pictures, at least 0 and below 1, not {settings.warm_up:g}")
    turned_over = _TURNS * arrivals.under_way if arrivals.kind == "closed" else 0
    warm = max(round(settings.warm_up * pictures), turned_over)
    if pictures - warm < 2:  # noqa: PLR2004 - two moments make a time
        raise PlanError(f"{pictures} pictures are too few after a warm-up of {warm}; let more come")
    return warm


def _result(run: Run, stages: Sequence[Stage]) -> Simulated:
    counted = run.pictures[run.warm :]
    seconds = run.until - run.since
    if seconds <= 0:
        raise PlanError(f"the {len(counted)} pictures after the warm-up came all at once; let more come")
    took = np.array([picture.left - picture.came for picture in counted])
    p50, p95, p99 = np.percentile(took, [50, 95, 99]).tolist()
    return Simulated(
        throughput=run.left_within / seconds,
        latency=Latency(mean=float(took.mean()), p50=p50, p95=p95, p99=p99, most=float(took.max())),
        utilisation={device.name: device.busy.within() / seconds for device in run.devices.values()},
        queues=_queues(run, seconds),
        under_way=run.under_way.within() / seconds,
        late=sum(picture.late for picture in counted) / len(counted),
        leave_at={
            stage.name: sum(not picture.late and picture.level == level for picture in counted) / len(counted)
            for level, stage in enumerate(stages)
        },
        pictures=len(counted),
    )


def _queues(run: Run, seconds: float) -> dict[str, Queue]:
    """By model; by level and model where a model stands in several levels."""
    names = [line.name for line in run.lines]
    return {
        line.name if names.count(line.name) == 1 else f"{stage.name}:{line.name}": Queue(
            mean=line.waiting.within() / seconds,
            most=line.waiting.most,
            batch=line.taken / line.batches if line.batches else 0.0,
        )
        for stage, lines in zip(run.stages, run.levels, strict=True)
        for line in lines
    }
