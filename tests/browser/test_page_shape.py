"""The web page for every hand, eye and screen; and nothing from outside."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from browser_world import Service, Watched, answer_to, look, press_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_everything_can_be_done_by_keyboard(service: Service, visit: Callable[..., Watched], street: Path) -> None:
    page = visit(service).page
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, "Tab", "#file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    verdict = answer_to(page, lambda: chooser.value.set_files(street))
    press_until(page, "Tab", "#toggle")
    page.keyboard.press("Enter")
    expect(page.locator("#marked")).to_be_visible()
    press_until(page, "Tab", "#truth button")
    page.keyboard.press("Enter")
    expect(page.locator("#truth .result")).to_contain_text("Stored.")
    press_until(page, "Tab", "input[name=kind]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#answer .kicker")).to_contain_text("L0")
    press_until(page, "Tab", f"#recent [data-id='{verdict}']")
    page.keyboard.press("Enter")
    details = page.get_by_role("dialog")
    expect(details.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(page.locator(f"#recent [data-id='{verdict}']")).to_be_focused()


def test_nothing_leaves_the_origin_and_nothing_breaks_the_policy(
    service: Service, visit: Callable[..., Watched], street: Path
) -> None:
    watched = visit(service, reduced_motion="no-preference")
    page = watched.page
    look(page, street)
    page.get_by_role("button", name="Show the evidence").click()
    page.get_by_role("radio", name="L2", exact=True).check(force=True)
    expect(page.locator("#answer .kicker")).to_contain_text("L2")
    page.get_by_role("button", name="That is right").click()
    expect(page.locator("#truth .result")).to_contain_text("Stored.")
    page.locator("#recent .verdict").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("SHA-256")
    assert len(watched.requests) > 10
    assert [url for url in watched.requests if not url.startswith((service.url, "data:", "blob:"))] == []
    assert watched.violations() == []
    assert watched.errors == []


def test_a_name_with_markup_stays_text(
    service: Service, visit: Callable[..., Watched], street: Path, tmp_path: Path
) -> None:
    watched = visit(service)
    nasty = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    nasty.write_bytes(street.read_bytes())
    look(watched.page, nasty)
    expect(watched.page.locator("#caption")).to_contain_text(nasty.name)
    expect(watched.page.locator("#recent .v-name").first).to_contain_text(nasty.name)
    assert watched.page.locator("img[src=x]").count() == 0
    assert watched.errors == []


def test_a_phone_offers_its_camera(service: Service, visit: Callable[..., Watched]) -> None:
    phone = visit(service, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}).page
    expect(phone.locator("label.button", has_text="Take a photo")).to_be_visible()
    assert phone.locator("#camera").get_attribute("capture") == "environment"
    desk = visit(service).page
    expect(desk.locator("label.button", has_text="Take a photo")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_runs_over_the_side(
    service: Service, visit: Callable[..., Watched], street: Path, scheme: str, width: int
) -> None:
    page = visit(service, color_scheme=scheme, viewport={"width": width, "height": 850}).page
    look(page, street)
    for level in ("L1", "L2", "L3"):
        page.get_by_role("radio", name=level, exact=True).check(force=True)
        expect(page.locator("#answer .kicker")).to_contain_text(level)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shades: list[str] = page.evaluate(
        "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"
    )
    paper, ink = (sum(int(part) for part in re.findall(r"\d+", shade)[:3]) for shade in shades)
    assert (paper > ink) == (scheme == "light")


def test_the_page_has_names_and_landmarks(service: Service, visit: Callable[..., Watched], street: Path) -> None:
    page = visit(service).page
    look(page, street)
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.locator("h1")).to_have_count(1)
    for landmark in ("banner", "main", "complementary", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    levels: list[int] = page.evaluate(
        """[...document.querySelectorAll('h1, h2, h3, h4')]
            .filter((head) => head.checkVisibility()).map((head) => Number(head.tagName[1]))"""
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids: list[str] = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    tree: str = page.locator("body").aria_snapshot()
    nameless = [
        line for line in tree.splitlines() if re.fullmatch(r"\s*- (button|link|textbox|checkbox|radio)(:| \[.*)?", line)
    ]
    assert nameless == []
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("[role=img]:not([aria-label])").count() == 0
