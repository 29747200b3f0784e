"""Real servers as fixtures: the slow ones once for all tests, those with a configuration for each test anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

for folder in (
    "secrets",
    "serve",
    "observe/judge",
    "observe",
):  # for servers.py: test folders are no packages
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

import servers  # noqa: E402  # found by the lines above
from servers import Server  # noqa: E402


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start Prometheus with a configuration, and with rules and other files beside it."""
    with ExitStack() as stack:

        def start(config: str, files: Mapping[str, str] | None = None) -> Server:
            return stack.enter_context(servers.prometheus(_another(tmp_path, "prometheus"), config, files))

        yield start


@pytest.fixture
def start_alertmanager(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start Alertmanager with a configuration."""
    with ExitStack() as stack:

        def start(config: str, files: Mapping[str, str] | None = None) -> Server:
            return stack.enter_context(servers.alertmanager(_another(tmp_path, "alertmanager"), config, files))

        yield start


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Phoenix for all tests; each uses a project of its own."""
    with servers.phoenix(tmp_path_factory.mktemp("phoenix")) as running:
        yield running


@pytest.fixture(scope="session")
def weave_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Weave trace server for all tests; each uses a project of its own."""
    with servers.weave_server(tmp_path_factory.mktemp("weave")) as running:
        yield running


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One MongoDB for all tests; each uses a data set of its own."""
    with servers.mongod(tmp_path_factory.mktemp("mongod")) as running:
        yield running


def _another(folder: Path, name: str) -> Path:
    return folder / f"{name}-{len(list(folder.glob(f'{name}-*')))}"
