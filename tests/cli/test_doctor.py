from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from natix_cascade.cli import main
from natix_cascade.spec import library

CHECKS = [
    *("python", "packages", "cores", "fast JPEG decoder"),
    *("shipped models", "cascades", "one verdict", "optional extras"),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", "doctor", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NATIX_CASCADE_MODELS", str(tmp_path / "models"))


def test_all_is_well(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith("ok    " + check) for line, check in zip(lines, CHECKS, strict=True))


def test_as_json(run: Run) -> None:
    code, out, err = run("--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert [item["check"] for item in data] == CHECKS
    assert all(item["ok"] and item["says"] for item in data)
    assert data[4]["says"] == "4 with the right checksums"
    assert "embedded complete" in data[5]["says"]
    assert "dual-h100 0 of 26 models here" in data[5]["says"]


def test_missing_weights_are_found(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "WEIGHTS", tmp_path)
    code, out, _ = run("--json")
    assert code == 1
    bad = {item["check"]: item["says"] for item in json.loads(out) if not item["ok"]}
    assert set(bad) == {"shipped models", "one verdict"}
    assert "no weights at" in bad["shipped models"]


def test_a_missing_decoder_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "simplejpeg" else real(name, *rest)
    )
    code, out, _ = run()
    assert code == 1
    assert "FAIL  fast JPEG decoder" in out
