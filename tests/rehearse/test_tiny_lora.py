from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from natix_cascade.errors import ModelError
from natix_cascade.rehearse.tiny_lora import RANK, build_tiny_lora

pytestmark = pytest.mark.train
pytest.importorskip("transformers", reason="needs torch and transformers")


def test_peft_puts_the_adapter_on_every_layer(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    import transformers

    build_tiny_lora(tiny("qwen3_vl"), tmp_path / "lora", seed=1)
    peft = pytest.importorskip("peft", reason="needs peft")
    model = transformers.Qwen3VLForConditionalGeneration.from_pretrained(tiny("qwen3_vl"), dtype=torch.float32)
    ids = torch.arange(1, 20)[None]
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # keys that are missing are another one
            adapted = peft.PeftModel.from_pretrained(model, tmp_path / "lora")
        after = adapted(input_ids=ids).logits
    layers = [name for name, _ in adapted.named_parameters() if "lora_A" in name]
    assert len(layers) == 8  # two layers, four projections
    assert adapted.peft_config["default"].r == RANK
    assert (after - before).abs().max() > 0.1


def test_the_seed_decides_every_byte(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_tiny_lora(tiny("qwen3_vl"), tmp_path / name, seed=seed)
        digests.append(hashlib.sha256((tmp_path / name / "adapter_model.safetensors").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights"):
        build_tiny_lora(tmp_path, tmp_path / "lora")
