from __future__ import annotations

import json
from typing import Any

import pytest

from natix_cascade.models.chat.requests import WAYS, Chat, body, opening
from natix_cascade.spec.library import load_prompt

PROMPT = load_prompt("roadwork")
WAY = {way.name: way for way in WAYS}


def request(name: str, ids: tuple[int, ...] = (), **how: Any) -> dict[str, Any]:
    chat = opening(PROMPT, "data:image/jpeg;base64,AAAA", PROMPT.question)
    made: dict[str, Any] = body("tiny", chat, WAY[name].fields_of(PROMPT, ids), **how)
    return made


def test_the_rules_come_first_then_the_picture_then_the_question() -> None:
    system, user = request("top")["messages"]
    assert system == {"role": "system", "content": PROMPT.system}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][1]["text"] == PROMPT.question


def test_pictures_share_everything_before_them() -> None:
    first, second = (json.dumps(body("m", opening(PROMPT, url, "?"), {})["messages"]) for url in ("AAAA", "BBBB"))
    assert first.index("AAAA") == second.index("BBBB")
    assert first[: first.index("AAAA")] == second[: second.index("BBBB")]


@pytest.mark.parametrize("name", list(WAY))
@pytest.mark.parametrize("plain", [False, True])
def test_every_request_is_json_and_bounded(name: str, *, plain: bool) -> None:
    made = json.loads(json.dumps(request(name, (1, 2), plain=plain)))
    assert 1 <= made["max_tokens"] <= 24
    assert made["temperature"] == 0
    assert "guided_choice" not in made
    assert ("chat_template_kwargs" in made) != plain
    assert made.get("stream", False) is False


def test_what_each_way_sends() -> None:
    assert request("ids", (3, 7))["logprob_token_ids"] == [3, 7]
    assert request("ids", (3, 7))["logprobs"] is True
    assert request("top")["top_logprobs"] == 20
    assert request("choice")["structured_outputs"] == {"choice": ["yes", "no"]}
    assert request("regex")["regex"] == "(yes|no)"
    assert request("regex_schema")["response_format"] == {"type": "regex_schema", "regex_schema": "(yes|no)"}
    schema = request("json")["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == ["yes", "no"]
    assert "logprobs" not in request("word")


def test_a_closed_thought_is_continued() -> None:
    chat = opening(PROMPT, "AAAA", "?").thought("cones")
    made = body("m", chat, {})
    assert made["messages"][-1] == {"role": "assistant", "content": "<think>\ncones\n</think>\n\n"}
    assert made["continue_final_message"] is True
    assert made["add_generation_prompt"] is False
    assert made["chat_template_kwargs"] == {"enable_thinking": False}
    assert "continue_final_message" not in body("m", chat, {}, plain=True)
    assert "continue_final_message" not in body("m", chat.then("user", "why?"), {})


def test_pictures_stand_in_no_error_message() -> None:
    assert "AAAA" not in repr(Chat(({"content": "AAAA"},)))
