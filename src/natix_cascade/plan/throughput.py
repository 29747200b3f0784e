"""How many pictures a second a cascade can judge, in closed form.

A device that works without a pause spends, on each picture that enters the cascade, the sum over its models of
(share of pictures that ask the model) / (rate of the model) / (copies of the model). No picture leaves faster than the
busiest device allows: ``throughput = 1 / largest such sum``. That is the utilisation law of queueing networks (Denning
and Buzen 1978, The Operational Analysis of Queueing Network Models, ACM Computing Surveys 10(3)): an upper bound that
holds for any arrivals and any order of service, and is met when every batch is full. Copies of a model are taken to be
asked equally often; where they stand beside unequal loads, asking the freer one more often can do better, up to
devices / `work_of`, which no way of sharing the work can exceed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from natix_cascade.errors import PlanError
from natix_cascade.plan.stages import Stage, Station, check_stages

__all__ = ["DeviceLoad", "Prediction", "floor_of", "needed_rate", "needed_reach", "predict", "work_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLoad:
    """What a picture costs one device.

    Attributes
    ----------
    seconds : float
        Of work for a picture that enters the cascade, on average.
    throughput : float or None
        Pictures a second that this device allows the whole; None where no picture needs it.
    utilisation : float
        Share of its time that it works when the whole runs as fast as it can.
    models : dict
        Model name to its part of `seconds`.
    """

    seconds: float
    throughput: float | None
    utilisation: float
    models: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a cascade can do at most.

    Attributes
    ----------
    throughput : float
        Pictures a second.
    bound_by : str
        The device that is always busy then.
    heaviest : str
        The model that takes most of that device's time.
    devices : dict
        Device name to its load.
    floor_s : float
        Mean seconds of a picture on its way through the levels if nothing ever waits: for each level its slowest
        model's time for a single picture.
    furthest_floor_s : float
        The same for a picture that reaches the last level.
    """

    throughput: float
    bound_by: str
    heaviest: str
    devices: dict[str, DeviceLoad]
    floor_s: float
    furthest_floor_s: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def predict(stages: Sequence[Stage]) -> Prediction:
    """Predict throughput, loads and the latency floor.

    Raises
    ------
    PlanError
        The shares do not fit, or no picture asks any model.
    """
    check_stages(stages)
    loads = _loads(stages)
    busiest = max(loads, key=lambda device: sum(loads[device].values()), default=None)
    if busiest is None or not (most := sum(loads[busiest].values())):
        raise PlanError("no picture asks any model, so nothing bounds the throughput; give a level a model with a rate")
    floors = [floor_of(stage) for stage in stages]
    return Prediction(
        throughput=1 / most,
        bound_by=busiest,
        heaviest=max(loads[busiest], key=lambda model: loads[busiest][model]),
        devices={device: _load(models, most) for device, models in sorted(loads.items())},
        floor_s=sum(stage.reach * floor for stage, floor in zip(stages, floors, strict=True)),
        furthest_floor_s=sum(floors),
    )


def work_of(stages: Sequence[Stage]) -> float:
    """Seconds of device time that a picture takes on average, over all devices.

    N devices can judge at most N / work pictures a second, whichever model stands where.
    """
    return sum(
        _asked(stage, station) / station.rate.per_second * _width(station)
        for stage in stages
        for station in stage.stations
    )


def floor_of(stage: Stage) -> float:
    """Mean seconds that a level takes at least, for a picture that reaches it.

    Of models asked at once the slowest (by its share times its time: no more than the mean of the maximum); of models
    asked one after the other, or of which one is asked, the sum of share times time.
    """
    parts = [station.share * station.rate.seconds(1) for station in stage.stations]
    return max(parts, default=0.0) if stage.ask == "all" else sum(parts)


def needed_reach(stages: Sequence[Stage], level: str, wanted: float) -> float | None:
    """Largest share of all pictures that may reach a level for a wanted throughput.

    Of the pictures that reach it the same part goes on to each later level as now.

    Parameters
    ----------
    stages : sequence of Stage
        The cascade.
    level : str
        Name of a level.
    wanted : float
        Pictures a second.

    Returns
    -------
    float or None
        At most the share that reaches the level before; None where even 0 would not do.

    Raises
    ------
    PlanError
        There is no such level, no picture reaches it now (then nothing says who goes on to the later ones), or nothing
        is wanted.
    """
    time = _time(wanted)
    at = next((index for index, stage in enumerate(stages) if stage.name == level), None)
    if at is None:
        raise PlanError(f"there is no level {level!r}; there are {', '.join(stage.name for stage in stages)}")
    reach = stages[at].reach
    if not reach:
        raise PlanError(f"no picture reaches level {level!r} now; give it a share, so that later levels have theirs")
    fixed, scaled = _sums(stages[:at]), _sums(stages[at:])
    limit = stages[at - 1].reach if at else 1.0
    for device in {*fixed, *scaled}:
        room = time - fixed.get(device, 0.0)
        if room < 0:
            return None
        each = scaled.get(device, 0.0) / reach
        if each:
            limit = min(limit, room / each)
    return limit


def needed_rate(stages: Sequence[Stage], model: str, wanted: float) -> float | None:
    """Pictures a second that each copy of a model would have to judge for a wanted throughput, all else as it is.

    Parameters
    ----------
    stages : sequence of Stage
        The cascade.
    model : str
        Name of a model; all roles of a card are sped up together.
    wanted : float
        Pictures a second.

    Returns
    -------
    float or None
        None where no rate would do, because the other models alone are too much for a device.

    Raises
    ------
    PlanError
        There is no such model, or nothing is wanted.
    """
    time = _time(wanted)
    own = [(_asked(stage, station), station) for stage in stages for station in stage.stations if _same(station, model)]
    if not own:
        known = sorted({station.model for stage in stages for station in stage.stations})
        raise PlanError(f"there is no model {model!r}; there are {', '.join(known)}")
    asked: dict[str, float] = defaultdict(float)
    for share, station in own:
        for devices in station.replicas:
            for device in devices:
                asked[device] += share / len(station.replicas)
    needed = 0.0
    for device, models in _loads(stages).items():
        rest = sum(seconds for name, seconds in models.items() if not _is(name, model))
        room = time - rest
        if room < 0 or (not room and asked[device]):
            return None
        if asked[device]:
            needed = max(needed, asked[device] / room)
    return needed


def _time(wanted: float) -> float:
    """Seconds between pictures."""
    if wanted <= 0:
        raise PlanError(f"a wanted throughput is above 0 pictures a second, not {wanted:g}")
    return 1 / wanted


def _asked(stage: Stage, station: Station) -> float:
    """Share of all pictures that ask a model."""
    return stage.reach * station.share


def _width(station: Station) -> float:
    """Devices of one copy, on average."""
    return sum(map(len, station.replicas)) / len(station.replicas)


def _is(name: str, model: str) -> bool:
    return model in {name, name.partition(":")[0]}


def _same(station: Station, model: str) -> bool:
    return _is(station.model, model)


def _loads(stages: Sequence[Stage]) -> dict[str, dict[str, float]]:
    """Device to model to seconds a picture."""
    loads: dict[str, dict[str, float]] = {}
    for stage in stages:
        for station in stage.stations:
            each = _asked(stage, station) / station.rate.per_second / len(station.replicas)
            for devices in station.replicas:
                for device in devices:
                    models = loads.setdefault(device, {})
                    models[station.model] = models.get(station.model, 0.0) + each
    return loads


def _sums(stages: Sequence[Stage]) -> dict[str, float]:
    return {device: sum(models.values()) for device, models in _loads(stages).items()}


def _load(models: dict[str, float], most: float) -> DeviceLoad:
    seconds = sum(models.values())
    return DeviceLoad(
        seconds=seconds,
        throughput=1 / seconds if seconds else None,
        utilisation=seconds / most,
        models=dict(sorted(models.items(), key=lambda item: -item[1])),
    )
