"""A small set of rendered street scenes, and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[2] / "serve"):
    sys.path.insert(0, str(folder))  # for listening.py and service_process.py: test folders are not packages

from natix_cascade.testing import write_scenes  # noqa: E402

Command = Callable[..., Any]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes with their manifest."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 12, seed=900)
    return folder


@pytest.fixture
def command() -> Command:
    """Run natix-cascade; returns what it printed as JSON."""

    def run(*arguments: object, code: int = 0) -> Any:
        variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
        line = [sys.executable, "-m", "natix_cascade", *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, env=variables, timeout=110, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return run
