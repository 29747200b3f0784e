"""The page of the catalogue is what the cards say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_written_from_the_cards() -> None:
    spec = importlib.util.spec_from_file_location("catalogue_page", ROOT / "tools" / "catalogue_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "run make docs"
