"""Collectors for bench/observe_overhead.py: one that takes everything, one that takes connections and never answers."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SCORE = json.dumps({"reason": "cones beside the lane", "score": 0.9, "abstain": False})
_CHAT = {
    "id": "x",
    "object": "chat.completion",
    "model": "judge",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": _SCORE}}],
    "usage": {"prompt_tokens": 900, "completion_tokens": 40},
}


class _Taker(BaseHTTPRequestHandler):
    """Takes traces, annotations and questions to a judge."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # as http.server names it
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self._answer(_CHAT if self.path.endswith("/chat/completions") else {})

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "judge"}]} if self.path.endswith("/models") else {})

    def _answer(self, what: dict[str, object]) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve on two free ports, told on standard output, until standard input ends."""
    os.nice(19)  # elsewhere it would not be on these cores
    taker = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    threading.Thread(target=taker.serve_forever, daemon=True).start()
    hanging = socket.create_server(("127.0.0.1", 0), backlog=512)
    held: list[socket.socket] = []

    def hold() -> None:
        while True:
            held.append(hanging.accept()[0])

    threading.Thread(target=hold, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    print(taker.server_address[1], hanging.getsockname()[1], dead, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
