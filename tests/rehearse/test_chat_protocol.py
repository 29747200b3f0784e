from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from natix_cascade.rehearse.chat_protocol import ChatError, ChatRequest, conversation, error_body, first_wrong


def data_url(mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> str:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def request(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return ChatRequest.model_validate_json(json.dumps(body))


def ask(url: str) -> ChatRequest:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what?"}]
    return request(messages=[{"role": "system", "content": "look"}, {"role": "user", "content": parts}])


def test_pictures_leave_a_mark_in_the_messages() -> None:
    talk = conversation(ask(data_url("RGBA")))
    assert [message["role"] for message in talk.messages] == ["system", "user"]
    assert talk.messages[1]["content"] == [{"type": "image"}, {"type": "text", "text": "what?"}]
    assert [(picture.mode, picture.size) for picture in talk.pictures] == [("RGB", (8, 6))]


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.jpg", "data:image/png,AAAA", "data:image/png;base64,AAAA", "data:image/png;base64,%%", ""],
)
def test_pictures_that_cannot_be_read(url: str) -> None:
    with pytest.raises(ChatError) as caught:
        conversation(ask(url))
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"temperature": -1}, "temperature"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": [""]}}, "structured_outputs.choice.0"),
        ({"logprob_token_ids": [-1]}, "logprob_token_ids.0"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages.0.content"),
    ],
)
def test_fields_that_are_wrong_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        request(**fields)
    wrong = first_wrong(caught.value)
    assert (wrong.param or "").startswith(param)
    assert error_body(str(wrong), status=400, param=wrong.param)["error"]["type"] == "BadRequestError"


def test_limits_and_stops_have_two_spellings() -> None:
    assert request().limit == 16
    assert request(max_tokens=3).limit == 3
    assert request(max_tokens=3, max_completion_tokens=5).limit == 5
    assert request(stop="a").stops == ["a"]
    assert request(stop=["a", "b"]).stops == ["a", "b"]
    assert request().stops == []
