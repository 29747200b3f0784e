"""A service in a process of its own, a watched page, and what a person does with it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Locator, Page, expect

PATIENCE_S = 60.0
TABS = 60


@dataclass
class Service:
    """A service of its own process on loopback."""

    state: Path
    port: int
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "natix_cascade",
            "serve",
            "--port",
            str(self.port),
            "--workers",
            "1",
            "--state",
            str(self.state),
            *self.options,
        ]
        self.process = subprocess.Popen(command, env={**os.environ, **self.environment})
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self.process.poll() is None, f"the service left with {self.process.returncode}"
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/ready", headers=self.headers, timeout=5).status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the service was not ready within {PATIENCE_S} s")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", headers=self.headers, timeout=30).raise_for_status().json()


@dataclass
class Watched:
    """A page and what was noted of it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.violations")
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def look(page: Page, path: Path) -> str:
    """Choose a photo, wait for the answer, and return the verdict's id."""
    return answer_to(page, lambda: page.set_input_files("#file", path))


def answer_to(page: Page, act: Callable[[], Any]) -> str:
    """Do something that asks the service, wait for the answer, and return the verdict's id."""
    before = page.locator("#answer").get_attribute("data-verdict")
    act()
    answer = page.locator(f"#answer[data-verdict]:not([data-verdict='{before}'])")
    expect(answer).to_be_visible()
    return answer.get_attribute("data-verdict") or ""


def headline(page: Page) -> Locator:
    return page.locator("#answer .headline.yes, #answer .headline.no")


def words(question: dict[str, str], yes: bool) -> str:  # noqa: FBT001  # the answer itself
    if yes:
        return question["positive"]
    negative = question["negative"]
    return f"no {question['positive']}" if negative in {"none", "no"} else negative


def press_until(page: Page, key: str, wanted: str) -> None:
    """Press a key until the element with the focus matches."""
    for _ in range(TABS):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{wanted} was not reached by {key}")


def solid(path: Path, colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", (320, 240), colour).save(path, "JPEG")
    return path
