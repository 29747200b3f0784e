"""What goes back to a validator: a number that stays on its side of one half, and words that say why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from natix_cascade.errors import ModelError

__all__ = ["GUESS", "MARGIN", "Heard", "Reply", "guess", "prediction_of", "reply_to"]

MARGIN = 1e-3
"""No prediction is nearer to one half than this: it keeps its side as a 32-bit or a 16-bit number, too."""
GUESS = 0.5 - MARGIN
"""Said of a picture that cannot be judged: 'no', for a number outside [0, 1] earns nothing and this is right half the
time."""
_LONGEST = 1200


class Heard(Protocol):
    """What the miner needs of an answer; verdicts and the client's answers have it."""

    @property
    def detected(self) -> bool:
        """Yes or no."""

    @property
    def probability(self) -> float:
        """P(yes), mapped so that the cascade's threshold lies at 0.5."""

    @property
    def confidence(self) -> float:
        """Probability of the answer that was given."""

    @property
    def exit_level(self) -> str:
        """The level at which the answer was given."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it ended there."""

    @property
    def degraded(self) -> bool:
        """Something that should have been asked did not answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for a validator.

    Attributes
    ----------
    prediction : float
        In [0, 1] and at least `MARGIN` away from 0.5; above means yes.
    explanation : str
        Never empty.
    """

    prediction: float
    explanation: str


def prediction_of(probability: float, *, detected: bool) -> float:
    """Bring a probability to where a validator reads the same answer from it.

    Parameters
    ----------
    probability : float
        In [0, 1].
    detected : bool
        The answer; it decides the side.

    Returns
    -------
    float
        In [0, 0.5 - MARGIN] for no, in [0.5 + MARGIN, 1] for yes.

    Raises
    ------
    ModelError
        It is no probability.
    """
    if not (math.isfinite(probability) and 0 <= probability <= 1):
        raise ModelError(f"a probability lies between 0 and 1, not at {probability}")
    return float(max(probability, 0.5 + MARGIN) if detected else min(probability, 0.5 - MARGIN))


def reply_to(answer: Heard, *, positive: str = "roadwork", remark: str = "") -> Reply:
    """Turn the cascade's answer into a reply.

    Parameters
    ----------
    answer : Heard
        Verdict or the client's answer.
    positive : str
        What is looked for, in words.
    remark : str
        Added to the explanation.

    Raises
    ------
    ModelError
        The probability is none.
    """
    prediction = prediction_of(answer.probability, detected=answer.detected)
    seen = f"The picture shows {positive}" if answer.detected else f"The picture shows no {positive}"
    head = f"{seen} (confidence {answer.confidence:.2f}, decided at level {answer.exit_level})"
    parts = [head, *answer.reasons]
    if answer.degraded:
        parts.append("not everything that should have been asked has answered")
    if remark:
        parts.append(remark)
    return Reply(prediction, _sentences(parts))


def guess(why: str) -> Reply:
    """Answer 'no' about a picture that nobody could judge."""
    return Reply(GUESS, _sentences([f"The picture could not be judged, 'no' is a guess: {why}"]))


def _sentences(parts: Sequence[str]) -> str:
    text = " ".join(f"{part[:1].upper()}{part[1:].rstrip('.')}." for part in map(_clean, parts) if part)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _clean(text: str) -> str:
    """One line of printable characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
