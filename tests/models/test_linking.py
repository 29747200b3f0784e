"""Outputs of a training project are checked and linked; nothing of anyone else's is replaced."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from local_hub import safetensors
from tiny_onnx import Tiny

from natix_cascade.models.here import verify_model, weights_here
from natix_cascade.models.linking import Linked, LinkOptions, link_outputs
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import CardFile, bundle
from natix_cascade.spec.origin import Link, Source

VLM = bundle().cards["qwen3-vl-4b"]
ADFNET = bundle().cards["adfnet"]
DINO = bundle().cards["dinov3-vith16plus"]
CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "Qwen/Qwen3-VL-4B-Instruct",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "self_attn.v_proj"],
}
LAYER = "base_model.model.model.layers.0.self_attn"
PAIRS = {
    f"{LAYER}.q_proj.lora_A.weight": (4, 16),
    f"{LAYER}.q_proj.lora_B.weight": (24, 4),
    f"{LAYER}.v_proj.lora_A.weight": (4, 16),
    f"{LAYER}.v_proj.lora_B.weight": (8, 4),
}
TINY = Tiny(name="eyes", height=16, width=16, layout="NCHW", input_name="images", output_name="output0")


def adapter(
    folder: Path, config: dict[str, Any] | None = None, pairs: dict[str, tuple[int, ...]] | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | (config or {})), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(safetensors(**(PAIRS if pairs is None else pairs)))
    return folder


def detector() -> ModelCard:
    """A card of a detector that a training project exports as a graph."""
    card = TINY.card(TINY.encode())
    return replace(card, engine="onnx", weights=None, source=Source(files=(), link=Link(output="yolo_master/best.pt")))


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def link(card: ModelCard, outputs: Path, models: Path, **how: bool) -> Linked:
    (one,) = link_outputs([card], outputs, models, LinkOptions(**how))
    assert "\n" not in one.says
    return one


def test_an_adapter_is_checked_and_linked_and_linked_once(outputs: Path, models: Path) -> None:
    made = adapter(outputs / "qwen3_vl_4b")
    (made / "optimizer.pt").write_bytes(b"x" * 1000)
    (made / "checkpoint-10").mkdir()
    one = link(VLM, outputs, models)
    assert (one.status, one.says) == ("linked", "LoRA of rank 4, 2 modules, F32, 0.000256M numbers")
    assert (models / "custom" / "qwen3-vl-4b").readlink() == made
    kept = ("adapter_config.json", "adapter_model.safetensors")
    assert one.bytes == sum((made / name).stat().st_size for name in kept)
    before = (models / "custom" / "links.json").read_bytes()
    assert link(VLM, outputs, models).status == "already"
    assert (models / "custom" / "links.json").read_bytes() == before


def test_a_linked_adapter_is_verified(outputs: Path, models: Path) -> None:
    made = adapter(outputs / "qwen3_vl_4b")
    link(VLM, outputs, models)
    item = CardFile(VLM, models / VLM.name)
    assert str(weights_here(item, models)) == "base missing, adapter here"
    assert verify_model(item, models).status == "missing"  # the base was not fetched
    weights = made / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert verify_model(item, models, quick=True).status == "missing"
    found = verify_model(item, models)
    assert (found.status, found.files.changed) == ("failed", ("custom/qwen3-vl-4b/adapter_model.safetensors",))
    again = link(VLM, outputs, models)
    assert (again.status, again.says.endswith("its files changed since it was linked")) == ("linked", True)
    assert verify_model(item, models).status == "missing"


def test_a_dry_run_changes_nothing(outputs: Path, models: Path) -> None:
    adapter(outputs / "qwen3_vl_4b")
    assert link(VLM, outputs, models, dry_run=True).status == "linked"
    assert not models.exists()


@pytest.mark.parametrize(
    ("config", "pairs", "says"),
    [
        (
            {"base_model_name_or_path": "Qwen/Qwen3-VL-8B-Instruct"},
            None,
            "trained on Qwen/Qwen3-VL-8B-Instruct, the card's",
        ),
        ({"base_model_name_or_path": None}, None, "trained on an unnamed model"),
        ({"peft_type": "IA3"}, None, "peft_type is 'IA3', wanted 'LORA'"),
        ({"r": 0}, None, "must be whole numbers above 0"),
        ({"r": "4"}, None, "must be whole numbers above 0"),
        ({"r": 8}, None, "have rank 4, adapter_config.json says 8"),
        ({"target_modules": ["q_proj", "k_proj"]}, None, "targets k_proj, for which there are no tensors"),
        ({}, {"a": (2, 2)}, "holds no lora_A and lora_B tensors"),
        ({}, PAIRS | {f"{LAYER}.q_proj.lora_B.weight": (24, 5)}, "has lora_A of rank 4, lora_B of rank 5"),
        ({}, dict(list(PAIRS.items())[:3]), "has lora_A of rank 4 only"),
        ({}, PAIRS | {f"{LAYER}.q_proj.lora_A.weight": (4,)}, "wanted a float matrix"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    outputs: Path, models: Path, config: dict[str, Any], pairs: dict[str, tuple[int, ...]] | None, says: str
) -> None:
    adapter(outputs / "qwen3_vl_4b", config, pairs)
    one = link(VLM, outputs, models)
    assert one.status == "refused"
    assert says in one.says
    assert not (models / "custom" / "qwen3-vl-4b").is_symlink()


def test_an_adapter_on_a_local_copy_of_its_base_is_taken(outputs: Path, models: Path, tmp_path: Path) -> None:
    for base in ("/data/models--Qwen--Qwen3-VL-4B-Instruct/snapshots/abc", "/data/Qwen3-VL-4B-Instruct"):
        adapter(outputs / "qwen3_vl_4b", {"base_model_name_or_path": base})
        assert link(VLM, outputs, models).status == "linked"
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "qwen3_vl"}', "utf-8")
    adapter(outputs / "qwen3_vl_4b", {"base_model_name_or_path": str(base)})
    assert link(VLM, outputs, models).status == "linked"
    (base / "config.json").write_text('{"model_type": "llava"}', "utf-8")
    assert link(VLM, outputs, models).status == "refused"


def test_ranks_may_differ_by_pattern(outputs: Path, models: Path) -> None:
    pairs = PAIRS | {f"{LAYER}.q_proj.lora_A.weight": (8, 16), f"{LAYER}.q_proj.lora_B.weight": (24, 8)}
    adapter(outputs / "qwen3_vl_4b", {"rank_pattern": {"q_proj": 8}}, pairs)
    assert link(VLM, outputs, models).says.startswith("LoRA of rank 4/8")


def test_the_real_library_writes_what_is_taken(outputs: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # it asks the hub about the base's vocabulary otherwise
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    peft: Any = pytest.importorskip("peft", reason="peft cannot be imported")

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.q_proj, self.conv = torch.nn.Linear(6, 5), torch.nn.Conv2d(3, 4, 3)
            self.words = torch.nn.Embedding(7, 5)

    net = peft.get_peft_model(Net(), peft.LoraConfig(r=2, target_modules=["q_proj", "conv", "words"], use_dora=False))
    net.peft_config["default"].base_model_name_or_path = "Qwen/Qwen3-VL-4B-Instruct"
    net.save_pretrained(outputs / "qwen3_vl_4b", save_embedding_layers=False)  # else it asks the hub
    one = link(VLM, outputs, models)
    assert (one.status, one.says.startswith("LoRA of rank 2, 3 modules")) == ("linked", True)


def test_a_pickled_adapter_is_refused(outputs: Path, models: Path) -> None:
    made = adapter(outputs / "qwen3_vl_4b")
    (made / "adapter_model.safetensors").rename(made / "adapter_model.bin")
    assert "safe_serialization=True" in link(VLM, outputs, models).says


def test_what_is_not_there_is_missing(outputs: Path, models: Path) -> None:
    for card in (VLM, ADFNET, DINO, detector()):
        assert link(card, outputs, models).status == "missing"


def test_safetensors_come_before_the_checkpoint(outputs: Path, models: Path) -> None:
    for folder in ("adfnet", "dinov3"):
        (outputs / folder).mkdir()
        (outputs / folder / "model.pt").write_bytes(b"never read")
        (outputs / folder / "model.safetensors").write_bytes(safetensors(weight=(3, 4)))
    assert link(ADFNET, outputs, models).status == "linked"
    place = models / "custom" / "adfnet" / "model.safetensors"
    assert place.readlink() == outputs / "adfnet" / "model.safetensors"
    assert verify_model(CardFile(ADFNET, models / "custom" / "adfnet"), models).status == "ok"
    assert link(DINO, outputs, models).status == "linked"
    assert (models / DINO.name / "head.safetensors").readlink() == outputs / "dinov3" / "model.safetensors"
    assert str(weights_here(CardFile(DINO, models / DINO.name), models)) == "base missing, head here"


def test_broken_safetensors_are_refused(outputs: Path, models: Path) -> None:
    (outputs / "adfnet").mkdir()
    (outputs / "adfnet" / "model.safetensors").write_bytes(safetensors(weight=(3, 4))[:-4])
    assert "not a whole safetensors file" in link(ADFNET, outputs, models).says


def test_a_checkpoint_is_converted_or_says_what_it_needs(outputs: Path, models: Path) -> None:
    (outputs / "adfnet").mkdir()
    (outputs / "adfnet" / "model.pt").write_bytes(b"not a checkpoint")
    assert "link with --convert" in link(ADFNET, outputs, models, convert=False).says
    assert "would be converted" in link(ADFNET, outputs, models, dry_run=True).says
    one = link(ADFNET, outputs, models)
    assert one.status == "refused"
    assert "pip install 'natix-cascade[torch]'" in one.says or "cannot be read as a checkpoint" in one.says


@pytest.mark.train
def test_a_converted_checkpoint_is_linked_and_verified(outputs: Path, models: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    (outputs / "adfnet").mkdir()
    torch.save({"weight": torch.ones(3, 4)}, outputs / "adfnet" / "model.pt")
    one = link(ADFNET, outputs, models)
    assert (one.status, one.says) == ("linked", "1 tensors, F32, 1.2e-05M numbers, converted from model.pt")
    assert one.bytes == 0
    assert one.converted > 48
    assert link(ADFNET, outputs, models).status == "already"
    assert verify_model(CardFile(ADFNET, models / "custom" / "adfnet"), models).status == "ok"


def test_a_detectors_checkpoint_is_never_loaded(outputs: Path, models: Path) -> None:
    (outputs / "yolo_master").mkdir()
    (outputs / "yolo_master" / "best.pt").write_bytes(b"cos\nsystem\n")
    one = link(detector(), outputs, models)
    assert one.status == "refused"
    assert "export it with the program that trained it" in one.says
    (outputs / "yolo_master" / "best.onnx").write_bytes(TINY.encode())
    one = link(detector(), outputs, models)
    assert one.status == "linked", one.says
    assert one.says == "ONNX graph, images ['n', 3, 16, 16] -> output0 ['n', 1]"
    place = models / "custom" / "eyes"
    assert (place / "model.onnx").readlink() == outputs / "yolo_master" / "best.onnx"
    assert verify_model(CardFile(detector(), place), models).status == "ok"


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (replace(TINY, input_name="x"), "no input 'images', only x"),
        (replace(TINY, output_name="x"), "no output 'output0', only x"),
        (replace(TINY, height=32), "the card makes pictures of [3, 16, 16]"),
        (replace(TINY, batch=1), "takes batches of 1 only"),
        (None, "ONNX Runtime cannot load it"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(outputs: Path, models: Path, graph: Tiny | None, says: str) -> None:
    (outputs / "yolo_master").mkdir()
    (outputs / "yolo_master" / "model.onnx").write_bytes(b"noise" if graph is None else graph.encode())
    one = link(detector(), outputs, models)
    assert one.status == "refused"
    assert says in one.says


def test_nothing_that_was_not_linked_here_is_replaced(outputs: Path, models: Path, tmp_path: Path) -> None:
    adapter(outputs / "qwen3_vl_4b")
    place = models / "custom" / "qwen3-vl-4b"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine", "utf-8")
    one = link(VLM, outputs, models)
    assert (one.status, "is there and is no link" in one.says) == ("refused", True)
    assert (place / "mine.txt").read_text("utf-8") == "mine"
    (place / "mine.txt").unlink()
    place.rmdir()
    place.symlink_to(tmp_path)
    one = link(VLM, outputs, models)
    assert (one.status, "was not linked here" in one.says) == ("refused", True)
    assert place.readlink() == tmp_path
    place.unlink()
    place.symlink_to(outputs / "qwen3_vl_4b")  # by hand, but to the same: taken over
    assert link(VLM, outputs, models).status == "linked"


def test_another_project_takes_over_our_own_links(outputs: Path, models: Path, tmp_path: Path) -> None:
    adapter(outputs / "qwen3_vl_4b")
    link(VLM, outputs, models)
    other = tmp_path / "other"
    adapter(other / "qwen3_vl_4b")
    assert link(VLM, other, models).status == "linked"
    assert (models / "custom" / "qwen3-vl-4b").readlink() == other / "qwen3_vl_4b"


def test_a_linked_parent_is_not_written_through(outputs: Path, models: Path, tmp_path: Path) -> None:
    (outputs / "adfnet").mkdir()
    (outputs / "adfnet" / "model.safetensors").write_bytes(safetensors(weight=(3, 4)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (models / "custom").mkdir(parents=True)
    (models / "custom" / "adfnet").symlink_to(elsewhere)
    assert "is a link itself" in link(ADFNET, outputs, models).says
    assert list(elsewhere.iterdir()) == []
