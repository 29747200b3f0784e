"""The client for plain functions: the asynchronous one, in a thread of its own.

A call is thereby bounded as a whole, which the timeouts of blocking sockets (one for each read) cannot do, and the
logic exists once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from natix_cascade.client import requests
from natix_cascade.client.aio import AsyncClient
from natix_cascade.client.answers import Answer, Feedback, Page, PictureProblem
from natix_cascade.client.background import Background
from natix_cascade.client.events import Event
from natix_cascade.client.requests import Call, InferOptions, Source, at_least_one, name_of, read_picture
from natix_cascade.client.state import Breaker, Health, Readiness, Status

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Asks a service; safe to share between threads.

    >>> with Client() as client:  # doctest: +SKIP
    ...     print(client.infer("photo.jpg").detected)

    Parameters are those of `AsyncClient`; so are methods, options and errors.
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
        self._client = AsyncClient(base_url, key=key, timeout_s=timeout_s, attempts=attempts, transport=transport)
        self._background = Background()

    def __repr__(self) -> str:
        return repr(self._client).removeprefix("Async")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; calling it twice is harmless."""
        self._background.run(self._client.close())
        self._background.close()

    def infer(
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
        """Judge one picture; see `AsyncClient.infer`."""
        call = requests.infer(
            read_picture(picture),
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
        return self._ask(call, deadline_ms)

    def stream(
        self,
        picture: Source,
        *,
        deadline_ms: float | None = None,
        name: str | None = None,
        **options: Unpack[InferOptions],
    ) -> Generator[Event, None, None]:
        """Judge one picture and tell each step when it happens; see `AsyncClient.stream`."""
        name = name or name_of(picture)
        events = self._client.stream(read_picture(picture), deadline_ms=deadline_ms, name=name, **options)

        async def step() -> Event | None:
            return await anext(events, None)

        try:
            while (event := self._background.run(step())) is not None:
                yield event
        finally:
            self._background.run(events.aclose())

    def infer_many(
        self,
        pictures: Iterable[Source],
        *,
        parallel: int = 8,
        deadline_ms: float | None = None,
        **options: Unpack[InferOptions],
    ) -> Generator[Answer | PictureProblem, None, None]:
        """Judge many pictures, `parallel` at a time; see `AsyncClient.infer_many`."""
        window: deque[Future[Answer | PictureProblem]] = deque()
        try:
            for index, picture in enumerate(pictures):
                if len(window) >= at_least_one(parallel):
                    yield window.popleft().result()
                window.append(self._background.submit(self._client.infer_one(index, picture, deadline_ms, options)))
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()

    def verdict(self, verdict_id: str) -> Answer:
        """Look up an earlier answer, with the feedback that was given to it."""
        return self._ask(requests.verdict(verdict_id))

    def verdicts(self, limit: int = 50, before: str | None = None) -> Page:
        """Look up the latest answers, or those before the verdict `before`."""
        return self._ask(requests.verdicts(limit, before))

    def feedback(
        self,
        verdict_id: str,
        label: bool | str,  # noqa: FBT001  # the truth itself, not a switch
        *,
        note: str | None = None,
        image: Source | None = None,
    ) -> Feedback:
        """Tell the truth about a verdict; when this returns it is on the service's disk."""
        picture = None if image is None else read_picture(image)
        return self._ask(requests.feedback(verdict_id, label, note=note, image=picture))

    def cascade(self) -> dict[str, Any]:
        """Question, levels with members, exits and thresholds, policy, generation."""
        return self._ask(requests.cascade())

    def models(self) -> list[dict[str, Any]]:
        """Card, breaker and readiness of each model."""
        return self._ask(requests.models())

    def status(self) -> Status:
        """Live load."""
        return self._ask(requests.status())

    def health(self) -> Health:
        """Alive, and in which version."""
        return self._ask(requests.health())

    def ready(self) -> Readiness:
        """Whether it can answer, and if not why."""
        return self._ask(requests.ready())

    def reload(self, cascade: str | None = None, policy: str | None = None) -> dict[str, Any]:
        """Load, warm up and swap the cascade or its policy; needs the scope ``admin``."""
        return self._ask(requests.reload(cascade, policy))

    def drain(self) -> dict[str, Any]:
        """Let the service finish and leave; needs the scope ``admin``."""
        return self._ask(requests.drain())

    def breakers(self) -> tuple[Breaker, ...]:
        """State of each breaker; needs the scope ``admin``."""
        return self._ask(requests.breakers())

    def _ask(self, call: Call[T], deadline_ms: float | None = None) -> T:
        return self._background.run(self._client.ask(call, deadline_ms))
