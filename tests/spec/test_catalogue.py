"""The 26 models: what must hold of their cards, whatever they say."""

from __future__ import annotations

import pytest

from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import bundle, load_cascade, load_prompt
from natix_cascade.spec.task import Ask, Detect, Find

CATALOGUE = {name: card for name, card in bundle().cards.items() if card.origin is not None}
TRAINED = {
    "dinov3-vith16plus",
    "yolo-master-n",
    "rf-detr-large",
    "adfnet",
    "qwen3-vl-4b",
    "qwen3-vl-8b-thinking",
    "qwen3-vl-32b",
    "qwen2-5-vl-72b",
}
GB_A_BILLION = {"bf16": 2.0, "fp8": 1.0, "int4": 0.56}


def test_there_are_26_with_numbers_of_their_own() -> None:
    assert sorted(card.origin.number for card in CATALOGUE.values() if card.origin) == list(range(1, 27))


def test_the_eight_trained_ones_say_so_and_what_is_linked() -> None:
    assert {name for name, card in CATALOGUE.items() if card.trained} == TRAINED
    outputs = {card.source.link.output for card in CATALOGUE.values() if card.source and card.source.link}
    assert outputs == {
        "yolo_master/best.pt",
        "adfnet/model.pt",
        "dinov3/model.pt",
        "rf_detr/model.pt",
        "qwen3_vl_4b",
        "qwen3_vl_8b",
        "qwen3_vl_32b",
        "qwen3_vl_72b",
    }


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_memory_follows_from_parameters(name: str) -> None:
    card = CATALOGUE[name]
    assert card.serving is not None
    for precision, gb in card.serving.memory_gb.items():
        expected = card.parameters / 1e9 * GB_A_BILLION[precision]
        assert gb == pytest.approx(expected, rel=0.16, abs=0.01), precision


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_tasks_can_be_done(name: str) -> None:
    card = CATALOGUE[name]
    assert card.source is not None
    assert card.serving is not None
    for task in (card.task, *card.roles.values()):
        if isinstance(task, Ask):
            assert load_prompt(task.prompt).question
            assert card.serving.heads % card.serving.kv_heads == 0
            assert {"bf16", "fp8", "int4"} == set(card.serving.memory_gb)
        if isinstance(task, Detect) and task.labels:
            assert set(task.evidence) <= set(task.labels)
        if isinstance(task, Find):
            assert len(task.prompts) == 7


def test_what_was_replaced_says_why() -> None:
    for card in CATALOGUE.values():
        assert card.origin is not None
        assert card.origin.designed_as
    replaced = {name for name, card in CATALOGUE.items() if card.origin and card.origin.replaced_because}
    assert {"rtdetr-v2-r50", "grounding-dino-base", "siglip2-so400m", "internvl3-78b", "qwen2-5-vl-72b"} <= replaced


def test_the_large_cascade_asks_all_26() -> None:
    resolved, weights = load_cascade("dual-h100")
    assert {model.partition(":")[0] for model in resolved.models} == set(CATALOGUE)
    assert [level.name for level in resolved.levels][-1] == "consensus"
    assert len(resolved.levels) == 7
    assert weights["sam3"] == weights["sam3:segment"]


def test_a_role_is_the_same_weights_with_another_task() -> None:
    card: ModelCard = bundle().cards["sam3"]
    role = card.in_role("segment")
    assert role.name == "sam3:segment"
    assert role.source == card.source
    assert isinstance(role.task, Find)
    assert role.task.masks
    assert not role.roles
