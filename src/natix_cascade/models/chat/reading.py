"""P(yes) from what a server says: probabilities of tokens, or a word. Pure arithmetic, and no trust.

Everything that comes in was written by a model or a server, and the model may have read its lines off a sign in the
picture. Nothing of it is executed or believed: tokens are compared with the spellings of two answers, words count only
where the answer has to stand, and text for people is cut to a length and stripped of what could control anything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from natix_cascade.spec.prompt import PromptSpec

__all__ = [
    "MUTE_YES",
    "Reading",
    "Spellings",
    "clean",
    "read_ids",
    "read_tokens",
    "read_word",
    "token_ids",
]

MUTE_YES = 0.98
"""P(yes) of a bare "yes" from a server that tells no probabilities (0.02 for a bare "no"); calibrators do the rest."""

_LEAST = math.log(1e-9)  # nothing is less likely than this: probabilities stay inside (0, 1)
_JSON = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_SPACE = " \t\r\n\u2581\u0120\u010a"  # and how two kinds of tokenizers write spaces and line breaks
_MARKS = "\"'`*.,:;!"
_FRAME_TOKENS = 32
_MARKUP = re.compile(r"<[|/\uff5c]?[^<>\n]{1,40}[|\uff5c]?>")
_CUT = " ..."


@dataclass(frozen=True, slots=True)
class Spellings:
    """The two answers in all their spellings, without regard to case.

    Attributes
    ----------
    yes, no : frozenset of str
        Case-folded.
    """

    yes: frozenset[str]
    no: frozenset[str]

    @classmethod
    def of(cls, prompt: PromptSpec) -> Spellings:
        """Those of a prompt."""
        return cls(
            frozenset(word.strip().casefold() for word in prompt.yes),
            frozenset(word.strip().casefold() for word in prompt.no),
        )

    def side(self, token: str) -> bool | None:
        """True for a spelling of yes or a beginning of yes alone ("y"), False for no; None: neither, or both."""
        word = token.strip(_SPACE + _MARKS).casefold()
        if not word:
            return None
        yes, no = (any(each.startswith(word) for each in words) for words in (self.yes, self.no))
        return yes if yes != no else None

    def word(self, text: str) -> bool | None:
        """Which answer a text begins with, as a whole word; None where it begins with neither."""
        said = text.strip(_SPACE + _MARKS).casefold()
        for words, side in ((self.yes, True), (self.no, False)):
            for word in words:
                if said.startswith(word) and not said[len(word) : len(word) + 1].isalnum():
                    return side
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reply says.

    Attributes
    ----------
    probability : float
        P(yes), strictly between 0 and 1.
    mass : float
        Probability of all spellings of both answers together; near 0 the model wanted to say something else.
    exact : bool
        Made from probabilities of tokens; else from the bare word.
    """

    probability: float
    mass: float
    exact: bool = True

    @property
    def yes(self) -> bool:
        """Which of the two it is."""
        return self.probability >= 0.5  # noqa: PLR2004  # the more likely one


def read_ids(content: Any, yes: frozenset[int], no: frozenset[int]) -> Reading | None:
    """Read the first token's probabilities where tokens are told by number, as ``token_id:123``.

    Parameters
    ----------
    content : Any
        ``choices[0].logprobs.content`` of a chat completion.
    yes, no : frozenset of int
        Numbers of the tokens that begin either answer; see `token_ids`.

    Returns
    -------
    Reading or None
        None: there are no such probabilities of both answers.
    """
    sums: dict[bool, list[float]] = {True: [], False: []}
    for token, logprob in _alternatives(content, 0):
        head, _, number = token.partition(":")
        if head != "token_id" or not number.isdecimal():
            return None
        if int(number) in yes:
            sums[True].append(logprob)
        elif int(number) in no:
            sums[False].append(logprob)
    if not sums[True] or not sums[False]:
        return None
    return _reading(_total(sums[True]), _total(sums[False]))


def read_tokens(content: Any, spellings: Spellings) -> Reading | None:
    """Read the probabilities of the token that begins the answer: the first, or in JSON the first of the value.

    What stands for neither answer is left out. A side that is not among the tokens told is taken for as likely as the
    least likely of them, or as all that is not told together, whichever is less.

    Parameters
    ----------
    content : Any
        ``choices[0].logprobs.content`` of a chat completion.
    spellings : Spellings
        Of the two answers.

    Returns
    -------
    Reading or None
        None: no probabilities, or none of either answer.
    """
    position, frame = _start(content)
    told: list[float] = []
    sums: dict[bool, list[float]] = {True: [], False: []}
    for token, logprob in _alternatives(content, position):
        told.append(logprob)
        side = spellings.side(_unframed(frame + token))
        if side is not None:
            sums[side].append(logprob)
    if not sums[True] and not sums[False]:
        return None
    rest = 1 - math.fsum(math.exp(value) for value in told)
    unseen = min(_log(rest), min(told) if len(told) > 1 else 0.0)
    totals = [_total(sums[side]) if sums[side] else max(unseen, _LEAST) for side in (True, False)]
    return _reading(totals[0], totals[1])


def read_word(text: Any, spellings: Spellings) -> Reading | None:
    """Read the bare answer, at the beginning of a text or as the value of ``{"answer": ...}``; else None."""
    if not isinstance(text, str):
        return None
    side = spellings.word(_json_answer(text) or text)
    if side is None:
        return None
    return Reading(MUTE_YES if side else 1 - MUTE_YES, 1.0, exact=False)


def token_ids(yes: Sequence[Sequence[int]], no: Sequence[Sequence[int]]) -> tuple[frozenset[int], frozenset[int]]:
    """The tokens that tell the answers apart, in one context.

    Parameters
    ----------
    yes, no : sequence of sequence of int
        Each spelling behind the same words, as tokens.

    Returns
    -------
    yes, no : frozenset of int
        The first token of each spelling after what all have in common; one that begins both answers is left out.
    """
    everything = [*yes, *no]
    if not everything:
        return frozenset(), frozenset()
    shared = 0
    while all(len(each) > shared + 1 for each in everything) and len({each[shared] for each in everything}) == 1:
        shared += 1
    first = [frozenset(each[shared] for each in side if len(each) > shared) for side in (yes, no)]
    return first[0] - first[1], first[1] - first[0]


def clean(text: Any, limit: int) -> str:
    """A model's text for people and for another prompt: one line, at most `limit` characters, nothing that controls.

    Control characters, surrogates, invisible and direction-changing marks go, and so do tags such as ``<|im_end|>`` or
    ``</think>``, which a chat template would take for its own.
    """
    if not isinstance(text, str):
        return ""
    text = "".join(each if each.isprintable() else " " for each in text[: 20 * limit])
    while (less := _MARKUP.sub(" ", text)) != text:
        text = less
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: max(limit - len(_CUT), 0)].rstrip() + _CUT


def _alternatives(content: Any, position: int) -> Iterable[tuple[str, float]]:
    """The tokens told of at a position, each once, with the logarithms of their probabilities."""
    if not isinstance(content, list) or not position < len(content) or not isinstance(content[position], dict):
        return []
    chosen = content[position]
    top = chosen.get("top_logprobs")
    told = [found for item in (top if isinstance(top, list) else []) if (found := _told(item)) is not None]
    own = _told(chosen)
    if own is not None and own[0] not in {token for token, _ in told}:
        told.append(own)
    return told


def _told(item: Any) -> tuple[str, float] | None:
    if not isinstance(item, dict):
        return None
    token, logprob = item.get("token"), item.get("logprob")
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return None if math.isnan(logprob) else (token, max(min(float(logprob), 0.0), -1e6))


def _start(content: Any) -> tuple[int, str]:
    """Where the answer begins, and what was written before it: behind ``{"answer": "``, or at once."""
    if not isinstance(content, list):
        return 0, ""
    written = ""
    for position, item in enumerate(content[:_FRAME_TOKENS]):
        token = item.get("token") if isinstance(item, dict) else None
        if not isinstance(token, str):
            break
        frame = _JSON.match(written + token)
        if frame is not None and len(written + token) > frame.end():
            return position, written
        written += token
    return 0, ""


def _unframed(text: str) -> str:
    """A text without its JSON frame."""
    frame = _JSON.match(text)
    return text[frame.end() :].rstrip('"} \n') if frame is not None else text


def _json_answer(text: str) -> str | None:
    try:
        answer = json.loads(text)["answer"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return answer if isinstance(answer, str) else None


def _log(value: float) -> float:
    return math.log(value) if value > 0 else _LEAST


def _total(logprobs: list[float]) -> float:
    """The logarithm of the summed probabilities."""
    most = max(logprobs)
    return most + math.log(math.fsum(math.exp(value - most) for value in logprobs))


def _reading(yes: float, no: float) -> Reading:
    difference = max(min(yes - no, -_LEAST), _LEAST)
    mass = min(math.exp(min(yes, 0.0)) + math.exp(min(no, 0.0)), 1.0)
    return Reading(1 / (1 + math.exp(-difference)), mass)
