"""A real redis-server on a port of its own, that tests stop, pause and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess

PROGRAM = shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://:word-that-stays-secret@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it says that it is ready; nothing happens if it runs."""
        if self.process is not None:
            return
        assert PROGRAM is not None
        options = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(self.port))
        self.process = subprocess.Popen(
            [PROGRAM, *options, "--requirepass", "word-that-stays-secret"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return
        raise AssertionError("redis-server ended before it was ready")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def pause(self) -> None:
        """It keeps its connections and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
