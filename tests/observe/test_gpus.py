"""GPUs on the metrics page, by the real bindings over a compiled stand-in of the driver's library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest
from nvml_stub import NvmlStub, missing
from service_process import ServiceProcess, eventually

SOURCE = Path(__file__).parents[2] / "src"
READ = """
import sys, time
from natix_cascade.observe.gpus import Gpus
from prometheus_client import CollectorRegistry, generate_latest
registry = CollectorRegistry()
gpus = Gpus(patience_s=float(sys.argv[1]), fresh_s=float(sys.argv[2]))
registry.register(gpus)
for line in sys.stdin:
    began = time.monotonic()
    page = generate_latest(registry).decode()
    took = time.monotonic() - began
    print(repr((took, [each for each in page.splitlines() if not each.startswith("#")])), flush=True)
"""
GPU_0 = [
    'cascade_gpu_memory_bytes{gpu_id="0"} 6.442450944e+10',
    'cascade_gpu_memory_total_bytes{gpu_id="0"} 8.589934592e+10',
    'cascade_gpu_utilization_ratio{gpu_id="0"} 0.75',
    'cascade_gpu_power_watts{gpu_id="0"} 512.5',
]
GPU_1 = [
    'cascade_gpu_memory_bytes{gpu_id="1"} 1.073741824e+10',
    'cascade_gpu_memory_total_bytes{gpu_id="1"} 8.589934592e+10',
    'cascade_gpu_utilization_ratio{gpu_id="1"} 0.05',
    'cascade_gpu_power_watts{gpu_id="1"} 70.0',
]


@pytest.fixture
def stub(tmp_path: Path) -> NvmlStub:
    reason = missing()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return NvmlStub(tmp_path / "nvml")


class Reader:
    """A process whose page is read on demand."""

    def __init__(self, environment: dict[str, str], patience_s: float, fresh_s: float, code: str = READ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(patience_s), str(fresh_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE), *sys.path[1:])), **environment},
        )

    def page(self) -> tuple[float, list[str]]:
        """Seconds that it took, and its lines without comments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        took, lines = ast.literal_eval(self._process.stdout.readline())
        return took, lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


def test_each_gpu_is_shown(stub: NvmlStub) -> None:
    with Reader(stub.env, 10, 60) as reader:
        assert sorted(reader.page()[1]) == sorted(GPU_0 + GPU_1)
        stub.does("plain")
        used = [  # 61 and 11 GiB
            'cascade_gpu_memory_bytes{gpu_id="0"} 6.5498251264e+10',
            'cascade_gpu_memory_bytes{gpu_id="1"} 1.1811160064e+10',
        ]
        assert sorted(reader.page()[1]) == sorted([*used, GPU_0[1], GPU_1[1]])
        stub.does("one")
        assert sorted(reader.page()[1]) == sorted(GPU_0)
        stub.does("well")
        assert sorted(reader.page()[1]) == sorted(GPU_0 + GPU_1)


def test_a_driver_that_hangs_costs_a_moment_and_the_last_reading_is_shown_for_a_while(stub: NvmlStub) -> None:
    with Reader(stub.env, 0.5, 3.0) as reader:
        eventually(lambda: len(reader.page()[1]) == 8)
        stub.does("hang")
        for _ in range(3):
            took, lines = reader.page()
            assert took < 1.5
            assert len(lines) == 8
        time.sleep(3.0)
        assert reader.page()[1] == []
        stub.does("well")
        eventually(lambda: len(reader.page()[1]) == 8)


def test_without_a_driver_there_is_nothing(stub: NvmlStub, tmp_path: Path) -> None:
    stub.does("absent")
    with Reader(stub.env, 10, 60) as reader:
        assert reader.page()[1] == []
        stub.does("well")
        assert reader.page()[1] == [], "it is not tried at every page"
    with Reader({"LD_LIBRARY_PATH": str(tmp_path)}, 10, 60) as reader:
        assert reader.page()[1] == []


def test_without_the_package_there_is_nothing() -> None:
    code = "import sys; sys.modules['pynvml'] = None\n" + READ
    with Reader({}, 10, 60, code) as reader:
        assert reader.page()[1] == []


def test_every_worker_of_a_service_shows_them(stub: NvmlStub, tmp_path: Path) -> None:
    scripted = ("--loader", "serve_loaders:scripted", "--cascade", "bright", "--workers", "2")
    service = ServiceProcess(tmp_path / "service", *scripted, env=stub.env).start()
    try:

        def shown() -> bool:
            with service.client() as client:
                return all(line in client.get("/metrics").text for line in GPU_0 + GPU_1)

        for _ in range(5):
            eventually(shown)
    finally:
        service.stop()
