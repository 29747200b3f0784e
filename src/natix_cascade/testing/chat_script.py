"""What a pretended vision-language model says: scripted probabilities of tokens, worded as servers word them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["STYLES", "TOKENS", "ChatStyle", "completion", "next_token", "written"]

_YES: Final = {"yes": 0.5, "Yes": 0.3, " yes": 0.15, "YES": 0.05}
_NO: Final = {"no": 0.55, "No": 0.35, " No": 0.1}
_ELSE: Final = {"The": 0.6, "I": 0.3, "Sorry": 0.1}
_THOUGHT: Final = {"<think>": 1.0}
_MORE: Final = ("NO", " no", " NO", " Yes", " YES", "y", "n", "\n")
TOKENS: Final = {token: number for number, token in enumerate((*_YES, *_NO, *_ELSE, *_THOUGHT, *_MORE), 11)}
"""Every token of the pretended model and its number."""
_FRAME: Final = ('{"', "answer", '": "')
_LEAST = -9999.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStyle:
    """What a server knows beside the bare protocol.

    Attributes
    ----------
    top : int
        Most `top_logprobs`; 0: it tells no probabilities.
    knows : frozenset of str
        Of ``logprob_token_ids``, ``structured_outputs``, ``regex``, ``regex_schema``, ``json_schema``.
    tokenizes : bool
        It has ``/tokenize``.
    strict : bool
        It refuses fields that it does not know, instead of passing over them.
    """

    top: int = 20
    knows: frozenset[str] = frozenset()
    tokenizes: bool = False
    strict: bool = False


STYLES: Final[Mapping[str, ChatStyle]] = {
    "vllm": ChatStyle(knows=frozenset({"logprob_token_ids", "structured_outputs", "json_schema"}), tokenizes=True),
    "vllm without tokens": ChatStyle(knows=frozenset({"structured_outputs", "json_schema"})),
    "sglang": ChatStyle(knows=frozenset({"regex", "json_schema"})),
    "lmdeploy": ChatStyle(knows=frozenset({"regex_schema", "json_schema"})),
    "openai": ChatStyle(knows=frozenset({"json_schema"}), strict=True),
    "old": ChatStyle(top=5),
    "mute": ChatStyle(top=0),
    "strict and mute": ChatStyle(top=0, strict=True),
}
"""Servers by name."""


def next_token(p: float, mass: float, *, thinking: bool, constrained: bool) -> dict[str, float]:
    """The probabilities of the first token of an answer.

    Parameters
    ----------
    p : float
        P(yes) that a good reader makes of it.
    mass : float
        Of all spellings of both answers together.
    thinking : bool
        The model wants to think, and says so instead of an answer.
    constrained : bool
        The server lets it say nothing else: probabilities are shared anew among spellings and their beginnings.
    """
    if constrained:
        p = 0.5 if thinking else p
        return {"yes": 0.8 * p, "y": 0.15 * p, "ye": 0.05 * p, "no": 0.7 * (1 - p), "n": 0.3 * (1 - p)}
    if thinking:
        p, mass = 0.5, 1e-5
    shares = [(_YES, p * mass), (_NO, (1 - p) * mass), (_THOUGHT if thinking else _ELSE, 1 - mass)]
    return {token: share * whole for tokens, whole in shares for token, share in tokens.items()}


def completion(
    chances: Mapping[str, float], request: Mapping[str, Any], style: ChatStyle, *, framed: bool
) -> tuple[str, list[dict[str, Any]] | None]:
    """The answer word and ``logprobs.content``, as a server of a style words it; `framed` in JSON."""
    best = max(chances, key=lambda token: chances[token])
    word = {"y": "yes", "ye": "yes", "n": "no"}.get(best, best)
    if not request.get("logprobs") or style.top == 0:
        return (f'{{"answer": "{word}"}}' if framed else word), None
    told = chances
    if "logprob_token_ids" in style.knows and request.get("logprob_token_ids"):
        names = {number: token for token, number in TOKENS.items()}
        told = {names[number]: chances.get(names[number], 0.0) for number in request["logprob_token_ids"]}
        told = {best: chances[best], **told}
        count = len(told)
    else:
        count = int(request.get("top_logprobs") or 0)
    numbers = "logprob_token_ids" in style.knows and bool(request.get("return_tokens_as_token_ids"))
    top = [
        _token(token, told[token], numbers=numbers) for token in sorted(told, key=lambda token: -told[token])[:count]
    ]
    answer = _token(best, chances[best], numbers=numbers) | {"top_logprobs": top}
    if not framed:
        return word, [answer]
    frame = [_token(token, 1.0, numbers=False) | {"top_logprobs": []} for token in _FRAME]
    return f'{{"answer": "{word}"}}', [*frame, answer]


def written(word: str, limit: int) -> tuple[str, int]:
    """A text of at most `limit` tokens (here: words), and how many they are."""
    words = word.split(" ")[:limit]
    return " ".join(words), len(words)


def _token(token: str, chance: float, *, numbers: bool) -> dict[str, Any]:
    shown = f"token_id:{TOKENS.get(token, 0)}" if numbers else token
    return {
        "token": shown,
        "logprob": max(math.log(chance), _LEAST) if chance > 0 else _LEAST,
        "bytes": list(token.encode()),
    }
