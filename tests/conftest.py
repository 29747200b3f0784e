from __future__ import annotations

import sys
from pathlib import Path

import pytest

for folder in ("models", "spec"):  # for tiny_onnx.py and strategies.py: test folders are not packages
    sys.path.insert(0, str(Path(__file__).parent / folder))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
