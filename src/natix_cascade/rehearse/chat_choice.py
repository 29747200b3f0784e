"""Answers held to a list of choices, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["ChoiceMask", "allowed_tokens"]


def allowed_tokens(choices: Sequence[str], said: str, pieces: Sequence[str], ends: Sequence[int]) -> list[int]:
    """Tokens that keep an answer on the way to one of the choices.

    Parameters
    ----------
    choices : sequence of str
        What may be answered.
    said : str
        The answer so far.
    pieces : sequence of str
        Text of every token.
    ends : sequence of int
        Tokens that end an answer; allowed once a choice is complete.
    """
    rest = [choice[len(said) :] for choice in choices if choice.startswith(said)]
    tokens = [index for index, piece in enumerate(pieces) if piece and any(text.startswith(piece) for text in rest)]
    return tokens + list(ends) if "" in rest else tokens


class ChoiceMask:
    """Logits processor of transformers' ``generate`` for one request.

    Parameters
    ----------
    choices, pieces, ends
        See `allowed_tokens`.
    start : int
        Length of the prompt.
    """

    def __init__(self, choices: Sequence[str], pieces: Sequence[str], ends: Sequence[int], start: int) -> None:
        self._choices, self._pieces, self._ends, self._start = choices, pieces, ends, start

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Forbid every token that leads away from the choices: ``(1, vocabulary)`` in and out."""
        said = "".join(self._pieces[token] for token in input_ids[0, self._start :].tolist())
        allowed = allowed_tokens(self._choices, said, self._pieces, self._ends)
        masked = scores.new_full(scores.shape, float("-inf"))
        masked[:, allowed] = scores[:, allowed]
        return masked
