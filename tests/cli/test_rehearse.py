"""What stands in the way of a rehearsal is one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from natix_cascade.cli.app import app


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> Any:
        return None if name == "torch" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    result = CliRunner().invoke(app, ["rehearse", "--out", str(tmp_path / "stage")])
    assert result.exit_code == 2
    assert "torch" in result.stderr
    assert "pip install 'natix-cascade[rehearse]'" in result.stderr
    assert not (tmp_path / "stage").exists()


def test_a_vllm_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    result = CliRunner().invoke(app, ["rehearse", "--vllm", str(tmp_path / "vllm")])
    assert result.exit_code == 2
    assert "no vllm program at" in result.stderr
    result = CliRunner().invoke(app, ["rehearse", "--without-vllm", "--outage"])
    assert result.exit_code == 2
    assert "--outage kills the vLLM server" in result.stderr
