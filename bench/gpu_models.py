"""Pictures per second and latency of the catalogue's in-process models on one GPU, full size, random weights.

Every network is built from its public configuration (gpu_zoo.py) in bfloat16; DETRs in float32 under autocast, since
positions in bfloat16 give no finite answers. Inputs lie on the GPU already: decoding and resizing are not counted.

Modes: `eager` calls the module; `graph` replays a CUDA graph of the same call; `compile` is torch.compile for that
shape; `compile+graph` replays a CUDA graph of the compiled module. A figure is the median of repeated calls between
CUDA events after warm-up. Memory is the peak that was allocated, weights included.

Checked: all outputs are finite; eager against float32 and the other modes against eager, as the norm of the difference
over the norm (DETRs: of the queries' best logits, sorted, since which query is which depends on rounding).

A size is pictures' height and width; `own` marks the input that the network was made for, which is what a cascade
feeds it whatever the picture's size. Other sizes are rounded to what the network can take.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpu_report import RESULTS, Report, machine
from gpu_zoo import ZOO, Entry, Inputs, Size

SIZES: tuple[Size, ...] = ((224, 224), (448, 640))
COMPILED = (32,)
TOLERANCE = 0.05
"""Relative difference between modes that bfloat16 explains: about ten roundings of 2^-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, on what, for how long."""

    device: str
    batches: tuple[int, ...]
    modes: tuple[str, ...]
    seconds: float
    until: float

    def late(self) -> bool:
        """Whether the time for the whole run is used up."""
        return time.monotonic() > self.until


def main() -> None:
    """Compile ahead in parallel if asked, then measure one network after the other."""
    options = _options()
    chosen = [entry for entry in ZOO if not options.only or entry.name in options.only.split(",")]
    torch.set_grad_enabled(False)
    plan = Plan(
        device=options.device,
        batches=tuple(int(text) for text in options.batches.split(",")),
        modes=tuple(options.modes.split(",")),
        seconds=options.seconds,
        until=time.monotonic() + options.budget,
    )
    if options.compile_only:
        _compile(chosen[0], plan)
        return
    if options.ahead:
        began = time.monotonic()
        _compile_ahead([entry for entry in chosen if entry.graphs], options)
        print(f"compiled ahead in {time.monotonic() - began:.0f} s", flush=True)
    report = Report(options.out, __doc__, machine())
    for entry in chosen:
        try:
            _measure(entry, plan, report)
        except Exception as error:  # noqa: BLE001 - one network's failure is a row, the others go on
            report.add(model=entry.name, failed=_line(error))
        _clean()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", default="1,32,256")
    parser.add_argument("--modes", default="eager,graph,compile")
    parser.add_argument("--only", default="", help="names, comma between")
    parser.add_argument("--seconds", type=float, default=0.4, help="for one figure")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which nothing new is begun")
    parser.add_argument("--ahead", type=int, default=0, help="processes that compile before anything is timed")
    parser.add_argument("--compile-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu_models.json")
    return parser.parse_args()


def _compile_ahead(entries: list[Entry], options: argparse.Namespace) -> None:
    """Fill the compiler's cache on disk with several processes: compiling is a matter of CPU cores."""
    waiting, running = list(entries), list[subprocess.Popen[bytes]]()
    until = time.monotonic() + options.budget
    while waiting or running:
        running = [process for process in running if process.poll() is None]
        while waiting and len(running) < options.ahead:
            name = waiting.pop(0).name
            command = [sys.executable, __file__, "--compile-only", "--only", name, "--device", options.device]
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        if time.monotonic() > until:
            waiting.clear()
            for process in running:
                process.kill()
        time.sleep(0.2)


def _compile(entry: Entry, plan: Plan) -> None:
    module = _place(entry, plan.device)
    for size, _ in _sizes(entry):
        for batch in COMPILED:
            try:
                with _precision(entry, plan.device):
                    _compiled(module)(**_inputs(entry, batch, size, plan.device))
            except RuntimeError as error:
                print(f"{entry.name} {size} {batch}: {_line(error)}", flush=True)
            torch.compiler.reset()


def _measure(entry: Entry, plan: Plan, report: Report) -> None:
    torch.manual_seed(0)
    began = time.monotonic()
    module = _place(entry, plan.device)
    millions = sum(weight.numel() for weight in module.parameters()) / 1e6
    report.add(model=entry.name, note=entry.note, parameters_millions=millions, build_s=time.monotonic() - began)
    for size, own in _sizes(entry):
        about = {"model": entry.name, "height": size[0], "width": size[1], "own": own}
        if (size[0] // 16) * (size[1] // 16) < entry.places:
            report.add(**about, skipped=f"fewer places than the {entry.places} queries that are chosen among them")
            continue
        for batch in plan.batches:
            if plan.late():
                report.add(**about, batch=batch, skipped="the time for this run was used up")
                continue
            for row in _cell(entry, module, plan, batch, size):
                report.add(**about, batch=batch, **row)
            _clean()


def _cell(entry: Entry, module: nn.Module, plan: Plan, batch: int, size: Size) -> Iterator[dict[str, Any]]:
    """Rows of one network, one size and one batch: a figure or the reason for none, mode by mode."""
    inputs = _inputs(entry, batch, size, plan.device)
    expected: Tensor | None = None
    for mode in plan.modes:
        if mode != "eager" and (not entry.graphs or expected is None):
            continue
        if mode == "compile" and batch not in COMPILED:
            continue
        try:
            began = time.monotonic()
            for name, call in _ready(entry, module, mode, inputs, plan.device):
                prepared = time.monotonic() - began
                got = call().float().clone()
                expected = got if expected is None else expected
                yield {
                    "mode": name,
                    **_timed(call, batch, plan),
                    "finite": bool(torch.isfinite(got).all()),
                    "difference": (difference := float((got - expected).norm() / expected.norm())),
                    "agrees": difference <= TOLERANCE,
                    "prepared_s": prepared,
                    **(
                        {"against_float32": _against_float32(entry, module, inputs, plan.device)}
                        if batch == 1 and name == "eager"
                        else {}
                    ),
                }
        except torch.OutOfMemoryError:
            yield {"mode": mode, "skipped": "out of the GPU's memory"}
        except Exception as error:  # noqa: BLE001 - a mode that does not work is a row too
            yield {"mode": mode, "skipped": _line(error)}
        _clean()


def _ready(
    entry: Entry, module: nn.Module, mode: str, inputs: Inputs, device: str
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Calls of a mode, warmed up: compiling gives two, with and without a graph."""
    call = _bound(entry, _compiled(module) if mode == "compile" else module, inputs, device)
    for _ in range(3):
        call()
    if mode in {"eager", "compile"}:
        yield mode, call
    if mode in {"graph", "compile"}:
        yield ("graph" if mode == "graph" else "compile+graph"), _recorded(call)
    if mode == "compile":
        torch.compiler.reset()


def _bound(entry: Entry, module: nn.Module, inputs: Inputs, device: str) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with _precision(entry, device):
            return module(**inputs)

    return call


def _recorded(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        output = call()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def _timed(call: Callable[[], Tensor], batch: int, plan: Plan) -> dict[str, float]:
    """Median milliseconds of a call, pictures per second, and the peak of memory."""
    if plan.device != "cuda":
        began = time.perf_counter()
        call()
        middle = (time.perf_counter() - began) * 1000
        return {"ms": middle, "pictures_per_s": batch / middle * 1000, "calls": 1}
    torch.cuda.reset_peak_memory_stats()
    first = _event_ms(call)
    count = int(min(max(plan.seconds * 1000 / first, 3), 50))
    middle = statistics.median(_event_ms(call) for _ in range(count))
    memory = torch.cuda.max_memory_allocated() / 2**30
    return {"ms": middle, "pictures_per_s": batch / middle * 1000, "calls": count, "memory_gib": memory}


def _event_ms(call: Callable[[], Tensor]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


def _against_float32(entry: Entry, module: nn.Module, inputs: Inputs, device: str) -> float | None:
    """How far the answers are from float32's; none for words, where one other word changes all that follow."""
    if entry.name == "florence-2-large":
        return None
    low = _bound(entry, module, inputs, device)().float()
    kept = {name: weight.dtype for name, weight in module.named_parameters()}
    module.float()
    high = module(
        **{name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}
    ).float()
    if torch.bfloat16 in kept.values():
        module.bfloat16()
    return float((low - high).norm() / high.norm())


def _place(entry: Entry, device: str) -> nn.Module:
    with torch.device(device):
        module = entry.build().eval()
    module = module.to(device)
    return module if entry.mixed else module.bfloat16()


def _sizes(entry: Entry) -> Iterator[tuple[Size, bool]]:
    sizes = [entry.own]
    if entry.step:
        sizes += [(_fit(height, entry.step), _fit(width, entry.step)) for height, width in SIZES]
    for size in dict.fromkeys(sizes):
        yield size, size == entry.own


def _fit(side: int, step: int) -> int:
    return max(round(side / step), 1) * step


def _inputs(entry: Entry, batch: int, size: Size, device: str) -> Inputs:
    made = entry.inputs(batch, *size)
    kind = torch.float32 if entry.mixed else torch.bfloat16
    return {k: v.to(device, kind) if v.is_floating_point() else v.to(device) for k, v in made.items()}


def _precision(entry: Entry, device: str) -> AbstractContextManager[object]:
    if not entry.mixed:
        return nullcontext()
    return torch.autocast(device, torch.bfloat16, cache_enabled=False)


def _compiled(module: nn.Module) -> Any:
    return torch.compile(module, dynamic=False)


def _clean() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


if __name__ == "__main__":
    main()
