from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from natix_cascade.errors import ModelError
from natix_cascade.rehearse.server_process import free_port
from natix_cascade.rehearse.vllm_server import chat_server

pytestmark = pytest.mark.train
pytest.importorskip("transformers", reason="needs torch and transformers")


@pytest.fixture(scope="module")
def client(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folders = {"small": tiny("qwen3_vl"), "twin": tiny("qwen3_vl"), "other": tiny("internvl")}
    server = chat_server(folders, port=free_port(), log=tmp_path_factory.mktemp("server") / "log")
    with server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
        yield client


Question = Callable[..., dict[str, Any]]


def post(client: httpx.Client, body: dict[str, Any]) -> Any:
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def tokens(client: httpx.Client, model: str, text: str) -> list[int]:
    body = {"model": model, "prompt": text, "add_special_tokens": False}
    return list(client.post("/tokenize", json=body).json()["tokens"])


def test_names_of_models(client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200
    listed = client.get("/v1/models").json()
    assert [entry["id"] for entry in listed["data"]] == ["small", "twin", "other"]


def test_named_logprobs_come_after_the_chosen_token(client: httpx.Client, question: Question) -> None:
    named = [tokens(client, "small", word)[0] for word in ("yes", "no")]
    body = post(client, question("small", logprobs=True, logprob_token_ids=named))
    (choice,) = body["choices"]
    (step,) = choice["logprobs"]["content"]
    assert [entry["token"] for entry in step["top_logprobs"]][1:] == ["yes", "no"]
    assert step["top_logprobs"][0]["logprob"] == step["logprob"]
    assert all(entry["logprob"] <= step["logprob"] for entry in step["top_logprobs"])
    assert choice["finish_reason"] == "length"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 1


def test_the_likeliest_come_in_order_and_add_up_to_less_than_one(client: httpx.Client, question: Question) -> None:
    (choice,) = post(client, question("other", logprobs=True, top_logprobs=20))["choices"]
    found = [entry["logprob"] for entry in choice["logprobs"]["content"][0]["top_logprobs"]]
    assert len(found) == 20
    assert found == sorted(found, reverse=True)
    assert sum(map(math.exp, found)) < 1.001


def test_a_choice_is_kept_and_its_logprobs_are_renormalised(client: httpx.Client, question: Question) -> None:
    asked = question("small", structured_outputs={"choice": ["yes", "no"]}, max_tokens=8, logprobs=True, top_logprobs=6)
    (choice,) = post(client, asked)["choices"]
    assert choice["message"]["content"] in {"yes", "no"}
    assert choice["finish_reason"] == "stop"
    first = choice["logprobs"]["content"][0]["top_logprobs"]
    allowed = [entry for entry in first if entry["logprob"] > -9000]
    assert {entry["token"] for entry in allowed} == {"y", "ye", "yes", "n", "no"}
    assert sum(math.exp(entry["logprob"]) for entry in allowed) == pytest.approx(1, abs=1e-3)


def test_names_of_one_folder_agree_and_models_differ(client: httpx.Client, question: Question) -> None:
    named = [tokens(client, "small", "yes")[0]]
    first, twin, other = (
        post(client, question(name, logprobs=True, logprob_token_ids=named))["choices"][0]["logprobs"]["content"][0]
        for name in ("small", "twin", "other")
    )
    assert first == twin
    assert first["top_logprobs"][-1] != other["top_logprobs"][-1]


def test_thinking_changes_the_prompt(client: httpx.Client, question: Question) -> None:
    lengths = [
        post(client, question("small", **more))["usage"]["prompt_tokens"]
        for more in ({}, *({"chat_template_kwargs": {"enable_thinking": thinks}} for thinks in (True, False)))
    ]
    assert lengths[0] == lengths[1] < lengths[2]


def test_an_answer_goes_on_from_words_put_into_its_mouth(client: httpx.Client, question: Question) -> None:
    body = question("small")
    body["messages"].append({"role": "assistant", "content": "I see cones. The answer is"})
    longer = post(client, {**body, "add_generation_prompt": False, "continue_final_message": True})
    assert longer["usage"]["prompt_tokens"] > post(client, question("small"))["usage"]["prompt_tokens"]


def test_a_stop_text_ends_the_answer(client: httpx.Client, question: Question) -> None:
    whole = post(client, question("other", max_tokens=12))["choices"][0]["message"]["content"]
    stop = next(letter for letter in whole[1:] if letter.isascii() and letter.isprintable())
    (choice,) = post(client, question("other", max_tokens=12, stop=[stop]))["choices"]
    assert choice["message"]["content"] == whole.partition(stop)[0]
    assert choice["finish_reason"] == "stop"


def test_chance_is_repeated_by_its_seed(client: httpx.Client, question: Question) -> None:
    said = [
        post(client, question("small", max_tokens=8, temperature=1.5, seed=seed))["choices"][0]["message"]["content"]
        for seed in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]


def test_many_at_once_are_all_answered_alike(client: httpx.Client, question: Question) -> None:
    body = question("small", logprobs=True, top_logprobs=2)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: post(client, body)["choices"], range(16)))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize(
    ("path", "change", "error"),
    [
        ("/v1/chat/completions", {"model": "nobody"}, (404, "nobody")),
        ("/v1/chat/completions", {"max_tokens": 100_000}, (400, "at most 4096")),
        ("/v1/chat/completions", {"top_logprobs": 21}, (400, "top_logprobs")),
        ("/v1/chat/completions", {"logprobs": True, "logprob_token_ids": [10**6]}, (400, "1000000")),
        ("/v1/chat/completions", {"stream": True}, (400, "stream")),
        ("/v1/chat/completions", {"messages": [{"role": "wizard", "content": "x"}]}, (400, "messages.0.role")),
        ("/tokenize", {"prompt": None}, (400, "prompt")),
        ("/nowhere", {}, (404, "Not Found")),
    ],
)
def test_what_is_wrong_is_said_in_the_protocols_form(
    client: httpx.Client, question: Question, path: str, change: dict[str, Any], error: tuple[int, str]
) -> None:
    status, words = error
    answer = client.post(path, json={**question("small"), **change})
    assert answer.status_code == status
    told = answer.json()["error"]
    assert words in told["message"]
    assert told["code"] == status


def test_no_json_is_an_error_too(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", content=b"{")
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]


def test_a_folder_without_a_model_ends_the_start(tmp_path: Path) -> None:
    server = chat_server({"a": tmp_path}, port=free_port(), log=tmp_path / "log")
    with pytest.raises(ModelError, match=r"holds no model: there is no config\.json"):
        server.start()


def test_a_damaged_model_ends_the_start(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    for path in tiny("qwen3_vl").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:200])
    server = chat_server({"a": tmp_path}, port=free_port(), log=tmp_path / "log")
    with pytest.raises(ModelError, match="cannot be loaded"):
        server.start()
