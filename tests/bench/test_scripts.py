"""Every benchmark runs, on rendered scenes, and writes the figures that it promises; not whether they are good."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from natix_cascade.testing import write_scenes

BENCH = Path(__file__).parents[2] / "bench"
FIGURES = {
    "throughput": [
        "design.stated.per_second",
        "design.stated.saturated.of_closed_form",
        "decode.224x224.two",
        "gates.mobilenetv4-s.may_pass",
        "behind_gate.0.full.h100s",
        "lean.open.latency_ms.p99",
    ],
    "store": ["times.median", "store_us.median"],
    "miner_simulate": ["reward.value", "weight.low", "levels.L3.reward.high", "exits.gate"],
    "accuracy": [
        "cascade.clean.mcc",
        "cascade.L3.reward_high",
        "cascade.L0.accuracy_low",
        "ensemble.mean.mcc",
        "recall_by_quality.cascade.pooled.A",
        "recall_by_quality.ensemble.L0.specificity",
        "quality_a_only.cascade.L0.mcc",
        "compute.ratio",
        "exits.gate.share",
    ],
    "scan_speed": [
        "split.as_it_is.faster.median",
        "street.wide_1280.faster.n",
        "split.wide_1280.shares_of_time.overhead",
        "street.as_it_is.exit_shares.gate",
    ],
    "latency": [
        "warm.all.overhead_ms.median",
        "warm.all.ratio.p75",
        "warm.all.detect_ms.p95",
        "warm.shares_of_time.decode",
        "cold.gate_only.ratio.median",
        "cold.furthest.ratio.n",
    ],
    "memory": ["peak_ratio", "many.rss_mib.at_50", "many.slope_mib_per_10000", "few.peak_mib"],
    "bad_pictures": ["outcomes.accepted", "judged", "unexpected", "decode_ms.max", "peak_mib"],
}
MANIFEST = {"accuracy", "miner_simulate", "scan_speed"}


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 24, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_quick_run_writes_its_figures(name: str, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "figures.json"
    done = run(name, *([str(manifest)] if name in MANIFEST else []), "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text("utf-8"))
    assert {"what", "how", "machine", "date", "quick", "data", "figures"} == set(result)
    assert {"cpu", "cores", "python", "onnxruntime", "numpy"} <= set(result["machine"])
    assert result["data"]["pictures"] > 0
    for key in FIGURES[name]:
        value: Any = result["figures"]
        for step in key.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert isinstance(value, int | float), key
    text = out.read_text("utf-8")
    assert str(manifest.parent) not in text
    assert str(Path.home()) + "/" not in text
    assert str(BENCH.parent) not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_without_the_photographs_it_says_what_is_missing(name: str, tmp_path: Path) -> None:
    absent = run(name, str(tmp_path / "manifest.csv"), "--out", str(tmp_path / "out.json"))
    assert absent.returncode == 2
    assert "there is no manifest" in absent.stderr
    (tmp_path / "manifest.csv").write_text("path,label,split\nnot-there.jpg,1,test\n", "utf-8")
    empty = run(name, str(tmp_path / "manifest.csv"), "--out", str(tmp_path / "out.json"))
    assert empty.returncode == 2
    assert "not-there.jpg" in empty.stderr
    assert not (tmp_path / "out.json").exists()
