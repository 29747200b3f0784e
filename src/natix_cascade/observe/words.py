"""The two answers to a question, in one word each."""

from __future__ import annotations

from natix_cascade.spec.cascade import Question

__all__ = ["word"]

_KNOWN = Question()


def word(question: str, answer: bool) -> str:  # noqa: FBT001  # the value, not a flag
    """The word for an answer: those of the roadwork question; of others only the id is known here, so yes or no."""
    if question == _KNOWN.id:
        return _KNOWN.positive if answer else _KNOWN.negative
    return "yes" if answer else "no"
