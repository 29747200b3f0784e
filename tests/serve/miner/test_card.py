from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from natix_cascade.errors import CascadeError
from natix_cascade.serve.miner.card import SubnetCard, write_card

WHOLE = {"model_name": "m", "description": "what it is: ✓", "version": "1.20.3", "submitted_by": "5Miner"}


def test_it_holds_what_the_subnet_reads(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    path = write_card(SubnetCard(**WHOLE), tmp_path / "repository")
    assert path == tmp_path / "repository" / "model_card.json"
    card = json.loads(path.read_text("utf-8"))
    assert list(card) == ["model_name", "description", "version", "submitted_by", "submission_time"]
    assert {key: card[key] for key in WHOLE} == WHOLE
    assert before <= datetime.fromisoformat(card["submission_time"]) <= datetime.now(UTC)


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0rc1", "1.0.0.0", ""])
def test_the_version_has_three_numbers(version: str) -> None:
    with pytest.raises(CascadeError, match="three numbers"):
        SubnetCard(**WHOLE | {"version": version})


@pytest.mark.parametrize("name", ["model_name", "description", "submitted_by"])
def test_nothing_is_empty(name: str) -> None:
    with pytest.raises(CascadeError, match=f"{name} is empty"):
        SubnetCard(**WHOLE | {name: "  "})


def test_the_time_is_a_time() -> None:
    with pytest.raises(CascadeError, match="ISO 8601"):
        SubnetCard(**WHOLE, submission_time="yesterday")
