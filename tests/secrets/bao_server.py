"""A real OpenBao on a port of its own, in memory, that tests seal, pause and end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

PROGRAM = os.environ.get("NATIX_CASCADE_BAO") or shutil.which("bao")
ROOT = "root-token-that-stays-secret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class BaoServer:
    def __init__(self) -> None:
        self.port = free_port()
        self.unseal_key = ""
        self._home = tempfile.TemporaryDirectory(prefix="natix-bao-")
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [
                *(PROGRAM, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}"),
                f"-dev-listen-address=127.0.0.1:{self.port}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": self._home.name},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Unseal Key:"):
                self.unseal_key = line.split(":", 1)[1].strip()
                break
        else:
            raise AssertionError("bao ended before it was ready")
        self._reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._reader.start()
        self._await()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pause(self) -> None:
        """It keeps its connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._home.cleanup()

    def _await(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/v1/sys/health", timeout=5):  # noqa: S310  # its own address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError("bao did not become ready")
