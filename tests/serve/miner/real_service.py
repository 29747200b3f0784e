"""A real service in a process of its own, and servers that do what a service must not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def command() -> Path:
    """The command of an environment that can serve: the miner's cannot, for bittensor wants an old FastAPI."""
    return Path(os.environ.get("NATIX_CASCADE_COMMAND") or REPOSITORY / ".venv" / "bin" / "natix-cascade")


@contextlib.contextmanager
def real_service(state: Path) -> Iterator[str]:
    """Start ``natix-cascade serve`` on a free port of loopback; its URL when it is ready."""
    arguments = ["serve", "--port", "0", "--workers", "1", "--state", str(state), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    with subprocess.Popen([str(command()), *arguments], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield _url_when_ready(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def _url_when_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        event: dict[str, str] = json.loads(line)
        url = event.get("url", url)
        if event["event"] == "ready":
            return url
    raise AssertionError(f"the service ended with {process.wait()} before it was ready")


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port: int = once.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def odd_service(answer: bytes | None) -> AsyncIterator[str]:
    """A server that gives every request the same answer, or (None) takes it and never answers; its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while answer is not None and await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
                await writer.drain()
                break
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
