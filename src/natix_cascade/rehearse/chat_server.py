"""A small OpenAI-compatible chat server around tiny models, for architectures that vLLM does not serve on CPUs.

::

    python -m natix_cascade.rehearse.chat_server --model NAME=FOLDER --model NAME2=FOLDER2 --port 8102

It listens on 127.0.0.1 only, has no keys, and answers one request at a time for each model.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from natix_cascade.errors import CascadeError
from natix_cascade.rehearse.chat_model import Answer, ChatModel, Step
from natix_cascade.rehearse.chat_protocol import ChatError, ChatRequest, TokenizeRequest, error_body, first_wrong

__all__ = ["create_app", "load_models", "main"]

HOST = "127.0.0.1"
_LARGEST = 64 * 2**20  # bytes of a request


def load_models(named: Mapping[str, Path]) -> dict[str, ChatModel]:
    """Load models by name; a folder under several names is loaded once.

    Raises
    ------
    ModelError
        A folder does not hold a model that can answer.
    """
    loaded = {folder: ChatModel(folder) for folder in dict.fromkeys(path.resolve() for path in named.values())}
    return {name: loaded[path.resolve()] for name, path in named.items()}


def create_app(models: Mapping[str, ChatModel]) -> FastAPI:
    """The application: ``/health``, ``/v1/models``, ``/v1/chat/completions``, ``/tokenize``."""
    app = FastAPI(title="natix-cascade rehearsal", openapi_url=None)
    started = int(time.time())

    def pick(name: str) -> ChatModel:
        if name not in models:
            known = ", ".join(models)
            raise ChatError(f"The model `{name}` does not exist. Known: {known}.", param="model", status=404)
        return models[name]

    @app.get("/health")
    def health() -> Response:
        return Response(status_code=200)

    @app.get("/v1/models")
    def list_models() -> dict[str, Any]:
        data = [
            {
                "id": name,
                "object": "model",
                "created": started,
                "owned_by": "natix-cascade",
                "max_model_len": model.length,
            }
            for name, model in models.items()
        ]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        asked = ChatRequest.model_validate_json(await _body(request))
        model = pick(asked.model)
        answer = await run_in_threadpool(model.answer, asked)
        return _completion(asked, model, answer)

    @app.post("/tokenize")
    async def tokenize(request: Request) -> dict[str, Any]:
        asked = TokenizeRequest.model_validate_json(await _body(request))
        model = pick(asked.model)
        tokens = model.tokenize(asked.prompt, special=asked.add_special_tokens)
        return {"count": len(tokens), "max_model_len": model.length, "tokens": tokens}

    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Errors in the form that OpenAI's clients expect."""

    @app.exception_handler(ChatError)
    def wrong(_: Request, error: ChatError) -> JSONResponse:
        return JSONResponse(error_body(str(error), status=error.status, param=error.param), error.status)

    @app.exception_handler(ValidationError)
    def invalid(request: Request, error: ValidationError) -> JSONResponse:
        return wrong(request, first_wrong(error))

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_body(str(error.detail), status=error.status_code), error.status_code)

    @app.exception_handler(Exception)
    def broken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(error_body(f"{type(error).__name__}: {error}", status=500), 500)


async def _body(request: Request) -> bytes:
    content = await request.body()
    if len(content) > _LARGEST:
        raise ChatError(f"the request has {len(content)} bytes; at most {_LARGEST} are read", status=413)
    return content


def _completion(request: ChatRequest, model: ChatModel, answer: Answer) -> dict[str, Any]:
    logprobs = {"content": [_logprobs(model, step) for step in answer.steps]} if request.logprobs else None
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    written = len(answer.steps)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}],
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": answer.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def _logprobs(model: ChatModel, step: Step) -> dict[str, Any]:
    entries = [
        {"token": (piece := model.piece(token)), "logprob": logprob, "bytes": list(piece.encode())}
        for token, logprob in step.logprobs
    ]
    return {**entries[0], "top_logprobs": entries}


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"wanted NAME=FOLDER, got {text!r}")
    return name, Path(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the models, then serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="natix_cascade.rehearse.chat_server", description=__doc__)
    parser.add_argument("--model", type=_named, action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of one answer")
    options = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        models = load_models(dict(options.model))
    except CascadeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    import torch  # noqa: PLC0415  # extra, and slow to import
    import uvicorn  # noqa: PLC0415  # extra

    torch.set_num_threads(options.threads)
    uvicorn.run(create_app(models), host=HOST, port=options.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
