"""GPUs of the machines that serve: memory, use, power."""

from __future__ import annotations

from typing import Any

from grafana_board import board, values_of
from grafana_panels import View, number, trend
from grafana_queries import gauge, rate, ratio

__all__ = ["dashboard"]

_GPU = 'gpu_id=~"$gpu"'
_NAME = "{{instance}} GPU {{gpu_id}}"
_USED, _ALL = gauge("gpu_memory_bytes", _GPU), gauge("gpu_memory_total_bytes", _GPU)
_BUSY, _POWER = gauge("gpu_utilization_ratio", _GPU), gauge("gpu_power_watts", _GPU)
_NEEDS = "Needs natix-cascade[gpu-metrics] and NVIDIA's driver."


def dashboard() -> Any:
    """Build it."""
    gpu = values_of("gpu", "gpu_id", "gpu_memory_total_bytes", "GPUs, by NVML's index on their machine")
    rows = {"Now": _now(), "Memory": _memory(), "Use and power": _use()}
    about = f"Memory, use and power of all GPUs of the machines, by whatever process. {_NEEDS}"
    return board("GPUs", about, [gpu], rows)


def _now() -> list[Any]:
    size = (6, 5)
    return [
        number(
            View(
                title="GPUs",
                about=f"Chosen GPUs that are seen. Fewer than there are: one is lost, or the driver hangs. {_NEEDS}",
                queries={"GPUs": f"count({_ALL})"},
                unit="short",
                size=size,
                limits=(1,),
                low=True,
                decimals=0,
            )
        ),
        number(
            View(
                title="Fullest",
                about="Memory in use at the fullest of the chosen GPUs. Above 95 % an alert fires: the next large "
                "batch fails. nvidia-smi names the processes.",
                queries={"fullest": f"max({_share()})"},
                unit="percentunit",
                size=size,
                limits=(0.9, 0.95),
            )
        ),
        number(
            View(
                title="Power",
                about="What all chosen GPUs draw together.",
                queries={"power": f"sum({_POWER})"},
                unit="watt",
                size=size,
            )
        ),
        number(
            View(
                title="Energy per picture",
                about="Power of the chosen GPUs for each verdict a second. Other processes of these GPUs count too; a "
                "rise at the same use: more pictures reach late levels.",
                queries={"a picture": ratio(f"sum({_POWER})", rate("verdicts_total"))},
                unit="joule",
                size=size,
                to="overview",
            )
        ),
    ]


def _memory() -> list[Any]:
    return [
        trend(
            View(
                title="Memory in use",
                about="Share of each GPU's memory. Dashed: 90 %, and the alert at 95 %. Servers such as vLLM take a "
                "fixed share at their start; what grows is a leak or a second process.",
                queries={_NAME: _share()},
                unit="percentunit",
                size=(12, 8),
                limits=(0.9, 0.95),
                most=1,
            )
        ),
        trend(
            View(
                title="Memory, in bytes",
                about="In use, and what there is. A model that is to be placed needs room between the two: see "
                "natix-cascade place.",
                queries={f"{_NAME} in use": _USED, f"{_NAME} in all": _ALL},
                unit="bytes",
                size=(12, 8),
            )
        ),
    ]


def _use() -> list[Any]:
    return [
        trend(
            View(
                title="Use",
                about="Share of the last moment in which the GPU computed. Low while pictures wait (see Models): "
                "larger batches or more replicas; at 100 %: it is what limits the service, or batches are small.",
                queries={_NAME: _BUSY},
                unit="percentunit",
                size=(12, 8),
                most=1,
                to="models",
            )
        ),
        trend(
            View(
                title="Power, by GPU",
                about="Watts that each GPU draws. Far below its limit at full use: it waits for memory or for the CPU.",
                queries={_NAME: _POWER},
                unit="watt",
                size=(12, 8),
            )
        ),
    ]


def _share() -> str:
    return f"{_USED} / ({_ALL} > 0)"
