"""One server of the chat protocol: requests over a pool of connections, and what went wrong in one line.

The only file that imports httpx. The key is taken at each request, travels in a header and nowhere else: it stands in
no message, and neither does what comes before the host in a URL.
"""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError, TransientModelError
from natix_cascade.models.chat.key import ServerKey
from natix_cascade.models.chat.reading import clean
from natix_cascade.retry_after import retry_after
from natix_cascade.spec.endpoints import Endpoint
from natix_cascade.trace import current

__all__ = ["ChatServer", "LostError", "RefusedError"]

_MOST_BYTES = 4 * 1024 * 1024
_SPARE = 4  # connections beside those of the pictures under way
_KEEP_S = 3.0  # an idle connection is closed sooner than servers do it, most after 5 s: no request meets a closed one
_SAID = 300  # characters of a server's own words in an error
_NAMES = 20  # served models that an error names
_BUSY = frozenset({408, 425, 429, 502, 503, 504})
_LOCKED = frozenset({401, 403})
_NO_MODEL = re.compile(
    r"model.*(not exist|not found|unknown|no such|not serve)|(unknown|no such) model", re.IGNORECASE | re.DOTALL
)


class LostError(TransientModelError):
    """There was no connection, or it broke."""


class RefusedError(ModelError):
    """The server does not take the request as it is; another way of asking may do."""


class ChatServer:
    """Sends requests to one server; used in one event loop.

    Parameters
    ----------
    endpoint : Endpoint
        Where it is.
    model : str
        The name under which it knows the model.
    who : str
        The card's name, for messages.

    Raises
    ------
    MissingExtraError
        httpx is not installed.
    ModelError
        The endpoint cannot be used: its URL is none, or its key is missing.
    """

    def __init__(self, endpoint: Endpoint, model: str, who: str) -> None:
        try:
            import httpx  # noqa: PLC0415  # only who asks a server needs it
        except ImportError as error:
            raise MissingExtraError(
                f"model {who!r} is asked over HTTP, which needs httpx: pip install 'natix-cascade[vlm]'"
            ) from error
        self.model = model
        self.who = who
        self._endpoint = endpoint
        self._key = ServerKey.of(endpoint, who)
        try:
            url = httpx.URL(endpoint.url.rstrip("/"))
        except (httpx.InvalidURL, TypeError) as error:
            raise ModelError(f"model {who!r}: the endpoint's url cannot be read: {clean(str(error), _SAID)}") from None
        if url.scheme not in {"http", "https"} or not url.host:
            raise ModelError(f"model {who!r}: the endpoint's url is no address; write such as http://127.0.0.1:8000/v1")
        self.shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
        self._root = self.shown.removesuffix("/v1")
        self._httpx = httpx
        self._http = httpx.AsyncClient(
            auth=(url.username, url.password) if url.userinfo and not self._key else None,
            headers={"accept": "application/json"},
            timeout=None,  # noqa: S113  # httpx bounds each step; here asyncio bounds the call as a whole
            limits=httpx.Limits(
                max_connections=endpoint.concurrency + _SPARE,
                max_keepalive_connections=endpoint.concurrency + _SPARE,
                keepalive_expiry=_KEEP_S,
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def chat(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a chat request.

        Returns
        -------
        dict
            The reply, an object; nothing else of it has been checked.

        Raises
        ------
        TransientModelError
            No connection, no answer in time, or the server is busy.
        RefusedError
            The server does not take this request.
        ModelError
            It takes none: the key is wrong, the model unknown, the reply no JSON.
        """
        return await self._send("POST", f"{self.shown}/chat/completions", request)

    async def tokenize(self, text: str) -> list[int] | None:
        """A text as the model's tokens, where the server tells them (vLLM); else None."""
        request = {"model": self.model, "prompt": text, "add_special_tokens": False}
        try:
            reply = await self._send("POST", f"{self._root}/tokenize", request, explain=False)
        except TransientModelError:
            raise
        except ModelError:
            return None
        tokens = reply.get("tokens")
        if not isinstance(tokens, list) or not all(type(each) is int and each >= 0 for each in tokens):
            return None
        return tokens

    async def served(self) -> list[str]:
        """The names that the server knows; none where it does not tell."""
        try:
            reply = await self._send("GET", f"{self.shown}/models", None, explain=False)
        except ModelError:
            return []
        found = reply.get("data")
        names = [item.get("id") for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        return [clean(name, 100) for name in names[:_NAMES] if isinstance(name, str)]

    async def _send(self, method: str, url: str, request: Any, *, explain: bool = True) -> dict[str, Any]:
        key = self._key.present() if self._key else ""
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                status, headers, content = await self._exchange(method, url, request, key)
                if status in _LOCKED and self._key and (other := await self._key.other_than(key)):
                    key = other
                    status, headers, content = await self._exchange(method, url, request, key)
        except TimeoutError:
            raise TransientModelError(
                f"model {self.who!r}: no answer from {self.shown} within {self._endpoint.timeout_s:g} s"
            ) from None
        except self._httpx.TransportError as error:
            what = clean(str(error), _SAID) or type(error).__name__
            raise LostError(f"model {self.who!r}: no connection to {self.shown}: {what}") from None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise await self._problem(status, headers, self._said(content, key), explain=explain)
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            began = clean(_without(content[: 16 * _SAID].decode("utf-8", "replace"), key)[:200], 80)
            raise ModelError(f"model {self.who!r}: {self.shown} answered with no JSON object: {began!r}")
        return reply

    async def _exchange(self, method: str, url: str, request: Any, key: str) -> tuple[int, Any, bytes]:
        trace = current.get()
        headers = dict(trace.headers()) if trace is not None else {}
        if key:
            headers["authorization"] = f"Bearer {key}"
        async with self._http.stream(method, url, json=request, headers=headers) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise ModelError(f"model {self.who!r}: {self.shown} answered with more than {_MOST_BYTES} bytes")
            return response.status_code, response.headers, bytes(content)

    async def _problem(self, status: int, headers: Any, said: str, *, explain: bool) -> ModelError:
        head = f"model {self.who!r}: {self.shown} answered {status}"
        if status in _BUSY:
            return TransientModelError(f"{head}: {said}", retry_after_s=retry_after(headers.get("retry-after")))
        if status in _LOCKED:
            advice = f"the key in {self._key.name} is not taken" if self._key else "it wants a key; name it in api_key"
            return ModelError(f"{head}: {advice}: {said}")
        if status < HTTPStatus.BAD_REQUEST:
            return ModelError(f"{head}, which leads elsewhere; write the url that it leads to")
        if explain and (status == HTTPStatus.NOT_FOUND or _NO_MODEL.search(said)):
            names = await self.served()
            if names and self.model not in names:
                return ModelError(
                    f"{head}: it does not serve {self.model!r} but {', '.join(names)}; write one of these as the "
                    f"endpoint's model"
                )
            if status == HTTPStatus.NOT_FOUND and not names:
                return ModelError(f"{head}: no chat protocol there; the url ends in /v1 as a rule: {said}")
        return RefusedError(f"{head}: {said}")

    @staticmethod
    def _said(content: bytes, key: str) -> str:
        """The server's own words, without the key."""
        text = content[: 16 * _SAID].decode("utf-8", "replace")
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            inner = data.get("error")
            found = inner.get("message") if isinstance(inner, dict) else inner
            text = str(found or data.get("message") or data.get("detail") or text)
        return clean(_without(text, key), _SAID) or "(nothing)"


def _without(text: str, key: str) -> str:
    return text.replace(key, "***") if key else text
