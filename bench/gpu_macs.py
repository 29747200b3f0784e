"""Multiply-accumulates of one picture in the catalogue's large models, at the input that each is fed.

Counted by torch while the networks of gpu_zoo.py run with random weights: matrix products, convolutions and attention,
and nothing else, as is usual; half of torch's floating-point operations, of which it takes two for each. Without
numbers (meta tensors) where that works; the others on the processor.

Of Qwen3-VL: the picture's encoder at 640 x 448, the language model over the tokens that the server counted for such a
question (gpu_vlm.json), and one answer token; as if no server had any of it ready in a cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gpu_configs import config
from gpu_report import RESULTS, Report
from gpu_zoo import ZOO, Entry

_PER_GMAC = 2e9
_VLMS = ("qwen3-vl-4b", "qwen3-vl-8b")
_PICTURE = (448, 640)


def counted(network: nn.Module, *inputs: Any, **named: Any) -> float:
    """Multiply-accumulates of one call, in units of 1e9."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(*inputs, **named)
    return counter.get_total_flops() / _PER_GMAC


def of_entry(entry: Entry, device: str) -> float:
    """Of one picture at the network's own input."""
    with torch.device(device):
        network = entry.build().eval().requires_grad_(requires_grad=False)
    inputs = {name: value.to(device) for name, value in entry.inputs(1, *entry.own).items()}
    return counted(network, **inputs)


def of_vlm(name: str, tokens: int) -> dict[str, float]:
    """Of one picture and its question: encoder, language model, head."""
    from transformers import Qwen3VLConfig
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel, Qwen3VLVisionModel

    made = Qwen3VLConfig(**config(name))
    eyes, text = made.vision_config, made.text_config
    height, width = (side // eyes.patch_size for side in _PICTURE)
    patch = eyes.in_channels * eyes.temporal_patch_size * eyes.patch_size**2
    encoder, patches = Qwen3VLVisionModel(eyes), torch.zeros(height * width, patch)  # looks at the grid's numbers
    with torch.device("meta"):
        language, words = Qwen3VLTextModel(text), torch.empty(1, tokens, text.hidden_size)
        head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        every = torch.zeros(1, 1, tokens, tokens, dtype=torch.bool)  # of this shape it is taken without a look
    with torch.no_grad():
        return {
            "encoder": counted(encoder, patches, grid_thw=torch.tensor([[1, height, width]])),
            "language": counted(language, inputs_embeds=words, attention_mask=every, use_cache=False),
            "head": counted(head, words[:, -1]),
        }


def tokens_of(results: Path, name: str) -> int:
    """Tokens of a question with its picture, as the server counted them."""
    rows = json.loads((results / "gpu_vlm.json").read_text("utf-8"))["rows"]
    size = {"height": _PICTURE[0], "width": _PICTURE[1], "what": "rate"}
    return int(next(row["prompt_tokens"] for row in rows if row["model"] == name and _has(row, size)))


def _has(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(row.get(key) == value for key, value in wanted.items())


def _networks(report: Report) -> None:
    for entry in ZOO:
        height, width = entry.own
        about = {"model": entry.name, "height": height, "width": width, "note": entry.note}
        try:
            report.add(**about, gmacs=of_entry(entry, "meta"), counted_on="meta")
        except (RuntimeError, NotImplementedError, AssertionError):  # the forward looks at a number
            with torch.no_grad():
                report.add(**about, gmacs=of_entry(entry, "cpu"), counted_on="cpu")


def main() -> None:
    """Count, and write a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu_macs.json", help="where the figures go")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where gpu_vlm.json is")
    arguments = parser.parse_args()
    packages = ("torch", "transformers")
    from importlib.metadata import version

    report = Report(arguments.out, __doc__, {package: version(package) for package in packages})
    _networks(report)
    for name in _VLMS:
        tokens = tokens_of(arguments.results, name)
        parts = of_vlm(name, tokens)
        report.add(
            model=name,
            height=_PICTURE[0],
            width=_PICTURE[1],
            note=f"{tokens} tokens, one answer token, nothing ready in a cache",
            gmacs=sum(parts.values()),
            parts=parts,
            counted_on="cpu and meta",
        )


if __name__ == "__main__":
    main()
