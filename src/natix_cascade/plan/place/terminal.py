"""A placement in a terminal: a table and a bar for each GPU, who sleeps, who stays out."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from natix_cascade.plan.place.result import GpuUse, Placement
from natix_cascade.plan.place.wording import KINDS, gb, headline, parts_of

__all__ = ["show"]

_BAR = 72
_LOOKS = {
    "weights": ("█", "blue"),
    "kv": ("▓", "yellow"),
    "activations": ("▒", "green"),
    "graphs": ("▒", "magenta"),
    "reserve": ("░", "bright_black"),
    "room": ("/", "cyan"),
    "free": ("·", "bright_black"),
}


def show(placement: Placement, screen: Console) -> None:
    """Print it."""
    screen.print(headline(placement))
    for gpu in placement.gpus:
        screen.print()
        screen.print(_gpu(placement, gpu))
    screen.print()
    for line in _rest(placement):
        screen.print(line)


def _gpu(placement: Placement, gpu: GpuUse) -> RenderableType:
    usable = gpu.memory - gpu.fragmentation
    title = f"GPU {gpu.index}  {gpu.name}: {gb(usable - gpu.free)} of {gb(usable)} GB, {gb(gpu.free)} free"
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for name in ("model", "at", "part", "weights", "KV", "activ.", "graphs", "rest", "GB"):
        grid.add_column(name, justify="left" if name in {"model", "at"} else "right", overflow="fold")
    for item in placement.on(gpu.index):
        parts = parts_of(item)
        shared = f" ({len(item.gpus)} GPUs)" if len(item.gpus) > 1 else ""
        fraction = "" if item.memory_fraction is None else f"{item.memory_fraction:.3f}"
        grid.add_row(
            f"{item.model}{shared}{'*' if item.asleep else ''}",
            item.precision,
            fraction,
            *(gb(parts[kind]) if parts[kind] else "" for kind in KINDS),
            gb(item.on_gpu),
        )
    more = [f"process of the models without a server {gb(gpu.process)} GB"] if gpu.process else []
    more += [f"* asleep; room to wake a sleeper {gb(gpu.room)} GB"] if gpu.room else []
    return Group(grid, *([f" {'; '.join(more)}"] if more else []), _bar(placement, gpu))


def _bar(placement: Placement, gpu: GpuUse) -> Text:
    total = dict.fromkeys(KINDS, 0)
    for item in placement.on(gpu.index):
        for kind, count in parts_of(item).items():
            total[kind] += count
    total["reserve"] += gpu.process + gpu.fragmentation
    total |= {"room": gpu.room, "free": gpu.free}
    bar, at, drawn = Text(), 0, 0
    for kind, count in total.items():
        at += count
        until = round(_BAR * at / gpu.memory)
        sign, colour = _LOOKS[kind]
        bar.append(sign * (until - drawn), colour)
        drawn = until
    keys = Text("\n")
    for kind, (sign, colour) in _LOOKS.items():
        keys.append(sign, colour).append(f" {kind}  ")
    return bar + keys


def _rest(placement: Placement) -> Iterator[RenderableType]:
    on_cpu = [item for item in placement.placed if not item.gpus]
    if on_cpu:
        yield f"on the CPU: {', '.join(f'{item.model} {gb(item.host)} GB' for item in on_cpu)}"
    asleep = [item for item in placement.placed if item.asleep]
    if asleep:
        names = ", ".join(f"{item.model} at {item.precision} ({gb(item.host)} GB)" for item in asleep)
        yield f"asleep in the host's RAM: {names}"
    yield f"host RAM: {gb(placement.host)} of {gb(placement.host_usable)} GB"
    for out in placement.left_out:
        needs = out.need.text if out.need else "a larger machine"
        yield f"left out: {out.model}{' (required)' if out.required else ''}; it needs {needs}"
    proof = "nothing is worth more" if placement.status == "optimal" else f"within {placement.gap:.3%} of the best"
    yield f"value {placement.value:g} ({proof}), from the {placement.worth}; solved in {placement.seconds:.1f} s"
    if placement.accuracy is not None:
        yield f"accuracy on the records with these models: {placement.accuracy:.4f}"
    if placement.pictures_per_second is not None:
        yield f"{placement.pictures_per_second:,.1f} pictures/s, bound by the busiest GPU"
    for note in placement.notes:
        yield f"note: {note}"
