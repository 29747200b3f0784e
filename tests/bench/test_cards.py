from __future__ import annotations

import json
from pathlib import Path

import pytest

from natix_cascade.spec.library import bundle

RESULT = Path(__file__).parents[2] / "bench" / "results" / "accuracy.json"


@pytest.mark.parametrize("name", sorted(name for name, card in bundle().cards.items() if card.weights))
def test_cards_quote_what_was_measured(name: str) -> None:
    figures = json.loads(RESULT.read_text("utf-8"))["figures"][name]
    metrics = bundle().cards[name].metrics
    assert metrics["test_mcc_mean"] == round(figures["mean"]["mcc"], 3)
    assert metrics["test_mcc_L0"] == round(figures["L0"]["mcc"], 3)
