"""What the benchmarks on a GPU share: the machine, and results on disk after every step."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "torchvision", "transformers", "triton", "vllm", "numpy", "pillow")


def machine() -> dict[str, Any]:
    """The GPU, its driver, the cores and the packages; nothing that names this one machine."""
    import torch

    facts: dict[str, Any] = {"cores": os.cpu_count(), "python": platform.python_version()}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        facts |= {"gpu": card.name, "gpu_memory_gib": round(card.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        facts["driver"] = _driver()
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
    return facts


def _driver() -> str | None:
    try:
        import pynvml
    except ImportError:
        return None
    pynvml.nvmlInit()
    text = pynvml.nvmlSystemGetDriverVersion()
    return text.decode() if isinstance(text, bytes) else str(text)


class Report:
    """Results that are on disk, whole, after every row: a run that is cut off loses nothing.

    Parameters
    ----------
    out : Path
        The JSON file.
    doc : str or None
        The script's docstring: its first paragraph says what, the others how.
    facts : mapping
        The machine.
    """

    def __init__(self, out: Path, doc: str | None, facts: Mapping[str, Any]) -> None:
        self._out = out
        paragraphs = (doc or "").strip().split("\n\n")
        self._head = {
            "what": " ".join(paragraphs[0].split()),
            "how": [" ".join(text.split()) for text in paragraphs[1:]],
            "machine": dict(facts),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.rows: list[dict[str, Any]] = []

    def add(self, **row: Any) -> None:
        """Keep a row, print it, and write the file anew."""
        self.rows.append({key: _short(value) for key, value in row.items()})
        print(json.dumps(self.rows[-1], ensure_ascii=False), flush=True)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        draft = self._out.with_suffix(".part")
        text = json.dumps({**self._head, "rows": self.rows}, indent=1, ensure_ascii=False, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self._out)


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
    if isinstance(value, Mapping):
        return {str(key): _short(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_short(item) for item in value]
    return value
