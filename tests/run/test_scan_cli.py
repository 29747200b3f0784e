from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
import scan_child
from scan_files import grey, read_rows, write_greys

COMMAND = [sys.executable, scan_child.__file__, "cli"]


def run(*arguments: str | Path, delay: str = "0") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, delay, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    return write_greys(tmp_path / "greys", 40)


def test_json_is_all_there_is_on_standard_output(greys: Path, tmp_path: Path) -> None:
    done = run(greys, "--out", tmp_path / "out.csv", "--json", "--limit", "10")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["errors"], summary["output"]) == (10, 0, str(tmp_path / "out.csv"))
    assert len(read_rows(tmp_path / "out.csv")) == 10
    again = run(greys, "--out", tmp_path / "out.csv")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr


def test_failed_pictures_are_exit_code_one_and_a_summary(greys: Path, tmp_path: Path) -> None:
    (greys / "bad.jpg").write_bytes(grey(1)[:200])
    done = run(greys, "--out", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "41 pictures: 20 yes, 1 errors; exits: level-1" in done.stdout
    assert "pictures a second" in done.stdout
    assert f"written to {tmp_path / 'out.jsonl'}" in done.stdout


def test_ctrl_c_is_130_and_says_how_to_go_on(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    arguments = [str(greys), "--out", str(output), "--chunk", "4"]
    journal = tmp_path / "out.jsonl.parts" / "journal.jsonl"
    with subprocess.Popen([*COMMAND, "0.3", *arguments], stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not (journal.exists() and journal.stat().st_size):
            time.sleep(0.005)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=10)
    assert child.returncode == 130
    assert said == f"interrupted: what is finished is kept in {output}.parts; the same command goes on from there\n"
    assert "Traceback" not in said
    done = run(*arguments, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["skipped"] >= 4
    assert len({row["path"] for row in read_rows(output)}) == 40


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = (
        "import sys, natix_cascade.cli.scan; "
        "print([name for name in ('numpy', 'pyarrow', 'onnxruntime', 'rich.progress') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
