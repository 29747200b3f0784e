from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from local_hub import safetensors

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


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATIX_CASCADE_MODELS", str(tmp_path / "models"))


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


def rows(out: str) -> list[str]:
    """The first line of each model."""
    lines = out.splitlines()
    return [line for line, below in itertools.pairwise(lines) if below.startswith("      ")]


def test_list_for_people(run: Run) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    heads = [line for line in out.splitlines() if line.startswith(("Level", "Shipped"))]
    assert heads == ["Shipped, or of your own", *(f"Level {number}" for number in range(6))]
    found = rows(out)
    assert len(found) == 30
    assert tuple(row.split()[0] for row in found[:4]) == SHIPPED
    assert [int(row.split()[0]) for row in found[4:]] == list(range(1, 27))
    large = next(row for row in found if "qwen3-vl-4b" in row)
    assert large.split() == [
        "14",
        "qwen3-vl-4b",
        "T",
        "4.4B",
        "8.9/4.4/2.5",
        "GB",
        *["vllm", "sglang", "lmdeploy", "missing"],
    ]
    assert "30 models, 4 here" in out


def test_list_as_json(run: Run) -> None:
    code, out, err = run("list", "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert {card["name"] for card in data} == set(bundle().cards)
    for card in data:
        here = card.pop("weights_here")
        assert here["ready"] == (card["name"] in SHIPPED)
        assert card == plain(bundle().cards[card["name"]])


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["--level", "5"], ["qwen2-5-vl-72b", "internvl3-78b"]),
        (["--level", "2"], ["florence-2-large", "sam3", "siglip2-so400m", "depth-anything-3"]),
        (["--level", "2A"], ["siglip2-so400m"]),
        (["--level", "5", "--trained"], ["qwen2-5-vl-72b"]),
        (["--here"], list(SHIPPED)),
    ],
)
def test_list_can_be_narrowed(run: Run, filters: list[str], names: list[str]) -> None:
    code, out, _ = run("list", *filters, "--json")
    assert (code, [card["name"] for card in json.loads(out)]) == (0, names)


def test_a_list_of_nothing_says_so(run: Run) -> None:
    code, out, err = run("list", "--level", "9")
    assert (code, out) == (1, "")
    assert err.startswith("error: no model is like that")


@pytest.mark.parametrize("name", ["road-gate", "siglip2-so400m", "qwen2-5-vl-72b"])
def test_show(run: Run, name: str) -> None:
    card = plain(bundle().cards[name])
    code, out, _ = run("show", name)
    assert (code, yaml.safe_load(out)) == (0, card)
    code, out, _ = run("show", name, "--json")
    shown = json.loads(out)
    assert shown.pop("weights_here")["ready"] == (name in SHIPPED)
    assert (code, shown) == (0, card)


def test_show_marks_what_nobody_confirmed(run: Run) -> None:
    lines = run("show", "siglip2-so400m")[1].splitlines()
    assert "# unverified: nobody has confirmed the licence" in lines[lines.index("licence: Apache-2.0") - 1]
    assert lines[1].startswith("# the design called it Anomaly-OV + AnomalyCLIP; replaced: ")
    lines = run("show", "depth-anything-3")[1].splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  identifier:"))
    assert lines[at - 1] == "  # unverified: nobody has confirmed the identifier"


@pytest.mark.parametrize("verb", ["show", "verify", "fetch"])
def test_an_unknown_model_is_a_wrong_command(run: Run, verb: str) -> None:
    code, out, err = run(verb, "nope")
    assert (code, out) == (2, "")
    assert err.startswith("error: no model ")
    assert "nope" in err
    assert "road-gate" in err


def test_verify_all_and_one(run: Run) -> None:
    code, out, _ = run("verify")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [[name, "ok:"] for name in SHIPPED]
    code, out, _ = run("verify", "road-lite0", "--json")
    (told,) = json.loads(out)
    assert (code, told["model"], told["status"], told["problem"]) == (0, "road-lite0", "ok", None)
    assert told["says"] == "checksum, and it answers"
    assert json.loads(run("verify", "road-lite0", "--quick", "--json")[1])[0]["says"] == "size"


def test_verify_says_how_to_get_what_is_not_here(run: Run) -> None:
    code, out, _ = run("verify", "sam3", "adfnet", "qwen3-vl-4b")
    assert code == 1
    assert [line.split("with: natix-cascade models ")[1] for line in out.splitlines()] == [
        "fetch sam3",
        "link",
        "fetch qwen3-vl-4b",
    ]


def test_fetch_wants_to_know_what(run: Run) -> None:
    for arguments in ([], ["sam3", "--all"], ["--all", "--cascade", "embedded"]):
        code, out, err = run("fetch", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: say what to fetch")


def test_what_the_hub_has_not_is_said_without_asking_it(run: Run) -> None:
    code, out, err = run("fetch", "road-gate", "adfnet", "yolo26x")
    assert (code, err) == (0, "")
    assert [line.split(": ", 1)[1] for line in out.splitlines()] == [
        "its weights belong to its card",
        "a training project makes it: natix-cascade models link",
        "where its weights are to be had: natix-cascade models show yolo26x",
    ]
    code, out, _ = run("fetch", "--cascade", "embedded", "--json")
    assert (code, {one["status"] for one in json.loads(out)}) == (0, {"not on the hub"})


def test_fetching_without_the_library_says_what_to_install(run: Run) -> None:
    if importlib.util.find_spec("huggingface_hub") is not None:
        pytest.skip("huggingface_hub is installed")
    code, out, err = run("fetch", "sam3")
    assert (code, out) == (2, "")
    assert err == ("error: fetching models needs huggingface_hub; install it with: pip install 'natix-cascade[hub]'\n")


def test_link_reports_each_trained_model(run: Run, in_tmp: Path) -> None:
    outputs = in_tmp / "outputs"
    for folder in ("adfnet", "yolo_master"):
        (outputs / folder).mkdir(parents=True)
    (outputs / "adfnet" / "model.safetensors").write_bytes(safetensors(weight=(100, 100)))
    (outputs / "yolo_master" / "best.pt").write_bytes(b"never read")
    code, out, _ = run("link", outputs, "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["dry_run"]) == (1, True)  # one is refused
    assert {one["model"]: one["status"] for one in told["models"]} == {
        "adfnet": "linked",
        "yolo-master-n": "refused",
        **dict.fromkeys(("rf-detr-large", "dinov3-vith16plus", "qwen3-vl-4b"), "missing"),
        **dict.fromkeys(("qwen3-vl-8b-thinking", "qwen3-vl-32b", "qwen2-5-vl-72b"), "missing"),
    }
    assert told["saved_bytes"] == (outputs / "adfnet" / "model.safetensors").stat().st_size
    assert not (in_tmp / "models").exists()
    (outputs / "yolo_master" / "best.pt").unlink()
    code, out, _ = run("link", outputs)
    assert (code, out.splitlines()[-1]) == (0, "0.0 MB saved by linking rather than copying")
    assert (in_tmp / "models" / "custom" / "adfnet" / "model.safetensors").is_symlink()
    assert "adfnet" in run("list", "--here")[1]
    assert "adfnet" in run("verify")[1]
    code, out, err = run("link", in_tmp / "nowhere")
    assert (code, out, err.startswith("error: no folder ")) == (2, "", True)


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
    assert {card["name"] for card in json.loads(out)} == {*bundle().cards, "mine"}
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
    shipped = [card.weights for card in bundle().cards.values() if card.weights is not None]
    assert len(shipped) == len(SHIPPED)
    for weights in shipped:
        assert (WEIGHTS / weights.file).stat().st_size == weights.bytes
