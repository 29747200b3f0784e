from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from natix_cascade.report.evaluation import evaluate
from natix_cascade.report.html import render_html, write_html
from natix_cascade.report.manifest import Row
from natix_cascade.report.markup import number
from natix_cascade.report.results import Evaluation
from natix_cascade.run.loaded import LoadedCascade

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks that elements close in order, and collects what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def found(loaded_with: Callable[..., LoadedCascade], rows: list[Row]) -> Evaluation:
    return evaluate(loaded_with(), rows, bootstrap=20)


def test_the_page_needs_nothing_else(found: Evaluation) -> None:
    text = render_html(found, thumbnails=True)
    page = Page(text)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "base"}
    for tag, attributes in page.tags:
        for key in ("src", "href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,")), (tag, value)
    assert any(tag == "img" and attributes.get("alt") for tag, attributes in page.tags)
    assert not any(tag == "img" for tag, _ in Page(render_html(found)).tags)


def test_the_page_can_be_used_without_seeing_it(found: Evaluation) -> None:
    page = Page(render_html(found))
    count = [tag for tag, _ in page.tags].count
    assert count("h1") == 1
    assert count("table") == count("caption")
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 5
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in drawings)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {f"#{name}" for name in ids} >= targets


def test_the_page_has_the_figures(found: Evaluation) -> None:
    text, data = render_html(found), found.as_dict()
    for level in data["levels"].values():
        for key in ("mcc", "reward", "low", "high"):
            assert number(level[key]) in text
    assert number(data["mean_mcc"]) in text
    assert f"{100 * data['specificity_pooled']:.1f} %" in text
    for name, share in data["exit_shares"].items():
        assert re.search(rf"{name}", text)
        assert f"{100 * share:.0f} %" in text or f"{100 * share:.1f} %" in text


def test_names_are_escaped(loaded_with: Callable[..., LoadedCascade], rows: list[Row]) -> None:
    odd = [
        Row(row.path, not row.label, row.group, source="<b>&'\"", name=f"<i>{i}</i>.jpg") for i, row in enumerate(rows)
    ]
    text = render_html(evaluate(loaded_with(), odd, bootstrap=5, levels=["L0"]))
    Page(text)
    assert "<i>" not in text
    assert "<b>" not in text


def test_one_class_and_failures_make_a_page(
    loaded_with: Callable[..., LoadedCascade], rows: list[Row], tmp_path: Path
) -> None:
    lost = Row(tmp_path / "gone.jpg", False, "g", name="gone.jpg")
    some = [row for row in rows if row.label]
    path = write_html(
        evaluate(loaded_with(broken=["judge"]), [lost, *some], bootstrap=5, levels=["L0", "L1"]),
        tmp_path / "a" / "r.html",
    )
    text = path.read_text("utf-8")
    Page(text)
    assert "gone.jpg" in text
    assert "nan" not in re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL).lower().split()
