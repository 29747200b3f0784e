"""Rates that the throughput of the design is predicted with, and its drawings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from natix_cascade.plan.rates import read_rates
from natix_cascade.spec.library import bundle, find_cascade

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rates_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import throughput_rates

    return throughput_rates


def test_every_model_of_the_design_has_a_rate_and_says_where_from(rates_module: ModuleType) -> None:
    known = rates_module.rates().models
    cards = {m.model.partition(":")[0] for level in find_cascade("dual-h100")[0].levels for m in level.members}
    assert cards <= known.keys()
    assert all(rate.source for rate in known.values())
    others = {name for name, card in bundle().cards.items() if card.is_remote} - set(rates_module.ENDS)
    assumed = {name for name, rate in known.items() if rate.assumed}
    assert assumed == rates_module.STAND_INS.keys() | rates_module.KIN.keys() | others
    for name, like in rates_module.STAND_INS.items():
        assert not known[like.model].assumed, "a stand-in must be measured"
        assert known[name].ms == known[like.model].ms


@pytest.mark.parametrize("size", ["SMALL", "LARGE"])
def test_no_model_on_the_line_is_faster_than_the_gpu_could_be(rates_module: ModuleType, size: str) -> None:
    of = getattr(rates_module, size)
    known, cards = rates_module.rates(size=of).models, bundle().cards
    operations_per_second = 1.979e15  # of an H100 (SXM, fp8, dense: data sheet)
    tokens = {"SMALL": 64, "LARGE": 280}[size]  # of the picture alone
    least = min(known[name].ms[256] for name in rates_module.ENDS)
    for name, rate in known.items():
        if rate.source == rates_module._ON_THE_LINE:
            arithmetic = 256_000 * 2 * rates_module.active(cards[name]) * tokens / operations_per_second
            assert rate.ms[256] >= max(arithmetic, least)


def test_the_line_goes_through_both_and_is_level_before_the_first(rates_module: ModuleType) -> None:
    line = rates_module._line([(4.0, {1: 50.0, 256: 400.0}), (8.0, {256: 600.0, 1: 40.0})])
    assert line(3.0) == line(4.0) == {1: 50.0, 256: 400.0}
    assert line(8.0)[256] == pytest.approx(600.0)
    assert line(32.0) == {1: 50.0, 256: pytest.approx(1800.0)}


def test_measured_tables_go_before_earlier_figures_and_stand_ins(rates_module: ModuleType, tmp_path: Path) -> None:
    about = {"model": "yolo11-x", "height": 640, "width": 640, "own": True, "finite": True}
    rows = [
        {"model": "yolo11-x", "note": "n", "parameters_millions": 57.0, "build_s": 1.0},
        {**about, "batch": 1, "mode": "eager", "ms": 20.0},
        {**about, "batch": 1, "mode": "graph", "ms": 5.0},
        {**about, "batch": 1, "mode": "compile", "ms": 1.0, "finite": False},
        {**about, "batch": 32, "mode": "eager", "ms": 40.0},
        {**about, "batch": 32, "mode": "eager", "ms": 4.0, "own": False, "height": 224},
        {**about, "batch": 256, "mode": "graph", "skipped": "out of the GPU's memory"},
    ]
    (tmp_path / "gpu_models.json").write_text(json.dumps({"rows": rows}), "utf-8")
    rate = rates_module.rates(tmp_path).models["yolo11x"]
    assert rate.ms == {1: 5.0, 32: 40.0}
    assert not rate.assumed
    assert rate.source == "bench/results/gpu_models.json"


def test_served_models_take_their_fastest_server_and_no_ready_embeddings(
    rates_module: ModuleType, tmp_path: Path
) -> None:
    small, large = ({"model": "qwen3-vl-8b", "height": h, "width": w} for h, w in ((224, 224), (448, 640)))
    rows = [
        *({**small, "what": "rate", "server": "one", "pictures_per_s": rate} for rate in (100.0, 110.0, 150.0)),
        *({**small, "what": "rate", "server": "many", "pictures_per_s": rate} for rate in (200.0, 256.0, 300.0)),
        {**large, "what": "rate", "server": "many", "pictures_per_s": 999.0},
        {**small, "what": "single", "server": "many", "pictures_per_s": 25.0},
        {**small, "what": "single", "server": "one", "pictures_per_s": 40.0},
        {**large, "what": "single", "server": "many", "pictures_per_s": 20.0},
        {**small, "model": "qwen3-vl-4b", "what": "rate", "server": "many", "pictures_per_s": 512.0},
        {**small, "model": "qwen3-vl-4b", "what": "single", "server": "many", "pictures_per_s": 50.0},
        {**small, "what": "embeddings", "server": "offline", "pictures_per_s": 999.0},
        {"model": "qwen3-vl-8b", "what": "same answers", "agree": True},
        {"group": "qwen3-vl-4b:one", "skipped": "the time for this run was used up"},
    ]
    (tmp_path / "gpu_vlm.json").write_text(json.dumps({"rows": rows}), "utf-8")
    known = rates_module.rates(tmp_path).models
    assert known["qwen3-vl-8b-thinking"].ms == {1: 40.0, 256: 1000.0}
    assert known["qwen3-vl-4b"].ms == {1: 20.0, 256: 500.0}
    assert known["molmo2-8b"].per_second == pytest.approx(256, rel=0.03)
    assert known["qwen2-5-vl-72b"].per_second < 40
    assert known["ovis2-6-30b-a3b"].ms == known["qwen3-vl-4b"].ms
    large_ones = rates_module.rates(tmp_path, size=rates_module.LARGE).models
    assert large_ones["qwen3-vl-8b-thinking"].ms == {1: 50.0, 256: pytest.approx(256_000 / 999)}


def test_a_relative_is_no_measurement(rates_module: ModuleType, tmp_path: Path) -> None:
    row = {"model": "depth-anything-v2-large", "own": True, "finite": True, "batch": 32, "ms": 64.0}
    (tmp_path / "gpu_models.json").write_text(json.dumps({"rows": [row]}), "utf-8")
    rate = rates_module.rates(tmp_path).models["depth-anything-3"]
    assert (rate.per_second, rate.assumed) == (pytest.approx(500), True)


def test_marks_on_the_page_are_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from throughput_figures import refreshed

    text = "a <!-- bench: throughput figures.x -->1,267<!-- /bench --> <!-- bench: other figures.x -->1<!-- /bench -->"
    assert refreshed(text, {"x": 98765.4}) == text.replace("1,267", "98,765")
    text = "<!-- bench: throughput figures.l.0 -->0.75 %<!-- /bench --> b"
    assert refreshed(text, {"l": [0.0123456]}) == text.replace("0.75", "1.23")


def test_the_written_rates_are_those_of_the_results() -> None:
    known = read_rates(ROOT / "bench" / "rates.json").models
    told = json.loads((ROOT / "bench" / "results" / "throughput.json").read_text("utf-8"))["figures"]["models"]
    assert {name: rate.per_second for name, rate in known.items()} == pytest.approx(
        {name: model["per_second"] for name, model in told.items()}, rel=1e-4
    )


@pytest.mark.parametrize("name", ["throughput_gate", "throughput_gpus"])
def test_drawings_stand_alone_in_light_and_dark(name: str) -> None:
    text = (ROOT / "docs" / "images" / f"{name}.svg").read_text("utf-8")
    root = ET.fromstring(text)  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme:dark" in text
    assert root.find("{*}desc") is not None
    used = {cls for element in root.iter() for cls in element.get("class", "").split()}
    assert used <= set(re.findall(r"\.([a-z]+)\b(?=[^{}]*\{)", text))
    assert f"../images/{name}.svg" in (ROOT / "docs" / "explanation" / "throughput.md").read_text("utf-8")
