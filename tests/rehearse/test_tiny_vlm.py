from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natix_cascade.errors import ModelError
from natix_cascade.rehearse.tiny_tokenizer import ANSWERS
from natix_cascade.rehearse.tiny_vlm import ARCHITECTURES, NEEDS_TORCHVISION, build_tiny_vlm

pytestmark = pytest.mark.train
pytest.importorskip("transformers", reason="needs torch and transformers")

LARGEST = 5_000_000  # bytes


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def needs(architecture: str) -> None:
    if architecture in NEEDS_TORCHVISION:
        from natix_cascade.models import cpu_torchvision

        if not cpu_torchvision.install():
            pytest.skip("transformers cuts up this model's pictures with torchvision, which is not installed")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_looks_at_the_picture_and_answers(
    architecture: str, tiny: Callable[[str], Path], question: Callable[..., dict[str, Any]]
) -> None:
    from natix_cascade.rehearse.chat_model import ChatModel
    from natix_cascade.rehearse.chat_protocol import ChatRequest

    needs(architecture)
    folder = tiny(architecture)
    assert sum(path.stat().st_size for path in folder.iterdir()) < LARGEST
    model = ChatModel(folder)
    named = [model.tokenize(word, special=False)[0] for word in ("yes", "no")]
    margins = []
    for seed, size in ((0, (320, 240)), (1, (320, 240)), (2, (224, 224)), (3, (64, 300))):
        asked = question("m", seed, size, logprobs=True, logprob_token_ids=named)
        answer = model.answer(ChatRequest.model_validate(asked))
        logprobs = dict(answer.steps[0].logprobs)
        margins.append(logprobs[named[0]] - logprobs[named[1]])
    assert np.all(np.isfinite(margins))
    assert np.std(margins) > 0.01, margins  # the answer depends on the picture
    longer = model.answer(ChatRequest.model_validate(question("m", max_tokens=5)))
    assert 1 <= len(longer.steps) <= 5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_are_one_token(architecture: str, tiny: Callable[[str], Path]) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny(architecture) / "tokenizer.json"))
    for word in ANSWERS:
        assert len(tokenizer.encode(word, add_special_tokens=False).ids) == 1
        assert len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) == 1
    text = "Straße \N{SNOWMAN}\n\t{}"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_tiny_vlm("qwen3_vl", tmp_path / name, seed=seed)
    first, again, other = (digest(tmp_path / name) for name in "abc")
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"qwen9.*known: qwen3_vl"):
        build_tiny_vlm("qwen9", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="cannot be written"):
        build_tiny_vlm("qwen3_vl", tmp_path / "file" / "below")


def test_without_torchvision_the_way_to_it_is_told(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny("qwen3_vl")
    code = (
        "import sys; sys.modules['torchvision'] = None; from pathlib import Path; "
        "from natix_cascade.rehearse.chat_model import ChatModel; ChatModel(Path(sys.argv[1]))"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=100, check=False
    )
    assert "MissingExtraError" in done.stderr
    assert "pip install --no-deps torchvision" in done.stderr
