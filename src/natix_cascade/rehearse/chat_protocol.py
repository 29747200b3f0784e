"""The part of the OpenAI chat protocol, with vLLM's additions, that the rehearsal's server speaks."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["ChatError", "ChatRequest", "TokenizeRequest", "conversation", "error_body", "first_wrong"]

MOST_TOP = 20
"""Most alternatives to a token, as vLLM's default."""


class ChatError(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    message : str
        What was given, what was wanted.
    param : str or None
        The field that is wrong.
    status : int
        HTTP status.
    """

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


class _Lenient(BaseModel):
    """Fields that nobody asks for are left out, as servers do."""

    model_config = ConfigDict(extra="ignore")


class _Url(_Lenient):
    url: str


class _TextPart(_Lenient):
    type: Literal["text"]
    text: str


class _PicturePart(_Lenient):
    type: Literal["image_url"]
    image_url: _Url


_Part = Annotated[_TextPart | _PicturePart, Field(discriminator="type")]


class _Message(_Lenient):
    role: Literal["system", "user", "assistant"]
    content: str | list[_Part]


class _StructuredOutputs(BaseModel):
    model_config = ConfigDict(extra="forbid")  # anything but a choice would be ignored in silence

    choice: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class ChatRequest(_Lenient):
    """Body of ``POST /v1/chat/completions``."""

    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int = 0
    n: Literal[1] = 1
    stream: Literal[False] = False
    stop: list[str] | str | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] = 0
    logprob_token_ids: list[Annotated[int, Field(ge=0)]] | None = None
    structured_outputs: _StructuredOutputs | None = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    @property
    def limit(self) -> int:
        """Most tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens or 16

    @property
    def stops(self) -> list[str]:
        """Texts that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class TokenizeRequest(_Lenient):
    """Body of ``POST /tokenize``."""

    model: str
    prompt: str
    add_special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in the form that chat templates read, and their pictures in order."""

    messages: list[dict[str, Any]]
    pictures: list[Image.Image]


def conversation(request: ChatRequest) -> Conversation:
    """Take the pictures out of the messages.

    Raises
    ------
    ChatError
        A picture is no data URL or cannot be decoded.
    """
    pictures: list[Image.Image] = []
    messages = []
    for message in request.messages:
        if isinstance(message.content, str):
            parts = [{"type": "text", "text": message.content}]
        else:
            parts = []
            for part in message.content:
                if isinstance(part, _TextPart):
                    parts.append({"type": "text", "text": part.text})
                else:
                    pictures.append(_picture(part.image_url.url))
                    parts.append({"type": "image"})
        messages.append({"role": message.role, "content": parts})
    return Conversation(messages, pictures)


def first_wrong(error: ValidationError) -> ChatError:
    """The first field that is wrong, as an error of the protocol."""
    wrong = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in wrong["loc"])
    return ChatError(f"{where or 'body'}: {wrong['msg']}", param=where or None)


def error_body(message: str, *, status: int, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients expect it."""
    kind = {404: "NotFoundError", 405: "MethodNotAllowedError", 500: "InternalServerError"}.get(
        status, "BadRequestError"
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def _picture(url: str) -> Image.Image:
    head, comma, body = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise ChatError(f"pictures come as data:image/...;base64,... URLs; got {url[:40]!r}", param="messages")
    try:
        with Image.open(io.BytesIO(base64.b64decode(body, validate=True))) as picture:
            return picture.convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ChatError(f"Failed to load image: {error}", param="messages") from error
