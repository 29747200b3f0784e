"""What panels show of a history that is known, and of a service that nobody asks; Prometheus does the arithmetic."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
import yaml
from board_history import BUSY, IDLE, History, history
from boards import Chosen, every_query, query

from natix_cascade.decide.metrics import mcc

pytestmark = pytest.mark.observe
KEPT = {"GPUs": 2, "Fullest": 0.75, "Power": 600, "Alerts": 0, "Verdicts": 0}  # by a service that nobody asks


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with history(tmp_path_factory.mktemp("history")) as running:
        yield running


ONE = [
    ("overview", "Verdicts", "", 4),
    ("overview", "Requests failed", "", 0.05),
    ("overview", "p99", "", 0.1 + 0.4 * 0.98),
    ("overview", "Degraded", "", 0.025),
    ("overview", "Out of time", "", 0.25),
    ("overview", "Verdicts that say yes", "", 0.75),
    ("overview", "All chosen levels", "p50", 0.1),
    ("overview", "Alerts", "", 0),
    ("quality", "Agreement", "mean", 0.9),
    ("quality", "Agreement", "unanimous", 0.75),
    ("quality", "Disputed verdicts", "recent", 0.15),
    ("quality", "Disputed verdicts", "before", 0.05),
    ("quality", "Shift of exits", "", 0.25),
    ("quality", "Verdicts that say yes", "recent", 0.75),
    ("quality", "Verdicts that say yes", "before", 0.25),
    ("quality", "Accuracy", "observed", 0.7),
    ("quality", "Accuracy", "promised", 0.9),
    ("quality", "Matthews' correlation", "observed", mcc([1, 0, 1, 0], [1, 1, 0, 0], [4, 1, 2, 3])),
    ("quality", "Calibration error", "error", (0.04 + 0.15) / 2),
    ("quality", "Mean score", "recent", 0.6),
    ("quality", "Mean score", "before", 0.9),
    ("cost", "Per 1000 pictures", "", 1),
    ("cost", "The judge, per score", "", 0.005),
    ("cost", "Projected month, over time", "judge", 730 * 3600 * 0.0005),
    ("gpus", "GPUs", "", 2),
    ("gpus", "Fullest", "", 0.75),
    ("gpus", "Power", "", 600),
    ("gpus", "Energy per picture", "", 150),
]
MANY = [
    ("overview", "Exits by level", "", {("front",): 0.5, ("last",): 0.5}),
    ("overview", "Degraded and out of time", "degraded at {{level}}", {("last",): 0.025}),
    ("overview", "Degraded and out of time", "out of time: {{outcome}}", {("degraded",): 0.05, ("failed",): 0.2}),
    ("overview", "Cascade and policy", "", {("c@1", "p@1"): 1}),
    ("models", "Share of failures", "", {("cheap",): 0.25, ("dear",): 0, ("gone",): 1}),
    ("models", "Batch", "", {("cheap",): 4}),
    ("models", "Breakers", "", {("cheap", "0"): 0, ("cheap", "1"): 2}),
    ("models", "Models now", "breaker", {("cheap",): 2}),
    ("quality", "Mean confidence by level", "", {("front",): 0.9}),
    ("quality", "Exits by level, less those before", "", {("front",): -0.25, ("last",): 0.25}),
    ("quality", "Said and true, by tenths of P(yes)", "said", {("1",): 0.15, ("8",): 0.84}),
    ("quality", "Said and true, by tenths of P(yes)", "true", {("1",): 0.3, ("8",): 0.8}),
    ("cost", "Per 1000 pictures, by level", "", {("front",): 0.25, ("last",): 0.75}),
    ("cost", "Per hour, by model", "", {("cheap",): 3.6, ("dear",): 10.8}),
    ("cost", "In the chosen time, by level and model", "share", {("front", "cheap"): 0.25, ("last", "dear"): 0.75}),
    ("gpus", "Memory in use", "", {("0", BUSY): 0.75, ("1", BUSY): 0.25}),
]


@pytest.mark.parametrize(("board", "panel", "legend", "wanted"), ONE)
def test_a_figure_is_right(past: History, board: str, panel: str, legend: str, wanted: float) -> None:
    (found,) = past.ask(query(board, panel, legend)).values()
    assert found == pytest.approx(wanted, rel=0.02, abs=1e-9)


@pytest.mark.parametrize(("board", "panel", "legend", "wanted"), MANY)
def test_figures_by_labels_are_right(
    past: History, board: str, panel: str, legend: str, wanted: dict[tuple[str, ...], float]
) -> None:
    assert past.ask(query(board, panel, legend)) == pytest.approx(wanted, rel=0.02, abs=1e-9)


def test_costs_an_hour_are_those_of_answers_and_judge(past: History) -> None:
    shown = [each for each in every_query() if each.panel in ("Per hour", "Per hour, over time")]
    found = {each.legend: sum(past.ask(each).values()) for each in shown}
    assert found == pytest.approx({"an hour": 16.2, "answers": 14.4, "judge": 1.8}, rel=1e-3)


def test_a_promise_that_was_not_made_is_not_shown(past: History) -> None:
    assert past.ask(query("quality", "Matthews' correlation", "promised")) == {}


def test_where_nobody_asks_nothing_is_divided_by_zero(past: History) -> None:
    shown = {each: past.ask(each, IDLE) for each in every_query()}
    assert all(math.isfinite(value) for found in shown.values() for value in found.values())
    for board, panel, legend, _ in ONE:
        if legend != "promised" and board != "cost":
            kept = KEPT.get(panel)
            assert shown[query(board, panel, legend)] == ({} if kept is None else {(): kept}), panel
    costs = [query("cost", panel) for panel in ("Per hour", "Projected month", "In the chosen time")]
    assert all(shown[each] == {(): 0.0} for each in costs)
    assert all(shown[query("cost", panel)] == {} for panel in ("Per 1000 pictures", "The judge, per score"))


def test_promtool_accepts_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or servers._absent("needs promtool (Debian's prometheus)")
    chosen = Chosen(instance=("127.0.0.1:8000", "[::1]:8000"), level=("front", "a.b"), model=("a+b", "c"))
    rules = [{"record": f"q{n}", "expr": chosen.put_into(each.text)} for n, each in enumerate(every_query())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    told = subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "queries.yml")], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert f"{len(rules)} rules found" in told.stdout
