"""The five views on the web page: the figures are those of the service, for every hand, eye and screen."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, Route, expect

from natix_cascade.testing import render_scene

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from browser_world import Service, Watched, free_port, press_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

VIEWS = ("overview", "models", "quality", "cost", "gpus")
DASH = "\N{EN DASH}"
MEMORY = 80 * 2**30
GPUS = [
    {"gpu_id": "0", "memory_bytes": 60 * 2**30, "memory_total_bytes": MEMORY, "utilization": 0.5, "power_watts": 310.4},
    {"gpu_id": "1", "memory_bytes": 2**29, "memory_total_bytes": MEMORY, "utilization": None, "power_watts": None},
]  # fmt: skip
"""What a machine with two GPUs answers, of which the second's driver tells little. No machine of ours said this."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has answered some pictures, heard the truth of most, and been sent a broken one."""
    service = Service(tmp_path_factory.mktemp("busy"), free_port())
    try:
        service.start()
        for seed in range(24):
            scene = render_scene(seed, roadwork=bool(seed % 2))
            verdict = httpx.post(f"{service.url}/v1/infer", content=scene.jpeg(), timeout=60).raise_for_status().json()
            if seed < 20:
                told = {"verdict_id": verdict["verdict_id"], "label": scene.label}
                httpx.post(f"{service.url}/v1/feedback", json=told, timeout=60).raise_for_status()
        assert httpx.post(f"{service.url}/v1/infer", content=b"no picture").is_client_error
        yield service
    finally:
        service.stop()


def answered(page: Page, act: Callable[[], Any]) -> dict[str, Any]:
    """Do something after which the page asks for the views, and return what it was answered."""
    with page.expect_response("**/v1/views*") as response:
        act()
    found: dict[str, Any] = response.value.json()
    return found


def opened(page: Page, view: str, minutes: int = 5) -> dict[str, Any]:
    """Come to a view by its address."""
    url = page.url.split("#")[0]
    page.goto("about:blank")
    found = answered(page, lambda: page.goto(f"{url}#views/{view}/{minutes}"))
    expect(page.locator("#views-note")).to_contain_text("until")
    return found["views"]  # type: ignore[no-any-return]


def number(node: Locator) -> float:
    return float(node.locator("data").get_attribute("value") or "nan")


def tiles(page: Page) -> dict[str, Locator]:
    """The tiles of the view that is shown, by the place of their figure in the answer."""
    found = page.locator("#views [data-figure]:visible")
    return {found.nth(i).get_attribute("data-figure") or "": found.nth(i) for i in range(found.count())}


def at(views: dict[str, Any], place: str) -> Any:
    value: Any = views
    for name in place.split("."):
        value = value[name]
    return value


@pytest.mark.parametrize("view", ["overview", "quality", "cost"])
def test_tiles_show_what_the_service_answered(busy: Service, visit: Callable[..., Watched], view: str) -> None:
    page = visit(busy).page
    views = opened(page, view)
    shown = tiles(page)
    assert len(shown) >= 4
    for place, tile in shown.items():
        value = at(views, place)
        if value is None:
            expect(tile.locator("dd")).to_contain_text(DASH)
            expect(tile.locator("small")).to_contain_text(re.compile("no score|nothing longer"))
        else:
            assert number(tile) == value


def test_the_overview_says_it_in_words(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    overview = opened(page, "overview")["overview"]
    assert overview["verdicts"] == 24
    assert overview["errors"] == {"picture": 1}
    panel = page.locator("#view-overview")
    words = {name: tile.inner_text() for name, tile in tiles(page).items()}
    assert "24 in all" in words["overview.per_s"]
    assert f"{100 * overview['yes_ratio']:.1f} %" in words["overview.yes_ratio"]
    assert "1 unreadable picture" in words["overview.error_ratio"]
    assert "4.0 %" in words["overview.error_ratio"]
    for level, share in overview["exits"].items():
        row = panel.locator(f"li[data-name='{level}']")
        assert number(row) == share
        expect(row).to_contain_text(f"{round(24 * share)}")
        assert float(row.locator(".bar").evaluate("bar => bar.style.getPropertyValue('--p')")) == share
    expect(panel).to_contain_text(f"At work: {overview['at_work'][0]['cascade']}")


def test_models_are_a_table(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    models = opened(page, "models")["models"]
    rows = page.locator("#view-models tbody tr")
    expect(rows).to_have_count(len(models))
    for i, model in enumerate(models):
        expect(rows.nth(i).locator("th")).to_have_text(model["model"])
        expect(rows.nth(i)).to_contain_text("answering")
        shown = [float(each.get_attribute("value") or "nan") for each in rows.nth(i).locator("data").all()]
        wanted = [model["per_s"], model["latency_ms"]["p50"], model["latency_ms"]["p95"], model["queue_ms"]["p95"]]
        wanted += [model["batch"], model["failure_ratio"], model["usd_per_hour"]]
        assert shown == [value for value in wanted if value is not None]
    spans = page.locator("#view-models .reach[role=img]")
    expect(spans).to_have_count(sum(model["latency_ms"]["p50"] is not None for model in models))


def test_calibration_stands_in_the_diagram_and_in_the_table(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    quality = opened(page, "quality")["quality"]
    tenths = quality["calibration"]["tenths"]
    assert sum(tenth["verdicts"] for tenth in tenths) == 20
    panel = page.locator("#view-quality")
    dots = panel.locator(".told")
    expect(dots).to_have_count(len(tenths))
    rows = panel.locator("tbody tr")
    for i, tenth in enumerate(tenths):
        values = [float(each.get_attribute("value") or "nan") for each in rows.nth(i).locator("data").all()]
        assert values == [tenth["said"], tenth["true"], tenth["verdicts"]]
    low, high = (dots.nth(i).evaluate("dot => [dot.cx.baseVal.value, dot.cy.baseVal.value]") for i in (0, -1))
    assert low[0] < high[0]  # said: to the right
    expect(panel).to_contain_text("The truth of 20 verdicts was told")
    promised = quality["feedback"]["promised"]["mcc"]
    kept = quality["feedback"]["mcc"] >= promised
    wanted = f"promised: at least {promised:.3f}" if kept else f"below the promised {promised:.3f}"
    expect(tiles(page)["quality.feedback.mcc"]).to_contain_text(wanted)


def test_cost_is_told_by_level_and_model(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    cost = opened(page, "cost")["cost"]
    assert cost["usd"] > 0
    for name, share in [*cost["by_level"].items(), *cost["by_model"].items()]:
        assert number(page.locator(f"#view-cost li[data-name='{name}']")) == share


def test_without_gpus_one_sentence_and_with_them_their_figures(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    assert opened(page, "gpus")["gpus"] == []
    expect(page.locator("#view-gpus")).to_have_text(re.compile("^No GPU is seen from here"))

    def with_gpus(route: Route) -> None:
        answer = route.fetch().json()
        answer["views"]["gpus"] = GPUS
        route.fulfill(json=answer)

    page.route("**/v1/views*", with_gpus)
    opened(page, "gpus")
    first, second = page.locator("#view-gpus [data-name]").all()
    values = [float(each.get_attribute("value") or "nan") for each in first.locator("data").all()]
    assert values == [60 * 2**30, 0.5, 310.4]
    expect(first).to_contain_text("60.0 GiBof 80.0 GiB")
    expect(first).to_contain_text("310 W")
    bars = first.locator(".bar").evaluate_all("bars => bars.map((bar) => bar.style.getPropertyValue('--p'))")
    assert [float(share) for share in bars] == [0.75, 0.5]
    expect(second).to_contain_text("0.5 GiB")
    expect(second.get_by_text("not told by its driver")).to_have_count(2)
    expect(page.get_by_text("No GPU is seen")).to_be_hidden()


def test_tabs_by_keyboard_and_in_the_address(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    page.locator("#live").focus()
    press_until(page, "Tab", "#tab-overview")
    steps = [("ArrowRight", "models"), ("End", "gpus"), ("ArrowRight", "overview"), ("ArrowLeft", "gpus")]
    for key, view in [*steps, ("Home", "overview"), ("ArrowRight", "models"), ("ArrowRight", "quality")]:
        page.keyboard.press(key)
        expect(page.locator(f"#tab-{view}")).to_be_focused()
        expect(page.get_by_role("tab", selected=True)).to_have_id(f"tab-{view}")
        expect(page.locator("#views [role=tabpanel]:visible")).to_have_id(f"view-{view}")
        assert page.url.endswith(f"#views/{view}/5")
    page.keyboard.press("Tab")
    expect(page.locator("#view-quality")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#views-window input:checked")).to_be_focused()
    asked = answered(page, lambda: page.keyboard.press("ArrowRight"))
    assert asked["seconds"] > 0
    assert page.url.endswith("#views/quality/15")
    page.reload()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Quality and drift")
    expect(page.get_by_role("radio", name="15 min")).to_be_checked()
    expect(page.locator("#views")).to_be_in_viewport()


def test_a_chart_is_read_by_pointer_and_keyboard(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    page.route("**/v1/views*", lambda route: route.fulfill(json={**route.fetch().json(), **lines(busy)}))
    opened(page, "overview")
    chart = page.locator("#view-overview .chart", has_text="Time to a verdict")
    cursor = chart.get_by_role("slider")
    expect(chart.locator("b")).to_have_text(["30.0 ms", "40.0 ms", "50.0 ms"])
    expect(chart).to_contain_text("latest")
    cursor.focus()
    page.keyboard.press("Home")
    expect(chart.locator("b")).to_have_text(["10.0 ms", "20.0 ms", "30.0 ms"])
    expect(cursor).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(chart.locator("b")).to_have_text([DASH, DASH, DASH])
    expect(cursor).to_have_attribute("aria-valuetext", re.compile("p50 no verdict in these minutes"))
    page.keyboard.press("ArrowRight")
    expect(cursor).to_have_attribute("aria-valuetext", re.compile(r": p50 1\.50 s, p95 2\.00 s, p99 12\.0 s$"))
    cursor.blur()
    expect(chart).to_contain_text("latest")
    cursor.hover(position={"x": 1, "y": 50})
    expect(chart.locator("b").first).to_have_text("10.0 ms")
    expect(chart.locator(".dot.on")).to_have_count(3)
    assert chart.locator("path.line").count() >= 3


def lines(service: Service) -> dict[str, Any]:
    """Points of which one knows nothing."""
    found = service.get("/v1/views")
    now = found["at"]
    series = {name: [0.1] * 4 for name in found["series"]}
    series |= {"at": [now - 280, now - 200, now - 100, now], "p50_ms": [10, None, 1500, 30]}
    series |= {"p95_ms": [20, None, 2000, 40], "p99_ms": [30, None, 12000, 50]}
    return {"at": now, "series": series}


def test_a_service_that_does_not_answer_leaves_the_last_figures(busy: Service, visit: Callable[..., Watched]) -> None:
    page = visit(busy).page
    views = opened(page, "overview")
    page.route("**/v1/views*", lambda route: route.abort())
    page.get_by_role("radio", name="60 min").check(force=True)
    expect(page.locator("#views-problem")).to_contain_text("these are the last figures")
    expect(page.locator("#views-body")).to_have_class("stale")
    assert number(tiles(page)["overview.per_s"]) == views["overview"]["per_s"]
    page.unroute("**/v1/views*")
    answered(page, lambda: page.get_by_role("radio", name="15 min").check(force=True))
    expect(page.locator("#views-problem")).to_be_hidden()
    expect(page.locator("#views-body")).not_to_have_class("stale")


def test_it_is_asked_every_ten_seconds_while_somebody_looks(busy: Service, visit: Callable[..., Watched]) -> None:
    watched = visit(busy)
    page = watched.page
    opened(page, "overview")

    def asked() -> int:
        return sum("/v1/views" in url for url in watched.requests)

    before = asked()
    page.wait_for_timeout(10_500)
    assert asked() == before + 1
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(10_500)
    assert asked() == before + 1
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    assert asked() == before + 2


def test_nothing_is_made_up_before_the_first_picture(
    start: Callable[..., Service], visit: Callable[..., Watched]
) -> None:
    page = visit(start()).page
    opened(page, "overview")
    expect(tiles(page)["overview.latency_ms.p95"]).to_contain_text(f"{DASH}no verdict in these minutes")
    opened(page, "quality")
    expect(tiles(page)["quality.feedback.accuracy"]).to_contain_text(f"{DASH}nobody has told the truth yet")
    expect(page.locator("#view-quality")).to_contain_text("Nobody has told the truth yet.")
    opened(page, "models")
    expect(page.locator("#view-models")).to_contain_text("No model has answered in these minutes.")


def test_metrics_may_be_switched_off(
    start: Callable[..., Service], visit: Callable[..., Watched], tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[observe]\nmetrics = false\n")
    page = visit(start("--config", str(config))).page
    expect(page.locator("#views-problem")).to_contain_text("Metrics are switched off here")
    expect(page.locator("#views-body")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_on_every_screen(busy: Service, visit: Callable[..., Watched], width: int, scheme: str) -> None:
    watched = visit(busy, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = watched.page
    for view in VIEWS:
        opened(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside: list[str] = page.evaluate(
            """view => [...document.querySelectorAll(`#view-${view} *`)]
                .filter((node) => !node.closest('.scroll') && node.checkVisibility())
                .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
                .map((node) => node.outerHTML.slice(0, 80))""",
            view,
        )
        assert outside == []
        selected = page.get_by_role("tab", selected=True).bounding_box() or {"x": 0, "width": 0}
        assert selected["x"] + selected["width"] <= width
        assert faint(page) == []
    levels: list[int] = page.evaluate(
        "[...document.querySelectorAll('#views :is(h2, h3, h4)')].map((head) => Number(head.tagName[1]))"
    )
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [url for url in watched.requests if not url.startswith((busy.url, "data:", "blob:"))] == []
    assert watched.violations() == []
    assert watched.errors == []


def faint(page: Page) -> list[str]:
    """Texts of the views whose contrast with what lies behind them is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    found: list[str] = page.evaluate(
        """() => {
            const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
            const paint = (colour) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            const bright = (colour) => paint(colour).slice(0, 3).map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
                .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
            const behind = (node) => {
                for (let each = node; each; each = each.parentElement) {
                    const colour = getComputedStyle(each).backgroundColor;
                    if (paint(colour)[3] === 255) return colour;
                }
                return getComputedStyle(document.body).backgroundColor;
            };
            return [...document.querySelectorAll("#views *")].filter((node) => node.checkVisibility())
                .filter((node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
                .filter((node) => {
                    const style = getComputedStyle(node);
                    const svg = node instanceof SVGElement;
                    const pair = [bright(svg ? style.fill : style.color), bright(behind(node))];
                    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) < 4.5;
                }).map((node) => node.outerHTML.slice(0, 80));
        }"""
    )
    return found
