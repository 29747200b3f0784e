"""The web page when something is wrong: with the picture, with the models, with the service."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from natix_cascade.serve import key_file

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from browser_world import Service, Watched, answer_to, headline, look, solid

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_a_corrupt_file_is_refused_in_the_services_words(
    service: Service, visit: Callable[..., Watched], street: Path, tmp_path: Path
) -> None:
    page = visit(service).page
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(street.read_bytes()[:9000])
    problem: dict[str, Any] = httpx.post(f"{service.url}/v1/infer", content=broken.read_bytes()).json()
    page.set_input_files("#file", broken)
    box = page.locator("#problem")
    expect(box).to_be_focused()
    expect(box).to_contain_text(problem["title"])
    expect(box).to_contain_text(problem["detail"], ignore_case=True)
    expect(box.get_by_role("button")).to_have_count(0)  # the same file will not do better
    look(page, street)
    expect(box).to_be_hidden()


def test_a_service_that_is_gone_is_told_and_found_again(
    start: Callable[..., Service], visit: Callable[..., Watched], street: Path
) -> None:
    own_service = start()
    page = visit(own_service).page
    pulse = page.locator("#pulse")
    expect(pulse).to_have_text("ready")
    own_service.stop()
    expect(page.locator("#live-problem")).to_contain_text("does not answer", timeout=20_000)
    expect(pulse).to_have_text("no answer")
    page.set_input_files("#file", street)
    expect(page.locator("#problem")).to_contain_text("does not answer")
    own_service.start()
    expect(pulse).to_have_text("ready", timeout=60_000)
    expect(page.locator("#live-problem")).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    expect(headline(page)).to_be_visible()


@pytest.fixture
def foggy(start: Callable[..., Service], tmp_path: Path) -> Service:
    """A service that asks about fog; see `other_question`."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "HOLD": str(tmp_path / "hold"),
    }
    return start("--loader", "other_question:load", "--max-in-flight", "1", environment=environment)


def test_the_words_are_those_of_the_cascade_and_a_degraded_verdict_says_so(
    foggy: Service, visit: Callable[..., Watched], tmp_path: Path
) -> None:
    page = visit(foggy).page
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it foggy?")
    look(page, solid(tmp_path / "bright.jpg", (240, 240, 240)))
    expect(headline(page)).to_have_text("Fog")
    expect(page.locator("#levels [data-level=both]")).to_have_attribute("data-state", "skipped")
    look(page, solid(tmp_path / "grey.jpg", (90, 90, 90)))
    expect(headline(page)).to_have_text("Clear air")
    expect(page.locator("#answer .box")).to_have_count(0)
    verdict = foggy.get(f"/v1/verdicts/{look(page, solid(tmp_path / 'red.jpg', (200, 20, 20)))}")
    assert verdict["degraded"] is True
    expect(page.locator("#answer .box")).to_contain_text("Degraded")
    expect(page.locator("#answer .box")).to_contain_text("the lens is wet")
    expect(page.locator("#levels [data-model=second]")).to_contain_text("did not answer")
    expect(page.locator("#recent .verdict").first).to_contain_text("degraded")
    expect(page.get_by_role("button", name="Show the evidence")).to_be_disabled()  # no model gives any
    assert "roadwork" not in page.locator("body").inner_text().lower()


def test_a_full_service_says_when_to_come_back(foggy: Service, visit: Callable[..., Watched], tmp_path: Path) -> None:
    page = visit(foggy).page
    hold, grey = tmp_path / "hold", solid(tmp_path / "grey.jpg", (90, 90, 90))
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(
                httpx.post, f"{foggy.url}/v1/infer?deadline_ms=60000", content=grey.read_bytes(), timeout=60
            )
            expect(page.locator("#live-body dl").first).to_contain_text("In flight1of 1 at most")
            page.set_input_files("#file", grey)
            box = page.locator("#problem")
            expect(box).to_contain_text("Too much is under way")
            expect(box).to_contain_text("may be tried again")
        finally:
            hold.unlink()
        assert first.result().status_code == httpx.codes.OK
    answer_to(page, box.get_by_role("button", name="Try again").click)
    expect(box).to_be_hidden()


def test_a_rate_limit_counts_down(start: Callable[..., Service], visit: Callable[..., Watched], street: Path) -> None:
    page = visit(start("--rate", "1/minute")).page
    page.clock.install()
    look(page, street)
    page.set_input_files("#file", street)
    box = page.locator("#problem")
    again = box.get_by_role("button", name="Try again")
    expect(box).to_contain_text("may be tried again in")
    expect(again).to_be_disabled()
    page.clock.fast_forward("01:30")
    expect(again).to_be_enabled()
    expect(box).to_contain_text("may be tried again now")


def test_a_key_opens_the_page_and_a_revoked_one_is_told(
    start: Callable[..., Service], visit: Callable[..., Watched], street: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    key, text = key_file.create(keys, ("infer",))
    service = start("--keys", str(keys), headers={"X-API-Key": text})
    page = visit(service, http_credentials={"username": "anyone", "password": text}).page
    look(page, street)
    key_file.revoke(keys, key.id)
    expect(page.locator("#live-problem")).to_contain_text("asks for a key")
    page.set_input_files("#file", street)
    box = page.locator("#problem")
    expect(box).to_contain_text("Reload the page")
    expect(box.get_by_role("button", name="Reload")).to_be_visible()
