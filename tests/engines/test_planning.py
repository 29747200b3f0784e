from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from server_plans import server, wishes

from natix_cascade.engines.commands import command
from natix_cascade.engines.faults import faults
from natix_cascade.engines.planning import endpoints, remarks_on, servers
from natix_cascade.engines.server import ServerPlan
from natix_cascade.engines.wishes import Checkpoint, Placed, ServerOptions
from natix_cascade.errors import PlanError
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import known_cards
from natix_cascade.spec.task import Ask

CARDS = {name: item.card for name, item in known_cards().items()}
ASKED = sorted(name for name, card in CARDS.items() if isinstance(card.task, Ask))


def placed(model: str, *gpus: int, share: float = 0.3, **more: Any) -> Placed:
    return Placed(model=model, gpus=gpus or (0,), memory_fraction=share, **more)


def second_adapter() -> ModelCard:
    """Another adapter on the base model of qwen3-vl-4b."""
    card = CARDS["qwen3-vl-4b"]
    return replace(card, name="night", task=Ask(prompt="roadwork", served_as="night-lora"))


def test_one_server_serves_a_base_model_and_all_its_adapters() -> None:
    cards = CARDS | {"night": second_adapter()}
    made = servers(cards, [placed("qwen3-vl-4b"), placed("night"), placed("yolo11x"), placed("molmo2-4b", 1)])
    assert [one.name for one in made] == ["qwen3-vl-4b-instruct", "molmo2-4b"]
    base = made[0]
    assert base.served == "Qwen3-VL-4B-Instruct"
    assert base.cards == {"qwen3-vl-4b": "qwen3-vl-4b", "night": "night-lora"}
    assert [(lora.name, lora.path) for lora in base.loras] == [
        ("qwen3-vl-4b", "models/custom/qwen3-vl-4b"),
        ("night-lora", "models/custom/night"),
    ]
    assert [one.port for one in made] == [8101, 8102]


def test_the_base_model_answers_for_a_card_without_an_adapter() -> None:
    plain = replace(CARDS["qwen3-vl-4b"], name="plain", source=replace(CARDS["qwen3-vl-4b"].source, link=None))  # type: ignore[type-var]
    made = servers(CARDS | {"plain": plain}, [placed("qwen3-vl-4b"), placed("plain")])
    assert [(one.served, one.cards) for one in made] == [("plain", {"qwen3-vl-4b": "qwen3-vl-4b", "plain": "plain"})]


def test_sglang_is_asked_for_adapters_its_own_way() -> None:
    made = servers(CARDS, [placed("qwen3-vl-4b")], ServerOptions(engine="sglang"))
    where = endpoints(made).models["qwen3-vl-4b"][0]
    assert (where.url, where.model) == ("http://127.0.0.1:8101/v1", "Qwen3-VL-4B-Instruct:qwen3-vl-4b")


def test_without_adapters_base_models_answer() -> None:
    (made,) = servers(CARDS, [placed("qwen3-vl-4b")], ServerOptions(adapters=None))
    assert (made.served, made.loras) == ("qwen3-vl-4b", ())


def test_replicas_are_several_endpoints_of_one_card() -> None:
    made = servers(CARDS, [placed("molmo2-8b", 0), placed("molmo2-8b", 1)])
    assert [one.name for one in made] == ["molmo2-8b", "molmo2-8b-2"]
    found = endpoints(made, api_key_env="VLLM_API_KEY").models["molmo2-8b"]
    assert [(one.url, one.api_key_env, one.concurrency) for one in found] == [
        ("http://127.0.0.1:8101/v1", "VLLM_API_KEY", 16),
        ("http://127.0.0.1:8102/v1", "VLLM_API_KEY", 16),
    ]


def test_those_that_sleep_start_first() -> None:
    made = servers(CARDS, [placed("qwen3-vl-4b"), placed("internvl3-78b", 0, 1, precision="fp8", asleep=True)])
    assert [(one.name, one.asleep, one.sleep) for one in made] == [
        ("internvl3-78b", True, True),
        ("qwen3-vl-4b", False, False),
    ]
    words = command(made[0])
    assert "--enable-sleep-mode" in words.words
    assert words.environment["VLLM_SERVER_DEV_MODE"] == "1"


def test_engines_are_chosen_by_card_and_by_wish() -> None:
    wanted = ServerOptions(engine="sglang", engines={"qwen3-vl-4b": "lmdeploy"})
    made = servers(CARDS, [placed("qwen3-vl-4b"), placed("molmo2-4b", 1), placed("llama-4-scout", 2, 3)], wanted)
    assert [one.engine for one in made] == ["lmdeploy", "vllm", "sglang"]


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("engine", ["vllm", "sglang", "lmdeploy", "lmdeploy_turbomind"])
def test_what_cards_say_of_engines_is_what_the_engines_sources_say(name: str, engine: Any) -> None:
    card = CARDS[name]
    assert card.serving is not None
    if engine in card.serving.servers:
        plan = server(engine=engine, architecture=card.serving.architecture, heads=card.serving.heads)
        assert list(faults(plan)) == []


@pytest.mark.parametrize(
    ("items", "options", "told"),
    [
        ([placed("nobody")], {}, "no card"),
        ([placed("molmo2-8b")], {"engines": {"molmo2-8b": "sglang"}}, "SGLang has no Molmo"),
        ([placed("phi-4-multimodal", 0, 1, 2, 3, 4)], {}, "24 attention heads; use 1, 2, 3, 4, 6, 8, 12"),
        ([placed("qwen3-vl-4b", precision="int4")], {}, "quantised checkpoint"),
        ([placed("llama-4-maverick", 0, 1)], {}, "not bf16"),
        ([placed("qwen3-vl-4b", 0, 0)], {}, "twice"),
        ([placed("qwen3-vl-4b", share=0.6), placed("molmo2-8b", share=0.5)], {}, "GPU 0: .* awake together want 110%"),
        ([placed("molmo2-4b")], {"lmcache": True, "kv_offload_gb": 8.0}, "keep one"),
        ([placed("internvl3-78b", 0, 1, precision="fp8")], {"engine": "lmdeploy_turbomind"}, "TurboMind"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(items: list[Placed], options: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError, match=told.replace("(", r"\(")):
        servers(CARDS, items, ServerOptions(**options))


def test_a_quantised_checkpoint_takes_the_place_of_the_cards_weights() -> None:
    own = ServerOptions(checkpoints={"qwen3-vl-32b": Checkpoint(model="/srv/q32-awq"), "molmo2-8b": _modelopt()})
    made = servers(CARDS, [placed("qwen3-vl-32b", precision="int4"), placed("molmo2-8b", 1, precision="fp8")], own)
    words = [command(one).words for one in made]
    assert "/srv/q32-awq" in words[0]
    assert "--quantization" not in words[0]
    assert words[1][words[1].index("--quantization") + 1] == "modelopt"


def _modelopt() -> Checkpoint:
    return Checkpoint(model="/srv/molmo-modelopt", weights="modelopt")


def test_wishes_reach_only_those_that_can() -> None:
    wanted = ServerOptions(
        encoder_data_parallel=True, expert_parallel=True, trust_remote_code=True, kv_offload_gb=8, api_processes=4
    )
    names = ["qwen3-vl-30b-a3b-thinking", "molmo2-8b", "internvl3-5-30b-a3b"]
    items = [placed(name, 2 * n, 2 * n + 1) for n, name in enumerate(names)]
    moe, molmo, tm = servers(CARDS, items, replace(wanted, engines={names[2]: "lmdeploy_turbomind"}))
    assert (moe.encoder_data_parallel, moe.expert_parallel, moe.trust_remote_code) == (True, True, False)
    assert (molmo.encoder_data_parallel, molmo.expert_parallel, molmo.trust_remote_code) == (False, False, True)
    assert (tm.kv_offload_gb, tm.api_processes, tm.encoder_data_parallel) == (None, 1, False)


def test_notes_say_what_is_left_out_and_what_is_not_pinned() -> None:
    made = servers(CARDS, [placed("molmo2-4b")])
    notes = "\n".join(remarks_on(made, ["molmo2-4b", "qwen3-vl-4b", "yolo11x"], CARDS, ServerOptions()))
    assert "qwen3-vl-4b" in notes
    assert "yolo11x" not in notes
    assert "code of their own" in notes
    assert ("no commit is pinned" in notes) == (made[0].revision is None)


def test_no_server_is_no_endpoint() -> None:
    with pytest.raises(PlanError, match="no endpoints"):
        endpoints(servers(CARDS, [placed("yolo11x")]))


def share_of(plan: ServerPlan, flag: str) -> float:
    words = command(plan).words
    return float(words[words.index(flag) + 1])


def test_each_engine_counts_memory_its_own_way() -> None:
    plan = server(memory_fraction=0.5, weights_gb=10, gpu_gb=80)
    assert share_of(plan, "--gpu-memory-utilization") == 0.5
    assert share_of(replace(plan, engine="sglang"), "--mem-fraction-static") == pytest.approx(0.5 - 4 / 80)
    lmdeploy = share_of(replace(plan, engine="lmdeploy"), "--cache-max-entry-count")
    assert lmdeploy == pytest.approx((40 - 10) / 70, abs=1e-3)


@given(plan=wishes())
@settings(max_examples=200, deadline=None)
def test_faults_never_fail_themselves(plan: ServerPlan) -> None:
    assert all(fault and not fault.endswith(".") for fault in faults(plan))
