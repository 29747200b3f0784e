"""ADFNet against the same network out of torchvision's parts, and what is said of weights that are not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_onnx import lie
from tiny_torch import CPU, bright_adfnet, card_for, needs_torch

from natix_cascade.errors import ModelError
from natix_cascade.models import LoadOptions, load_model
from natix_cascade.spec.task import Classify, Depth

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def _torch() -> None:
    needs_torch()


def pictures(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(count)]


def test_it_is_two_resnets_and_a_head(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from natix_cascade.models import cpu_torchvision

    cpu_torchvision.install()
    models = pytest.importorskip("torchvision.models", reason="needs torchvision")
    torch.manual_seed(0)
    streams = [models.resnet50(weights=None).eval() for _ in range(2)]
    for stream in streams:
        for module in stream.modules():  # statistics that are not the neutral ones
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.2)
        stream.fc = torch.nn.Identity()
    fuse, out = torch.nn.Linear(4096, 32), torch.nn.Linear(32, 1)
    named = {"plain.": streams[0], "bright.": streams[1], "fuse.": fuse, "out.": out}
    save_file(
        {f"{name}{key}": values for name, part in named.items() for key, values in part.state_dict().items()},
        str(tmp_path / "model.safetensors"),
    )
    card = card_for("adfnet", task=Classify(), engine="torch")
    card = lie(card, input__mean=(0.485, 0.456, 0.406), input__std=(0.229, 0.224, 0.225))
    model = load_model(card, tmp_path, CPU)
    prepared = [model.prepare(pixels) for pixels in pictures()]
    scores = model.predict(prepared).scores
    plain = torch.from_numpy(np.stack(prepared)).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (card.input.mean, card.input.std))
    with torch.inference_mode():
        seen = [stream((view - mean) / std) for stream, view in zip(streams, (plain, plain ** (1 / 2.2)), strict=True)]
        logits = out(torch.relu(fuse(torch.cat(seen, dim=1))))
    np.testing.assert_allclose(scores, torch.sigmoid(logits)[:, 0].numpy(), atol=1e-5)
    model.close()


def test_it_is_silent_by_day(tmp_path: Path) -> None:
    model = bright_adfnet(tmp_path, dark_below=0.35)
    dark, light = np.full((40, 40, 3), 60, np.uint8), np.full((40, 40, 3), 220, np.uint8)
    answers = model.predict([model.prepare(each) for each in (light, dark)])
    assert answers.silent.tolist() == [True, False]
    assert answers.scores[0] == 0.5
    assert answers.evidence[0].text == "no opinion: mean luminance 0.86, a night specialist speaks below 0.35"
    alone = bright_adfnet(tmp_path)
    assert answers.scores[1] == pytest.approx(alone.predict([alone.prepare(dark)]).scores[0])
    assert model.predict([model.prepare(light)] * 2).silent.all()


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    model = bright_adfnet(tmp_path)
    tensors = load_file(str(tmp_path / "model.safetensors"))
    card = model.card
    with pytest.raises(ModelError, match=r"no weights at .*; how they come there: natix-cascade models show owl"):
        load_model(card, tmp_path / "nowhere", CPU)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"no model\.safetensors in"):
        load_model(card, empty, CPU)
    (empty / "model.pt").write_bytes(b"pickled")
    with pytest.raises(ModelError, match=r"only model\.pt, which is never loaded: convert it once"):
        load_model(card, empty, CPU)
    (empty / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="is no safetensors file") as caught:
        load_model(card, empty, CPU)
    assert "\n" not in str(caught.value)
    save_file({"a": tensors["out.bias"]}, str(empty / "model.safetensors"))
    with pytest.raises(
        ModelError, match=r"lacks 'plain\.conv1\.weight' and 13 more of ADFNet; .* the file has a\.\.\."
    ):
        load_model(card, empty, CPU)
    with pytest.raises(ModelError, match=r"fuse\.weight and out\.weight are .* want \(32, 128\) and \(2, 32\)"):
        load_model(lie(card, output__kind="logits"), tmp_path, CPU)
    with pytest.raises(ModelError, match="the torch engine classifies; its card's task is depth"):
        load_model(lie(card, task=Depth()), tmp_path, CPU)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_devices_that_are_not_there(tmp_path: Path, device: str) -> None:
    card = bright_adfnet(tmp_path).card
    with pytest.raises(ModelError, match=f"no device '{device}' here .*; write cpu, cuda") as caught:
        load_model(card, tmp_path, LoadOptions(device=device))
    assert "\n" not in str(caught.value)


def test_threads_are_each_models_own(tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    card = bright_adfnet(tmp_path).card
    try:
        for threads in (1, 2):
            model = load_model(card, tmp_path, LoadOptions(device="cpu", threads=threads))
            model.predict([model.prepare(pictures(1)[0])])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
