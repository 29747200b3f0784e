"""An address of Redis by reference: a password that is changed needs no restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis_server import RedisServer

from natix_cascade.secrets import shared
from natix_cascade.serve.redis_client import connect, silent_errors


@pytest.mark.servers
def test_a_new_connection_takes_the_password_of_now(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(redis_server.url + "\n", "utf-8")

    async def main() -> None:
        client = connect(f"file:{file}", timeout_s=5.0)
        other = connect(redis_server.url, timeout_s=5.0)
        try:
            assert await client.ping()
            await other.config_set("requirepass", "another-word")
            await client.connection_pool.disconnect()
            with pytest.raises(silent_errors()):
                await client.ping()
            file.write_text(redis_server.url.replace("word-that-stays-secret", "another-word"), "utf-8")
            assert await client.ping()
        finally:
            await client.aclose(close_connection_pool=True)
            await other.aclose(close_connection_pool=True)

    try:
        asyncio.run(main())
    finally:
        redis_server.stop()
        shared().close()
