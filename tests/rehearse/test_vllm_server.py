"""The real vLLM on CPUs: ``make test-vllm`` sets NATIX_CASCADE_VLLM to its command."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from natix_cascade.errors import ModelError
from natix_cascade.rehearse.server_process import ServerProcess, free_port
from natix_cascade.rehearse.vllm_server import VLLM_ARCHITECTURES, vllm_server

Question = Callable[..., dict[str, Any]]

pytest.importorskip("transformers", reason="needs torch and transformers")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
if "NATIX_CASCADE_VLLM" not in os.environ:
    pytestmark.append(pytest.mark.skip(reason="NATIX_CASCADE_VLLM does not name the vllm command"))

VLLM = Path(os.environ.get("NATIX_CASCADE_VLLM", "vllm"))


@pytest.fixture(scope="module")
def server(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    from natix_cascade.rehearse.tiny_lora import build_tiny_lora

    root = tmp_path_factory.mktemp("vllm")
    adapters = {f"trained-{seed}": root / f"lora{seed}" for seed in (1, 2)}
    for seed, folder in enumerate(adapters.values(), start=1):
        build_tiny_lora(tiny("qwen3_vl"), folder, seed=seed)
    names = ["base", "alias"]
    with vllm_server(VLLM, tiny("qwen3_vl"), names=names, lora=adapters, port=free_port(), log=root / "log") as server:
        yield server


def post(server: ServerProcess, body: dict[str, Any]) -> Any:
    answer = httpx.post(f"{server.url}/chat/completions", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def tokens(server: ServerProcess, model: str, text: str) -> list[int]:
    body = {"model": model, "prompt": text, "add_special_tokens": False}
    return list(httpx.post(f"http://127.0.0.1:{server.port}/tokenize", json=body, timeout=60).json()["tokens"])


def margin(server: ServerProcess, body: dict[str, Any]) -> float:
    """How much likelier "yes" is than "no", in log-odds."""
    yes, no = (tokens(server, body["model"], word)[0] for word in ("yes", "no"))
    answer = post(server, {**body, "logprobs": True, "logprob_token_ids": [yes, no]})
    found = {
        entry["token"]: entry["logprob"] for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    }
    return float(found["yes"] - found["no"])


def test_one_server_answers_for_the_base_and_each_adapter(server: ServerProcess, question: Question) -> None:
    listed = httpx.get(f"{server.url}/models", timeout=60).json()["data"]
    assert {entry["id"] for entry in listed} == {"base", "alias", "trained-1", "trained-2"}
    base, alias, first, second = (
        np.array([margin(server, question(name, scene)) for scene in range(4)])
        for name in ("base", "alias", "trained-1", "trained-2")
    )
    assert base == pytest.approx(alias, abs=0.1)  # what else is in the batch changes the last bits
    assert min(abs(base - first).max(), abs(base - second).max(), abs(first - second).max()) > 0.3


def test_transformers_sees_the_same(server: ServerProcess, question: Question, tiny: Callable[[str], Path]) -> None:
    from natix_cascade.rehearse.chat_model import ChatModel
    from natix_cascade.rehearse.chat_protocol import ChatRequest

    model = ChatModel(tiny("qwen3_vl"))
    named = [model.tokenize(word, special=False)[0] for word in ("yes", "no")]
    for scene, size in ((0, (224, 224)), (1, (320, 240)), (2, (100, 300))):
        asked = question("base", scene, size, logprobs=True, logprob_token_ids=named)
        theirs = post(server, asked)
        ours = model.answer(ChatRequest.model_validate(asked))
        assert ours.prompt_tokens == theirs["usage"]["prompt_tokens"]
        found = dict(ours.steps[0].logprobs)
        assert found[named[0]] - found[named[1]] == pytest.approx(
            margin(server, question("base", scene, size)), abs=0.25
        )


def test_a_choice_is_kept_and_its_logprobs_are_renormalised(server: ServerProcess, question: Question) -> None:
    asked = question("base", structured_outputs={"choice": ["yes", "no"]}, max_tokens=8, logprobs=True, top_logprobs=6)
    (choice,) = post(server, asked)["choices"]
    assert choice["message"]["content"] in {"yes", "no"}
    allowed = [entry for entry in choice["logprobs"]["content"][0]["top_logprobs"] if entry["logprob"] > -9000]
    assert {entry["token"] for entry in allowed} == {"y", "ye", "yes", "n", "no"}
    assert sum(math.exp(entry["logprob"]) for entry in allowed) == pytest.approx(1, abs=1e-2)


def test_thinking_reaches_the_template_and_usage_is_told(server: ServerProcess, question: Question) -> None:
    plain = post(server, question("base"))["usage"]
    quiet = post(server, question("base", chat_template_kwargs={"enable_thinking": False}))["usage"]
    assert quiet["prompt_tokens"] > plain["prompt_tokens"]
    assert plain["total_tokens"] == plain["prompt_tokens"] + 1


def test_many_at_once(server: ServerProcess, question: Question) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda scene: post(server, question("base", scene)), range(16)))
    assert len(found) == 16


@pytest.mark.parametrize(
    ("change", "status"),
    [({"model": "nobody"}, 404), ({"max_tokens": 10**6}, 400), ({"logprobs": True, "top_logprobs": 21}, 400)],
)
def test_errors_have_the_protocols_form(
    server: ServerProcess, question: Question, change: dict[str, Any], status: int
) -> None:
    answer = httpx.post(f"{server.url}/chat/completions", json={**question("base"), **change}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)


def test_it_dies_and_comes_back_with_the_same_answers(server: ServerProcess, question: Question) -> None:
    before = margin(server, question("trained-1"))
    server.kill()
    with pytest.raises(httpx.TransportError):
        post(server, question("trained-1"))
    server.start()
    assert margin(server, question("trained-1")) == pytest.approx(before, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [name for name in VLLM_ARCHITECTURES if name != "qwen3_vl"])
def test_other_architectures(
    architecture: str, tiny: Callable[[str], Path], tmp_path: Path, question: Question
) -> None:
    server = vllm_server(VLLM, tiny(architecture), names=["it"], port=free_port(), log=tmp_path / "log")
    with server:
        margins = [margin(server, question("it", scene)) for scene in range(3)]
    assert len({round(one, 3) for one in margins}) == 3


def test_a_folder_without_a_model_quotes_the_log(tmp_path: Path) -> None:
    server = vllm_server(VLLM, tmp_path, names=["it"], port=free_port(), log=tmp_path / "log")
    with pytest.raises(ModelError, match=r"vllm serve ended with status 1:[\s\S]+"):
        server.start()
