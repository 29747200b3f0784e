"""Figures in README.md and docs are those that the benchmarks wrote.

A figure is marked ``<!-- bench: FILE KEY.PATH -->VALUE<!-- /bench -->``: FILE is ``bench/results/FILE.json``, KEY.PATH
leads from its root to a number (``figures.cascade.clean.mcc``; an integer steps into a list). VALUE is the number,
rounded to as many decimals as it shows, with commas between thousands if wanted; a percent sign behind it means times
100, any other unit behind it (ms, x, MiB) means nothing.
"""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"<!--\s*bench:\s*(\S+)\s+([^>]+?)\s*-->(.*?)<!--\s*/bench\s*-->", re.DOTALL)
OPENED = re.compile(r"<!--\s*bench:")
NUMBER = re.compile(r"\s*([-+\u2212]?\d[\d,]*(?:\.\d+)?)\s*(%?)[^\d]*")


def pages(root: Path) -> list[Path]:
    return [path for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))) if path.is_file()]


def wrong(text: str, results: Path) -> list[str]:
    """One sentence for each marked figure that is not what was measured."""
    found = []
    if len(OPENED.findall(text)) != len(MARK.findall(text)):
        found.append("a mark is not closed or names no file and key")
    for file, key, value in MARK.findall(text):
        name = f"{file} {key}"
        path = results / f"{file}.json"
        if not path.is_file():
            found.append(f"{name}: there is no {path.name}")
            continue
        shown = NUMBER.fullmatch(value)
        try:
            measured = look_up(json.loads(path.read_text("utf-8")), key)
        except LookupError as error:
            found.append(f"{name}: there is no {error.args[0]!r}")
            continue
        if not shown or isinstance(measured, bool) or not isinstance(measured, int | float):
            found.append(f"{name}: {value!r} or {measured!r} is no number")
            continue
        digits, percent = shown[1].replace(",", "").replace("\u2212", "-"), shown[2]
        exact = Decimal(str(measured)) * (100 if percent else 1)
        step = Decimal(1).scaleb(-len(digits.partition(".")[2]))
        if Decimal(digits) != exact.quantize(step, ROUND_HALF_UP):
            found.append(f"{name}: {value.strip()!r} is shown, {measured} was measured")
    return found


def look_up(data: Any, key: str) -> Any:
    for step in key.split("."):
        try:
            data = data[int(step)] if isinstance(data, list) else data[step]
        except (LookupError, TypeError, ValueError):
            raise LookupError(step) from None
    return data


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_on_the_pages_are_the_measured_ones(page: Path) -> None:
    assert wrong(page.read_text("utf-8"), ROOT / "bench" / "results") == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    figures = {"mcc": 0.93456, "share": 0.0749, "n": 20000, "list": [{"x": 2.5}], "drop": -0.25, "name": "gate"}
    (tmp_path / "speed.json").write_text(json.dumps({"figures": figures}), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mcc", "0.935"),
        ("mcc", "0.9"),
        ("mcc", " 93.5 % "),
        ("mcc", "93%"),
        ("share", "7.5 %"),
        ("n", "20,000"),
        ("n", "20000 pictures"),
        ("list.0.x", "2.5x"),
        ("list.0.x", "3 ms"),
        ("drop", "\u22120.25"),
    ],
)
def test_right_figures_pass(results: Path, key: str, value: str) -> None:
    assert wrong(f"a <!-- bench: speed figures.{key} -->{value}<!-- /bench --> b", results) == []


@pytest.mark.parametrize(
    "mark",
    [
        "<!-- bench: speed figures.mcc -->0.936<!-- /bench -->",
        "<!-- bench: speed figures.mcc -->94 %<!-- /bench -->",
        "<!-- bench: speed figures.mcc -->about 0.935 or 0.936<!-- /bench -->",
        "<!-- bench: speed figures.none -->1<!-- /bench -->",
        "<!-- bench: speed figures.list.1.x -->1<!-- /bench -->",
        "<!-- bench: speed figures.name -->1<!-- /bench -->",
        "<!-- bench: nothing figures.mcc -->0.935<!-- /bench -->",
        "<!-- bench: speed figures.mcc -->0.935",
    ],
)
def test_wrong_figures_are_found(results: Path, mark: str) -> None:
    assert len(wrong(mark, results)) == 1
