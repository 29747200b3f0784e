"""Which models fit on which GPUs, at which precision, and what sleeps or stays out."""

from __future__ import annotations

from natix_cascade.plan.place.check import check
from natix_cascade.plan.place.machine import Gpu, Machine, read_machine
from natix_cascade.plan.place.placer import place
from natix_cascade.plan.place.result import GpuUse, LeftOut, Need, Placed, Placement
from natix_cascade.plan.place.wish import Wish

__all__ = [
    "Gpu",
    "GpuUse",
    "LeftOut",
    "Machine",
    "Need",
    "Placed",
    "Placement",
    "Wish",
    "check",
    "place",
    "read_machine",
]
