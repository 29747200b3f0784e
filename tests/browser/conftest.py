"""A running service, a browser, and a page that takes note of everything that goes wrong in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natix_cascade.testing import render_scene

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
if TYPE_CHECKING:  # each module of tests is skipped where there is no playwright
    from browser_world import Service, Watched
    from playwright.sync_api import Browser, BrowserContext

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that leave it as it is."""
    from browser_world import Service, free_port

    running = Service(tmp_path_factory.mktemp("state"), free_port())
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services that the test has for itself."""
    from browser_world import Service, free_port

    running: list[Service] = []

    def start_one(
        *options: str, environment: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Service:
        state = tmp_path / f"state-{len(running)}"
        service = Service(state, free_port(), options, environment or {}, headers or {})
        running.append(service)
        service.start()
        return service

    yield start_one
    for service in running:
        service.stop()


@pytest.fixture(scope="module")  # its event loop must be gone before the tests of other folders
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Debian's chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Open the page of a service in a window of its own; options are those of a browser context."""
    from browser_world import Watched

    contexts: list[BrowserContext] = []

    def open_page(service: Service, **options: Any) -> Watched:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        context.add_init_script(VIOLATIONS)
        watched = Watched(context.new_page())
        page = watched.page
        page.set_default_timeout(20_000)
        page.on("request", lambda request: watched.requests.append(request.url))
        page.on("console", lambda line: watched.errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.goto(service.url)
        page.locator("#levels .level").first.wait_for()
        page.locator("#live-body dl").first.wait_for()
        return watched

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street with roadwork."""
    path = tmp_path_factory.mktemp("pictures") / "street.jpg"
    path.write_bytes(render_scene(3, roadwork=True).jpeg())
    return path


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """A street without."""
    path = tmp_path / "quiet.jpg"
    path.write_bytes(render_scene(4, roadwork=False).jpeg())
    return path
