"""Checkpoints of torch become safetensors in a child process, or are refused; no code of theirs runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from natix_cascade.errors import ModelError
from natix_cascade.models import convert as module
from natix_cascade.models.convert import convert
from natix_cascade.models.manifest import compare, read_manifest
from natix_cascade.models.safetensors_header import read_header

pytestmark = pytest.mark.train
torch: Any = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


class Malicious:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def tensors() -> dict[str, Any]:
    shared = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    return {"head.weight": shared, "head.tied": shared, "head.turned": shared.t(), "half": torch.ones(4).bfloat16()}


def test_a_dict_of_tensors_is_converted_once(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.pt"
    torch.save(tensors(), checkpoint)
    out = convert(checkpoint, tmp_path / "store")
    from safetensors.torch import load_file

    loaded = load_file(out / "model.safetensors")
    assert set(loaded) == set(tensors())
    assert all(torch.equal(loaded[name], value) for name, value in tensors().items())
    assert read_header(out / "model.safetensors").tensors["half"].dtype == "BF16"
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.made_from == out.name
    assert not compare(out, manifest)
    written = (out / "model.safetensors").stat().st_mtime_ns
    checkpoint.rename(tmp_path / "renamed.pt")  # the same bytes
    assert convert(tmp_path / "renamed.pt", tmp_path / "store") == out
    assert (out / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, *, legacy: bool) -> None:
    checkpoint, marker = tmp_path / "model.pt", tmp_path / "it-ran"
    content = {"weight": torch.ones(2), "extra": Malicious(marker)}
    torch.save(content, checkpoint, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ModelError, match=r"it holds \w+\.system beside tensors, and code from a checkpoint is never run"
    ):
        convert(checkpoint, tmp_path / "store")
    assert not marker.exists()
    assert not (tmp_path / "store").exists()
    torch.load(checkpoint, weights_only=False)
    assert marker.exists()  # it would have


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"epoch": 3, "model": {"weight": 1}},
            r"no plain dict of tensors \(epoch, model\); write model.state_dict\(\)",
        ),
        ({}, "it is empty"),
        ([1, 2], "it holds list, wanted a plain dict of tensors"),
    ],
)
def test_what_is_no_dict_of_tensors_is_refused(tmp_path: Path, content: object, says: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=says):
        convert(tmp_path / "model.pt", tmp_path / "store")


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="a are sparse, quantized or empty shells"):
        convert(tmp_path / "model.pt", tmp_path / "store")


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"it holds torch\.nn\.modules\.linear\.Linear beside tensors"):
        convert(tmp_path / "model.pt", tmp_path / "store")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"\x80\x02nonsense", b"not a checkpoint at all"])
def test_noise_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ModelError) as told:
        convert(tmp_path / "model.pt", tmp_path / "store")
    assert "\n" not in str(told.value)


def test_a_small_file_may_not_take_much_memory(tmp_path: Path) -> None:
    repeated = torch.zeros(1).expand(1 << 32)  # 4 bytes on disk, 17 GB once written out
    torch.save({"a": repeated}, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 10_000
    with pytest.raises(ModelError, match="it wants more memory than a file of its size should"):
        convert(tmp_path / "model.pt", tmp_path / "store")


def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(tensors(), tmp_path / "model.pt")
    monkeypatch.setattr(module, "_SECONDS", 0.01)
    with pytest.raises(ModelError, match="not converted within 0 s"):
        convert(tmp_path / "model.pt", tmp_path / "store")
