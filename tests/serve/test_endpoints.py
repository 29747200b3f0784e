"""A service whose cascade asks a server: --endpoints through the command line, the supervisor and the workers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from service_process import Make, eventually

from natix_cascade.serve.options import ServeOptions
from natix_cascade.serve.settings import read_options
from natix_cascade.testing import render_scene
from natix_cascade.testing.chat import PretendedChat

PICTURE = render_scene(1, roadwork=True, size=(320, 180)).jpeg()
NAME = "far"


def files(folder: Path, url: str) -> tuple[str, ...]:
    """Options that serve a cascade of one model on a server."""
    (folder / "cards").mkdir()
    (folder / "cards" / "far.yaml").write_text(
        "name: far\nengine: openai\nlicence: none\ninput: {height: 448, width: 640}\ntask: {kind: ask}\n"
    )
    (folder / "mine.yaml").write_text(
        "name: mine\nquestion: {}\nlevels:\n  - name: only\n    members: [{model: far}]\n"
    )
    (folder / "endpoints.yaml").write_text(f"models: {{far: [{{url: '{url}', model: tiny}}]}}\n")
    return ("--cascade", str(folder / "mine.yaml"), "--endpoints", str(folder / "endpoints.yaml"), "--workers", "1")


def test_a_service_asks_the_server_and_is_ready_when_it_answers(make: Make, tmp_path: Path) -> None:
    with PretendedChat(0.9) as server:
        server.fault = "unavailable"
        service = make(*files(tmp_path, server.url), ready=False)
        service.listening()
        with service.client() as client:
            eventually(lambda: "answered 503" in client.get("/ready").text)
            server.fault = None
            service.event("ready")
            answer = client.post("/v1/infer", content=PICTURE)
            assert answer.status_code == 200, answer.text
            assert answer.json()["probability"] == pytest.approx(0.9)
            server.stop()
            assert client.post("/v1/infer", content=PICTURE).status_code in {500, 502, 503, 504}
            server.start()
            eventually(lambda: httpx.codes.is_success(client.post("/v1/infer", content=PICTURE).status_code))


def test_the_file_of_settings_names_it_too(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('endpoints = "endpoints.yaml"\n')
    assert read_options(path).endpoints == "endpoints.yaml"
    assert ServeOptions().endpoints is None
