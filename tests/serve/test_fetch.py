from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from https_server import HttpsServer, endless, https_server, make_certificate, redirect, silent, whole

from natix_cascade.errors import PictureError, PictureTooLargeError
from natix_cascade.serve.fetch import FetchError, IPAddress, fetch, is_public, resolve

LONG = 20.0  # seconds that only catch a hang
PICTURE = b"\xff\xd8 not decoded here"
UNREACHABLE = "nothing could be fetched"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(
        tmp_path_factory.mktemp("tls"), "pictures.example", "other.example", "xn--bcher-kva.example"
    )


class Names:
    """A resolver that is told what to say, and counts how often it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers) or [["127.0.0.1"]]
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def loopback(address: IPAddress) -> bool:
    return address.is_loopback


Get = Callable[..., Awaitable[bytes]]
Scene = Callable[[HttpsServer, Get], Awaitable[None]]


@asynccontextmanager
async def stage(certificate: tuple[Path, Path]) -> AsyncIterator[tuple[HttpsServer, Get]]:
    trusted = ssl.create_default_context(cafile=certificate[0])
    async with asyncio.timeout(LONG), https_server(*certificate) as server:

        async def get(path: str, *, host: str = "pictures.example", **changed: Any) -> bytes:
            options: dict[str, Any] = {
                "max_bytes": 10_000,
                "timeout_s": LONG,
                "resolver": Names(),
                "allowed": loopback,
                "context": trusted,
                "ports": frozenset({server.port}),
            }
            return await fetch(f"https://{host}:{server.port}{path}", **(options | changed))

        yield server, get


def play(certificate: tuple[Path, Path], scene: Scene) -> None:
    async def main() -> None:
        async with stage(certificate) as (server, get):
            await scene(server, get)

    asyncio.run(main())


def test_a_picture_is_fetched_whatever_its_type_says(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/a.jpg?b=1"] = whole(PICTURE, headers="Content-Type: text/html\r\n")
        assert await get("/a.jpg?b=1#part") == PICTURE
        head = server.requests[0].decode().lower()
        assert head.startswith("get /a.jpg?b=1 http/1.1\r\n")
        assert f"host: pictures.example:{server.port}\r\n" in head
        assert "accept-encoding: identity\r\n" in head
        assert "cookie" not in head

    play(certificate, scene)


def test_a_name_with_umlauts_is_asked_for_in_its_own_form(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        names = Names()
        assert await get("/", host="bücher.example", resolver=names) == PICTURE
        assert names.asked == ["xn--bcher-kva.example"]

    play(certificate, scene)


def test_the_certificate_must_be_for_the_name(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        for changed in ({"host": "wrong.example"}, {"host": "127.0.0.1"}, {"context": None}):
            with pytest.raises(FetchError, match=UNREACHABLE):
                await get("/", **changed)
        assert server.requests == []

    play(certificate, scene)


def test_a_name_is_resolved_once_and_the_connection_goes_there(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        names = Names(["127.0.0.1"], ["10.0.0.1"])  # DNS rebinding: the second answer is inside
        assert await get("/", resolver=names) == PICTURE
        assert names.asked == ["pictures.example"]

    play(certificate, scene)


def test_one_private_address_among_public_ones_is_too_many(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        for answer in (["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], [], ["no address"]):
            with pytest.raises(FetchError, match=UNREACHABLE):
                await get("/", resolver=Names(answer))
        assert server.connections == 0

    play(certificate, scene)


def test_the_next_address_is_tried_when_one_does_not_answer(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        assert await get("/", resolver=Names(["127.0.0.2", "127.0.0.1"])) == PICTURE  # it listens on the second only

    play(certificate, scene)


def test_redirects_are_followed_without_cookies(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        names = Names()
        server.answers |= {
            "/1": redirect("/2", headers="Set-Cookie: a=b\r\n"),
            "/2": redirect(f"https://other.example:{server.port}/3"),
            "/3": redirect("4"),
            "/4": whole(PICTURE),
        }
        assert await get("/1", resolver=names) == PICTURE
        assert names.asked == ["pictures.example"] * 2 + ["other.example"] * 2
        assert b"ookie" not in b"".join(server.requests)
        server.answers["/4"] = redirect("/5")
        with pytest.raises(FetchError, match="more than 3 times"):
            await get("/1")
        assert server.connections == 8

    play(certificate, scene)


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("http://pictures.example:{port}/2", "https only"),
        ("file:///etc/passwd", "https only"),
        ("gopher://pictures.example/", "https only"),
        ("https://me:secret@pictures.example:{port}/2", "user name"),
        ("https://pictures.example/2", "port"),  # 443 is not among the allowed ones here
        ("https://pictures.example:1/2", "port"),
        ("https://inside.example:{port}/2", UNREACHABLE),
        ("https://exa mple:{port}/2", "cannot be read"),
        ("https://pictures.example:port/2", "no URL|cannot be read"),
    ],
)
def test_each_redirect_is_checked_again(certificate: tuple[Path, Path], to: str, told: str) -> None:
    async def names(host: str, _: int) -> list[str]:
        return ["10.0.0.1" if host == "inside.example" else "127.0.0.1"]

    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers |= {"/1": redirect(to.format(port=server.port)), "/2": whole(PICTURE)}
        with pytest.raises(FetchError, match=told):
            await get("/1", resolver=names)
        assert server.connections == 1

    play(certificate, scene)


def test_too_many_bytes_are_not_read(certificate: tuple[Path, Path]) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers |= {
            "/endless": endless(),
            "/told": silent(b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n"),
            "/just": whole(b"x" * 10_000),
        }
        for path in ("/endless", "/told"):
            with pytest.raises(PictureTooLargeError, match="10,000 bytes") as caught:
                await get(path)
            assert caught.value.status == 413
        assert len(await get("/just")) == 10_000

    play(certificate, scene)


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "did not arrive within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UNREACHABLE),
        (b"", UNREACHABLE),
    ],
)
def test_a_slow_host_is_given_up(certificate: tuple[Path, Path], begin: bytes, told: str) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = silent(begin)
        with pytest.raises(FetchError, match=told):
            await get("/", timeout_s=0.3)

    play(certificate, scene)


def test_a_drip_of_bytes_does_not_buy_time(certificate: tuple[Path, Path]) -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = drip
        with pytest.raises(FetchError, match="did not arrive"):
            await get("/", timeout_s=0.5)

    play(certificate, scene)


def test_a_slow_name_server_is_given_up(certificate: tuple[Path, Path]) -> None:
    async def names(_: str, __: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def scene(_: HttpsServer, get: Get) -> None:
        with pytest.raises(FetchError, match=UNREACHABLE):
            await get("/", resolver=names, timeout_s=0.1)

    play(certificate, scene)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (whole(b"no", head="404 Not Found"), "answered 404"),
        (whole(b"", head="304 Not Modified"), "answered 304"),
        (whole(b"x", head="206 Partial Content"), "answered 206"),
        (whole(zlib.compress(b"\0" * 10_000_000), headers="Content-Encoding: deflate\r\n"), "compressed"),
        (whole(PICTURE, headers="Content-Encoding: gzip, br\r\n"), "compressed"),
    ],
)
def test_anything_but_a_plain_picture_is_refused(certificate: tuple[Path, Path], answer: Any, told: str) -> None:
    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = answer
        with pytest.raises(FetchError, match=told) as caught:
            await get("/", max_bytes=100_000)
        assert caught.value.status == 422

    play(certificate, scene)


def test_a_host_that_breaks_off_is_told(certificate: tuple[Path, Path]) -> None:
    async def half(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    async def garbage(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async def scene(server: HttpsServer, get: Get) -> None:
        huge = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n"
        server.answers |= {"/half": half, "/garbage": garbage, "/huge": silent(huge)}
        with pytest.raises(PictureError):
            await get("/huge")
        with pytest.raises(FetchError, match="broke off"):
            await get("/half")
        with pytest.raises(FetchError, match=UNREACHABLE):
            await get("/garbage")

    play(certificate, scene)


def test_proxies_of_the_environment_are_not_used(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        assert await get("/") == PICTURE

    play(certificate, scene)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://pictures.example/", "https only"),
        ("ftp://pictures.example/", "https only"),
        ("pictures.example/a.jpg", "https only"),
        ("//pictures.example/a.jpg", "https only"),
        ("", "https only"),
        ("https:///a.jpg", "https only"),
        ("https://user@pictures.example/", "user name"),
        ("https://pictures.example:22/", "port"),
        ("https://pictures.example:80/", "port"),
        ("https://pictures.example:99999/", "cannot be read|port"),
        ("https://exa mple/", "cannot be read"),
        ("https://exa\nmple/", "cannot be read"),
        ("https://\ud800/", "cannot be read"),
        ("https://pictures.example/" + "a" * 2000, "2000 characters"),
    ],
)
def test_urls_that_are_refused_as_they_are(url: str, told: str) -> None:
    names = Names()
    with pytest.raises(FetchError, match=told):
        asyncio.run(fetch(url, max_bytes=10, timeout_s=LONG, resolver=names))
    assert names.asked == []


NOT_PUBLIC = [
    *(
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
    ),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1", "4000::1", "2001:10::1"),
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.169.0.1"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "0", "localhost", "LOCALHOST."),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]"),
        *("10.0.0.1", "169.254.169.254", "[fe80::1]", "127.0.0.1.", "①②⑦.⓪.⓪.①"),
    ],
)
def test_no_way_to_write_an_inner_address_gets_in(certificate: tuple[Path, Path], host: str) -> None:
    """Asked of the system's own resolver, beside a server that really listens on loopback."""

    async def scene(server: HttpsServer, get: Get) -> None:
        server.answers["/"] = whole(PICTURE)
        with pytest.raises(FetchError, match=f"{UNREACHABLE}|cannot be read"):
            await get("/", host=host, resolver=None, allowed=None)
        assert server.connections == 0

    play(certificate, scene)


def test_an_open_port_inside_looks_like_a_closed_one_and_like_no_host(certificate: tuple[Path, Path]) -> None:
    async def unknown(_: str, __: int) -> list[str]:
        raise OSError("Name or service not known")

    async def scene(server: HttpsServer, get: Get) -> None:
        told = set()
        closed = frozenset({server.port, 9})
        for url, resolver in (
            (f"https://127.0.0.1:{server.port}/", None),
            ("https://127.0.0.1:9/", None),
            ("https://unknown.example:9/", unknown),
        ):
            with pytest.raises(PictureError) as caught:
                await fetch(url, max_bytes=10, timeout_s=LONG, resolver=resolver, ports=closed)
            told.add(str(caught.value))
        with pytest.raises(PictureError) as caught:  # a public host that refuses
            await get("/", resolver=Names(["127.0.0.2"]))
        told.add(str(caught.value))
        assert len(told) == 1
        assert server.connections == 0

    play(certificate, scene)


def test_the_systems_resolver() -> None:
    assert asyncio.run(resolve("127.0.0.1", 443)) == ["127.0.0.1"]
    assert set(asyncio.run(resolve("localhost", 443))) <= {"127.0.0.1", "::1"}
