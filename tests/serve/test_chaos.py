"""A short spell of chaos against the real service; `bench/chaos.py` does it for half an hour."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(360)
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_no_promise_is_broken(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    options = ["--minutes", "1.3", "--rate", "20", "--patience", "30"]  # the machine may be busy: real hangs only
    command = [sys.executable, str(BENCH / "chaos.py"), *options, "--out", str(out)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "service")], capture_output=True, text=True, check=False
    )
    assert out.is_file(), done.stderr
    figures = json.loads(out.read_text("utf-8"))["figures"]
    assert figures["violations"] == []
    assert done.returncode == 0
    happened = {event["what"].split()[0] for event in figures["events"]}
    assert {"fault", "reload", "kill", "mismatch", "redis", "burst", "restart"} <= happened
    seen = {number for number, promise in figures["promises"].items() if promise["kept"]}
    assert seen >= {"1", "2", "3", "5", "7", "8", "9", "10", "11", "12", "13", "14"}
    assert figures["acknowledged_feedback"] > 0
