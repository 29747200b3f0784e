"""Who may come in: keys, names, other web sites, rates, connections and what the logs do not say."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from service_process import SCRIPTED, Make, ServiceProcess, eventually, kind, raw, received

from natix_cascade.serve import key_file

PATHS = {
    "infer": [
        ("GET", "/"),
        ("GET", "/static/main.js"),
        ("POST", "/v1/infer"),
        ("POST", "/v1/batch-infer"),
        ("GET", "/v1/verdicts"),
        ("GET", "/v1/verdicts/x"),
        ("POST", "/v1/feedback"),
        ("GET", "/v1/cascade"),
        ("GET", "/v1/models"),
        ("GET", "/v1/status"),
        ("GET", "/nothing/here"),
    ],
    "admin": [("POST", "/v1/admin/reload"), ("POST", "/v1/admin/drain"), ("GET", "/v1/admin/breakers")],
    "metrics": [("GET", "/metrics")],
    None: [("GET", "/ready"), ("GET", "/openapi.json")],
}


class Guarded:
    """A service with keys; `texts` are the keys by scope."""

    def __init__(self, make: Make, folder: Path) -> None:
        self.file = folder / "keys.json"
        self.texts: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        for scope in ("infer", "admin", "metrics"):
            key, text = key_file.create(self.file, (scope,))
            self.texts[scope], self.ids[scope] = text, key.id
        _, self.slow = key_file.create(self.file, ("infer",), rate="2/minute")
        _, self.expired = key_file.create(self.file, ("infer", "admin"), lifetime=timedelta(seconds=-1))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.metrics_port = probe.getsockname()[1]
        config = folder / "serve.toml"
        config.write_text(
            "header_timeout_s = 0.4\nmax_header_bytes = 2048\nmax_connections = 20\n"
            'allowed_hosts = ["street.example"]\n'
        )
        options = ["--cascade", "bright", "--keys", str(self.file), "--config", str(config)]
        self.service = make(*SCRIPTED, *options, "--metrics-port", str(self.metrics_port), folder=folder)

    def client(self, scope: str | None = None, text: str | None = None) -> httpx.Client:
        key = text or (self.texts[scope] if scope else None)
        return self.service.client(headers={"authorization": f"Bearer {key}"} if key else {})


@pytest.fixture(scope="module")
def guarded(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(make, tmp_path_factory.mktemp("guarded"))


def head(method: str, path: str, *headers: str, host: str = "localhost") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"host: {host}", *headers, "", ""]).encode()


# Keys ---------------------------------------------------------------------------------------------------------------


def test_everything_but_health_asks_for_a_key(guarded: Guarded) -> None:
    wrong = guarded.texts["admin"][:-1] + ("A" if guarded.texts["admin"][-1] != "A" else "B")
    for text in (None, "", "x", wrong, guarded.expired, "nck_00000000_" + "A" * 43, "é" * 50):
        headers = {} if text is None else {"x-api-key": text.encode()}
        with guarded.service.client(headers=headers) as client:
            for method, path in [each for paths in PATHS.values() for each in paths if each[1] != "/metrics"]:
                response = client.request(method, path)
                assert (response.status_code, kind(response)) == (401, "unauthorized"), path
                assert response.headers["www-authenticate"] == 'Basic realm="natix-cascade", charset="UTF-8"'
            assert client.get("/health").status_code == 200


def test_each_key_opens_its_scope(guarded: Guarded) -> None:
    opens: dict[str, set[str | None]] = {
        "infer": {"infer", None},
        "admin": {"infer", "admin", None},
        "metrics": {"metrics", None},
    }
    for scope, opened in opens.items():
        with guarded.client(scope) as client:
            for wanted, paths in PATHS.items():
                for method, path in paths:
                    if path == "/v1/admin/drain" and wanted in opened:
                        continue
                    status = client.request(method, path).status_code
                    assert status != 401
                    assert (status == 403) == (wanted not in opened), (scope, path)


def test_a_key_comes_in_any_of_three_forms(guarded: Guarded) -> None:
    key = guarded.texts["infer"]
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"authorization": f"bearer   {key}"},
        {"x-api-key": key},
        {"authorization": f"Basic {basic}"},
        {"authorization": "Bearer wrong", "x-api-key": key},
    ):
        with guarded.service.client(headers=headers) as client:
            assert client.get("/v1/cascade").status_code == 200
    for headers in (
        {"authorization": key},
        {"authorization": f"Digest {key}"},
        {"authorization": "Basic %%%"},
        {"authorization": f"Basic {base64.b64encode(key.encode()).decode()}"},
    ):
        with guarded.service.client(headers=headers) as client:
            assert client.get("/v1/cascade").status_code == 401
    with guarded.service.client() as client:
        assert client.get("/v1/cascade", params={"key": key, "api_key": key}).status_code == 401


def test_keys_rotate_while_it_runs(guarded: Guarded) -> None:
    made, text = key_file.create(guarded.file, ("infer",))
    with guarded.client(text=text) as client:
        eventually(lambda: client.get("/v1/status").status_code == 200)
    _, _, fresh = key_file.rotate(guarded.file, made.id, grace=timedelta(0))
    with guarded.client(text=text) as old, guarded.client(text=fresh) as new:
        eventually(lambda: old.get("/v1/status").status_code == 401)
        assert new.get("/v1/status").status_code == 200
    good = guarded.file.read_bytes()
    guarded.file.write_text("not even JSON")
    with guarded.client(text=fresh) as new, guarded.client() as nobody:
        eventually(lambda: bool(new.get("/ready").status_code == 200 and "stay in force" in guarded.service.log()))
        assert new.get("/v1/status").status_code == 200  # never open, never shut by a wrong file
        assert nobody.get("/v1/status").status_code == 401
    guarded.file.write_bytes(good)


def test_the_metrics_have_a_port_of_their_own(guarded: Guarded) -> None:
    url = f"http://127.0.0.1:{guarded.metrics_port}"
    with guarded.client("metrics") as client, guarded.client("infer") as other:
        assert client.get("/metrics").status_code == 404
        page = client.get(f"{url}/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        assert "cascade_total_requests_total" in page.text
        assert "cascade_agreement_ratio_bucket" in page.text
        assert other.get(f"{url}/metrics").status_code == 403
        assert httpx.get(f"{url}/metrics", trust_env=False).status_code == 401
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        for path in ("/v1/status", "/", "/openapi.json", "/v1/infer"):
            assert httpx.get(url + path, trust_env=False, headers=client.headers).status_code in (403, 404)


# What is refused before anything starts -----------------------------------------------------------------------------


def refused(tmp_path: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "natix_cascade", "serve", "--port", "0", "--state", str(tmp_path / "state")]
    found = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 2
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1, found.stderr
    assert not (tmp_path / "state").exists()
    return found.stderr


def test_without_keys_only_loopback(tmp_path: Path) -> None:
    said = refused(tmp_path, "--host", "0.0.0.0")  # noqa: S104  # it is refused
    assert "natix-cascade keys create" in said


@pytest.mark.slow
def test_what_cannot_work_is_refused_in_one_line(tmp_path: Path, service: ServiceProcess) -> None:
    for host in ("::", "192.0.2.1", "example.org"):
        assert "loopback only" in refused(tmp_path, "--host", host)
    assert "both" in refused(tmp_path, "--tls-cert", "cert.pem")
    assert "no file" in refused(tmp_path, "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    port = service.url.rsplit(":", 1)[1]
    assert port in refused(tmp_path, "--port", port)
    assert port in refused(tmp_path, "--metrics-port", port)
    assert "keys.json" in refused(tmp_path, "--keys", str(tmp_path / "keys.json"))
    assert "rate" in refused(tmp_path, "--rate", "often")
    config = tmp_path / "serve.toml"
    config.write_text("max_in_flihgt = 3\n")
    assert "max_in_flihgt" in refused(tmp_path, "--config", str(config))


# Names and other web sites ------------------------------------------------------------------------------------------


def test_another_name_is_not_answered(client: httpx.Client, guarded: Guarded) -> None:
    port = client.base_url.port
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]:80", "[::1]", "192.0.2.7", "LOCALHOST"):
        assert client.get("/v1/status", headers={"host": host}).status_code == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "street"):
        response = client.get("/v1/status", headers={"host": host})
        assert (response.status_code, kind(response)) == (403, "forbidden"), host
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 200  # says nothing
    with guarded.client("infer") as other:
        assert other.get("/v1/status", headers={"host": "street.example:443"}).status_code == 200
        assert other.get("/v1/status", headers={"host": "evil.example"}).status_code == 403


def test_another_web_site_may_not_send_forms(client: httpx.Client, photo: bytes) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        headers = {"sec-fetch-site": site}
        assert client.post("/v1/infer", content=photo, headers=headers).status_code == status
        assert client.get("/v1/status", headers=headers).status_code == 200
        if status == 403:
            for path in ("/v1/feedback", "/v1/batch-infer", "/v1/admin/drain", "/v1/admin/reload"):
                assert client.post(path, headers=headers).status_code == 403
    assert (
        "access-control-allow-origin"
        not in client.get("/v1/status", headers={"origin": "https://evil.example"}).headers
    )


def test_the_page_lets_nothing_in_from_outside(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page.text)
    for name in re.findall(r'(?:src|href)="/static/([^"]+)"', page.text):
        file = client.get(f"/static/{name}")
        assert file.status_code == 200
        again = client.get(f"/static/{name}", headers={"if-none-match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "", ".", "index.html/"):
        assert client.get(f"/static/{name}").status_code == 404


def test_unknown_paths_and_methods(client: httpx.Client) -> None:
    for path in ("/nothing", "/v1", "/v1/", "/v1/status/", "/v1/infer/", "//v1/status", "/docs", "/redoc", "/%00"):
        response = client.get(f"{client.base_url}{path}")
        assert (response.status_code, kind(response)) == (404, "not-found"), path
    for method, path, allow in (
        ("GET", "/v1/infer", "POST"),
        ("PUT", "/v1/infer", "POST"),
        ("DELETE", "/v1/verdicts/x", "GET"),
        ("POST", "/v1/status", "GET"),
        ("PATCH", "/v1/feedback", "POST"),
        ("TRACE", "/health", "GET"),
        ("OPTIONS", "/v1/infer", "POST"),
    ):
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allow), (method, path)
        assert kind(response) == "method-not-allowed"


# Rates and connections ----------------------------------------------------------------------------------------------


def test_a_keys_rate_is_kept(guarded: Guarded, white: bytes) -> None:
    with guarded.client(text=guarded.slow) as client:
        answers = [client.post("/v1/infer", content=white) for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 429, 429]
        assert kind(answers[2]) == "rate-limited"
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
        assert client.get("/v1/status").status_code == 200  # pictures are counted, nothing else
        batch = client.post("/v1/batch-infer", content=b"", headers={"content-type": "application/x-ndjson"})
        assert batch.status_code == 429
    with guarded.client("infer") as other:
        assert other.post("/v1/infer", content=white).status_code == 200
        assert other.get("/v1/status").json()["rejected"] >= 3


def test_slow_headers_are_408_and_silence_is_closed(guarded: Guarded) -> None:
    assert raw(guarded.service, b"GET /health HTTP/1.1\r\nhost: ").startswith(b"HTTP/1.1 408 ")
    assert raw(guarded.service) == b""
    first, begun = head("GET", "/health"), b"GET /health HT"  # a second request of a connection has no more time
    assert re.findall(rb"HTTP/1.1 (\d+) ", raw(guarded.service, first + begun)) == [b"200", b"408"]
    with guarded.service.connect() as connection:
        connection.sendall(first)
        answer = connection.recv(65536)
        connection.sendall(begun)
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer + received(connection)) == [b"200", b"408"]


def test_huge_headers_are_431(guarded: Guarded) -> None:
    for request in (
        head("GET", "/health", "x-long: " + "a" * 3000),
        head("GET", "/" + "a" * 3000),
        head("GET", "/health", *(f"x-{number}: 1" for number in range(300))),
        b"GET /health HTTP/1.1\r\nx-endless: " + b"a" * 10_000,
        b"GET /" + b"a" * 10_000,
    ):
        assert raw(guarded.service, request).startswith(b"HTTP/1.1 431 ")
    assert raw(guarded.service, head("GET", "/health", "x: " + "a" * 1500, "connection: close"))[:12] == b"HTTP/1.1 200"


def test_too_many_connections_are_503(guarded: Guarded) -> None:
    open_ones = [guarded.service.connect() for _ in range(20)]
    try:
        answers = [raw(guarded.service, head("GET", "/health")) for _ in range(3)]
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer for answer in answers)
    finally:
        for each in open_ones:
            each.close()
    eventually(lambda: raw(guarded.service, head("GET", "/health", "connection: close")).startswith(b"HTTP/1.1 200 "))


def test_garbage_is_400_or_closed(guarded: Guarded) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"hello there\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"POST /v1/infer HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        assert raw(guarded.service, garbage)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 408"), garbage
    with guarded.client() as client:
        assert client.get("/health").status_code == 200
    assert "Traceback" not in guarded.service.log()


# TLS and logs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return cert, key


def test_tls(make: Make, certificate: tuple[Path, Path], white: bytes, tmp_path: Path) -> None:
    cert, key = certificate
    options = ["--cascade", "bright", "--tls-cert", str(cert), "--tls-key", str(key)]
    service = make(*SCRIPTED, *options, folder=tmp_path)
    assert service.url.startswith("https://")
    trust = ssl.create_default_context(cafile=str(cert))
    with service.client(verify=trust) as client:
        assert client.post("/v1/infer", content=white).status_code == 200
    with service.client() as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        client.get("/health")
    assert not raw(service, head("GET", "/health")).startswith(b"HTTP/1.1 200 ")
    assert raw(service, head("GET", "/health", "connection: close"), tls=trust).startswith(b"HTTP/1.1 200 ")
    service.stop()


def test_logs_hold_no_keys_places_or_pictures(guarded: Guarded, white: bytes, photo: bytes) -> None:
    note = "my neighbour's garden"
    with guarded.client("admin") as client:
        for picture in (white, photo, photo[:300], b"GIF89a"):
            encoded = base64.b64encode(picture).decode()
            body = {"image": encoded, "place": {"lat": 48.76543, "lon": 11.54321}, "label": True, "name": "secret.jpg"}
            found = client.post("/v1/infer", json=body).json()
            client.post("/v1/infer", content=picture, params={"place": "48.76543,11.54321"})
            client.post("/v1/feedback", json={"verdict_id": found.get("verdict_id", "0"), "label": True, "note": note})
        assert client.get("/v1/verdicts/x").status_code == 404
    log = guarded.service.log()
    for secret in (*guarded.texts.values(), guarded.slow, "48.76", "11.543", "secret.jpg", note, "JFIF"):
        assert secret not in log
    assert base64.b64encode(photo).decode()[:40] not in log
