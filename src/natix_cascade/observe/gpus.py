"""GPU memory, load and power for the metrics page, by NVML; nothing where there is no NVIDIA driver.

NVML is the driver's: it may be absent, fail for one GPU, or hang. It is read in a thread of its own while the page is
made; what it does not say in time is taken from the last reading.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

__all__ = ["Gpus"]

_PATIENCE_S = 0.5  # that a page waits
_FRESH_S = 60.0  # older readings are not shown
_AGAIN_S = 60.0  # after the driver could not be opened
_WHAT: Final = {
    "memory_bytes": "GPU memory in use, in bytes",
    "memory_total_bytes": "GPU memory, in bytes",
    "utilization_ratio": "Share of the last moment in which the GPU computed",
    "power_watts": "Power that the GPU draws, in watts",
}


def _used(nvml: Any, gpu: Any) -> float:
    """As nvidia-smi counts: without what the driver keeps for itself, where it tells the two apart."""
    try:
        found = nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2).used
    except (nvml.NVMLError, TypeError, AttributeError):  # an older driver, or an older package
        found = nvml.nvmlDeviceGetMemoryInfo(gpu).used
    return float(found)


_QUESTIONS: Final[dict[str, Callable[[Any, Any], float]]] = {
    "memory_bytes": _used,
    "memory_total_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    "utilization_ratio": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "power_watts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
}
_log = logging.getLogger("natix_cascade.observe")

Reading = dict[str, dict[str, float]]
"""Name of the metric, to the GPU's index, to the value."""


class Gpus:
    """A collector of prometheus_client: ``cascade_gpu_*`` with the label ``gpu_id``, NVML's index.

    Parameters
    ----------
    patience_s : float
        How long `collect` waits for NVML.
    fresh_s : float
        How long the last reading is shown while NVML does not answer.
    """

    def __init__(self, patience_s: float = _PATIENCE_S, fresh_s: float = _FRESH_S) -> None:
        self._patience, self._fresh = patience_s, fresh_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._nvml: Any = None
        self._next = 0.0  # when it may be opened
        self._last: tuple[float, Reading] = (0.0, {})

    def describe(self) -> Iterable[Metric]:
        """Nothing: which of them there are depends on the machine."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gauges of all GPUs; never raises, and waits no longer than it may."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # one that hangs is not joined by another
                self._thread = threading.Thread(target=self._read, name="natix-gpus", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(self._patience)
        taken, reading = self._last
        if time.monotonic() - taken > self._fresh:
            return
        for name, by_gpu in reading.items():
            family = GaugeMetricFamily(f"cascade_gpu_{name}", _WHAT[name], labels=["gpu_id"])
            for gpu, value in by_gpu.items():
                family.add_metric([gpu], value)
            yield family

    def _read(self) -> None:
        try:
            nvml = self._nvml or self._open()
            if nvml is not None:
                self._last = (time.monotonic(), _reading(nvml))
        except Exception as error:  # noqa: BLE001  # whatever a driver does, the page is shown
            _log.debug("the GPUs cannot be read: %s", error)

    def _open(self) -> Any:
        """The module pynvml with the driver opened; None: not to be had, now or ever."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _AGAIN_S
        try:
            nvml = importlib.import_module("pynvml")  # the extra gpu-metrics
            nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001  # no package, no driver, or one that cannot be used
            _log.debug("no GPUs are shown: %s", error)
            if isinstance(error, ImportError):
                self._next = float("inf")
            return None
        self._nvml = nvml
        return nvml


def _reading(nvml: Any) -> Reading:
    """What each GPU says; one that fails, or does not know something, is left out there."""
    found: Reading = {name: {} for name in _QUESTIONS}
    for gpu in range(nvml.nvmlDeviceGetCount()):
        for name, question in _QUESTIONS.items():
            try:
                found[name][str(gpu)] = float(question(nvml, nvml.nvmlDeviceGetHandleByIndex(gpu)))
            except nvml.NVMLError as error:
                _log.debug("GPU %d does not tell its %s: %s", gpu, name, error)
    return {name: by_gpu for name, by_gpu in found.items() if by_gpu}
