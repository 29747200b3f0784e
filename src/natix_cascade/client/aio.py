"""The asynchronous client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from natix_cascade.client import requests
from natix_cascade.client.answers import Answer, Feedback, Page, PictureProblem, understand
from natix_cascade.client.errors import ServiceError, UnauthorizedError, UnreachableError
from natix_cascade.client.events import Event, Finished, event_of
from natix_cascade.client.requests import Call, InferOptions, Source, at_least_one, name_of, read_picture
from natix_cascade.client.sending import Sender
from natix_cascade.client.settings import Settings
from natix_cascade.client.state import Breaker, Health, Readiness, Status

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient:
    """Asks a service from coroutines; safe to share between tasks of one event loop.

    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     answer = await client.infer("photo.jpg")

    Every method raises a `ServiceError` or one of its kinds (`natix_cascade.client.errors`).

    Parameters
    ----------
    base_url : str
        Of the service.
    key : str or None
        API key; None: the environment variable NATIX_CASCADE_KEY, where there is one.
    timeout_s : float
        Most time for one call in all, tries and waits included, where the call names no `deadline_ms`. With one, the
        call is over a quarter of a second after it: the time for the answer's way.
    attempts : int
        Most tries of one call. Tried again is only what passes by itself: no connection, 429 and 503.
    transport : httpx.AsyncBaseTransport or None
        Instead of the network: `httpx.MockTransport` in tests, ``httpx.AsyncHTTPTransport(verify=...)`` for a
        certificate of one's own.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        attempts: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._sender = Sender(Settings.of(base_url, key, timeout_s, attempts), transport)

    def __repr__(self) -> str:
        return self._sender.settings.describe(type(self).__name__)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._sender.close()

    async def infer(
        self,
        picture: Source,
        *,
        deadline_ms: float | None = None,
        explain: bool = False,
        max_level: str | None = None,
        place: tuple[float, float] | None = None,
        label: bool | str | None = None,
        name: str | None = None,
        augment: str | None = None,
        seed: int | None = None,
        keep: bool = False,
        traceparent: str | None = None,
    ) -> Answer:
        """Judge one picture.

        Parameters
        ----------
        picture : bytes, path or binary file
            JPEG, PNG or WebP.
        deadline_ms : float or None
            Answer within this time with what is known by then, in milliseconds (1 to 60,000).
        explain : bool
            Ask for the evidence by place too.
        max_level : str or None
            Name of the last level that may be asked.
        place : (float, float) or None
            Latitude and longitude in degrees.
        label : bool, str or None
            The truth, if it is known; it is stored as feedback together with the picture.
        name : str or None
            Name of the picture, at most 200 characters; by default that of the file.
        augment, seed : str, int or None
            "L0" to "L3": judge the picture as Subnet 72 would send it.
        keep : bool
            Let the service keep the picture for the learning loop.
        traceparent : str or None
            The span, as W3C writes it, that the service's are to belong to; by default the one that is active here,
            where OpenTelemetry is in use.

        Raises
        ------
        RefusedPictureError
            It is not a usable picture.
        LateError
            Time ran out before any model had answered.
        """
        call = requests.infer(
            await _bytes_of(picture),
            name=name or name_of(picture),
            explain=explain,
            max_level=max_level,
            place=place,
            label=label,
            augment=augment,
            seed=seed,
            keep=keep,
            traceparent=traceparent,
        )
        return await self.ask(call, deadline_ms)

    async def stream(
        self,
        picture: Source,
        *,
        deadline_ms: float | None = None,
        name: str | None = None,
        **options: Unpack[InferOptions],
    ) -> AsyncGenerator[Event, None]:
        """Judge one picture and tell each step when it happens; options as for `infer`.

        The last event is `Finished`. Once the first event is there, nothing is tried again.
        """
        call = requests.infer(await _bytes_of(picture), name=name or name_of(picture), stream=True, **options)
        async with contextlib.aclosing(self._sender.lines(call, deadline_ms)) as lines:
            async for line in lines:
                event = understand(str(call), self._event, line)
                if event is not None:
                    yield event
                if isinstance(event, Finished):
                    return
        raise UnreachableError(f"{call}: the connection broke off before the verdict; ask again", maybe_done=True)

    async def infer_many(
        self,
        pictures: Iterable[Source],
        *,
        parallel: int = 8,
        deadline_ms: float | None = None,
        **options: Unpack[InferOptions],
    ) -> AsyncGenerator[Answer | PictureProblem, None]:
        """Judge many pictures, `parallel` at a time; answers come in the order of the pictures.

        Each picture is a request of its own rather than a part of a batch: all workers of the service share them, each
        has its own deadline and tries, and never more than `parallel` pictures are held here. A picture that gets no
        verdict becomes a `PictureProblem`; only a service that cannot be reached or refuses the key ends it all.

        Raises
        ------
        UnauthorizedError, UnreachableError
            No picture can be judged.
        """
        window: deque[asyncio.Task[Answer | PictureProblem]] = deque()
        try:
            for index, picture in enumerate(pictures):
                if len(window) >= at_least_one(parallel):
                    yield await window.popleft()
                window.append(asyncio.create_task(self.infer_one(index, picture, deadline_ms, options)))
            while window:
                yield await window.popleft()
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    async def infer_one(
        self, index: int, picture: Source, deadline_ms: float | None, options: InferOptions
    ) -> Answer | PictureProblem:
        """Judge a picture of many: a step of `infer_many`."""
        try:
            return await self.infer(picture, deadline_ms=deadline_ms, **options)
        except (UnauthorizedError, UnreachableError):
            raise
        except (ServiceError, OSError) as error:
            return PictureProblem(index, name_of(picture), error)

    async def verdict(self, verdict_id: str) -> Answer:
        """Look up an earlier answer, with the feedback that was given to it."""
        return await self.ask(requests.verdict(verdict_id))

    async def verdicts(self, limit: int = 50, before: str | None = None) -> Page:
        """Look up the latest answers, or those before the verdict `before`."""
        return await self.ask(requests.verdicts(limit, before))

    async def feedback(
        self,
        verdict_id: str,
        label: bool | str,  # noqa: FBT001  # the truth itself, not a switch
        *,
        note: str | None = None,
        image: Source | None = None,
    ) -> Feedback:
        """Tell the truth about a verdict; when this returns it is on the service's disk."""
        picture = None if image is None else await _bytes_of(image)
        return await self.ask(requests.feedback(verdict_id, label, note=note, image=picture))

    async def cascade(self) -> dict[str, Any]:
        """Question, levels with members, exits and thresholds, policy, generation."""
        return await self.ask(requests.cascade())

    async def models(self) -> list[dict[str, Any]]:
        """Card, breaker and readiness of each model."""
        return await self.ask(requests.models())

    async def status(self) -> Status:
        """Live load."""
        return await self.ask(requests.status())

    async def health(self) -> Health:
        """Alive, and in which version."""
        return await self.ask(requests.health())

    async def ready(self) -> Readiness:
        """Whether it can answer, and if not why."""
        return await self.ask(requests.ready())

    async def reload(self, cascade: str | None = None, policy: str | None = None) -> dict[str, Any]:
        """Load, warm up and swap the cascade or its policy; needs the scope ``admin``."""
        return await self.ask(requests.reload(cascade, policy))

    async def drain(self) -> dict[str, Any]:
        """Let the service finish and leave; needs the scope ``admin``."""
        return await self.ask(requests.drain())

    async def breakers(self) -> tuple[Breaker, ...]:
        """State of each breaker; needs the scope ``admin``."""
        return await self.ask(requests.breakers())

    async def ask(self, call: Call[T], deadline_ms: float | None = None) -> T:
        """Carry out a call of `natix_cascade.client.requests`: what every method above does."""
        return await self._sender.ask(call, deadline_ms)

    def _event(self, line: str) -> Event | None:
        data: Mapping[str, Any] = json.loads(line)
        return event_of(data, secret=self._sender.settings.key or "")


async def _bytes_of(picture: Source) -> bytes:
    """Read a picture; files in a thread, so that the loop goes on."""
    if isinstance(picture, bytes):
        return picture
    return await asyncio.to_thread(read_picture, picture)
