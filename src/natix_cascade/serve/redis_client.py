"""A Redis client that gives up at once: what it is asked for must never hold an answer up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from natix_cascade.errors import CascadeError, MissingExtraError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["TIMEOUT_S", "connect", "silent_errors"]

TIMEOUT_S: Final = 0.05  # a healthy Redis in the same building answers in 1 ms
CONNECTIONS: Final = 16
_SCHEMES: Final = ("redis://", "rediss://", "unix://")


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> Redis:
    """Make a client; no connection is opened yet.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` or ``unix://``.
    timeout_s : float
        How long each step of a call may take.

    Raises
    ------
    CascadeError
        The address is of another kind, or cannot be read; it is not repeated, as it may hold a password.
    MissingExtraError
        The redis extra is not installed.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  # an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("Redis needs one more package: pip install 'natix-cascade[redis]'") from None
    if not url.startswith(_SCHEMES):
        raise CascadeError(f"an address of Redis begins with {', '.join(_SCHEMES)}, such as redis://localhost:6379/0")
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,  # a crowd waits for one of these instead of opening hundreds
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise CascadeError("the address of Redis cannot be read; write redis://HOST:PORT/NUMBER") from None
    return Redis(connection_pool=pool)


def silent_errors() -> tuple[type[Exception], ...]:
    """What a Redis that is gone or slow raises."""
    from redis.exceptions import RedisError  # noqa: PLC0415  # an extra

    return RedisError, OSError, TimeoutError
