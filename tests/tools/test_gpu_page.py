"""The page of the GPU's rates is what the tables say."""

from __future__ import annotations

import json

from natix_cascade.spec.library import bundle


def test_the_page_is_written_from_the_tables() -> None:
    from gpu_page import PAGE, page

    assert PAGE.read_text("utf-8") == page(), "run make docs"


def test_it_tells_the_assumed_price_and_all_that_was_not_measured() -> None:
    from card_costs import RESULTS, USD_PER_GPU_HOUR, costs
    from gpu_page import page

    text = " ".join(page().split())
    assert f"Assumed: {USD_PER_GPU_HOUR:.2f} US dollars" in text
    for name, card in bundle().cards.items():
        if card.origin:
            rows = text.split("GMACs a picture |")[1]
            assert (f"| `{name}` |" in rows) == (name in costs())
            assert f"`{name}`" in rows
    for table in ("models", "vlm"):
        for note in json.loads((RESULTS / f"gpu_{table}.json").read_text("utf-8"))["notes"]:
            assert note in text


def test_a_cell_is_the_faster_mode_and_unfinite_answers_are_no_measurement() -> None:
    from gpu_page import _networks

    about = {"model": "m", "height": 8, "width": 9, "own": True, "batch": 1, "finite": True}
    rows = [
        {**about, "mode": "eager", "ms": 4.0, "pictures_per_s": 250.0},
        {**about, "mode": "graph", "ms": 0.8, "pictures_per_s": 1250.0},
        {**about, "mode": "compile", "ms": 0.1, "pictures_per_s": 10000.0, "finite": False},
        {**about, "batch": 32, "mode": "graph", "skipped": "out of memory"},
    ]
    table = next(part for part in _networks({"rows": rows, "notes": []}) if part.startswith("|"))
    assert table.splitlines()[2:] == ["| m | **8 x 9** | 1,250/s (0.8 ms, g) | - | - |"]
