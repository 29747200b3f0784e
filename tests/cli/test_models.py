from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from natix_cascade.cli import main
from natix_cascade.spec.build import plain
from natix_cascade.spec.library import WEIGHTS, bundle
from natix_cascade.testing import make_card

SHIPPED = ("road-gate", "road-lite0", "road-lite1", "road-lite2")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


def write_card(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    data = plain(make_card("mine")) | {"engine": "onnx"} | changes
    (folder / "mine.yaml").write_text(yaml.safe_dump(data), "utf-8")
    return folder


def test_list_for_people(run: Run) -> None:
    code, out, err = run("list")
    head, *lines = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["name", "engine", "input", "params", "GMACs", "size", "licence"]
    assert tuple(line.split()[0] for line in lines) == SHIPPED
    assert lines[0].split()[1:3] == ["onnx", "112x112"]


def test_list_as_json(run: Run) -> None:
    code, out, err = run("list", "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert tuple(card["name"] for card in data) == SHIPPED
    assert data == [plain(card) for card in bundle().cards.values()]


def test_show(run: Run) -> None:
    card = plain(bundle().cards["road-gate"])
    code, out, _ = run("show", "road-gate")
    assert (code, yaml.safe_load(out)) == (0, card)
    code, out, _ = run("show", "road-gate", "--json")
    assert (code, json.loads(out)) == (0, card)


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_an_unknown_model_is_a_wrong_command(run: Run, verb: str) -> None:
    code, out, err = run(verb, "nope")
    assert (code, out) == (2, "")
    assert err == f"error: no model nope; known: {', '.join(SHIPPED)}\n".replace(
        "nope", "'nope'" if verb == "show" else "nope"
    )


def test_verify_all_and_one(run: Run) -> None:
    code, out, _ = run("verify")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [[name, "ok"] for name in SHIPPED]
    code, out, _ = run("verify", "road-lite0", "--json")
    assert (code, json.loads(out)) == (0, [{"model": "road-lite0", "problem": None}])


def test_verify_finds_missing_changed_and_broken_weights(run: Run, in_tmp: Path) -> None:
    cards = write_card(in_tmp / "cards")
    code, out, _ = run("verify", "mine", "--cards", cards)
    assert code == 1
    assert "no weights at" in out
    (cards / "mine.none").write_bytes(b"x")
    code, out, _ = run("verify", "mine", "--cards", cards, "--json")
    assert code == 1
    assert "sha256" in json.loads(out)[0]["problem"]
    write_card(cards, weights={"file": "mine.none", "sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1})
    code, out, err = run("verify", "mine", "--cards", cards, "--json")
    assert code == 1
    assert "cannot load" in json.loads(out)[0]["problem"]
    assert err == ""


def test_cards_of_a_folder_stand_beside_the_shipped_ones(run: Run, in_tmp: Path) -> None:
    cards = write_card(in_tmp / "cards")
    code, out, _ = run("list", "--cards", cards, "--json")
    assert code == 0
    assert [card["name"] for card in json.loads(out)] == [*SHIPPED, "mine"]
    code, out, err = run("list", "--cards", "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("error: no folder of cards at nowhere")


def test_a_broken_card_is_one_sentence(run: Run, in_tmp: Path) -> None:
    code, out, err = run("list", "--cards", write_card(in_tmp / "cards", engine=5))
    assert (code, out) == (2, "")
    assert "mine.yaml" in err
    assert "engine" in err
    assert "Traceback" not in err


def test_shipped_weights_are_where_the_cards_say() -> None:
    for card in bundle().cards.values():
        assert (WEIGHTS / card.weights.file).stat().st_size == card.weights.bytes
