"""A hub on loopback that speaks enough of the real one's API for the real client: info, tree, resolve, ranges."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SMALL = 100_000  # the real hub keeps larger files outside of git, with their sha256


def safetensors(**shapes: tuple[int, ...]) -> bytes:
    """A whole safetensors file of float32 zeros and a running number."""
    header, at, body = {}, 0, b""
    for number, (name, shape) in enumerate(shapes.items()):
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        body += struct.pack("<f", number) * (size // 4)
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@dataclass(slots=True)
class Repo:
    """Commits (name to files) of one repository; the last one is the newest."""

    commits: dict[str, dict[str, bytes]]
    gated: bool = False

    @property
    def newest(self) -> str:
        return list(self.commits)[-1]


@dataclass(slots=True)
class Hub:
    """What it holds, what goes wrong, and what it was asked.

    `cut` maps a file to the number of bytes after which its first connections break, one for each; `lies` maps a file
    to what is sent instead of it; `hold` maps a file to an event that its downloads
    wait for. Requests are (method, path, Range header).
    """

    repos: dict[str, Repo]
    url: str = ""
    token: str = "a-token"  # noqa: S105  # of this hub only
    cut: dict[str, list[int]] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    hold: dict[str, threading.Event] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def got(self, file: str) -> list[str | None]:
        """The Range headers of all downloads of a file."""
        return [ranges for method, path, ranges in self.requests if method == "GET" and path.endswith("/" + file)]


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
    if len(content) > SMALL:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers["Range"]))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._api("/".join(parts[2:4]), parts[4:])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._error(404, "EntryNotFound")

    def _allowed(self, repo: Repo) -> bool:
        return not repo.gated or self.headers["Authorization"] == f"Bearer {self.hub.token}"

    def _api(self, name: str, rest: list[str]) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._error(401, "")  # as the real one: whether it exists is nobody's business
            return
        if rest == ["auth-check"]:
            self._json({}) if self._allowed(repo) else self._error(403, "GatedRepo")
            return
        commit = rest[1] if rest else repo.newest
        commit = repo.newest if commit == "main" else commit
        if commit not in repo.commits:
            self._error(404, "RevisionNotFound")
        elif rest[:1] == ["tree"]:
            folders = [{"type": "directory", "path": "deep", "oid": "0" * 40, "size": 0}]
            self._json(folders + [_entry(path, content) for path, content in repo.commits[commit].items()])
        else:
            gated = "manual" if repo.gated else False
            self._json({"id": name, "modelId": name, "sha": commit, "gated": gated, "private": False, "tags": []})

    def _file(self, name: str, commit: str, file: str) -> None:
        repo = self.hub.repos.get(name)
        if repo is None or not self._allowed(repo):
            self._error(401, "GatedRepo" if repo else "RepoNotFound")
            return
        content = repo.commits.get(commit, {}).get(file)
        if content is None:
            self._error(404, "EntryNotFound")
            return
        tag = hashlib.sha256(content).hexdigest() if len(content) > SMALL else _blob(content)
        content = self.hub.lies.get(file, content)
        whole, start = len(content), 0
        if self.command == "GET" and (wanted := self.headers["Range"]):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(whole - start))
        self.end_headers()
        if self.command == "GET":
            if (held := self.hub.hold.get(file)) is not None:
                held.wait(60)
            breaks = self.hub.cut.get(file)
            self.wfile.write(content[start : breaks.pop(0) if breaks else whole])
            self.close_connection = bool(breaks is not None and start + 1)

    def _json(self, data: object) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def local_hub(repos: dict[str, Repo]) -> Iterator[Hub]:
    hub = Hub(repos)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
