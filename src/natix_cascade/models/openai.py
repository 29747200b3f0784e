"""The engine of vision-language models: opinions over the OpenAI-compatible chat protocol (vLLM, SGLang, LMDeploy).

One token of answer is enough: P(yes) is the probability of all spellings of yes, divided by that of all spellings of
yes and no. See `natix_cascade.models.chat` for the parts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers, LoadOptions
from natix_cascade.models.chat.http import ChatServer, RefusedError
from natix_cascade.models.chat.picture import as_jpeg, data_url, step_of
from natix_cascade.models.chat.reading import MUTE_YES, Reading, clean
from natix_cascade.models.chat.requests import EXPLAIN_TOKENS, Chat, body, opening
from natix_cascade.models.chat.ways import Finder, first_choice
from natix_cascade.models.loop import LoopThread
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.endpoints import Endpoint, servers_of
from natix_cascade.spec.library import load_prompt
from natix_cascade.spec.task import Ask

__all__ = ["OpenAIModel", "endpoint_of"]

_THOUGHT_CHARACTERS, _REASON_CHARACTERS = 2000, 300
_MILLION = 1e6


@dataclass(slots=True)
class _Bill:
    """Tokens that one picture took, over all its requests."""

    prompt: int = 0
    completion: int = 0
    known: bool = False

    def add(self, reply: dict[str, Any]) -> None:
        usage = reply.get("usage")
        if not isinstance(usage, dict):
            return
        counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        self.prompt, self.completion = (
            total + (count if type(count) is int and count > 0 else 0)
            for total, count in zip((self.prompt, self.completion), counts, strict=True)
        )
        self.known = True

    def usd(self, card: ModelCard, task: Ask) -> float:
        """What they cost; the card's own figure where the server counts no tokens or tokens have no price."""
        if not self.known or not (task.usd_per_million_in or task.usd_per_million_out):
            return card.cost.usd
        return (self.prompt * task.usd_per_million_in + self.completion * task.usd_per_million_out) / _MILLION


class OpenAIModel:
    """A model that a server answers for; fulfils `natix_cascade.models.base.AsyncModel`.

    All that is said to the server is said from one event loop in a thread of its own, whoever asks: one pool of
    connections, and a picture that nobody waits for any more closes its request.

    Parameters
    ----------
    card : ModelCard
        With an `Ask` task.
    weights : Path
        Not used: they are the server's.
    options : LoadOptions or None
        Of which `endpoints` say where it listens, and `replica` which of several.

    Raises
    ------
    ModelError
        No server is named for it, or the key of the one named is missing.
    MissingExtraError
        httpx is not installed.
    """

    def __init__(self, card: ModelCard, weights: Path, options: LoadOptions | None = None) -> None:
        del weights
        if not isinstance(card.task, Ask):
            raise ModelError(f"model {card.name!r}: the engine {card.engine!r} wants a task of kind ask")
        self._card, self._task = card, card.task
        self._prompt = load_prompt(card.task.prompt)
        self._endpoint = endpoint_of(card, options or LoadOptions())
        name = self._endpoint.model or card.task.served_as or _base(card.name)
        self._server = ChatServer(self._endpoint, name, card.name)
        self._finder = Finder(self._server, self._prompt)
        self._step = step_of(card)
        self._loop = LoopThread(f"natix-{card.name}")
        self._gone = f"model {card.name!r} was closed; load it again to ask more"

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    @property
    def concurrency(self) -> int:
        """Most pictures under way at a time."""
        return self._endpoint.concurrency

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 RGB as the bytes of the JPEG that is sent (1-d uint8)."""
        return as_jpeg(pixels, self._task.max_pixels, self._step)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures, `concurrency` at a time; see `answer`."""
        try:
            return self._loop.run(self._answer_all(batch, explain=explain))
        except concurrent.futures.CancelledError:
            raise ModelError(self._gone) from None

    async def answer(self, prepared: NDArray[np.generic], *, explain: bool = False) -> Answers:
        """Answer one prepared picture; being cancelled closes its request.

        Raises
        ------
        TransientModelError
            The server is away or busy; where it said when to come back, the error says so.
        ModelError
            It gave no usable answer.
        """
        try:
            return await asyncio.wrap_future(self._loop.submit(self._answer(prepared, explain=explain)))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ModelError(self._gone) from None  # nobody has left: it was closed

    def close(self) -> None:
        """Give up what is under way and close all connections; calling it twice is harmless."""
        self._loop.close(self._server.close)

    async def _answer_all(self, batch: Sequence[NDArray[np.generic]], *, explain: bool) -> Answers:
        places = asyncio.Semaphore(self.concurrency)

        async def one(prepared: NDArray[np.generic]) -> Answers:
            async with places:
                return await self._answer(prepared, explain=explain)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_caught(one(prepared))) for prepared in batch]
        return _joined([_raised(task.result()) for task in tasks])

    async def _answer(self, prepared: NDArray[np.generic], *, explain: bool) -> Answers:
        bill = _Bill()

        async def send(request: dict[str, Any]) -> dict[str, Any]:
            reply = await self._server.chat(request)
            bill.add(reply)
            return reply

        picture = data_url(prepared)
        notes: list[str] = []
        chat = await self._thought(picture, send, notes) if self._task.reasoning else self._opening(picture)
        reading = await self._finder.answer(chat, send)
        if not reading.exact:
            notes.append(f"(the server tells no probabilities: its bare word counts as {MUTE_YES:g})")
        if explain and self._prompt.explain:
            reason = await self._reason(chat, reading, send)
            notes += [f"reason (written by the model): {reason}"] if reason else []
        evidence = Evidence(text="\n".join(notes)) if notes else None
        return Answers(
            np.array([reading.probability], np.float64),
            evidence=None if evidence is None else (evidence,),
            costs=np.array([bill.usd(self._card, self._task)], np.float64),
        )

    def _opening(self, picture: str) -> Chat:
        chat = opening(self._prompt, picture, self._prompt.question)
        return chat.thought() if self._task.thinks else chat

    async def _thought(self, picture: str, send: Any, notes: list[str]) -> Chat:
        """Let the model think, and put the question behind its thought."""
        thinks, prompt = self._task.thinks, self._prompt
        chat = opening(prompt, picture, prompt.question if thinks or not prompt.think else prompt.think)
        fields = {"max_tokens": self._task.reasoning_tokens}
        text = _text_of(await self._plainly(chat, fields, send, thinking=thinks), _THOUGHT_CHARACTERS)
        if text:
            notes.append(f"thought (written by the model): {text}")
        if thinks:
            return chat.thought(text)
        return chat.then("assistant", text or "...").then("user", prompt.question)

    async def _reason(self, chat: Chat, reading: Reading, send: Any) -> str:
        """One sentence of reasons; none where the server fails now: the answer is there already."""
        said = self._prompt.yes[0] if reading.yes else self._prompt.no[0]
        more = replace(chat, messages=chat.messages[:-1]) if chat.open_end else chat
        more = more.then("assistant", said).then("user", self._prompt.explain)
        if self._task.thinks:
            more = more.thought()
        try:
            reply = await self._plainly(more, {"max_tokens": EXPLAIN_TOKENS}, send, thinking=False)
            return _text_of(reply, _REASON_CHARACTERS)
        except ModelError:
            return ""

    async def _plainly(self, chat: Chat, fields: dict[str, Any], send: Any, *, thinking: bool) -> dict[str, Any]:
        """A request for free text, and the message that comes back."""
        plain = self._finder.found is not None and self._finder.found.plain
        try:
            reply = await send(body(self._server.model, chat, fields, thinking=thinking, plain=plain))
        except RefusedError:
            if plain or self._finder.found is not None:
                raise
            reply = await send(body(self._server.model, chat, fields, plain=True))  # nobody knows yet what it takes
        message: dict[str, Any] = first_choice(reply)["message"]
        return message


def endpoint_of(card: ModelCard, options: LoadOptions) -> Endpoint:
    """The server that answers for a card (or for the card that its role belongs to).

    Raises
    ------
    ModelError
        None is named; the text says how to name one.
    """
    servers = servers_of(card, options.endpoints)
    if not servers:
        if options.endpoints is not None:
            raise ModelError(f"model {card.name!r} has no server: add {_base(card.name)} to the endpoints file")
        raise ModelError(
            f"model {card.name!r} has no server: write 'models: {{{_base(card.name)}: "
            "[{url: http://127.0.0.1:8000/v1}]}' into a file and name it with --endpoints or NATIX_CASCADE_ENDPOINTS"
        )
    return servers[options.replica % len(servers)]


def _base(name: str) -> str:
    """A card's own name, without the role."""
    return name.partition(":")[0]


def _text_of(message: dict[str, Any], limit: int) -> str:
    """What a model said and thought, wherever its server puts it, made harmless."""
    parts = [message.get(key) for key in ("reasoning", "reasoning_content", "content")]
    return clean(" ".join(part for part in dict.fromkeys(parts) if isinstance(part, str)), limit)


async def _caught(work: Coroutine[Any, Any, Answers]) -> Answers | ModelError:
    try:
        return await work
    except ModelError as error:
        return error


def _raised(answer: Answers | ModelError) -> Answers:
    if isinstance(answer, ModelError):
        raise answer
    return answer


def _joined(answers: Sequence[Answers]) -> Answers:
    """Answers to single pictures as one answer to the batch."""
    evidence = [each.evidence[0] if each.evidence is not None else None for each in answers]
    return Answers(
        np.concatenate([np.empty(0, np.float64), *(each.scores for each in answers)]),
        evidence=tuple(evidence) if any(evidence) else None,
        costs=np.array([each.costs[0] for each in answers if each.costs is not None], np.float64),
    )
