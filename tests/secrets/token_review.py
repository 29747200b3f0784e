"""The one thing of Kubernetes that a Vault asks for: a TokenReview API over HTTPS on loopback."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPENSSL = shutil.which("openssl")


@dataclass(slots=True)
class TokenReview:
    """Service accounts' tokens by the (namespace, name) that each belongs to, and how often it was asked."""

    url: str = ""
    certificate: str = ""
    known: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: int = 0

    def issue(self, namespace: str, name: str, number: int = 0) -> str:
        """A token of an account: of the form of a real one, with a signature that only this API can judge."""
        now = int(time.time())
        claims = {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": ["vault"],
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "jti": str(number),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-{name}"}},
        }
        head = {"alg": "RS256", "kid": "k"}
        token = ".".join([_coded(json.dumps(head)), _coded(json.dumps(claims)), _coded(f"signature {number}")])
        self.known[token] = namespace, name
        return token

    def review(self, request: dict[str, object]) -> dict[str, object]:
        self.asked += 1
        spec = request["spec"]
        assert isinstance(spec, dict)
        account = self.known.get(str(spec["token"]))
        status: dict[str, object] = {"authenticated": False, "error": "unknown token"}
        if account is not None:
            namespace, name = account
            status = {
                "authenticated": True,
                "audiences": spec.get("audiences", []),
                "user": {
                    "username": f"system:serviceaccount:{namespace}:{name}",
                    "uid": f"uid-{name}",
                    "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
                },
            }
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}


class _Handler(BaseHTTPRequestHandler):
    api: TokenReview

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
        content = json.dumps(self.api.review(request) if found else {}).encode()
        self.send_response(201 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def _certificate(folder: Path) -> tuple[Path, Path]:
    assert OPENSSL is not None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(OPENSSL, "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certificate, key


@contextmanager
def token_review(folder: Path) -> Iterator[TokenReview]:
    certificate, key = _certificate(folder)
    api = TokenReview(certificate=certificate.read_text("utf-8"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api})) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        api.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def _coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
