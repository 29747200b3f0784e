"""The GPU lines of the service's metrics page on this machine, and how long they take; for a machine with a GPU.

Run as ``python bench/gpu_metrics.py`` with nvidia-ml-py, and prometheus-client; ``--work`` (needs torch) lets GPU 0
compute meanwhile, so that memory, use and power can be compared with what nvidia-smi says.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from prometheus_client import CollectorRegistry, generate_latest

from natix_cascade.observe.gpus import Gpus

_PAGES = 200
_FIELDS = "index,memory.used,memory.total,utilization.gpu,power.draw"


def _work(begun: threading.Event, over: threading.Event) -> None:
    import torch

    one = torch.randn(8192, 8192, device="cuda:0", dtype=torch.bfloat16)
    while not over.is_set():
        one @ one
        torch.cuda.synchronize()
        begun.set()


def main() -> int:
    """Print the lines, nvidia-smi's words beside them, and the times of pages; 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", action="store_true", help="let GPU 0 compute meanwhile")
    options = parser.parse_args()
    begun, over = threading.Event(), threading.Event()
    if options.work:
        threading.Thread(target=_work, args=(begun, over), daemon=True).start()
        begun.wait(120)
        time.sleep(2)  # the driver's figure is of the last moment
    registry = CollectorRegistry()
    registry.register(Gpus(patience_s=20))  # the first page waits for the driver: its time is of interest
    took = []
    page = ""
    for _ in range(_PAGES + 1):
        began = time.perf_counter()
        page = generate_latest(registry).decode()
        took.append((time.perf_counter() - began) * 1000)
    print(page or "no GPU, no driver or no nvidia-ml-py")
    later = sorted(took[1:])
    print(f"first page {took[0]:.1f} ms; later: median {statistics.median(later):.2f} ms, longest {later[-1]:.2f} ms")
    program = shutil.which("nvidia-smi")
    if program is not None:
        subprocess.run([program, f"--query-gpu={_FIELDS}", "--format=csv"], check=False)
    over.set()
    return 0 if page else 1


if __name__ == "__main__":
    sys.exit(main())
