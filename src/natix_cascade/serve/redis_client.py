"""A Redis client that gives up at once: what it is asked for must never hold an answer up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.secrets import is_reference, shared

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.credentials import CredentialProvider

    from natix_cascade.secrets import Secret

__all__ = ["TIMEOUT_S", "connect", "silent_errors"]

TIMEOUT_S: Final = 0.05  # a healthy Redis in the same building answers in 1 ms
CONNECTIONS: Final = 16
_SCHEMES: Final = ("redis://", "rediss://", "unix://")


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> Redis:
    """Make a client; no connection is opened yet.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` or ``unix://``; or a reference to a secret that holds such a one
        (``vault:natix/redis#url``): then each new connection takes the name and password that it holds by now.
    timeout_s : float
        How long each step of a call may take.

    Raises
    ------
    CascadeError
        The address is of another kind, or cannot be read; it is not repeated, as it may hold a password. Or the secret
        cannot be had.
    MissingExtraError
        The redis extra is not installed.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  # an extra
        from redis.asyncio.connection import parse_url  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("Redis needs one more package: pip install 'natix-cascade[redis]'") from None
    secret = shared().open(url) if is_reference(url) else None
    address = url if secret is None else secret.reveal()
    if not address.startswith(_SCHEMES):
        raise CascadeError(f"an address of Redis begins with {', '.join(_SCHEMES)}, such as redis://localhost:6379/0")
    try:
        where: dict[str, Any] = dict(parse_url(address))
        if secret is not None and {"username", "password"} & set(where):
            where = {key: value for key, value in where.items() if key not in {"username", "password"}}
            where["credential_provider"] = _present_words(secret)
        pool = BlockingConnectionPool(
            max_connections=CONNECTIONS,  # a crowd waits for one of these instead of opening hundreds
            timeout=timeout_s,
            **{
                "socket_timeout": timeout_s,
                "socket_connect_timeout": timeout_s,
                "retry": Retry(NoBackoff(), 0),
                **where,
            },
        )
    except ValueError:
        raise CascadeError("the address of Redis cannot be read; write redis://HOST:PORT/NUMBER") from None
    return Redis(connection_pool=pool)


def _present_words(secret: Secret) -> CredentialProvider:
    """Tells each new connection the name and password of the address that a secret holds by then."""
    from redis.asyncio.connection import parse_url  # noqa: PLC0415  # an extra
    from redis.credentials import CredentialProvider  # noqa: PLC0415
    from redis.exceptions import AuthenticationError  # noqa: PLC0415

    class Present(CredentialProvider):
        def get_credentials(self) -> tuple[str] | tuple[str, str]:
            try:
                where = parse_url(secret.reveal())
            except ValueError:
                raise AuthenticationError("the secret holds no address of Redis any more") from None
            name, word = where.get("username"), where.get("password", "")
            return (name, word) if name else (word,)

        async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
            return self.get_credentials()

    return Present()


def silent_errors() -> tuple[type[Exception], ...]:
    """What a Redis that is gone or slow raises."""
    from redis.exceptions import RedisError  # noqa: PLC0415  # an extra

    return RedisError, OSError, TimeoutError
