"""Services that tests share, and what holds for every answer."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "image"):
    sys.path.insert(0, str(folder))  # for service_process.py and picture_files.py: test folders are not packages

import picture_files as files  # noqa: E402  # found by the lines above
from redis_server import PROGRAM, RedisServer  # noqa: E402
from service_process import Gate, Make, ServiceProcess, plain  # noqa: E402

from natix_cascade.run.cascade import Cascade  # noqa: E402
from natix_cascade.testing import render_scene  # noqa: E402


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description of a service with keys."""
    from natix_cascade.serve.app import create_app
    from natix_cascade.serve.options import ServeOptions
    from natix_cascade.serve.service import Service

    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        keys.write_text('{"keys": []}')
        service = Service(ServeOptions(state=folder, keys=str(keys)), "run", 0, lambda: None)
        found: dict[str, Any] = create_app(service)._app.openapi()
        service.store.close()
    return found


def check_answer(response: httpx.Response) -> None:
    """What every answer keeps: it is described, an error is a problem, it carries the headers of security."""
    path, status = response.request.url.path, str(response.status_code)
    where = f"{response.request.method} {path}: {status}"
    assert status != "500", where
    assert response.headers["x-content-type-options"] == "nosniff", where
    assert response.headers["referrer-policy"] == "no-referrer", where
    told = path in ("/ready", "/metrics") or response.status_code < 400
    assert told or response.headers["content-type"] == "application/problem+json", where
    if response.status_code in (429, 503) and path != "/ready":
        assert int(response.headers["retry-after"]) >= 1, where
    if (path, status) == ("/metrics", "404"):  # it may have a port of its own
        return
    for shown, methods in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", shown), path):
            answers = methods.get(response.request.method.lower(), {}).get("responses", {"405": {}})
            assert status in answers, f"{where} is not in the description"


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Start services with further options; those that a test does not end are ended well."""
    made: list[ServiceProcess] = []

    def start(*arguments: str, ready: bool = True, folder: Path | None = None, **options: Any) -> ServiceProcess:
        where = folder or tmp_path_factory.mktemp("service")
        service = ServiceProcess(where, *arguments, check=check_answer, **options)
        made.append(service)
        return service.start(ready=ready)

    yield start
    for service in made:
        if service.process.poll() is None:
            service.terminate()
    codes = [service.end() for service in made if service.process.returncode is None]
    assert not any(codes)


@pytest.fixture(scope="session")
def service(make: Make) -> ServiceProcess:
    """The shipped cascade with one worker."""
    return make("--workers", "1")


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of the shipped cascade's service."""
    with service.client() as found:
        yield found


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Where the models of the cascade "gated" wait with red pictures."""
    found = Gate()
    yield found
    found.close()


@pytest.fixture(scope="session")
def cascade() -> Iterator[Cascade]:
    """The same cascade in this process."""
    with Cascade.load("embedded") as found:
        yield found


@pytest.fixture(scope="session")
def scenes() -> list[bytes]:
    """JPEGs of twelve rendered streets, half of them with roadwork."""
    return [render_scene(seed, roadwork=seed % 2 == 0, size=(320, 180)).jpeg() for seed in range(12)]


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG in four colours with texture."""
    return files.save(files.noisy(), "JPEG", quality=85)


@pytest.fixture(scope="session")
def red() -> bytes:
    """What models of the cascade "gated" wait for."""
    return plain(250, 10, 10)


@pytest.fixture(scope="session")
def white() -> bytes:
    """A bright picture."""
    return plain(250, 250, 250)


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.fail("redis-server is not installed: apt-get install redis-server")
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis_server: RedisServer) -> Iterator[RedisServer]:
    """A server that runs and is empty, whatever the test before has done to it."""
    _redis_server.start()
    yield _redis_server
    _redis_server.stop()
