"""A judge's answer, read strictly: one JSON object of the wanted shape, or nothing. Pure.

The answer was written by a model that may have read orders off a sign. A number counts only where it stands under the
right key in the only object there is; what is outside of 0 to 1 is refused, as 8 may be 8 of 10. The reason is for
people and is made harmless.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from natix_cascade.errors import ModelError
from natix_cascade.models.chat.reading import clean
from natix_cascade.observe.judge.wording import REASON

__all__ = ["Said", "UnreadableError", "read", "text_of"]

_LONGEST = 64 * 1024
_SAID = 80
_ROUNDING = 1e-6
_DIGITS = 6
_CLOSED = "</think>"
_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL | re.IGNORECASE)


class UnreadableError(ModelError):
    """The judge answered, but not as it was asked to."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge said.

    Attributes
    ----------
    value : float or None
        From 0 to 1; None: it abstained.
    reason : str
        For people; at most 300 characters.
    """

    value: float | None
    reason: str


def text_of(reply: dict[str, Any]) -> str:
    """The text of a reply of the chat protocol.

    Raises
    ------
    UnreadableError
        There is none, it was cut off, or the model refused.
    """
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise UnreadableError("the server's reply has no choices[0].message; is it an OpenAI-compatible chat server?")
    if choice.get("finish_reason") == "length":
        raise UnreadableError("the judge's answer was cut off: it wrote more than it may")
    text = message.get("content")
    if isinstance(text, str) and text.strip():
        return text
    refusal = clean(message.get("refusal"), _SAID)
    raise UnreadableError(f"the judge refused: {refusal}" if refusal else "the judge's answer is empty")


def read(text: str, key: str) -> Said:
    """Read an answer.

    Parameters
    ----------
    text : str
        One JSON object; a closed thought may stand before it, and a code fence around it.
    key : str
        The number's name.

    Raises
    ------
    UnreadableError
        It is anything else.
    """
    data = _object(text)
    if set(data) - {"reason", "abstain", key}:
        raise _not(text, "it has other keys than it was asked for")
    reason, abstain, value = data.get("reason"), data.get("abstain"), data.get(key)
    if not isinstance(reason, str):
        raise _not(text, "reason is no text")
    if not isinstance(abstain, bool):
        raise _not(text, "abstain is neither true nor false")
    if abstain:
        return Said(None, clean(reason, REASON))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not(text, f"{key} is no number")
    if not -_ROUNDING <= value <= 1 + _ROUNDING:  # NaN is not, either
        raise _not(text, f"{key} is not between 0 and 1")
    return Said(round(min(max(float(value), 0.0), 1.0), _DIGITS), clean(reason, REASON))


def _object(text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise UnreadableError(f"the judge's answer has {len(text)} characters; wanted one small JSON object")
    rest = text.rpartition(_CLOSED)[2].strip() if text.lstrip().startswith("<think>") else text.strip()
    fenced = _FENCED.fullmatch(rest)
    try:
        # not strict: vLLM's grammar of bounded strings lets control characters through, and `clean` takes them out
        data = json.loads(fenced[1] if fenced else rest, strict=False, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _not(text, "it is not one JSON object") from None
    if not isinstance(data, dict):
        raise _not(text, "it is not one JSON object")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _not(text: str, why: str) -> UnreadableError:
    return UnreadableError(f"the judge's answer cannot be used: {why}: {clean(text, _SAID)!r}")
