from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from natix_cascade.cli.engines import app
from natix_cascade.spec.library import load_endpoints

runner = CliRunner()
PLACED = """\
placed:
  - {model: qwen3-vl-4b, gpus: [0], memory_fraction: 0.3}
  - {model: molmo2-8b, precision: fp8, gpus: [0], memory_fraction: 0.3}
  - {model: internvl3-78b, precision: fp8, gpus: [0, 1], memory_fraction: 0.9, asleep: true}
  - {model: yolo11x, gpus: [1], memory_fraction: 0.05}
"""


def run(*arguments: object, stdin: str | None = None) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments], input=stdin, env={"COLUMNS": "120"})


@pytest.fixture
def placement(tmp_path: Path) -> Path:
    path = tmp_path / "placed.yaml"
    path.write_text(PLACED)
    return path


@pytest.fixture
def servers(tmp_path: Path, placement: Path) -> Path:
    path = tmp_path / "servers.json"
    made = run("plan", "dual-h100", "--placement", placement, "--gpus", "2xH100-80GB", "--out", path)
    assert made.exit_code == 0, made.stderr
    return path


def test_plan_shows_servers_and_what_is_left_out(placement: Path) -> None:
    shown = run("plan", "dual-h100", "--placement", placement, "--gpus", "2xH100-80GB")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["internvl3-78b", "qwen3-vl-4b", "molmo2-8b"]
    assert "(asleep)" in lines[1]
    assert any(line.startswith("note: left out") and "llama-4-maverick" in line for line in lines)
    assert "yolo11x" not in shown.stdout


def test_plan_writes_the_endpoints_that_the_cascade_reads(placement: Path, tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yaml"
    made = run("plan", "dual-h100", "--placement", placement, "--gpus", "2xH100-80GB", "--endpoints", path, "--json")
    assert made.exit_code == 0, made.stderr
    data = json.loads(made.stdout)
    found = load_endpoints(path)
    assert found is not None
    assert {name: those[0].url for name, those in found.models.items()} == {
        card: f"http://127.0.0.1:{one['port']}/v1" for one in data["servers"] for card in one["cards"]
    }
    assert [one["words"][0] for one in data["commands"]] == ["vllm"] * 3


def test_options_come_before_settings(placement: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("max_model_len: 4096\nkv_cache: fp8_e4m3\nengine: sglang\n")
    made = run(
        "plan", "dual-h100", "--placement", placement, "--gpus", "2xH100-80GB", "--settings", settings,
        "--max-model-len", 8192, "--modelopt", "molmo2-8b=/srv/molmo-fp8", "--adapters", "none", "--json",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    big, qwen, molmo = json.loads(made.stdout)["servers"]
    assert [one["max_model_len"] for one in (big, qwen, molmo)] == [8192] * 3
    assert [one["kv_cache"] for one in (big, qwen, molmo)] == ["fp8_e4m3"] * 3
    assert (big["engine"], molmo["engine"]) == ("sglang", "vllm")
    assert (molmo["model"], molmo["weights"]) == ("/srv/molmo-fp8", "modelopt")
    assert "loras" not in qwen


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--gpus", "two big ones"), "2xH100-80GB"),
        (("--gpus", "1xH100-80GB"), "on a GPU that 1xH100-80GB has not"),
        (("--kv-cache", "fp8"), "kv_cache"),
        (("--checkpoint", "molmo2-8b"), "NAME=MODEL"),
        (("--engine", "triton"), "triton"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told(placement: Path, change: tuple[str, str], told: str) -> None:
    result = run("plan", "dual-h100", "--placement", placement, "--gpus", "2xH100-80GB", *change)
    assert result.exit_code != 0
    assert told in result.stderr + str(result.exception)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("shell", ["start-servers.sh"]),
        ("systemd", ["natix-engine-internvl3-78b.service", "natix-engine-molmo2-8b.service",
                     "natix-engine-qwen3-vl-4b.service", "natix-engines.target"]),
        ("compose", ["compose.yaml"]),
        ("helm", ["values.yaml"]),
        ("json", ["servers.json"]),
    ],
)  # fmt: skip
def test_render_writes_files_that_check_takes(servers: Path, tmp_path: Path, kind: str, names: list[str]) -> None:
    out = tmp_path / "made" / kind
    made = run("render", servers, "--format", kind, "--out", out, "--json")
    assert made.exit_code == 0, made.stderr
    assert sorted(Path(one).name for one in json.loads(made.stdout)["written"]) == names
    assert sorted(one.name for one in out.iterdir()) == names
    found = run("check", out, "--json")
    assert found.exit_code == 0, found.stdout
    data = json.loads(found.stdout)
    assert (data["ok"], data["problems"]) == (True, [])
    assert data["commands"]["vllm"] >= 3


def test_render_prints(servers: Path) -> None:
    shown = run("render", servers, "--format", "compose", "--image", "vllm=own:1")
    assert {one["image"] for one in yaml.safe_load(shown.stdout)["services"].values()} == {"own:1"}
    several = run("render", servers, "--format", "systemd", "--secrets", "/run/keys")
    assert several.stdout.count("EnvironmentFile=-/run/keys") == 3
    assert run("render", servers, "--image", "own").exit_code == 2


def test_check_reads_one_command() -> None:
    fine = run("check", "-", stdin="vllm serve Qwen/Qwen3-VL-4B-Instruct --kv-cache-dtype fp8\n")
    assert (fine.exit_code, fine.stdout) == (0, "all is well\n")
    assert "stored flag list of vllm 0.32.0" in fine.stderr
    wrong = run("check", "-", stdin="VLLM_USE_SPARK=1 vllm serve m --kv-cache-dtyp fp8\n")
    assert wrong.exit_code == 1
    assert "--kv-cache-dtype" in wrong.stdout
    assert "VLLM_USE_SPARK: no release" in wrong.stdout


def test_check_knows_an_edited_plan(servers: Path) -> None:
    data = json.loads(servers.read_text())
    data["servers"][1] |= {"gpus": [0, 1, 2]}
    servers.write_text(json.dumps(data))
    found = run("check", servers, "--json")
    assert found.exit_code == 1
    assert "attention heads" in json.loads(found.stdout)["problems"][0]["says"]


def test_check_of_nothing_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text("ls\n")
    assert run("check", tmp_path / "x.sh").exit_code == 2
    assert run("check", tmp_path / "absent.sh").exit_code == 2


def test_a_python_without_the_engine_is_told() -> None:
    result = run("check", "-", "--vllm-python", sys.executable, stdin="vllm serve m\n")
    assert result.exit_code != 0
    assert "cannot build vllm's parser" in str(result.exception)
