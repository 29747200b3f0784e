from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from natix_cascade.errors import StoreError
from natix_cascade.observe.state import is_state, stored_verdicts

sys.path.insert(0, str(Path(__file__).parent))  # for made_verdicts.py: test folders are not packages
from made_verdicts import answer, made, state


def test_verdicts_come_with_what_was_said_of_them(tmp_path: Path) -> None:
    kept = made("kept.jpg")
    answers = [answer("1" * 32, made("a.jpg", 0.9)), answer("2" * 32, kept, label=False)]
    said = [
        ("1" * 32, 5.0, 1, "sure", None),
        ("1" * 32, 9.0, 0, None, "pictures/late.jpg"),
        ("1" * 32, 7.0, 1, None, "pictures/gone.jpg"),
    ]
    folder = state(tmp_path / "state", answers, said)
    late = folder / "pictures" / "late.jpg"
    own = folder / "pictures" / kept.sha256[:2] / f"{kept.sha256}.jpg"
    own.parent.mkdir(parents=True)
    own.touch()
    late.touch()

    first, second = stored_verdicts(folder)

    assert is_state(folder)
    assert (first.id, first.verdict.as_dict()) == ("1" * 32, made("a.jpg", 0.9).as_dict())
    assert [(f.created, f.label, f.note, f.picture) for f in first.feedback] == [
        (5.0, True, "sure", None),
        (7.0, True, None, None),
        (9.0, False, None, late),
    ]
    assert (first.truth, first.picture) == (False, late)
    assert (second.truth, second.picture, second.feedback) == (False, own, ())


def test_what_stands_in_a_journal_only_is_there_once(tmp_path: Path) -> None:
    filed, waiting = answer("1" * 32, made("a.jpg")), answer("2" * 32, made("b.jpg"))
    folder = state(tmp_path / "state", [filed])
    lines = [json.dumps(filed), json.dumps(waiting), "nonsense", json.dumps(answer("3" * 32, made()))[:40]]
    (folder / "journal-0123.ndjson").write_text("\n".join(lines), "utf-8")

    assert [row.id for row in stored_verdicts(folder)] == ["1" * 32, "2" * 32]


def test_a_row_of_another_making_is_passed_over(tmp_path: Path) -> None:
    folder = state(tmp_path / "state", [{"verdict_id": "1" * 32, "score": 3}, answer("2" * 32, made())])
    assert [row.id for row in stored_verdicts(folder)] == ["2" * 32]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    folder = state(tmp_path / "state", [answer("1" * 32, made())])
    before = (folder / "service.sqlite").read_bytes()
    assert list(stored_verdicts(folder))
    assert (folder / "service.sqlite").read_bytes() == before


def test_other_folders_are_refused(tmp_path: Path) -> None:
    assert not is_state(tmp_path)
    with pytest.raises(StoreError, match="no store in"):
        list(stored_verdicts(tmp_path))
    (tmp_path / "service.sqlite").write_bytes(b"nonsense" * 200)
    with pytest.raises(StoreError, match="cannot be read"):
        list(stored_verdicts(tmp_path))
    folder = state(tmp_path / "state", [])
    file = sqlite3.connect(folder / "service.sqlite")
    file.execute("PRAGMA user_version = 7")
    file.close()
    with pytest.raises(StoreError, match="version 7"):
        list(stored_verdicts(folder))
