"""Multiply-accumulates are counted as one counts them by hand."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def macs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import gpu_macs

    return gpu_macs


def test_a_layer_has_as_many_as_it_has_weights(macs: ModuleType) -> None:
    assert macs.counted(torch.nn.Linear(10, 5), torch.zeros(1, 10)) == pytest.approx(50e-9)


def test_a_detector_has_as_many_as_its_publication_says(macs: ModuleType) -> None:
    yolo = next(entry for entry in macs.ZOO if entry.name == "yolo11-x")
    assert macs.of_entry(yolo, "meta") == pytest.approx(194.9 / 2, rel=0.01)
