"""Every query of every panel, as Grafana sends it, to a real Prometheus that watches a real service under load."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import servers
from board_world import World, world
from boards import NAMES, Query, board, every_query, query

pytestmark = [pytest.mark.observe, pytest.mark.timeout(180)]
QUIET = {  # 0 is well there
    ("overview", "Refused"),
    ("models", "Models now"),  # all breakers may be closed just now
    ("overview", "Verdicts not stored"),
    ("overview", "Observations lost"),
    ("overview", "Errors of observers"),
}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("boards")) as running:
        yield running


def numbers(series: list[dict[str, Any]]) -> list[float]:
    return [float(value) for each in series for _, value in each["values"]]


def by_time(series: list[dict[str, Any]]) -> dict[float, float]:
    """Sum over series at each moment."""
    found: dict[float, float] = defaultdict(float)
    for each in series:
        for when, value in each["values"]:
            found[when] += float(value)
    return found


@pytest.mark.parametrize("asked", list(every_query()), ids=lambda each: f"{each.board}-{each.panel}-{each.legend}")
def test_every_panel_has_data(it: World, asked: Query) -> None:
    if asked.board == "gpus" and not it.seen.gpus:
        servers._absent("needs gcc and nvidia-ml-py (natix-cascade[gpu-metrics]) for a stand-in of the driver")
    found = numbers(it.ask(asked))
    assert found, f"nothing: {it.chosen().put_into(asked.text)}"
    assert all(map(math.isfinite, found))
    if (asked.board, asked.panel) not in QUIET:
        assert any(found), "0 at every moment"


@pytest.mark.parametrize("name", NAMES)
def test_variables_find_their_values(it: World, name: str) -> None:
    for variable in board(name)["templating"]["list"]:
        if variable["type"] != "query" or (variable["name"] == "gpu" and not it.seen.gpus):
            continue
        series, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        found = {each["metric"][label] for each in it.seen.query(it.chosen().put_into(series))}
        wanted = {
            "instance": {it.seen.service.url.removeprefix("http://")},
            "level": {"front", "middle", "last"},
            "model": {"cheap", "second", "contrary", "dear"},
            "gpu": {"0", "1"},
        }[variable["name"]]
        assert found == wanted


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_the_policy_is_annotated(it: World, name: str) -> None:
    (change,) = board(name)["annotations"]["list"]
    found = {each["metric"]["policy"]: each["values"] for each in it.over_time(it.chosen().put_into(change["expr"]))}
    assert found.keys() == {"mcc@1", "accuracy@1"}
    assert len(found["accuracy@1"]) == 1, "one mark for one change"


@pytest.mark.parametrize("panel", ["Exits by level", "Exits by reason"])
def test_shares_add_up_to_one(it: World, panel: str) -> None:
    series = it.ask(query("overview", panel))
    assert len(series) > 1
    assert all(total == pytest.approx(1) for total in by_time(series).values())


def test_changes_of_exits_add_up_to_nothing(it: World) -> None:
    series = it.ask(query("quality", "Exits by level, less those before"))
    assert len(series) == 3
    assert all(total == pytest.approx(0, abs=1e-9) for total in by_time(series).values())


def test_costs_by_level_and_model_are_all_costs(it: World) -> None:
    shares = it.ask(query("cost", "In the chosen time, by level and model", "share"))
    assert {each["metric"]["model"] for each in shares} == {"cheap", "second", "contrary", "dear"}
    assert sum(numbers(shares)) == pytest.approx(1)


def test_a_level_may_be_chosen(it: World) -> None:
    asked = query("overview", "p95 by level")
    assert {each["metric"]["level"] for each in it.ask(asked)} == {"front", "middle", "last"}
    assert {each["metric"]["level"] for each in it.ask(asked, level=("front", "last"))} == {"front", "last"}
    assert not it.ask(asked, level=("fro",)), "a level is its whole name"


def test_another_instance_shows_nothing(it: World) -> None:
    others = [each for each in every_query() if not it.ask(each, instance=("127.0.0.1:1",))]
    everywhere = {"Alerts", "Alerts over time", "Alerts now"}
    assert {each.panel for each in every_query()} - {each.panel for each in others} <= everywhere


def test_breakers_are_seen_to_open_and_close(it: World) -> None:
    (second,) = (each for each in it.ask(query("models", "Breakers")) if each["metric"]["model"] == "second")
    assert {"0", "2"} <= {value for _, value in second["values"]}


def test_alerts_that_fire_are_named(it: World) -> None:
    firing = {each["metric"]["alertname"] for each in it.ask(query("overview", "Alerts now"))}
    assert "CascadeDegraded" in firing
