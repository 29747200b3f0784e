"""The dashboards' files: what the code writes, and what Grafana wants of them."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from boards import GRAFANA, NAMES, board, every_query, panels

ROOT = GRAFANA.parents[1]
UIDS = {f"natix-cascade-{name}" for name in NAMES}
NOTES = ("titleFormat", "textFormat", "tagKeys", "step")  # of annotations: Grafana's Prometheus source knows them


def test_the_files_are_what_the_code_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="needs the dev extra")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from dashboards import FOLDER, files

    assert FOLDER == GRAFANA
    there = {str(path.relative_to(GRAFANA)): path.read_text("utf-8") for path in GRAFANA.rglob("*") if path.is_file()}
    assert there.keys() == files().keys()
    for path, text in files().items():
        assert there[path] == text, "run tools/dashboards.py (make docs)"


@pytest.mark.parametrize("name", NAMES)
def test_the_models_of_the_sdk_lose_nothing(name: str) -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="needs the dev extra")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    found = board(name)
    for each in found["annotations"]["list"]:
        for word in NOTES:
            del each[word]
    assert json.loads(json.dumps(Dashboard.from_json(found), cls=JSONEncoder)) == found


def test_uids_stay_and_links_lead_somewhere() -> None:
    assert {board(name)["uid"] for name in NAMES} == UIDS
    for name in NAMES:
        found = board(name)
        assert "id" not in found, "Grafana gives it"
        (to_all,) = found["links"]
        assert (to_all["type"], to_all["keepTime"], to_all["includeVars"]) == ("dashboards", True, True)
        assert to_all["tags"] == found["tags"]
        for link in itertools.chain.from_iterable(panel.get("links", []) for panel in panels(name)):
            uid = re.fullmatch(r"/d/([a-z-]+)\?\$\{__url_time_range\}&.*", link["url"])
            assert uid is not None
            assert uid[1] in UIDS - {found["uid"]}


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_places_of_their_own(name: str) -> None:
    found = board(name)["panels"]
    ids = [panel["id"] for panel in found]
    assert ids == list(range(1, len(ids) + 1))
    taken = set()
    for panel in found:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert cells
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["title"] for panel in panels(name)}) == len(panels(name))
    assert [panel["gridPos"]["y"] for panel in found] == sorted(panel["gridPos"]["y"] for panel in found)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_means_in_which_unit_and_where_it_is_bad(name: str) -> None:
    for panel in panels(name):
        assert len(panel["description"]) > 30, panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in _units(), panel["title"]
        first, *others = defaults["thresholds"]["steps"]
        assert first["value"] is None
        values = [each["value"] for each in others]
        assert values == sorted(values)
        assert {each["color"] for each in (first, *others)} <= {"green", "yellow", "red"}


@pytest.mark.parametrize("name", NAMES)
def test_every_query_goes_to_the_chosen_source(name: str) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(name):
        assert panel["datasource"] == source
        assert panel["targets"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == [chr(ord("A") + number) for number in range(len(refs))]
        for target in panel["targets"]:
            assert target["datasource"] == source
            assert target["instant"] is not target["range"]
            assert (target["format"] == "heatmap") == (target["legendFormat"] == "{{le}}")
    for variable in board(name)["templating"]["list"]:
        assert variable.get("datasource", source) == source
    (changes,) = board(name)["annotations"]["list"]
    assert changes["datasource"] == source


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_there_and_used(name: str) -> None:
    found = board(name)
    there = {variable["name"] for variable in found["templating"]["list"]}
    texts = [target["expr"] for panel in panels(name) for target in panel["targets"]]
    used = {word for text in texts for word in re.findall(r"\$(\w+)", text)}
    own = {"__rate_interval", "__interval", "__range"}
    assert used - own == there - {"datasource"}
    repeated = {panel["repeat"] for panel in panels(name) if "repeat" in panel}
    assert repeated <= {variable["name"] for variable in found["templating"]["list"] if variable["multi"]}


def test_counters_are_rated_before_they_are_summed() -> None:
    for query in every_query():
        for found in re.finditer(r"cascade_\w+_(total|bucket|sum|count)\{[^}]*\}", query.text):
            assert re.search(r"\b(rate|increase)\($", query.text[: found.start()]), query
            assert query.text[found.end()] == "[", query
        if "histogram_quantile" in query.text:
            assert re.search(r"histogram_quantile\([\d.]+, sum by \((\w+, )*le\) \(rate\(", query.text), query


def test_instances_are_chosen_everywhere() -> None:
    for query in every_query():
        for found in re.finditer(r"\bcascade_\w+(?P<matchers>\{[^}]*\})?", query.text):
            assert 'instance=~"$instance"' in (found["matchers"] or ""), query


def test_every_metric_is_on_some_panel() -> None:
    from natix_cascade.observe.metrics import Metrics

    shown = " ".join(query.text for query in every_query())
    for family in Metrics()._registry.collect():
        assert re.search(rf"\b{family.name}(_total|_bucket|_sum|_count)?\{{", shown), family.name


def test_provisioning_fits_the_rest() -> None:
    (source,) = _yaml("provisioning/datasources/natix-cascade.yaml")["datasources"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))["global"]
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]
    (provider,) = _yaml("provisioning/dashboards/natix-cascade.yaml")["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()


def _yaml(path: str) -> Any:
    return yaml.safe_load((GRAFANA / path).read_text("utf-8"))


def _units() -> set[str]:
    """Units that Grafana knows."""
    units = pytest.importorskip("grafana_foundation_sdk.models.units", reason="needs the dev extra")
    return {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
