from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
from listening import addresses

pytestmark = [pytest.mark.observe, pytest.mark.timeout(300)]


@pytest.fixture
def started() -> Iterator[Any]:
    """Start `observe phoenix start`; whatever is left of it is killed at the end."""
    pids: list[int] = []

    def start(folder: Path, *more: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        program = servers._named("NATIX_CASCADE_PHOENIX", "the phoenix program", "phoenix")
        variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
        line = [sys.executable, "-m", "natix_cascade", "observe", "phoenix", "start", "--json", "--port", "0"]
        process = subprocess.Popen(
            [*line, "--dir", str(folder), "--program", program, "--project", "streets", *more],
            stdout=subprocess.PIPE,
            env=variables,
            text=True,
        )
        pids.append(process.pid)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        pids.append(told["pid"])
        return process, told

    yield start
    for pid in pids:
        if is_there(pid):
            os.kill(pid, signal.SIGKILL)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    until = time.monotonic() + 30
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return not is_there(pid)


def test_it_serves_on_loopback_only_until_it_is_interrupted(started: Any, tmp_path: Path) -> None:
    process, told = started(tmp_path)

    assert told["event"] == "ready"
    assert httpx.get(f"{told['url']}/healthz").status_code == httpx.codes.OK
    assert addresses(told["pid"]) == {"127.0.0.1"}
    options = tomllib.loads(told["config"])["observe"]["phoenix"]
    assert options == {"url": told["url"], "project": "streets"}
    if importlib.util.find_spec("phoenix") is not None:
        names = [each["name"] for each in httpx.get(f"{told['url']}/v1/projects").json()["data"]]
        assert "streets" in names
        spans = httpx.get(f"{told['url']}/v1/projects/streets/spans")
        assert (spans.status_code, spans.json()["data"]) == (httpx.codes.OK, [])
    assert (tmp_path / "phoenix.db").is_file()

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    process.stdout.close()
    assert gone(told["pid"])


def test_it_does_not_outlive_a_killed_command_but_runs_on_in_the_background(started: Any, tmp_path: Path) -> None:
    process, told = started(tmp_path / "one")
    process.kill()
    process.wait()
    process.stdout.close()
    assert gone(told["pid"])

    process, told = started(tmp_path / "one", "--background")
    assert process.wait(60) == 0
    process.stdout.close()
    assert httpx.get(f"{told['url']}/healthz").status_code == httpx.codes.OK
    os.kill(told["pid"], signal.SIGTERM)
    assert gone(told["pid"])
