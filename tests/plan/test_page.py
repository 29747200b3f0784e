from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from natix_cascade.plan.page import render_plan_html, write_plan_html
from natix_cascade.plan.result import Figures, Plan, Point, Step
from natix_cascade.spec.policy import Policy

VOID = {"meta", "br"}
LONG = "a-model-with-a-name-of-sixty-letters-and-not-one-letter-less"


class Page(HTMLParser):
    """Checks that elements close in order, and collects what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs), "/".join(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs), "/".join(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.words).append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.tags if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    def cell(self, title: str) -> str:
        """What a tile says."""
        shown = [word for word in self.words if word.strip()]
        return shown[next(i for i, word in enumerate(shown) if word.startswith(title)) + 1]


def point(name: str, kind: Any, cost: float, metric: float, **more: Any) -> Point:
    return Point(name=name, kind=kind, cost=cost, metric=metric, low=metric - 0.01, high=metric + 0.01, **more)


def a_plan(**changes: Any) -> Plan:
    """Three levels in milliseconds, chosen by a limit, without a guarantee."""
    points = (
        point("small", "model", 0.12, 0.86),
        *(point(f"small > large {i}", "plan", 0.2 + 0.04 * i, 0.88 + 0.012 * i) for i in range(4)),
        point("small > middle > large", "chosen", 0.35, 0.918, levels=(("small",), ("middle",), ("large",))),
        point("small > large, plain", "threshold", 0.42, 0.917),
        point("small = middle, else large", "agreement", 0.43, 0.907),
        point("large", "reference", 0.57, 0.9185),
        point("vote of all", "vote", 1.9, 0.926),
    )
    steps = (
        Step(name="small", models=("small",), reached=1.0, leaves=0.4, right=0.99, cost=0.12, rule="at 0.97"),
        Step(name="middle", models=("middle",), reached=0.6, leaves=0.25, right=0.95, cost=0.09, rule="at 0.93"),
        Step(name="large", models=("large",), reached=0.35, leaves=0.35, right=0.8, cost=0.14, rule="all leave"),
    )
    figures = Figures(
        cost=0.35,
        reference_cost=0.57,
        metric=0.918,
        reference_metric=0.9185,
        regret=0.0005,
        exit_shares={step.name: step.leaves for step in steps},
    )
    plan = Plan(
        policy=Policy(name="faces", cascade="rafdb", made_from="records.parquet"),
        unit="ms",
        metric="accuracy",
        reference="large",
        limit=0.001,
        budget=None,
        delta=None,
        expected=figures,
        points=points,
        steps=steps,
        pictures=3068,
        groups=412,
        p_value=None,
        notes=(),
        created="2025-06-03T14:21:07+00:00",
    )
    return replace(plan, **changes)


def dollars() -> Plan:
    """200 plans over four orders of magnitude, with a guarantee."""
    points = tuple(
        point(f"{LONG} > {i}", "plan", 1e-7 * 15000 ** (i / 199), 0.5 + 0.4 * i / 199, certified=i > 150)
        for i in range(200)
    )
    ends = (point(LONG, "reference", 1.5e-3, 0.91), replace(points[120], kind="chosen", certified=True))
    figures = replace(a_plan().expected, cost=ends[1].cost, reference_cost=1.5e-3)
    return a_plan(
        points=(*points, *ends),
        unit="usd",
        metric="mcc",
        reference=LONG,
        limit=0.02,
        delta=0.1,
        p_value=0.07,
        expected=figures,
    )


def deep() -> Plan:
    """Nine levels; at one of them nobody leaves."""
    shares = (0.55, 0.2, 0.1, 0.0, 0.05, 0.04, 0.03, 0.0296, 0.0004)
    steps = tuple(
        Step(
            name=f"level {i}",
            models=("a", "b"),
            reached=sum(shares[i:]),
            leaves=share,
            right=0.9 if share else None,
            cost=0.01,
            rule="",
        )
        for i, share in enumerate(shares)
    )
    return a_plan(steps=steps, notes=("One thing", "Another thing."))


def names() -> Plan:
    odd = '</script><b>&"'
    points = tuple(replace(p, name=odd + p.name, levels=((odd,),)) for p in a_plan().points)
    steps = tuple(replace(s, name=odd + s.name, models=(odd,), rule=odd) for s in a_plan().steps)
    figures = replace(a_plan().expected, exit_shares={odd: 1.0})
    policy = Policy(name=odd, cascade=odd, made_from=odd, certificate={odd: odd})
    return a_plan(
        points=points, steps=steps, reference=odd, unit=odd, notes=(odd,), created=odd, policy=policy, expected=figures
    )


PLANS = {
    "limit": a_plan(),
    "budget": a_plan(limit=None, budget=0.4),
    "better": a_plan(expected=replace(a_plan().expected, regret=-0.03)),
    "reward": a_plan(metric="reward", delta=0.1, p_value=0.4, notes=("The guarantee could not be won",)),
    "one point": a_plan(points=a_plan().points[5:6], steps=a_plan().steps[:1]),
    "equal costs": a_plan(points=tuple(replace(p, cost=1.0, metric=0.9, low=0.9, high=0.9) for p in a_plan().points)),
    "free": a_plan(points=(point("free", "chosen", 0.0, 0.9), *a_plan().points)),
    "no points": a_plan(points=()),
    "dollars": dollars(),
    "deep": deep(),
    "names": names(),
}


@cache
def rendered(name: str) -> str:
    return render_plan_html(PLANS[name])


@pytest.fixture(scope="module", params=PLANS)
def shown(request: pytest.FixtureRequest) -> tuple[Plan, str]:
    return PLANS[request.param], rendered(request.param)


def test_the_page_needs_nothing_else(shown: tuple[Plan, str]) -> None:
    text = shown[1]
    page = Page(text)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert not {tag for tag, *_ in page.tags} & {"link", "iframe", "object", "base", "img"}
    ids = {attributes.get("id") for _, attributes, _ in page.tags}
    for _, attributes, _ in page.tags:
        assert not attributes.get("src")
        target = attributes.get("href")
        assert target is None or (target[0] == "#" and target[1:] in ids)


def test_the_page_can_be_used_without_seeing_it(shown: tuple[Plan, str]) -> None:
    page = Page(shown[1])
    ids = [attributes["id"] for _, attributes, _ in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.attributes("h1")) == 1
    assert len(page.attributes("table")) == len(page.attributes("caption"))
    for tag, attributes, around in page.tags:
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(ids)
        if tag == "svg" and not around.endswith("li/div"):  # the stream's drawings stand in a hidden element
            assert attributes.get("aria-hidden") == "true" or attributes["role"] == "img"
    assert any(svg.get("role") == "img" for svg in page.attributes("svg"))


def test_all_points_are_shown_where_they_can_be_seen(shown: tuple[Plan, str]) -> None:
    plan, text = shown
    page = Page(text)
    data = page.data
    assert [each["name"] for each in data["points"]] == [p.name for p in plan.points]
    for view, scenes in data["scenes"].items():
        for scene in scenes:
            left, top, right, bottom = scene["area"]
            assert 0 < left < right <= scene["width"]
            assert 0 < top < bottom <= scene["height"]
            assert len(scene["points"]) == len(plan.points)
            assert view != "all" or None not in scene["points"]
            for x, *heights in (at for at in scene["points"] if at):
                assert math.isfinite(x)
                assert left <= x <= right
                assert all(top <= y <= bottom for y in heights)
            assert 1 <= len(scene["x_ticks"]) <= 14
            assert 1 <= len(scene["y_ticks"]) <= 14
            for ticks in (scene["x_ticks"], scene["y_ticks"]):
                assert len({tick for _, tick in ticks}) == len(ticks), ticks
    drawn = [use for use in page.attributes("use") if (use.get("class") or "").startswith("mark k-")]
    assert len(drawn) == len(plan.points)
    rows = [tag for tag, _, around in page.tags if tag == "data" and "table" in around]
    assert len(rows) == sum(4 if p.cost > 0 else 3 for p in plan.points)


def test_no_name_is_markup() -> None:
    plan, text = PLANS["names"], rendered("names")
    page = Page(text)
    assert "<b>&" not in text
    assert text.count("</script>") == 2
    assert page.data["points"][0]["name"] == plan.points[0].name
    assert plan.notes[0] + "." in "".join(page.words)


def test_all_levels_are_shown() -> None:
    text = rendered("deep")
    stream = text[text.index('class="stream"') : text.index("</ol>")]
    assert stream.count("<li>") == 9
    assert re.findall(r"<b>([^<]*)</b>", stream) == ["550", "200", "100", "0", "50", "40", "30", "30", "0.4"]
    assert stream.count('class="wrong"') == 8  # nobody leaves at one level
    widths = [float(width) for width in re.findall(r"width:([0-9.]+)%", stream)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    assert "asks a + b" in stream
    assert "asks" not in re.findall(r'class="stream".*?</ol>', rendered("limit"), re.DOTALL)[0]
    assert "One thing." in text
    assert "Another thing.<" in text


@pytest.mark.parametrize(
    ("name", "cost", "loss"),
    [
        ("limit", "0.35 ms per picture instead of 0.57 (1.63 times", "expected to be at most 0.1 point less accurate"),
        ("budget", "0.35 ms per picture instead of 0.57 (1.63 times", "expected to be 0.05 point less accurate"),
        ("dollars", "33 USD per million pictures instead of 1,500 (45.5 times", "at most 0.02 lower in MCC"),
    ],
)
def test_the_headline_says_it_all(name: str, cost: str, loss: str) -> None:
    plan = PLANS[name]
    said = unescape(re.findall("<h1>(.*)</h1>", render_plan_html(plan))[0])
    assert said == f"This plan costs {cost} cheaper) and is {loss} than {plan.reference}."


def test_a_guarantee_is_claimed_only_where_it_was_won() -> None:
    won = rendered("dollars")
    assert "Certified with 90 % confidence: at most 0.02 lower in MCC (p\u00a0=\u00a00.07)." in won
    assert Page(won).cell("Guarantee") == "90 %"
    lost = rendered("reward")
    assert "A guarantee was asked for and not won (p\u00a0=\u00a00.4)." in lost
    for text in (lost, rendered("limit")):
        assert "ertified" not in re.sub("<script.*?</script>", "", text, flags=re.DOTALL)
        assert Page(text).cell("Guarantee") == "none"


def test_figures_keep_their_sign() -> None:
    assert Page(rendered("better")).cell("Regret") == "\u22123 points"
    assert "3 points more accurate than large" in rendered("better")
    same = replace(a_plan().expected, cost=0.57, regret=0.0)
    text = render_plan_html(a_plan(expected=same, limit=0.0))
    assert "costs 0.57 ms per picture, as much as the reference, and is expected to be not less accurate" in text
    dear = render_plan_html(a_plan(expected=replace(same, cost=1.14)))
    assert "(2 times as costly)" in dear


def test_the_page_is_written(tmp_path: Path) -> None:
    path = write_plan_html(a_plan(), tmp_path / "a" / "plan.html")
    assert path.read_text("utf-8") == rendered("limit")
