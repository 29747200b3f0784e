"""Costs of the catalogue's cards are those of the measured tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from natix_cascade.spec.library import CATALOGUE, bundle, read_sources


def test_cards_say_what_the_tables_say() -> None:
    from card_costs import costs, unmeasured

    known = costs()
    for name, card in read_sources().cards.items():
        if name in known:
            assert known[name].line in (CATALOGUE / f"{name}.yaml").read_text("utf-8"), "run tools/card_costs.py"
            assert card.cost.usd == pytest.approx(known[name].usd, rel=5e-3)
            assert card.cost.gmacs == pytest.approx(known[name].gmacs or 0, rel=5e-3)
        elif card.origin:
            assert (card.cost.usd, card.cost.gmacs) == (0, 0), "not measured, and has a cost"
            assert name in unmeasured(known)
        assert card == bundle().cards[name], "write the bundle anew"


def test_a_card_has_a_cost_only_where_its_own_model_was_measured(tmp_path: Path) -> None:
    from card_costs import USD_PER_GPU_HOUR, costs, unmeasured

    about = {"own": True, "finite": True, "mode": "eager", "batch": 32, "ms": 64.0}
    rows = [
        {**about, "model": "yolo11-x"},
        {**about, "model": "yolo11-x", "mode": "graph", "ms": 32.0},
        {**about, "model": "yolo11-x", "own": False, "ms": 1.0},
        {**about, "model": "depth-anything-v2-large"},
    ]
    asked = {"model": "qwen3-vl-4b", "what": "rate", "server": "many"}
    served = [
        {**asked, "height": 448, "width": 640, "pictures_per_s": 100.0},
        {**asked, "height": 224, "width": 224, "pictures_per_s": 500.0},
    ]
    counted = [{"model": "yolo11-x", "gmacs": 97.636}, {"model": "depth-anything-v2-large", "gmacs": 652.0}]
    for name, table in (("models", rows), ("vlm", served), ("macs", counted)):
        (tmp_path / f"gpu_{name}.json").write_text(json.dumps({"rows": table}), "utf-8")
    known = costs(tmp_path)
    assert known.keys() == {"yolo11x", "qwen3-vl-4b"}
    assert known["yolo11x"].usd == pytest.approx(USD_PER_GPU_HOUR / 3600 / 1000)
    assert known["yolo11x"].line == "cost: {usd: 6.94e-07, gmacs: 97.6}\n"
    assert known["qwen3-vl-4b"].line == "cost: {usd: 6.94e-06}\n"
    assert {"yolo26x", "depth-anything-3", "qwen3-vl-8b-thinking"} <= set(unmeasured(known))


@pytest.mark.parametrize(
    "card",
    [
        "name: a\ntask:\n  kind: depth\nnotes: 'Of\n  two lines.'\n",
        "name: a\ntask: {kind: depth}\ncost: {usd: 1e-3}\nnotes: 'Of\n  two lines.'\n",
        "name: a\ntask: {kind: depth}\ncost:\n  usd: 0.1\n  gmacs: 3\nnotes: 'Of\n  two lines.'\n",
    ],
)
def test_only_the_cost_of_a_card_changes(card: str) -> None:
    from card_costs import with_cost

    line = "cost: {usd: 1.00e-06, gmacs: 3030}\n"
    written = with_cost(card, line)
    before, after = yaml.safe_load(card), yaml.safe_load(written)
    assert after.pop("cost") == {"usd": 1e-6, "gmacs": 3030}
    before.pop("cost", None)
    assert after == before
    assert with_cost(written, line) == written
    assert "cost" not in with_cost(written, "")


def test_without_later_fields_the_cost_is_the_last_line() -> None:
    from card_costs import with_cost

    assert with_cost("name: a\n", "cost: {usd: 1.00e-06}\n") == "name: a\ncost: {usd: 1.00e-06}\n"
