"""Where the time of a server goes: cores per process, the GPU's use, the server's own histograms, sampled stacks."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Self

_SUMS = ("request_queue_time_seconds", "request_prefill_time_seconds", "e2e_request_latency_seconds")


class Watch:
    """Cores that every process of a server used, and the share of time in which the GPU computed.

    Parameters
    ----------
    pid : int
        The server's first process.
    port : int
        Where its metrics are read.
    """

    def __init__(self, pid: int, port: int) -> None:
        self._pid, self._port = pid, port
        self._busy: list[int] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._cpu = cpu_seconds(self._pid)
        self._sums = sums(self._port)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        wall = time.monotonic() - self._began
        after = cpu_seconds(self._pid)
        used = {name: round((value - self._cpu.get(name, 0.0)) / wall, 2) for name, value in after.items()}
        later = sums(self._port)
        deltas = {name: later.get(name, 0.0) - self._sums.get(name, 0.0) for name in later}
        self.found: dict[str, Any] = {
            "cores": {name: value for name, value in used.items() if value >= 0.02},
            "gpu_busy_percent": round(sum(self._busy) / len(self._busy), 1) if self._busy else None,
            "server_ms": {
                name: round(deltas[f"{name}_sum"] / deltas[f"{name}_count"] * 1000, 1)
                for name in _SUMS
                if deltas.get(f"{name}_count")
            },
        }

    def _sample(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            card = pynvml.nvmlDeviceGetHandleByIndex(0)
        except (ImportError, OSError, RuntimeError):
            return
        except Exception:  # noqa: BLE001 - NVML's own errors where there is no GPU
            return
        while not self._over.wait(0.05):
            self._busy.append(int(pynvml.nvmlDeviceGetUtilizationRates(card).gpu))


def family(pid: int) -> dict[int, str]:
    """A process and its descendants, by what they call themselves."""
    import psutil

    try:
        first = psutil.Process(pid)
        found = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    names = {}
    for process in found:
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        title = line[0] if len(line) == 1 else Path(line[0]).name if line else "?"
        names[process.pid] = title.strip()
    return names


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds so far of every process of a family."""
    import psutil

    used = {}
    for number, name in family(pid).items():
        try:
            times = psutil.Process(number).cpu_times()
        except psutil.Error:
            continue
        used[f"{name} ({number})"] = times.user + times.system
    return used


def sums(port: int) -> dict[str, float]:
    """Sums and counts of the server's histograms of time."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: Counter[str] = Counter()
    for name, value in re.findall(r"^vllm:(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", text, re.MULTILINE):
        if name.startswith(_SUMS) and name.endswith(("_sum", "_count")):
            found[name] += float(value)  # type: ignore[assignment]
    return dict(found)


def stacks(pid: int, seconds: int, out: Path) -> dict[str, Any] | None:
    """Sample a process's stacks with py-spy, where it is installed; return the functions that were on them most."""
    tool = shutil.which("py-spy")
    if tool is None:
        return None
    command = [tool, "record", "-p", str(pid), "-d", str(seconds), "-r", "100", "-f", "raw", "-t", "-o", str(out)]
    ended = subprocess.run([*command, "--nonblocking"], capture_output=True, check=False, timeout=seconds + 30)
    if ended.returncode or not out.is_file():
        return {"failed": ended.stderr.decode(errors="replace")[-300:]}
    return folded(out.read_text(encoding="utf-8"))


def folded(text: str, top: int = 30) -> dict[str, Any]:
    """Shares of samples by thread, by innermost function, and by functions anywhere on the stack."""
    threads, inner, anywhere = Counter[str](), Counter[str](), Counter[str]()
    total = 0
    for line in text.splitlines():
        stack, _, number = line.rpartition(" ")
        if not number.isdigit():
            continue
        count = int(number)
        total += count
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        threads[frames[0]] += count
        inner[frames[-1]] += count
        for frame in set(frames[1:]):
            anywhere[frame] += count
    return {
        "samples": total,
        "threads": _shares(threads, total, 8),
        "innermost": _shares(inner, total, top),
        "anywhere": _shares(anywhere, total, 2 * top),
    }


def _shares(counts: Counter[str], total: int, top: int) -> dict[str, float]:
    return {name: round(count / max(total, 1), 3) for name, count in counts.most_common(top)}
