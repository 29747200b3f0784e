"""Pictures by URL, fetched so that nobody can reach into the service's own network through it."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, NoReturn

import httpx

from natix_cascade.errors import PictureError, PictureTooLargeError

__all__ = ["FetchError", "IPAddress", "Resolver", "fetch", "is_public", "resolve"]

IPAddress = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_MOST_REDIRECTS: Final = 3
_MOST_ADDRESSES: Final = 3
_LONGEST_URL: Final = 2000
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200
_HEADERS: Final = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "natix-cascade",
}
_COMPATIBLE: Final = IPv6Network("::/96")  # an IPv4 address in its last 32 bits, as in the next
_NAT64: Final = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_HOST: Final = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")


class FetchError(PictureError):
    """A picture cannot be fetched by its URL; the text does not tell what is in the service's own network."""


async def fetch(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    resolver: Resolver | None = None,
    allowed: Callable[[IPAddress], bool] | None = None,
    context: ssl.SSLContext | None = None,
    ports: frozenset[int] = frozenset({443}),
) -> bytes:
    """Fetch the bytes of a picture by ``https``.

    A name is resolved once, every address it has must be public, and the connection goes to just that address while
    the certificate is checked for the name: a second answer of the name server changes nothing. Each redirect is
    checked in the same way. Neither proxies nor credentials of the environment are used, no cookies are kept, nothing
    is decompressed, and the content type is not believed.

    Parameters
    ----------
    url : str
        ``https://...``, without user name or password.
    max_bytes : int
        Reading stops when there are more.
    timeout_s : float
        Seconds for all of it.
    resolver : callable or None
        Host and port to its addresses; None: the system's.
    allowed : callable or None
        Which addresses may be connected to; None: `is_public`.
    context : ssl.SSLContext or None
        Whose certificates are trusted; None: the public authorities.
    ports : frozenset of int
        Which ports may be connected to.

    Raises
    ------
    FetchError
        The URL is not allowed, or nothing usable came. The sentence is the same whether a host is unknown, not public,
        silent or without a valid certificate.
    PictureTooLargeError
        More than `max_bytes`.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    target = _parsed(url, ports)
    for _ in range(_MOST_REDIRECTS + 1):
        async with httpx.AsyncHTTPTransport(verify=context or _public_authorities(), trust_env=False) as transport:
            try:
                async with asyncio.timeout_at(deadline):
                    addresses = await _addresses(target, resolver or resolve, allowed or is_public)
                    response = await _ask(transport, target, addresses)
            except TimeoutError:
                _unreachable()
            try:
                if response.status_code not in _REDIRECTS:
                    return await _body(response, max_bytes, deadline, timeout_s)
                target = _next(target, response, ports)
            finally:
                await response.aclose()
    raise FetchError(f"the URL redirects more than {_MOST_REDIRECTS} times; give the address of the picture itself")


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public internet, and what it embeds does too.

    IPv4-mapped (RFC 4291), IPv4-compatible, 6to4 (RFC 3056) and NAT64 (RFC 6052) addresses are judged by the IPv4
    address in them; Teredo (RFC 4380) is never public, nor is any other IPv6 address outside of 2000::/3, the only
    part that is given out as global unicast.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and (address in _COMPATIBLE or address in _NAT64):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST or address.teredo is not None:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, best first, as the system knows them.

    Raises
    ------
    OSError
        There is no such host.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _parsed(url: str | httpx.URL, ports: frozenset[int]) -> httpx.URL:
    if len(str(url)) > _LONGEST_URL:
        raise FetchError(f"the URL has more than {_LONGEST_URL} characters")
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise FetchError("the URL cannot be read; write https://HOST/PATH") from None
    if target.scheme != "https" or not target.host:
        raise FetchError("pictures are fetched by https only; write https://HOST/PATH, or send the picture itself")
    if not _HOST.fullmatch(target.raw_host):
        raise FetchError("the URL's host cannot be read; write https://HOST/PATH")
    if target.userinfo:
        raise FetchError("the URL holds a user name or password; give one without")
    if (target.port or 443) not in ports:
        raise FetchError("the URL names a port that is not allowed; leave it away")
    return target


def _next(target: httpx.URL, response: httpx.Response, ports: frozenset[int]) -> httpx.URL:
    try:
        return _parsed(target.join(response.headers.get("location", "")), ports)
    except (httpx.InvalidURL, ValueError):
        raise FetchError("the host redirects to something that is no URL") from None


async def _addresses(target: httpx.URL, resolver: Resolver, allowed: Callable[[IPAddress], bool]) -> list[IPAddress]:
    try:
        found = [ip_address(text) for text in await resolver(target.raw_host.decode("ascii"), target.port or 443)]
    except (OSError, ValueError):  # unknown, not text that DNS can carry, or no address at all
        _unreachable()
    if not found or not all(map(allowed, found)):
        _unreachable()
    return found[:_MOST_ADDRESSES]


async def _ask(
    transport: httpx.AsyncHTTPTransport, target: httpx.URL, addresses: Sequence[IPAddress]
) -> httpx.Response:
    """Connect to one of the addresses, and to nothing else, and ask for the picture by the host's name."""
    for address in addresses:
        request = httpx.Request(
            "GET",
            target.copy_with(host=str(address), fragment=None),
            headers=_HEADERS | {"Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        )
        try:
            return await transport.handle_async_request(request)
        except httpx.ConnectError:
            continue
        except (httpx.HTTPError, ValueError):  # h11 reads numbers of any length
            break
    return _unreachable()


async def _body(response: httpx.Response, max_bytes: int, deadline: float, timeout_s: float) -> bytes:
    if response.status_code != _OK:
        raise FetchError(f"the host answered {response.status_code} and no picture")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise FetchError("the host sent the picture compressed, though asked not to")
    length = response.headers.get("content-length", "")
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            if length.isascii() and length.isdecimal() and float(length) > max_bytes:
                _too_large(max_bytes)
            async for part in response.aiter_raw():
                body += part
                if len(body) > max_bytes:
                    _too_large(max_bytes)
    except TimeoutError:
        raise FetchError(f"the picture did not arrive within {timeout_s:g} s") from None
    except httpx.HTTPError:
        raise FetchError("the picture broke off while it was fetched") from None
    return bytes(body)


def _too_large(max_bytes: int) -> NoReturn:
    raise PictureTooLargeError(f"the picture at the URL has more than {max_bytes:,} bytes, the most that is allowed")


def _unreachable() -> NoReturn:
    raise FetchError(
        "nothing could be fetched: wanted a public host that answers https in time, with a certificate"
    ) from None


@cache
def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
