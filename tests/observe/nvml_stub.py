"""A compiled stand-in for the driver's libnvidia-ml.so.1, for machines without a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("nvml_stub.c")


def missing() -> str | None:
    """Why there can be none here; None: there can."""
    if importlib.util.find_spec("pynvml") is None:
        return "needs nvidia-ml-py: pip install 'natix-cascade[gpu-metrics]'"
    return None if shutil.which("gcc") else "needs gcc"


class NvmlStub:
    """The library in a folder of its own.

    Parameters
    ----------
    folder : Path
        Where it is compiled.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._mode = folder, folder / "mode"
        gcc = shutil.which("gcc")
        assert gcc is not None
        library = folder / "libnvidia-ml.so.1"
        subprocess.run([gcc, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(_SOURCE)], check=True)
        self.does("well")

    @property
    def env(self) -> dict[str, str]:
        """How a process finds it."""
        paths = filter(None, (str(self._folder), os.environ.get("LD_LIBRARY_PATH")))
        return {"LD_LIBRARY_PATH": os.pathsep.join(paths), "NVML_STUB": str(self._mode)}

    def does(self, mode: str) -> None:
        """Let it answer otherwise from now on; see nvml_stub.c."""
        new = self._mode.with_suffix(".new")
        new.write_text(mode)
        new.replace(self._mode)
