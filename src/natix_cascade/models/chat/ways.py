"""Asking for the answer token: the way that a server supports is found at its first question and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from natix_cascade.errors import ModelError
from natix_cascade.models.chat.http import ChatServer, LostError, RefusedError
from natix_cascade.models.chat.reading import Reading, Spellings, clean, read_ids, read_tokens, read_word, token_ids
from natix_cascade.models.chat.requests import WAYS, Chat, Way, body
from natix_cascade.spec.prompt import PromptSpec

__all__ = ["Asking", "Finder", "first_choice"]

_LEAST_MASS = 0.01  # with less on both answers together, an unconstrained model wanted to say something else
_CONSTRAINED_MASS = 0.5  # with less, the constraint had no effect
_CONTEXTS = ("", " ", "\n")  # an answer may stand at once, behind a blank or on a line of its own
_MOST_REFUSALS = 3  # in turn; one may be the fault of its picture
_SAID = 80

Send = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a server is asked for the answer token.

    Attributes
    ----------
    way : Way
        See `natix_cascade.models.chat.requests.WAYS`.
    plain : bool
        It refuses fields that the protocol does not name.
    poor : bool
        It tells too little, but no other way tells more.
    """

    way: Way
    plain: bool = False
    poor: bool = False


class Finder:
    """Asks one server for answers, by the best way that it supports.

    Parameters
    ----------
    server : ChatServer
        Whom to ask.
    prompt : PromptSpec
        Whose spellings are the answers.

    Attributes
    ----------
    found : Asking or None
        The way that works; None before the first answer, and after the connection was lost or several requests were
        refused in turn: another server may stand there.
    """

    def __init__(self, server: ChatServer, prompt: PromptSpec) -> None:
        self._server = server
        self._prompt = prompt
        self._spellings = Spellings.of(prompt)
        self._lock = asyncio.Lock()
        self._ids: tuple[frozenset[int], frozenset[int]] | None = None
        self._refusals = 0
        self.found: Asking | None = None

    async def answer(self, chat: Chat, send: Send) -> Reading:
        """Ask for yes or no.

        Parameters
        ----------
        chat : Chat
            Ends with the question.
        send : callable
            Sends a request and returns the reply.

        Raises
        ------
        ModelError
            No way of asking gets an answer; the text says why.
        TransientModelError
            The server is away or busy.
        """
        try:
            if self.found is None:
                async with self._lock:  # the others need not search too
                    if self.found is None:
                        return await self._search(chat, send)
            return await self._known(self.found, chat, send)
        except LostError:
            self._forget()
            raise

    async def _known(self, asking: Asking, chat: Chat, send: Send) -> Reading:
        """Ask as before; where that tells too little of this picture, by the ways that come after it too."""
        try:
            reading, _ = await self._ask(asking, chat, send)
        except RefusedError:
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS:
                self._forget()
            raise
        self._refusals = 0
        if reading is not None and (asking.poor or _is_good(reading, asking)):
            return reading
        return await self._search(chat, send, after=asking, poor=reading)

    def _forget(self) -> None:
        self.found = self._ids = None
        self._refusals = 0

    async def _search(
        self, chat: Chat, send: Send, *, after: Asking | None = None, poor: Reading | None = None
    ) -> Reading:
        """Try the ways in turn: the first good answer counts, else the best of the poor ones."""
        first = 0 if after is None else WAYS.index(after.way) + 1
        plain = after is not None and after.plain
        best = None if poor is None or after is None else (replace(after, poor=True), poor)
        complaints: list[str] = []
        for way in WAYS[first:]:
            if way.name == "ids" and not await self._token_ids():
                continue
            for asking in (Asking(way, plain=plain), Asking(way, plain=True)):
                try:
                    reading, said = await self._ask(asking, chat, send)
                except RefusedError as error:
                    complaints.append(str(error))
                    continue
                plain = asking.plain
                if reading is None:
                    complaints.append(said)
                elif _is_good(reading, asking):
                    self.found = self.found or asking
                    return reading
                elif best is None or (reading.exact, reading.mass) > (best[1].exact, best[1].mass):
                    best = replace(asking, poor=True), reading
                break
        if best is None:
            raise ModelError(complaints[-1])
        self.found = self.found or best[0]
        return best[1]

    async def _ask(self, asking: Asking, chat: Chat, send: Send) -> tuple[Reading | None, str]:
        """What one way comes to, and what was said where that is nothing."""
        way = asking.way
        yes, no = await self._token_ids() or (frozenset(), frozenset())
        fields = way.fields_of(self._prompt, tuple(sorted(yes | no)) if way.name == "ids" else ())
        reply = await send(body(self._server.model, chat, fields, plain=asking.plain))
        choice = first_choice(reply)
        logprobs = choice.get("logprobs")
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        text = choice["message"].get("content")
        said = (
            f"model {self._server.who!r}: {self._server.shown} answered neither yes nor no but {clean(text, _SAID)!r}"
        )
        if way.name == "ids":
            return read_ids(content, yes, no), said
        return read_tokens(content, self._spellings) or read_word(text, self._spellings), said

    async def _token_ids(self) -> tuple[frozenset[int], frozenset[int]] | None:
        """The tokens that begin yes and no, where the server tells them; asked once."""
        if self._ids is None:
            self._ids = await self._learn_ids()
        return self._ids if self._ids[0] and self._ids[1] else None

    async def _learn_ids(self) -> tuple[frozenset[int], frozenset[int]]:
        yes: frozenset[int] = frozenset()
        no: frozenset[int] = frozenset()
        for context in _CONTEXTS:
            sides: list[list[list[int]]] = []
            for words in (self._prompt.yes, self._prompt.no):
                tokens = [await self._server.tokenize(context + word) for word in words]
                sides.append([each for each in tokens if each])
                if not sides[-1]:
                    return frozenset(), frozenset()
            more_yes, more_no = token_ids(*sides)
            yes, no = yes | more_yes, no | more_no
        return yes - no, no - yes


def first_choice(reply: dict[str, Any]) -> dict[str, Any]:
    """The one answer of a reply.

    Raises
    ------
    ModelError
        There is none.
    """
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise ModelError("the server's reply has no choices[0].message; is it an OpenAI-compatible chat server?")
    return choice


def _is_good(reading: Reading, asking: Asking) -> bool:
    """Whether a better way need not be looked for.

    A server that knows nothing of a constraint passes over it: then the two answers do not hold all the probability.
    """
    if not reading.exact or asking.way.name == "word":
        return False
    return asking.way.name == "ids" or reading.mass >= (_CONSTRAINED_MASS if asking.way.constrained else _LEAST_MASS)
