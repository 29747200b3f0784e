"""Asking one judge for one score: the form that its server takes is found once, and every request is paid for."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ModelError, SpecError, TransientModelError
from natix_cascade.models.chat.http import BrokenError, ChatServer, GarbledError, LostError, RefusedError, SlowError
from natix_cascade.models.chat.reading import clean
from natix_cascade.models.chat.requests import Chat
from natix_cascade.observe.judge.reading import Said, UnreadableError, read, text_of
from natix_cascade.observe.judge.rubric import Rubric
from natix_cascade.observe.judge.wording import FORMS, Form, chat_about, key_of, likelihood, request
from natix_cascade.observe.options import JudgeOptions

__all__ = ["TRIES", "Judge", "Judgement", "MoneyError", "Price", "Wallet", "model_of"]

TRIES: Final = 3
"""Most tries of a request whose failure may pass by itself."""

_MILLION = 1e6
_PICTURE_TOKENS = 3000  # of a picture with sides of at most 768 pixels; the hungriest encoders take about so many
_CHARACTERS = 2  # in a token; most texts have four
_MOST_TOKENS = 10**9
_MOST_REFUSALS = 3  # in turn; one may be the fault of its picture
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_FAILURE = 300


class MoneyError(ModelError):
    """There is no money for another request."""


class Wallet(Protocol):
    """Pays for requests."""

    def take(self, usd: float) -> bool:
        """Reserve money for one request; whether there is so much."""
        ...

    def settle(self, taken: float, actual: float) -> None:
        """Say what it cost."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost.

    Attributes
    ----------
    usd_in, usd_out : float
        US dollars for a million tokens of requests and answers.
    """

    usd_in: float
    usd_out: float

    def most(self, chat: Chat, form: Form) -> float:
        """US dollars that a request costs at most, as nearly as can be told before it."""
        characters = sum(len(_words(message["content"])) for message in chat.messages)
        return self._of(_PICTURE_TOKENS + characters / _CHARACTERS, form.tokens)

    def of(self, reply: dict[str, Any], most: float) -> float:
        """US dollars that a reply cost; `most` where it does not say."""
        usage = reply.get("usage")
        if not isinstance(usage, dict):
            return most
        tokens_in, tokens_out = (_count(usage.get(key)) for key in ("prompt_tokens", "completion_tokens"))
        return most if tokens_in is None or tokens_out is None else self._of(tokens_in, tokens_out)

    def _of(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * self.usd_in + tokens_out * self.usd_out) / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of asking about one verdict.

    Attributes
    ----------
    score : float or None
        How likely the verdict's answer is right; None: the judge abstained, or `failure` says why.
    reason : str
        Written by the judge.
    cost_usd, latency_ms : float
        Of all requests.
    form : str
        In which form it was asked last.
    requests : int
        How many.
    failure : str or None
        Why there is no answer.
    ill : bool
        The server failed, not this one answer.
    retry_after_s : float or None
        Seconds after which it wants to be asked again.
    """

    score: float | None = None
    reason: str = ""
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    form: str = ""
    requests: int = 0
    failure: str | None = None
    ill: bool = False
    retry_after_s: float | None = None


@dataclass(slots=True)
class _Bill:
    """What one verdict's requests came to."""

    wallet: Wallet
    usd: float = 0.0
    requests: int = 0
    form: str = ""

    def pay(self, taken: float, actual: float) -> None:
        self.wallet.settle(taken, actual)
        self.usd += actual


class Judge:
    """Asks one server; used in one event loop.

    Parameters
    ----------
    options : JudgeOptions
        Whose endpoint, with a model's name, is asked, and what its tokens cost.
    rubric : Rubric
        By which it judges.

    Raises
    ------
    SpecError
        The endpoint names no model.
    CascadeError
        The endpoint cannot be used, or httpx is not installed.
    """

    def __init__(self, options: JudgeOptions, rubric: Rubric) -> None:
        self.model, self.rubric = model_of(options), rubric
        self._server = ChatServer(options.endpoint, self.model, "judge")
        self._price = Price(options.usd_per_million_input, options.usd_per_million_output)
        self._found: Form | None = None
        self._refusals = 0
        self._searching = asyncio.Lock()

    def most_usd(self, verdict: Verdict, picture: bytes) -> float:
        """US dollars that one request about a verdict costs at most."""
        return self._price.most(chat_about(self.rubric, verdict, picture, ""), self._found or FORMS[0])

    async def close(self) -> None:
        """Close all connections."""
        await self._server.close()

    async def score(
        self, verdict: Verdict, picture: bytes, wallet: Wallet, *, said: Callable[[dict[str, Any]], None] | None = None
    ) -> Judgement:
        """Ask about one verdict; what goes wrong is told in the result.

        Parameters
        ----------
        verdict : Verdict
            What is judged.
        picture : bytes
            JPEG.
        wallet : Wallet
            Pays.
        said : callable or None
            Is shown each request that is sent.
        """
        chat = chat_about(self.rubric, verdict, picture, secrets.token_hex(6))
        bill, began = _Bill(wallet), time.perf_counter()
        found: dict[str, Any]
        try:
            answer = await self._answer(chat, bill, said or (lambda _: None))
            value = None if answer.value is None else likelihood(self.rubric, verdict, answer.value)
            found = {"score": value, "reason": answer.reason}
        except ModelError as error:
            found = {
                "failure": clean(str(error), _FAILURE),
                "ill": not isinstance(error, UnreadableError | MoneyError),
                "retry_after_s": error.retry_after_s if isinstance(error, TransientModelError) else None,
            }
        spent_ms = (time.perf_counter() - began) * 1000
        return Judgement(cost_usd=bill.usd, latency_ms=spent_ms, form=bill.form, requests=bill.requests, **found)

    async def _answer(self, chat: Chat, bill: _Bill, said: Callable[[dict[str, Any]], None]) -> Said:
        if self._found is None:
            async with self._searching:  # the others need not search too
                if self._found is None:
                    return await self._search(chat, bill, said)
        form = self._found
        try:
            answer = await self._patiently(form, chat, bill, said)
        except RefusedError:
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS:
                self._forget()
            raise
        except LostError:
            self._forget()  # another server may stand there next time
            raise
        self._refusals = 0
        return answer

    def _forget(self) -> None:
        self._found, self._refusals = None, 0

    async def _search(self, chat: Chat, bill: _Bill, said: Callable[[dict[str, Any]], None]) -> Said:
        """Try the forms in turn; the first that brings an answer is kept."""
        complaint: ModelError | None = None
        passed_over: set[str] = set()
        for form in FORMS:
            if form.name in passed_over:
                continue
            try:
                answer = await self._patiently(form, chat, bill, said)
            except RefusedError as error:
                complaint = complaint or error
                continue
            except UnreadableError as error:  # it may pass over what it does not know
                complaint = error
                passed_over.add(form.name)
                continue
            self._found = form
            return answer
        raise complaint or ModelError("the judge's server takes no form of the question")

    async def _patiently(self, form: Form, chat: Chat, bill: _Bill, said: Callable[[dict[str, Any]], None]) -> Said:
        """Ask; what may pass by itself is tried again after a pause."""
        for attempt in range(1, TRIES):
            try:
                return await self._ask(form, chat, bill, said)
            except TransientModelError as error:
                pause = error.retry_after_s
                if pause is None:
                    pause = _FIRST_PAUSE_S * 3**attempt / 3 * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
                if pause > _LONGEST_PAUSE_S:
                    raise
            await asyncio.sleep(pause)
        return await self._ask(form, chat, bill, said)

    async def _ask(self, form: Form, chat: Chat, bill: _Bill, said: Callable[[dict[str, Any]], None]) -> Said:
        """One request, paid for: by what the server counted, or by the estimate where nobody knows."""
        most = self._price.most(chat, form)
        if not bill.wallet.take(most):
            raise MoneyError("there is no money left for another request today")
        asked = request(self.model, chat, self.rubric, form)
        said(asked)
        bill.requests, bill.form = bill.requests + 1, str(form)
        cost = most
        try:
            reply = await self._server.chat(asked)
            cost = self._price.of(reply, most)
        except (SlowError, BrokenError, GarbledError):
            raise
        except ModelError:  # it was not worked on
            cost = 0.0
            raise
        finally:
            bill.pay(most, cost)
        return read(text_of(reply), key_of(self.rubric))


def model_of(options: JudgeOptions) -> str:
    """By what name the judge's server knows it.

    Raises
    ------
    SpecError
        The endpoint does not say.
    """
    if not options.endpoint.model:
        raise SpecError('the judge\'s endpoint names no model: add model = "...", as its server calls it')
    return options.endpoint.model


def _count(value: Any) -> int | None:
    return min(value, _MOST_TOKENS) if type(value) is int and value > 0 else None


def _words(content: Any) -> str:
    """The words of a message, without its picture."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")
