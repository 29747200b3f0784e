from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from natix_cascade.cli import main

Run = Callable[..., tuple[int, str, str]]

needs_solver = pytest.mark.skipif(
    importlib.util.find_spec("ortools") is None, reason="placing models needs OR-tools (extra: place)"
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", "place", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@needs_solver
def test_json_is_the_placement(run: Run) -> None:
    code, out, _ = run("single-h100", "--gpus", "1xH100-80GB", "--host-ram", 256, "--json")
    assert code == 0
    data = json.loads(out)
    assert data["status"] == "optimal"
    assert data["machine"]["host"] == 256 * 2**30
    assert {"model", "precision", "gpus", "memory_fraction", "asleep"} <= set(data["placed"][0])
    served = [item for item in data["placed"] if item["memory_fraction"] is not None]
    assert served
    assert run("single-h100", "--gpus", "1xH100-80GB", "--host-ram", 256, "--json")[1] == out


@needs_solver
def test_a_table_and_a_picture(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "place.svg"
    code, out, err = run("single-gpu-8gb", "--gpus", "1xRTX4060-8GB", "--concurrency", 4, "--picture", picture)
    assert code == 0
    assert "GPU 0  RTX4060-8GB" in out
    assert "qwen3-vl-4b" in out
    assert picture.read_text("utf-8").startswith("<svg xmlns=")
    assert "wrote " in err


@needs_solver
def test_a_machine_may_be_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text('host_ram_gib = 64\n[[gpus]]\nname = "A100-40GB"\ncount = 2\n', "utf-8")
    code, out, _ = run("vlm-only", "--gpus", file, "--no-sleep", "--precisions", "fp8,int4", "--json")
    assert code == 0
    data = json.loads(out)
    assert len(data["gpus"]) == 2
    assert not any(item["asleep"] for item in data["placed"])
    assert {item["precision"] for item in data["placed"]} <= {"fp8", "int4"}


@needs_solver
def test_throughput_takes_rates_and_shares(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("embedded", "--gpus", "cpu", "--json")
    models = [item["model"] for item in json.loads(out)["placed"]]
    rates = tmp_path / "rates.json"
    rates.write_text(json.dumps({"models": {model: {"ms": {"1": 1.0}} for model in models}}), "utf-8")
    code, out, _ = run("embedded", "--gpus", "cpu", "--objective", "throughput", "--rates", rates, "--json")
    assert code == 0
    every = json.loads(out)["pictures_per_second"]
    level = "gate"
    code, out, _ = run(
        "embedded", "--gpus", "cpu", "--objective", "throughput", "--rates", rates, "--json", "--share", f"{level}=0.5"
    )
    assert code == 0
    assert json.loads(out)["pictures_per_second"] > every


@needs_solver
def test_the_engines_take_what_it_writes(run: Run, tmp_path: Path) -> None:
    from natix_cascade.engines.wishes import Placement
    from natix_cascade.spec.files import read_spec

    out = tmp_path / "placed.json"
    code, _, _ = run("dual-h100", "--gpus", "2xH100-80GB", "--out", out)
    assert code == 0
    read = read_spec(out, Placement)
    assert len(read.placed) == 12  # 13 servers, less the one that is left out
    for gpu in (0, 1):
        assert sum(item.memory_fraction for item in read.placed if gpu in item.gpus and not item.asleep) <= 1


def test_the_design_needs_no_solver(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "design.svg"
    code, out, _ = run("--design", "--picture", picture)
    assert code == 0
    assert "BREAKS A 72B takes 6.5 GB" in out
    assert "25.5 GB too much" in out
    assert "own table of GPU memory is missing" in out
    assert "llama-4-maverick" in picture.read_text("utf-8")
    code, out, _ = run("--design", "--json")
    assert {item["id"] for item in json.loads(out)} >= {"gpu-2", "small-72b", "all-26"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dual-h100", "--gpus", "2xH100"], "such as 2xH100-80GB"),
        (["dual-h100", "--gpus", "none.toml"], "cannot be read"),
        (["nobody"], "no cascade 'nobody'"),
        (["--concurrency", "0"], "options: concurrency"),
        (["--precisions", "fp4"], "precisions"),
        (["--share", "foo"], "write LEVEL=PART"),
        (["--share", "foo=x"], "write LEVEL=PART"),
        (["--rates", "none.json"], "cannot be read"),
        (["--records", "none.parquet"], "none.parquet"),
        (["--host-ram", "0"], "above 0"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["[1]", "{", '{"models": 3}', '{"models": {}}'])
def test_rates_that_are_none_are_refused(run: Run, text: str, tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    file.write_text(text, "utf-8")
    code, _, err = run("embedded", "--gpus", "cpu", "--objective", "throughput", "--rates", file)
    assert code == 2
    assert err.startswith("error: ")


def test_without_the_solver_it_says_what_to_install() -> None:
    """In a process of its own, in which OR-tools cannot be imported."""
    code = (
        "import sys; sys.modules['ortools'] = None\n"
        "sys.argv = ['natix-cascade', 'place', 'embedded', '--gpus', 'cpu']\n"
        "from natix_cascade.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: placing models needs OR-tools, which is not installed: pip install 'natix-cascade[place]'\n"
    )
