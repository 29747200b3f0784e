"""An answer that is sent piece by piece while the request's body may still be coming in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

from fastapi import Response

__all__ = ["Stream"]


class Stream(Response):
    """Sends what a generator yields; it never reads from the request, as Starlette's own does to see a client leave.

    The protocol cancels the request's task when the client leaves, which closes the generator.

    Parameters
    ----------
    pieces : async generator of bytes
        The body.
    media_type : str
        Content type.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(
        self,
        scope: MutableMapping[str, Any],  # noqa: ARG002  # ASGI's three
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],  # noqa: ARG002
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
