"""The web page in a real browser, against the real service: what people do with it."""

from __future__ import annotations

import base64
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, TiffImagePlugin

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, expect

from natix_cascade.testing import render_scene

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from browser_world import Service, Watched, answer_to, headline, look, words

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

GPS = 0x8825
NORTH, LATITUDE, WEST, LONGITUDE = 1, 2, 3, 4


def test_a_photo_gets_the_verdict_that_the_service_stored(
    service: Service, visit: Callable[..., Watched], street: Path
) -> None:
    page = visit(service).page
    question = service.get("/v1/cascade")["question"]
    expect(page.get_by_role("heading", level=1)).to_have_text(question["text"])
    verdict = service.get(f"/v1/verdicts/{look(page, street)}")

    yes = verdict[f"{question['id']}_detected"]
    expect(headline(page)).to_have_text(re.compile(f"^{words(question, yes)}$", re.IGNORECASE))
    expect(page.locator("#answer .sure")).to_contain_text(f"{100 * verdict['confidence']:.1f}")
    expect(page.locator("#answer .sure")).to_contain_text(verdict["exit_level"])
    for reason in verdict["reasons"]:
        expect(page.locator("#more .reasons")).to_contain_text(reason)
    cards = page.locator("#levels .level")
    states = {
        cards.nth(i).get_attribute("data-level"): cards.nth(i).get_attribute("data-state") for i in range(cards.count())
    }
    assert [name for name, state in states.items() if state in {"passed", "exit"}] == verdict["levels_executed"]
    assert [name for name, state in states.items() if state == "exit"] == [verdict["exit_level"]]
    assert all(state == "skipped" for name, state in states.items() if name not in verdict["levels_executed"])
    for model, said in verdict["model_predictions"].items():
        gauge = page.locator(f"#levels [data-level='{said['level']}'] [data-model='{model}'] .bar")
        expect(gauge).to_have_attribute("aria-label", re.compile(rf"{said['probability']:.3f}$"))
        assert float(gauge.evaluate("bar => bar.style.getPropertyValue('--p')")) == pytest.approx(said["probability"])
    expect(page.locator("#recent .verdict").first).to_have_attribute("data-id", verdict["verdict_id"])
    expect(page.locator("#status")).to_contain_text("confident")


def test_levels_are_shown_one_after_the_other(service: Service, visit: Callable[..., Watched], street: Path) -> None:
    page = visit(service, reduced_motion="no-preference").page
    page.evaluate(
        """() => {
            window.seen = [];
            const note = () => document.querySelectorAll("#levels .level").forEach((card) => {
                const now = `${card.dataset.level} ${card.dataset.state}`;
                if (!window.seen.includes(now)) window.seen.push(now);
            });
            new MutationObserver(note).observe(document.querySelector("#levels"),
                {subtree: true, childList: true, attributes: true});
        }"""
    )
    verdict = service.get(f"/v1/verdicts/{look(page, street)}")
    seen: list[str] = page.evaluate("window.seen")
    for level in verdict["levels_executed"]:
        end = "exit" if level == verdict["exit_level"] else "passed"
        assert seen.index(f"{level} asking") < seen.index(f"{level} {end}")


def test_a_picture_can_be_pasted(service: Service, visit: Callable[..., Watched]) -> None:
    watched = visit(service, permissions=["clipboard-read", "clipboard-write"])
    page = watched.page
    out = io.BytesIO()
    Image.fromarray(render_scene(5, roadwork=True).pixels).save(out, "PNG")
    page.evaluate(
        """async (text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            await navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})]);
        }""",
        base64.b64encode(out.getvalue()).decode(),
    )
    verdict = service.get(f"/v1/verdicts/{answer_to(page, lambda: page.keyboard.press('Control+V'))}")
    assert verdict["id"].endswith(".png")
    expect(page.locator("#plain")).to_be_visible()


def test_a_picture_can_be_dropped(service: Service, visit: Callable[..., Watched], street: Path) -> None:
    page = visit(service).page
    box = page.locator("#drop").bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    dragged = {"items": [], "files": [str(street)], "dragOperationsMask": 1}
    at = {"x": box["x"] + 50, "y": box["y"] + 50, "data": dragged}
    devtools.send("Input.dispatchDragEvent", {"type": "dragEnter", **at})
    expect(page.locator("#drop")).to_have_class(re.compile("over"))
    devtools.send("Input.dispatchDragEvent", {"type": "dragOver", **at})
    drop = {"type": "drop", **at}
    verdict = service.get(f"/v1/verdicts/{answer_to(page, lambda: devtools.send('Input.dispatchDragEvent', drop))}")
    assert verdict["id"] == street.name
    expect(page.locator("#drop")).not_to_have_class(re.compile("over"))


def test_evidence_is_laid_over_the_picture_by_button_and_key(
    service: Service, visit: Callable[..., Watched], street: Path
) -> None:
    page = visit(service).page
    toggle = page.get_by_role("button", name="Show the evidence")
    expect(toggle).to_be_disabled()
    look(page, street)
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    marked = page.locator("#marked")
    expect(marked).to_be_visible()
    assert (marked.get_attribute("src") or "").startswith("data:image/")
    assert marked.evaluate("image => image.naturalWidth") > 0
    page.keyboard.press("m")
    expect(marked).to_be_hidden()
    page.get_by_label("Note").fill("mmm")
    expect(marked).to_be_hidden()  # the letter in a field is a letter


def test_spoilt_pictures_are_shown_with_their_own_verdicts(
    service: Service, visit: Callable[..., Watched], street: Path
) -> None:
    page = visit(service).page
    look(page, street)
    sources = [page.locator("#plain").get_attribute("src")]
    redraw = page.get_by_role("button", name="Another draw")
    expect(redraw).to_be_disabled()
    for level in ("L0", "L1", "L2", "L3"):
        with page.expect_request(lambda request: "/v1/infer" in request.url) as request:
            page.get_by_role("radio", name=level, exact=True).check(force=True)
        assert f"augment={level}" in request.value.url
        expect(page.locator("#answer .kicker")).to_contain_text(level)
        sources.append(page.locator("#plain").get_attribute("src"))
    with page.expect_request(lambda request: "/v1/infer" in request.url) as request:
        redraw.click()
    assert "seed=2" in request.value.url
    expect(page.locator("#answer .kicker")).to_contain_text("draw 2")
    sources.append(page.locator("#plain").get_attribute("src"))
    assert len(set(sources)) == len(sources)

    tried = page.locator("#strip button")
    expect(tried).to_have_count(6)
    expect(tried.last).to_have_attribute("aria-pressed", "true")
    stored = {item["verdict_id"] for item in service.get("/v1/verdicts?limit=6")["verdicts"]}
    assert len(stored) == 6
    first = headline_of(tried.first)
    for i in range(1, 6):
        flips = tried.nth(i).locator(".flip").count() == 1
        assert flips == (headline_of(tried.nth(i)) != first)
    before = len(watched_infers(page))
    tried.first.click()
    expect(page.locator("#plain")).to_have_attribute("src", sources[0] or "")
    expect(page.get_by_role("radio", name="as it is")).to_be_checked()
    assert len(watched_infers(page)) == before  # an earlier result is shown again, not asked again


def headline_of(button: Locator) -> str:
    return button.locator(".try-said").inner_text().strip()


def watched_infers(page: Page) -> list[str]:
    names: list[str] = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    return [name for name in names if "/v1/infer" in name]


def test_a_wrong_verdict_is_corrected_with_its_picture(
    service: Service, visit: Callable[..., Watched], street: Path
) -> None:
    page = visit(service).page
    question = service.get("/v1/cascade")["question"]
    verdict = service.get(f"/v1/verdicts/{look(page, street)}")
    truth = not verdict[f"{question['id']}_detected"]
    page.get_by_label("Note").fill("a <b>film set</b>")
    with page.expect_request("**/v1/feedback") as request:
        page.get_by_role("button", name="That is wrong").click()
    sent: dict[str, Any] = request.value.post_data_json or {}
    assert (sent["verdict_id"], sent["label"], sent["note"]) == (verdict["verdict_id"], truth, "a <b>film set</b>")
    assert base64.b64decode(sent["image"]) == street.read_bytes()
    result = page.locator("#truth .result")
    expect(result).to_contain_text(f"The right answer is {words(question, truth)}")
    expect(result).to_contain_text("The picture was kept")
    assert "film set" in str(service.get(f"/v1/verdicts/{verdict['verdict_id']}")["feedback"])

    page.locator(f"#recent [data-id='{verdict['verdict_id']}']").click()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text("a <b>film set</b>")
    with page.expect_request("**/v1/feedback") as request:
        details.get_by_role("button", name="That is right").click()
    assert request.value.post_data_json == {"verdict_id": verdict["verdict_id"], "label": not truth}
    expect(details.locator(".result")).to_contain_text("The answer was right")
    expect(details.locator(".result")).to_contain_text("No picture was kept")


def with_place(path: Path) -> Path:
    """A copy of the photo whose EXIF says Munich."""
    exif = Image.Exif()
    sixtieths = TiffImagePlugin.IFDRational
    exif[GPS] = {
        NORTH: "N",
        LATITUDE: (sixtieths(48), sixtieths(8), sixtieths(15, 10)),
        WEST: "E",
        LONGITUDE: (sixtieths(11), sixtieths(34), sixtieths(30)),
    }
    placed = path.with_name("placed.jpg")
    Image.open(path).save(placed, exif=exif)
    return placed


def test_a_place_comes_from_the_photo_and_onto_the_map(
    service: Service, visit: Callable[..., Watched], quiet: Path, street: Path
) -> None:
    page = visit(service).page
    placed = service.get(f"/v1/verdicts/{look(page, with_place(quiet))}")
    assert placed["place"]["lat"] == pytest.approx(48 + 8 / 60 + 1.5 / 3600, abs=1e-5)
    assert placed["place"]["lon"] == pytest.approx(11 + 34 / 60 + 30 / 3600, abs=1e-5)
    bare = service.get(f"/v1/verdicts/{look(page, street)}")
    assert bare["place"] is None  # the next photo does not inherit it

    page.locator("#place-box summary").click()
    page.get_by_label("Latitude").fill("-33,9")
    page.get_by_label("Longitude").fill("190")
    page.get_by_role("button", name="Ask again with this place").click()
    expect(page.get_by_label("Longitude")).to_be_focused()
    expect(page.get_by_label("Longitude")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Longitude").fill("18.4")
    again = page.get_by_role("button", name="Ask again with this place")
    typed = service.get(f"/v1/verdicts/{answer_to(page, again.click)}")
    assert typed["place"] == {"lat": -33.9, "lon": 18.4}

    points = page.locator("#map .point")
    expect(points).to_have_count(sum(1 for item in service.get("/v1/verdicts?limit=50")["verdicts"] if item["place"]))
    assert any("33.9000° S, 18.4000° E" in (point.get_attribute("aria-label") or "") for point in points.all())
    expect(page.locator("#map .scale-bar")).to_contain_text("km")
    points.last.focus()
    expect(points.last.locator(".point-label")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_devices_position_can_be_used(service: Service, visit: Callable[..., Watched]) -> None:
    page = visit(service, geolocation={"latitude": 52.52, "longitude": 13.405}, permissions=["geolocation"]).page
    page.locator("#place-box summary").click()
    page.get_by_role("button", name="Use my position").click()
    expect(page.get_by_label("Latitude")).to_have_value("52.52")
    expect(page.get_by_label("Longitude")).to_have_value("13.405")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_label("Latitude")).to_have_value("")


def test_older_verdicts_are_fetched_on_demand(
    start: Callable[..., Service], visit: Callable[..., Watched], street: Path
) -> None:
    service = start()
    for number in range(53):
        httpx.post(f"{service.url}/v1/infer?name=p{number}", content=street.read_bytes()).raise_for_status()
    page = visit(service).page
    rows = page.locator("#recent .verdict")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Older verdicts").click()
    expect(rows).to_have_count(53)
    expect(rows.nth(50)).to_be_focused()
    expect(rows.last).to_contain_text("p0")
    expect(page.get_by_role("button", name="Older verdicts")).to_be_hidden()
