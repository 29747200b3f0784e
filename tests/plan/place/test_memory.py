"""The memory account: what was measured comes out, and every part grows as it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natix_cascade.errors import PlanError
from natix_cascade.plan.place import Wish
from natix_cascade.plan.place.allowances import GIB, Allowances
from natix_cascade.plan.place.memory import in_process, on_server, weights_gb
from natix_cascade.plan.place.units import Unit, units_of
from natix_cascade.spec.library import load_cascade

WISH = Wish()
KNOWN = Allowances()


@pytest.fixture(scope="module")
def units() -> dict[str, Unit]:
    return {unit.name: unit for unit in units_of(load_cascade("dual-h100")[0])}


def test_26_sets_of_weights_are_28_members(units: dict[str, Unit]) -> None:
    assert len(units) == 26
    assert sum(len(unit.members) for unit in units.values()) == 28
    assert units["sam3"].members == ("sam3", "sam3:segment")
    assert units["florence-2-large"].members == ("florence-2-large", "florence-2-large:signs")
    assert sum(unit.adapters for unit in units.values()) == 4
    assert units["florence-2-large"].required
    assert not units["llama-4-maverick"].required


@pytest.mark.parametrize(
    ("model", "gib"), [("qwen3-vl-4b", 9.5), ("qwen3-vl-8b-thinking", 17.0), ("qwen3-vl-30b-a3b-thinking", 58.3)]
)
def test_measured_weights_come_out(units: dict[str, Unit], model: str, gib: float) -> None:
    assert on_server(units[model], "bf16", 1, WISH, KNOWN).weights == pytest.approx(gib * GIB, abs=1)
    lower = on_server(units[model], "fp8", 1, WISH, KNOWN).weights
    assert lower == pytest.approx((weights_gb(units[model].card, "fp8") + 1.3) * 1e9, abs=1)


def test_the_cache_is_2_layers_heads_dim_bytes_tokens_requests(units: dict[str, Unit]) -> None:
    unit = units["qwen2-5-vl-72b"]
    one = on_server(unit, "int4", 1, replace(WISH, concurrency=1), KNOWN)
    tokens = 640  # 256 + 368 + 16, whole blocks of 16
    assert 0 <= one.kv - 2 * 80 * 8 * 128 * 2 * tokens < 2e6
    many = on_server(unit, "int4", 1, replace(WISH, concurrency=100), KNOWN)
    assert 0 <= many.kv - 2 * 80 * 8 * 128 * 2 * tokens * 100 < 2e6
    small = on_server(unit, "int4", 1, replace(WISH, concurrency=100, kv_bytes=1), KNOWN)
    assert small.kv == pytest.approx(many.kv / 2, rel=1e-3)
    halved = on_server(unit, "int4", 2, replace(WISH, concurrency=100), KNOWN)
    assert halved.kv == pytest.approx(many.kv / 2, rel=1e-3)


def test_thought_takes_cache(units: dict[str, Unit]) -> None:
    """Its 256 tokens of reasoning are in the account of the model that thinks."""
    thinks = on_server(units["qwen3-vl-8b-thinking"], "fp8", 1, WISH, KNOWN)
    answers = on_server(units["qwen3-vl-4b"], "fp8", 1, WISH, KNOWN)  # the same attention
    per_token = 2 * 36 * 8 * 128 * 2
    assert thinks.kv - answers.kv == pytest.approx(256 * per_token * WISH.concurrency, abs=2e6)


def test_key_value_heads_are_repeated_when_there_are_more_gpus(units: dict[str, Unit]) -> None:
    unit = units["qwen3-vl-30b-a3b-thinking"]  # 4 key-value heads
    four, eight = (on_server(unit, "bf16", ways, WISH, KNOWN) for ways in (4, 8))
    assert four.kv == pytest.approx(eight.kv, abs=2e6)
    assert eight.weights == pytest.approx(four.weights / 2, abs=2)


def test_a_total_is_whole_mb_and_its_parts(units: dict[str, Unit]) -> None:
    for unit in units.values():
        if unit.served:
            parts = on_server(unit, "int4", 2, WISH, KNOWN)
            assert parts.total % 10**6 == 0
            whole = parts.weights + parts.adapters + parts.kv + parts.activations + parts.encoder
            assert whole + parts.graphs + parts.reserve == parts.total


def test_activations_of_an_8b_are_as_vllm_reported_them(units: dict[str, Unit]) -> None:
    parts = on_server(units["qwen3-vl-8b-thinking"], "bf16", 1, replace(WISH, batched_tokens=8192), KNOWN)
    assert parts.activations / GIB == pytest.approx(1.26, abs=0.01)
    twice = on_server(units["qwen3-vl-8b-thinking"], "bf16", 2, replace(WISH, batched_tokens=8192), KNOWN)
    assert twice.activations == parts.activations  # not split over GPUs


def test_graphs_of_28_layers_and_all_sizes() -> None:
    """51 sizes are captured for 256 requests; the allowance is from 67 sizes of 28 layers in 0.63 GiB."""
    known = units_of(load_cascade("vlm-only")[0])
    unit = next(unit for unit in known if unit.card.serving and unit.card.serving.layers == 36)
    parts = on_server(unit, "bf16", 1, replace(WISH, concurrency=512), KNOWN)
    assert parts.graphs / GIB == pytest.approx(0.63 * 36 / 28 * 51 / 67, rel=0.01)


def test_in_process_models_grow_with_the_batch(units: dict[str, Unit]) -> None:
    one, eight = (in_process(units["sam3"], replace(WISH, batch=batch), KNOWN) for batch in (1, 8))
    assert one.weights == eight.weights == 1.7e9
    assert eight.activations == 8 * one.activations == 8 * 1008 * 1008 * 160


def test_a_server_without_attention_on_its_card_is_refused() -> None:
    cascade, _ = load_cascade("vlm-only")
    name = cascade.models[0]
    card = cascade.cards[name]
    assert card.serving is not None
    broken = {**cascade.cards, name: replace(card, serving=replace(card.serving, layers=0, head_dim=0))}
    with pytest.raises(PlanError, match=f"'{name}'.*layers, head_dim"):
        units_of(replace(cascade, cards=broken))
    without = {**cascade.cards, name: replace(card, serving=None)}
    with pytest.raises(PlanError, match="memory_gb"):
        units_of(replace(cascade, cards=without))
