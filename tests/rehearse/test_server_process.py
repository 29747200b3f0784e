from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from natix_cascade.errors import ModelError
from natix_cascade.rehearse.server_process import HOST, ServerProcess, free_port

SERVER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def make(tmp_path: Path, code: str = SERVER, **options: Any) -> ServerProcess:
    port = free_port()
    return ServerProcess("it", [sys.executable, "-c", code, str(port)], port=port, log=tmp_path / "log", **options)


def healthy(server: ServerProcess) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{server.port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_it_starts_dies_and_comes_back_on_the_same_port(tmp_path: Path) -> None:
    with make(tmp_path) as server:
        assert server.running
        assert healthy(server)
        child = int(server.log.read_text().split()[1])
        server.kill()
        assert not server.running
        assert not healthy(server)
        assert gone(child)
        assert server.start() < 30
        assert healthy(server)
        assert server.restart() < 30
        assert server.url == f"http://127.0.0.1:{server.port}/v1"
    assert not healthy(server)
    assert all(gone(int(line.split()[1])) for line in server.log.read_text().splitlines() if line.startswith("child"))


def test_an_end_before_it_is_ready_quotes_the_log(tmp_path: Path) -> None:
    server = make(tmp_path, "import sys; print('one\\n' * 30); sys.exit('no such card')")
    with pytest.raises(ModelError, match=r"it ended with status 1:\n(one\n)*\n?no such card"):
        server.start()
    assert not server.running


def test_what_an_earlier_start_wrote_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an old complaint\n")
    with pytest.raises(ModelError) as caught:
        make(tmp_path, "print('a new one')").start()
    assert "a new one" in str(caught.value)
    assert "an old complaint" not in str(caught.value)
    assert (tmp_path / "log").read_text().startswith("an old complaint\n")


def test_a_path_of_its_own_says_that_it_is_ready(tmp_path: Path) -> None:
    choosy = SERVER.replace("send_response(200)", "send_response(200 if self.path == '/-/ready' else 404)")

    with make(tmp_path, choosy, ready_path="/-/ready") as server:
        assert server.pid is not None
        assert not healthy(server)
    assert server.pid is None
    with pytest.raises(ModelError, match="not ready after 1 s"):
        make(tmp_path, choosy, ready_s=1).start()


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    server = make(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(600)", ready_s=1)
    with pytest.raises(ModelError, match="not ready after 1 s"):
        server.start()
    assert gone(int(server.log.read_text()))


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    server = make(tmp_path, deaf, stop_s=0.5)
    server.start()
    server.stop()
    assert not healthy(server)


def test_a_port_in_use_and_a_missing_program_are_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as busy:
        server = ServerProcess("it", ["true"], port=busy.getsockname()[1], log=tmp_path / "log")
        with pytest.raises(ModelError, match="something else listens"):
            server.start()
    missing = ServerProcess("it", [str(tmp_path / "nothing")], port=free_port(), log=tmp_path / "log")
    with pytest.raises(ModelError, match="it cannot be started"):
        missing.start()


def test_a_second_start_is_refused(tmp_path: Path) -> None:
    with make(tmp_path) as server, pytest.raises(ModelError, match="already runs"):
        server.start()


def test_stopping_what_never_ran_does_nothing(tmp_path: Path) -> None:
    server = make(tmp_path)
    server.stop()
    server.kill()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # the names are enough
