"""What an HTTP server and a framework cost in CPU time, with nothing behind: uvicorn and granian, FastAPI and none.

Each server answers POSTs of a 9 kB body with a ready answer of 420 bytes, once by a FastAPI endpoint and once by a bare
ASGI function; wrk asks over 16 connections. The servers take turns; what counts is CPU time of the server's processes
for one request, so that a busy machine matters little. granian is installed into an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

import common

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 16
GRANIAN = "2.8.7"
APP = """
from fastapi import FastAPI, Request, Response

ANSWER = b'{"x":1}' * 60
app = FastAPI()


@app.post("/fastapi")
async def endpoint(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


async def bare(receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": ANSWER})


async def both(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/bare":
        await bare(receive, send)
    else:
        await app(scope, receive, send)
"""
BODY = """
wrk.method = "POST"
wrk.body = string.rep("x", 9400)
wrk.headers["Content-Type"] = "image/jpeg"
"""


@contextmanager
def server(name: str, python: Path, folder: Path, port: int) -> Iterator[psutil.Process]:
    """A server on loopback; yields its process."""
    options = {
        "uvicorn": ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"],
        "granian": ["--interface", "asgi", "--workers", "1", "--loop", "uvloop", "--log-level", "error"],
    }[name]
    command = [str(python.with_name(name)), "app:both", "--port", str(port), *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                try:
                    httpx.post(f"http://127.0.0.1:{port}/bare", content=b"x")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU time of a process and its children."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def ask(process: psutil.Process, port: int, path: str, folder: Path, seconds: int) -> float:
    """Microseconds of CPU time for one request."""
    before = cpu(process)
    url = f"http://127.0.0.1:{port}/{path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(folder / "body.lua"), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(said.split(" requests in")[0].split()[-1])
    return (cpu(process) - before) / requests * 1e6


def main() -> None:
    """Measure, print and write."""
    given = common.options(__doc__, "http_server").parse_args()
    rounds, seconds = (1, 1) if given.quick else (ROUNDS, SECONDS)
    found: dict[str, dict[str, list[float]]] = {path: {} for path in ("fastapi", "bare")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "body.lua").write_text(BODY)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pins = Path(__file__).parents[1] / "constraints.txt"
        packages = ["-c", str(pins), f"granian=={GRANIAN}", "fastapi", "uvloop"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        with (
            server("uvicorn", common.COMMAND, folder, 18765) as uvicorn,
            server("granian", python, folder, 18766) as granian,
        ):
            for number in range(rounds):
                for kind, process, port in (("uvicorn", uvicorn, 18765), ("granian", granian, 18766)):
                    for path, times in found.items():
                        times.setdefault(kind, []).append(ask(process, port, path, folder, seconds))
                common.progress(f"round {number + 1} of {rounds}")
        common.progress("")
    medians = {
        path: {kind: float(np.median(all_of)) for kind, all_of in times.items()} for path, times in found.items()
    }
    figures: dict[str, Any] = {
        path: {
            "microseconds": medians[path],
            "granian_over_uvicorn": float(np.median(np.divide(times["granian"], times["uvicorn"]))),
        }
        for path, times in found.items()
    }
    ratios = np.divide(found["fastapi"]["uvicorn"], found["bare"]["uvicorn"])
    figures["framework_over_bare"] = float(np.median(ratios))
    for path, times in medians.items():
        shown = ", ".join(f"{kind} {each:.0f} us" for kind, each in times.items())
        print(f"{path}: {shown}; granian / uvicorn {figures[path]['granian_over_uvicorn']:.2f}")
    print(f"FastAPI / bare on uvicorn: {figures['framework_over_bare']:.2f}")
    data = {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "granian": GRANIAN}
    common.save(given.out, __doc__, data=data, figures=figures, quick=given.quick)


if __name__ == "__main__":
    main()
