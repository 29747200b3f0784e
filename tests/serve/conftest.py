from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for redis_server.py: test folders are not packages

from redis_server import PROGRAM, RedisServer


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
