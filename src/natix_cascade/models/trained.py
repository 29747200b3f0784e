"""Checks of what a training project leaves behind: adapters, tensors and graphs, without running any of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from natix_cascade.errors import ModelError
from natix_cascade.models.safetensors_header import Header, read_header
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Detect

__all__ = ["check_adapter", "check_graph", "check_tensors"]

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(?P<rest>\..+)?")
_FLOATS = {"F64", "F32", "F16", "BF16"}
_MOST_CONFIG = 1_000_000


def check_adapter(folder: Path, card: ModelCard) -> str:
    """Check a folder with a LoRA adapter against its card.

    Parameters
    ----------
    folder : Path
        With ``adapter_config.json`` and ``adapter_model.safetensors``.
    card : ModelCard
        Whose base the adapter must have been trained on.

    Returns
    -------
    str
        What it is, for people.

    Raises
    ------
    ModelError
        What is wrong with it.
    """
    config = _config(folder)
    _check_base(config, folder, card)
    ranks = _ranks(config, folder)
    header = read_header(folder / ADAPTER)
    pairs = _pairs(header, folder)
    wrong = sorted(name for name, rank in pairs.items() if rank not in ranks)
    if wrong:
        raise ModelError(
            f"{folder}: {len(wrong)} modules ({wrong[0]}...) have rank {pairs[wrong[0]]}, {CONFIG} says "
            f"{', '.join(map(str, sorted(ranks)))}; these two are not of one training"
        )
    targets = _targets(config)
    unmet = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in pairs)]
    if unmet:
        raise ModelError(
            f"{folder}: {CONFIG} targets {', '.join(unmet)}, for which there are no tensors; save it again"
        )
    rank = "/".join(map(str, sorted(set(pairs.values()))))
    return (
        f"LoRA of rank {rank}, {len(pairs)} modules, {'/'.join(header.dtypes)}, {header.parameters / 1e6:.3g}M numbers"
    )


def check_tensors(file: Path, card: ModelCard) -> str:
    """Check a safetensors file; returns what it holds.

    Raises
    ------
    ModelError
        It is not whole, or holds no tensors.
    """
    header = read_header(file)
    if not header.parameters:
        raise ModelError(f"{file}: holds no numbers; save the weights of {card.name} again")
    return f"{len(header.tensors)} tensors, {'/'.join(header.dtypes)}, {header.parameters / 1e6:.3g}M numbers"


def check_graph(file: Path, card: ModelCard) -> str:
    """Check that an ONNX graph takes what the card gives and gives what the card reads; returns both.

    Raises
    ------
    ModelError
        ONNX Runtime cannot load it, or names and sizes do not fit.
    """
    import onnxruntime  # noqa: PLC0415  # slow to import

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(file), sess_options=settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file}: ONNX Runtime cannot load it: {said}; export it again") from error
    inputs = {item.name: item for item in session.get_inputs()}
    outputs = {item.name: list(item.shape) for item in session.get_outputs()}
    spec = card.input
    if spec.name not in inputs:
        raise ModelError(
            f"{file}: no input {spec.name!r}, only {', '.join(inputs)}; write its name into the card's input"
        )
    boxes = ["boxes"] if isinstance(card.task, Detect) and card.task.layout == "detr" else []
    for name in (card.output.name, *boxes):
        if name not in outputs:
            raise ModelError(
                f"{file}: no output {name!r}, only {', '.join(outputs)}; mend the card, or export it again"
            )
    shape = list(inputs[spec.name].shape)
    wanted = [3, spec.height, spec.width] if spec.layout == "NCHW" else [spec.height, spec.width, 3]
    fits = len(shape) == len(wanted) + 1 and all(
        have == want or not isinstance(have, int) for have, want in zip(shape[1:], wanted, strict=True)
    )
    if not fits:
        raise ModelError(f"{file}: input {spec.name!r} has shape {shape}, the card makes pictures of {wanted}")
    if isinstance(shape[0], int):
        raise ModelError(f"{file}: takes batches of {shape[0]} only; export it with a dynamic first axis")
    told = "; ".join(f"{name} {shape}" for name, shape in outputs.items())
    return f"ONNX graph, {spec.name} {shape} -> {told}"


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not (folder / ADAPTER).is_file() and (folder / "adapter_model.bin").is_file():
        raise ModelError(
            f"{folder}: adapter_model.bin is a pickle and is never loaded; save the adapter with "
            "save_pretrained(..., safe_serialization=True)"
        )
    for name in (CONFIG, ADAPTER):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name}; give the folder that save_pretrained of the adapter wrote")
    try:
        raw = path.read_bytes()
        found = json.loads(raw[:_MOST_CONFIG])
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("peft_type") != "LORA":
        kind = found.get("peft_type") if isinstance(found, dict) else type(found).__name__
        raise ModelError(f"{path}: peft_type is {kind!r}, wanted 'LORA'")
    return found


def _check_base(config: dict[str, Any], folder: Path, card: ModelCard) -> None:
    base = str(config.get("base_model_name_or_path") or "")
    identifier = card.source.identifier if card.source is not None else ""
    if identifier and base:
        parts = [part.lower() for part in Path(base).parts]
        known = {
            identifier.split("/")[-1].lower(),
            "models--" + identifier.replace("/", "--").lower(),
            card.name.lower(),
        }
        if base.lower() == identifier.lower() or (Path(base).is_absolute() and known & set(parts)):
            return
        architecture = card.serving.architecture if card.serving is not None else ""
        if architecture and _model_type(folder / base if not Path(base).is_absolute() else Path(base)) == architecture:
            return
    raise ModelError(
        f"{folder / CONFIG}: trained on {base or 'an unnamed model'}, the card's base is {identifier or 'unknown'}; "
        "train on that, or write a card of its own"
    )


def _model_type(base: Path) -> str:
    """The architecture of a base that lies in a local folder; empty where there is none."""
    try:
        return str(json.loads((base / "config.json").read_bytes()[:_MOST_CONFIG]).get("model_type", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def _ranks(config: dict[str, Any], folder: Path) -> set[int]:
    """Ranks that the configuration allows."""
    pattern = config.get("rank_pattern") or {}
    found = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [pattern])]
    if not all(type(rank) is int and rank > 0 for rank in found):
        raise ModelError(f"{folder / CONFIG}: r and rank_pattern must be whole numbers above 0, not {found}")
    return set(found)


def _targets(config: dict[str, Any]) -> list[str]:
    """Modules that are named one by one; a pattern cannot be told from outside."""
    found = config.get("target_modules")
    return [str(item) for item in found] if isinstance(found, list) else []


def _pairs(header: Header, folder: Path) -> dict[str, int]:
    """Rank of each module, after its A ``(rank, in)`` and B ``(out, rank)`` were found to agree."""
    sides: dict[tuple[str, str], dict[str, int]] = {}
    for name, tensor in header.tensors.items():
        found = _LORA.fullmatch(name)
        if found is None:
            continue
        side = 0 if found["side"] == "A" else 1
        if len(tensor.shape) < 2 or tensor.dtype not in _FLOATS:  # noqa: PLR2004  # a matrix
            raise ModelError(
                f"{folder / ADAPTER}: {name} is {tensor.dtype} {list(tensor.shape)}, wanted a float matrix"
            )
        sides.setdefault((found["module"], found["rest"] or ""), {})[found["side"]] = tensor.shape[side]
    if not sides:
        raise ModelError(f"{folder / ADAPTER}: holds no lora_A and lora_B tensors; save the adapter again")
    for (module, _), ranks in sides.items():
        if len(set(ranks.values())) != 1 or len(ranks) != 2:  # noqa: PLR2004  # A and B
            said = ", ".join(f"lora_{side} of rank {rank}" for side, rank in sorted(ranks.items()))
            raise ModelError(f"{folder / ADAPTER}: {module} has {said} only; A and B must be of one rank")
    return {module: next(iter(ranks.values())) for (module, _), ranks in sides.items()}
