"""What is sent to a vision-language model: messages, and how the answer is asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from natix_cascade.spec.prompt import PromptSpec

__all__ = ["EXPLAIN_TOKENS", "WAYS", "Chat", "Way", "body", "opening"]

EXPLAIN_TOKENS: Final = 64
_THOUGHT = "<think>\n{}\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of asking for the answer token.

    Attributes
    ----------
    name : str
        For messages and records.
    fields : Mapping
        What the request says besides the messages; see `fields_of`.
    constrained : bool
        The server lets the model say nothing but the two answers.
    """

    name: str
    fields: Mapping[str, Any]
    constrained: bool = False

    def fields_of(self, prompt: PromptSpec, ids: tuple[int, ...]) -> dict[str, Any]:
        """Its fields for a prompt; `ids` are tokens that begin either answer."""
        yes, no = prompt.yes[0], prompt.no[0]
        choices, either = [yes, no], f"({re.escape(yes)}|{re.escape(no)})"
        schema = {
            "type": "object",
            "properties": {"answer": {"type": "string", "enum": choices}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        late: dict[str, dict[str, Any]] = {
            "ids": {"logprob_token_ids": list(ids), "return_tokens_as_token_ids": True},
            "choice": {"structured_outputs": {"choice": choices}},
            "regex": {"regex": either},
            "regex_schema": {"response_format": {"type": "regex_schema", "regex_schema": either}},
            "json": {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": True, "schema": schema},
                }
            },
        }
        return {**self.fields, **late.get(self.name, {})}


_FEW: Final = {"logprobs": True, "top_logprobs": 5, "max_tokens": 8}

WAYS: Final = (
    Way("ids", {"logprobs": True, "max_tokens": 1}),  # vLLM: any tokens, exactly
    Way("top", {"logprobs": True, "top_logprobs": 20, "max_tokens": 1}),  # the protocol's own, with its own limit ...
    Way("top5", {"logprobs": True, "top_logprobs": 5, "max_tokens": 1}),  # ... and that of older servers
    Way("choice", _FEW, constrained=True),  # vLLM
    Way("regex", _FEW, constrained=True),  # SGLang
    Way("regex_schema", _FEW, constrained=True),  # LMDeploy
    Way("json", {**_FEW, "max_tokens": 24}, constrained=True),  # the protocol's own
    Way("word", {"max_tokens": 8}),  # no probabilities
)
"""Ways of asking, the best first."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages so far.

    Attributes
    ----------
    messages : tuple of dict
        In the protocol's form.
    open_end : bool
        The last message is the model's own and is to be continued.
    """

    messages: tuple[dict[str, Any], ...] = field(repr=False)
    open_end: bool = False

    def then(self, role: str, text: str) -> Chat:
        """With another message."""
        return Chat((*self.messages, {"role": role, "content": text}))

    def thought(self, text: str = "") -> Chat:
        """With a thought that is closed: the model goes on with what comes after it."""
        return Chat((*self.messages, {"role": "assistant", "content": _THOUGHT.format(text)}), open_end=True)


def opening(prompt: PromptSpec, picture: str, question: str) -> Chat:
    """The beginning of every chat: the same rules first, then the picture, then the question.

    The order lets a server keep the rules, and for a second question the picture too, in its prefix cache.

    Parameters
    ----------
    prompt : PromptSpec
        Whose system text comes first.
    picture : str
        A data URL.
    question : str
        What stands after the picture.
    """
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question}]
    return Chat(({"role": "system", "content": prompt.system}, {"role": "user", "content": content}))


def body(model: str, chat: Chat, fields: Mapping[str, Any], *, thinking: bool = False, plain: bool = False) -> Any:
    """One request.

    Parameters
    ----------
    model : str
        The name that the server knows.
    chat : Chat
        What was said so far.
    fields : Mapping
        How the answer is asked for.
    thinking : bool
        Let a model that can think do so.
    plain : bool
        Nothing but what the protocol itself names, for servers that refuse the rest.
    """
    request = {"model": model, "messages": list(chat.messages), "temperature": 0, **fields}
    if not plain:
        request["chat_template_kwargs"] = {"enable_thinking": thinking}
        if chat.open_end:
            request |= {"add_generation_prompt": False, "continue_final_message": True}
    return request
