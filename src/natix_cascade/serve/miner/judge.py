"""From a challenge to a reply, in time, whatever fails: the service first, the embedded cascade behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, fields
from typing import Literal, Protocol

from natix_cascade.errors import CascadeError, DeadlineError, PictureError
from natix_cascade.image import Limits
from natix_cascade.image.source import from_base64
from natix_cascade.serve.miner.reply import Heard, Reply, guess, reply_to

__all__ = ["Asker", "Judge", "Tally"]

BUDGET_S = 7.0
"""A reply leaves within this; the subnet gives 9 s with the network in it."""
PATIENCE = 0.5
"""Share of the budget after which the embedded cascade begins beside a service that has not answered yet."""
SPARE_S = 0.5
"""The service is told to answer this much before the budget is spent."""
_LIMITS = Limits(max_bytes=8 * 1024 * 1024)
_log = logging.getLogger("natix_cascade.miner")

_Answer = tuple[Reply, bool]
"""A reply, and whether it is degraded."""


class Asker(Protocol):
    """Whoever can judge a picture: `natix_cascade.client.AsyncClient`, or the embedded cascade."""

    async def infer(self, picture: bytes, *, deadline_ms: float, name: str | None = None) -> Heard:
        """Judge one picture; raise a CascadeError when that is not possible."""


@dataclass(slots=True)
class Tally:
    """What was answered since the start.

    Attributes
    ----------
    challenges : int
        Asked.
    service, fallback, guessed : int
        Answered by the service, by the embedded cascade, and by neither (the picture or everything is broken).
    degraded : int
        Answers in which something that should have been asked was missing.
    refused : int
        Requests turned away at the door.
    """

    challenges: int = 0
    service: int = 0
    fallback: int = 0
    guessed: int = 0
    degraded: int = 0
    refused: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


class Judge:
    """Answers challenges: a number in [0, 1] always, within the budget.

    Parameters
    ----------
    service : Asker or None
        Asked first; None: the embedded cascade alone.
    embedded : Asker
        Asked when the service fails, or is late.
    positive : str
        What is looked for, in words.
    budget_s : float
        Seconds until the reply must be there.
    """

    def __init__(
        self, service: Asker | None, embedded: Asker, *, positive: str = "roadwork", budget_s: float = BUDGET_S
    ) -> None:
        self._service = service
        self._embedded = embedded
        self._positive = positive
        self._budget_s = budget_s
        self.tally = Tally()

    async def answer(self, image: str) -> Reply:
        """Answer one challenge; nothing is raised.

        Parameters
        ----------
        image : str
            A picture in base64.
        """
        until = time.monotonic() + self._budget_s
        self.tally.challenges += 1
        try:
            picture = from_base64(image, _LIMITS)
            if not picture:
                raise PictureError("the challenge holds no picture")  # noqa: TRY301  # as any other bad picture
            return await self._judged(picture, until)
        except PictureError as error:
            _log.warning("guessed 'no': %s", error)
            self.tally.guessed += 1
            return guess("it is damaged, or no picture at all")
        except Exception as error:  # noqa: BLE001  # whatever it is, -1 would be worth less than a guess
            _log.exception("guessed 'no': nobody could judge the picture (%s)", type(error).__name__)
            self.tally.guessed += 1
            return guess("no model has answered")

    async def _judged(self, picture: bytes, until: float) -> Reply:
        if self._service is None:
            return self._counted(await self._fall_back(picture, until, ""), "fallback")
        asking = asyncio.ensure_future(self._ask_service(self._service, picture, until))
        beside: asyncio.Task[_Answer] | None = None
        try:
            await asyncio.wait({asking}, timeout=self._budget_s * PATIENCE)
            if not asking.done():
                beside = asyncio.ensure_future(self._fall_back(picture, until, "the service was late"))
                await asyncio.wait({asking}, timeout=max(until - SPARE_S - time.monotonic(), 0.0))
            if asking.done() and (answer := asking.result()) is not None:
                return self._counted(answer, "service")
            if beside is not None:
                _log.warning("the service was late, the embedded cascade answers")
                return self._counted(await beside, "fallback")
            return self._counted(await self._fall_back(picture, until, "the service did not answer"), "fallback")
        finally:
            left = [task for task in (asking, beside) if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _ask_service(self, service: Asker, picture: bytes, until: float) -> _Answer | None:
        """The service's answer; None when it has none."""
        left_s = until - SPARE_S - time.monotonic()
        try:
            heard = await service.infer(picture, deadline_ms=max(left_s * 1000, 1.0))
            return reply_to(heard, positive=self._positive), heard.degraded
        except CascadeError as error:
            _log.warning("the service failed, the embedded cascade answers: %s", error)
        except Exception:  # noqa: BLE001  # whatever it is, the embedded cascade is there
            _log.exception("the service failed in an unforeseen way, the embedded cascade answers")
        return None

    async def _fall_back(self, picture: bytes, until: float, remark: str) -> _Answer:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise DeadlineError("time ran out before the embedded cascade was asked")
        heard = await self._embedded.infer(picture, deadline_ms=left_s * 1000)
        words = f"{remark}; the embedded cascade has answered" if remark else ""
        return reply_to(heard, positive=self._positive, remark=words), heard.degraded

    def _counted(self, answer: _Answer, who: Literal["service", "fallback"]) -> Reply:
        reply, degraded = answer
        if who == "service":
            self.tally.service += 1
        else:
            self.tally.fallback += 1
        self.tally.degraded += degraded
        return reply
