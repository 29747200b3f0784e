from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (224, 224)) -> str:
    """Patches of colour as a data URL; another seed, another picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="session")
def question() -> Callable[..., dict[str, Any]]:
    """Body of a chat request about one picture."""

    def ask(model: str, scene: int = 0, size: tuple[int, int] = (224, 224), **more: Any) -> dict[str, Any]:
        parts: Sequence[dict[str, Any]] = (
            {"type": "image_url", "image_url": {"url": picture(scene, size)}},
            {"type": "text", "text": "Is there roadwork? Answer yes or no. \N{SNOWMAN}"},
        )
        messages = [{"role": "system", "content": "You look for roadwork."}, {"role": "user", "content": parts}]
        return {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0, **more}

    return ask


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny model, built when it is first asked for."""
    pytest.importorskip("transformers", reason="needs torch and transformers")
    from natix_cascade.rehearse.tiny_vlm import build_tiny_vlm

    root = tmp_path_factory.mktemp("tiny")

    def build(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            build_tiny_vlm(architecture, folder)
        return folder

    return build
