"""A chat server that pretends: the OpenAI-compatible protocol over real HTTP, scripted answers, faults on command.

Examples
--------
>>> from natix_cascade.testing.chat import PretendedChat
>>> with PretendedChat(0.9, style="sglang") as server:
...     server.url.startswith("http://127.0.0.1:")
True

Name it as a model's endpoint; afterwards `requests` says what it was asked, and `most_under_way` how many at a time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import PictureError
from natix_cascade.image import Limits, decode
from natix_cascade.spec.card import InputSpec, ModelCard
from natix_cascade.spec.task import Ask
from natix_cascade.testing.chat_script import STYLES, TOKENS, ChatStyle, completion, next_token, written

__all__ = ["STYLES", "TOKENS", "ChatFault", "ChatStyle", "PretendedChat", "ask_card"]

ChatFault: TypeAlias = Literal["hang", "busy", "unavailable", "error", "disconnect", "garbage", "odd", "huge"]
"""What goes wrong; see `PretendedChat`."""

_KNOWN = {
    "model", "messages", "temperature", "max_tokens", "logprobs", "top_logprobs", "response_format",
}  # fmt: skip
_LOOK_S = 0.01
_PROMPT_TOKENS = 100  # for each message
_LONG_TEXT = 24  # with more tokens than this, unconstrained, it is asked for text
_LIMITS = Limits(max_aspect=200)  # as Qwen's processors have it
_STATUS = {"busy": 429, "unavailable": 503, "error": 500}


class _GoneError(Exception):
    """The client has left."""


class _RefusalError(Exception):
    """The request is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def ask_card(name: str = "tiny", **task: Any) -> ModelCard:
    """A card of a model that a server answers for; `task` are fields of its `Ask`."""
    return ModelCard(
        name=name,
        engine="openai",
        licence="none",
        input=InputSpec(height=448, width=640),
        task=Ask(**task),
    )


class PretendedChat:
    """A server of pretended vision-language models, in threads of this process.

    Parameters
    ----------
    answer : float or callable
        P(yes) that a good reader makes of the answer: one number, or a function of the picture's pixels ``(H, W, 3)``.
    style : str or ChatStyle
        Which server it pretends to be; see `STYLES`.
    models : tuple of str
        The names that it serves.
    key : str or None
        The key that it wants.
    says : str or callable
        What it writes where it may write freely, or a function of the request that returns it.
    mass : float
        Probability of all spellings of yes and no together.
    thinks : bool
        It wants to think before it answers, unless its thought has been closed.
    delay_s : float
        Seconds that each answer takes.

    Attributes
    ----------
    fault : str or None
        What goes wrong with every chat request, until it is changed: "hang" (no answer until `release` is set or the
        client leaves), "busy" (429), "unavailable" (503), "error" (500), "disconnect", "garbage" (no JSON), "odd" (JSON
        of another kind), "huge" (too much of it).
    faults : deque of str or None
        What goes wrong with the next requests, one each; before `fault`.
    retry_after : str or None
        Sent with 429 and 503.
    requests : list of dict
        Chat requests, in the order in which they came.
    pictures : list of NDArray
        Their pictures, decoded.
    keys : set of str
        Values of the header ``Authorization`` that came.
    traces : list of (str, str)
        Headers ``traceparent`` and ``tracestate`` of all requests, empty where there were none.
    under_way, most_under_way, left : int
        Chat requests at this moment, most at a time, and how many clients left before their answer.
    tokens_in, tokens_out : int
        Tokens counted so far.
    """

    def __init__(
        self,
        answer: float | Callable[[NDArray[np.uint8]], float] = 0.5,
        *,
        style: str | ChatStyle = "vllm",
        models: tuple[str, ...] = ("tiny",),
        key: str | None = None,
        says: str | Callable[[dict[str, Any]], str] = "Orange cones close the right lane.",
        mass: float = 0.9,
        thinks: bool = False,
        delay_s: float = 0.0,
    ) -> None:
        self.answer = answer
        self.style = STYLES[style] if isinstance(style, str) else style
        self.models = models
        self.key = key
        self.says = says
        self.mass = mass
        self.thinks = thinks
        self.delay_s = delay_s
        self.fault: ChatFault | None = None
        self.faults: deque[ChatFault | None] = deque()
        self.retry_after: str | None = None
        self.release = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.pictures: list[NDArray[np.uint8]] = []
        self.keys: set[str] = set()
        self.traces: list[tuple[str, str]] = []
        self.under_way = self.most_under_way = self.left = 0
        self.tokens_in = self.tokens_out = 0
        self._lock = threading.Lock()
        self._port = 0
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, up to and with ``/v1``; the same after a stop and another start."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> Self:
        """Begin to listen."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), name="pretended-chat", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections, as a server does that dies; stopping twice is harmless."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.stop()

    def reply(self, method: str, path: str, request: Any, key: str, wait: Callable[[float], None]) -> dict[str, Any]:
        """What is answered to a request; `wait` waits and raises where the client leaves."""
        self.keys.add(key)
        if self.key is not None and key != f"Bearer {self.key}":
            raise _RefusalError(401, f"Incorrect API key provided: {key}")
        if (method, path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        if (method, path) == ("POST", "/tokenize") and self.style.tokenizes:
            return _tokenized(str(request.get("prompt")))
        if (method, path) != ("POST", "/v1/chat/completions"):
            raise _RefusalError(404, "Not Found")
        with self._lock:
            self.requests.append(request)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            fault = self.faults.popleft() if self.faults else self.fault
        try:
            return self._chat(request, fault, wait)
        except _GoneError:
            with self._lock:
                self.left += 1
            raise
        finally:
            with self._lock:
                self.under_way -= 1

    def _chat(self, request: dict[str, Any], fault: ChatFault | None, wait: Callable[[float], None]) -> dict[str, Any]:
        if fault == "hang":
            while not self.release.is_set():
                wait(_LOOK_S)
        elif self.delay_s:
            wait(self.delay_s)
        if fault in _STATUS:
            raise _RefusalError(_STATUS[fault], f"the server is {fault}, as its script says")
        if fault == "disconnect":
            raise _GoneError
        if fault == "odd":
            return {"object": "chat.completion", "choices": []}
        if fault in {"garbage", "huge"}:
            return {fault: True}
        return self._answered(request)

    def _answered(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check(request)
        pixels = _picture(request)
        with self._lock:
            self.pictures.append(pixels)
        form = request.get("response_format") or {}
        kinds = {
            "structured_outputs": "choice" in (request.get("structured_outputs") or {}),
            "regex": "regex" in request,
            "regex_schema": form.get("type") == "regex_schema",
            "json_schema": form.get("type") == "json_schema",
        }
        kind = next((name for name, asked in kinds.items() if asked and name in self.style.knows), None)
        limit = int(request.get("max_tokens") or 16)
        last = request["messages"][-1]
        closed = bool(request.get("continue_final_message")) and "</think>" in str(last["content"])
        if kind is None and limit > _LONG_TEXT:
            text, count = written(self.says(request) if callable(self.says) else self.says, limit)
            content = None
        else:
            p = self.answer(pixels) if callable(self.answer) else self.answer
            chances = next_token(p, self.mass, thinking=self.thinks and not closed, constrained=kind is not None)
            text, content = completion(chances, request, self.style, framed=kind == "json_schema")
            count = len(content or "1")
        usage = {"prompt_tokens": _PROMPT_TOKENS * len(request["messages"]), "completion_tokens": count}
        with self._lock:
            self.tokens_in += usage["prompt_tokens"]
            self.tokens_out += count
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        logprobs = None if content is None else {"content": content}
        return {
            "object": "chat.completion",
            "model": request["model"],
            "choices": [choice | {"logprobs": logprobs}],
            "usage": usage,
        }

    def _check(self, request: dict[str, Any]) -> None:
        """Refuse what such a server would refuse."""
        if request.get("model") not in self.models:
            raise _RefusalError(404, f"The model `{request.get('model')}` does not exist.")
        unknown = set(request) - _KNOWN - self.style.knows
        if self.style.strict and unknown:
            raise _RefusalError(400, f"Unrecognized request arguments supplied: {', '.join(sorted(unknown))}")
        if self.style.strict and request.get("logprobs") and not self.style.top:
            raise _RefusalError(400, "This model does not support logprobs")
        if self.style.top and int(request.get("top_logprobs") or 0) > self.style.top:
            raise _RefusalError(400, f"top_logprobs is above the limit of {self.style.top}")


def _tokenized(text: str) -> dict[str, Any]:
    """The longest tokens first; letters that are none are numbers of their own."""
    tokens: list[int] = []
    while text:
        token = max((each for each in TOKENS if text.startswith(each)), key=len, default=text[0])
        tokens.append(TOKENS.get(token, 1000 + ord(token[0])))
        text = text[len(token) :]
    return {"count": len(tokens), "max_model_len": 4096, "tokens": tokens}


def _picture(request: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The one picture of a request."""
    contents = [message["content"] for message in request["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    head = "data:image/jpeg;base64,"
    if len(urls) != 1 or not urls[0].startswith(head):
        raise _RefusalError(400, "wanted one picture as a data URL of a JPEG")
    try:
        return decode(base64.b64decode(urls[0][len(head) :], validate=True), limits=_LIMITS).pixels
    except (binascii.Error, PictureError) as error:
        raise _RefusalError(400, f"the picture cannot be read: {error}") from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], chat: PretendedChat) -> None:
        self.chat = chat
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """As the base class does; remembers the connection."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """As the base class does; forgets the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """Cut all connections."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave at any time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer a request."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a request."""
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Nothing is logged."""

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        key = self.headers.get("authorization") or ""
        chat, headers, status = self.server.chat, {}, int(HTTPStatus.OK)
        chat.traces.append((self.headers.get("traceparent") or "", self.headers.get("tracestate") or ""))
        try:
            reply = chat.reply(method, self.path, json.loads(body) if body else None, key, self._wait)
        except _GoneError:
            self.close_connection = True
            return
        except _RefusalError as error:
            status, reply = error.status, {"error": {"message": str(error), "type": "script", "code": error.status}}
            if chat.retry_after is not None:
                headers["retry-after"] = chat.retry_after
        content = json.dumps(reply).encode()
        if "garbage" in reply:
            content = b"<html>\x00 no JSON"
        elif "huge" in reply:
            content = b" " * (8 * 1024 * 1024)
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _wait(self, seconds: float) -> None:
        """Wait, unless the client leaves."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            readable, _, _ = select.select([self.connection], [], [], max(0.0, min(left, _LOOK_S)))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise _GoneError
            if left <= 0:
                return
