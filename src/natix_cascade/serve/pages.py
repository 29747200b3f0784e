"""The web page: files that are read once, with a tag each, and nothing from outside."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from fastapi import Request, Response

from natix_cascade.serve.problems import ProblemError

__all__ = ["page", "static"]

_FOLDER = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


async def page(request: Request) -> Response:
    """The page."""
    return _file("index.html", request)


async def static(name: str, request: Request) -> Response:
    """One of the page's files."""
    return _file(name, request)


def _file(name: str, request: Request) -> Response:
    content, tag, kind = _read(name)
    headers = {"etag": tag, "cache-control": "no-cache", "content-security-policy": _POLICY, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        content = _packed(name)
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_read(name)[0], mtime=0)


@cache
def _read(name: str) -> tuple[bytes, str, str]:
    if name not in {path.name for path in _FOLDER.iterdir()} or Path(name).suffix not in _TYPES:
        raise ProblemError("not-found", "there is no such file")
    content = (_FOLDER / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:20]}"', _TYPES[Path(name).suffix]
