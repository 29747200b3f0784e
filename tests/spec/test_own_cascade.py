"""A cascade of one's own on another question, from files to verdicts; and the verb that checks such files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_onnx import Tiny
from typer.testing import CliRunner

from natix_cascade.cli.spec import app
from natix_cascade.decide import positive, replay
from natix_cascade.errors import SpecError
from natix_cascade.models import load_model
from natix_cascade.spec.build import plain
from natix_cascade.spec.library import load_cascade

QUESTION = {"id": "night", "text": "Is it night?", "positive": "night", "negative": "day"}


@pytest.fixture
def cascade(tmp_path: Path) -> Path:
    """`night.yaml` with two cards, their weights and a policy beside it."""
    cards = tmp_path / "cards"
    cards.mkdir()
    quick = Tiny(name="quick", classes=("day", "night"), positive="night", slopes=(-0.05,), shifts=(3.0,))
    thorough = Tiny(
        name="thorough",
        classes=("night", "day"),
        positive="night",
        kind="logits",
        slopes=(0.0, 0.1),
        shifts=(0.0, -6.0),
        layout="NCHW",
        height=16,
    )
    for tiny in (quick, thorough):
        card, _ = tiny.write(cards)
        (cards / f"{tiny.name}.yaml").write_text(yaml.safe_dump(plain(card)))
    (tmp_path / "fitted.json").write_text(
        json.dumps({"name": "fitted", "cascade": "night", "calibrators": {"quick": {"kind": "platt", "slope": 2.0}}})
    )
    spec = {
        "name": "night",
        "question": QUESTION,
        "policy": "fitted.json",
        "levels": [
            {"name": "glance", "members": [{"model": "quick"}], "exit": {"yes": 0.9, "no": 0.1}},
            {"name": "look", "members": [{"model": "thorough", "weight": 2}]},
        ],
    }
    path = tmp_path / "night.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def test_it_runs_from_files_to_answers(cascade: Path) -> None:
    resolved, weights = load_cascade(cascade)
    assert (resolved.policy, resolved.question.id) == ("fitted@1", "night")
    models = [load_model(resolved.cards[name], weights[name]) for name in resolved.models]
    shades = [0, 50, 62, 90, 255]
    pictures = [np.full((30, 40, 3), shade, np.uint8) for shade in shades]
    scores = np.stack([model.predict([model.prepare(each) for each in pictures]).scores for model in models], axis=1)
    progress = replay(resolved, scores)
    assert positive(resolved, progress).tolist() == [True, True, False, False, False]
    assert progress.exit_level.tolist() == [0, 1, 1, 0, 0]
    for model in models:
        model.close()


def test_policies_can_be_chosen(cascade: Path) -> None:
    assert load_cascade(cascade, policy="none")[0].policy == "none"
    assert load_cascade(str(cascade), policy=cascade.parent / "fitted.json")[0].policy == "fitted@1"
    with pytest.raises(SpecError, match=r"no policy 'gone\.json': neither a file nor one of"):
        load_cascade(cascade, policy="gone.json")
    with pytest.raises(SpecError, match="no folder of cards at"):
        load_cascade(cascade, cards=cascade.parent / "nothing")
    with pytest.raises(SpecError, match="no cascade 'gone': neither a file nor one of"):
        load_cascade("gone")


def test_two_cards_of_one_name(cascade: Path) -> None:
    twin = cascade.parent / "cards" / "twin.yaml"
    twin.write_text((cascade.parent / "cards" / "quick.yaml").read_text())
    with pytest.raises(SpecError, match=r"twin\.yaml: name: another card in this folder is named 'quick'"):
        load_cascade(cascade)


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(each) for each in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_check_says_what_each_file_is(cascade: Path) -> None:
    folder = cascade.parent
    code, out, err = run("check", cascade, folder / "fitted.json", folder / "cards" / "quick.yaml")
    assert (code, err) == (0, "")
    assert [line.rpartition(": ")[2] for line in out.splitlines()] == ["ok, a cascade", "ok, a policy", "ok, a card"]


def test_check_prints_each_problem_with_its_line(cascade: Path) -> None:
    folder = cascade.parent
    card, policy = folder / "cards" / "quick.yaml", folder / "fitted.json"
    card.write_text(card.read_text().replace("positive: night", "positive: dusk\nlicense: MIT"))
    code, out, err = run("check", card, policy)
    assert (code, out) == (2, f"{policy}: ok, a policy\n")
    line = card.read_text().splitlines().index("license: MIT") + 1
    assert err == f"{card}:{line}: license: unknown key (given: 'MIT')\n"
    card.write_text(card.read_text().replace("license: MIT\n", ""))
    assert run("check", card)[2] == f"{card}:{line - 1}: positive: 'dusk' is not one of classes (day, night)\n"
    policy.write_text(
        '{"name": "p", "cascade": "night",\n "calibrators": {\n'
        '  "quick": {"kind": "isotonic", "scores": [0.5], "probabilities": [0.1, 0.2]}}}'
    )
    assert run("check", policy)[2].startswith(f"{policy}:3: calibrators.quick: isotonic calibrator: 1 scores but 2")


def test_check_looks_at_what_a_cascade_needs(cascade: Path) -> None:
    (cascade.parent / "cards" / "quick.yaml").unlink()
    code, _, err = run("check", cascade)
    assert code == 2
    assert err.startswith(f"{cascade}: cascade 'night': no card for model 'quick'")
    assert run("check", "--alone", cascade)[0] == 0


def test_check_of_files_that_could_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text("name: x\n")
    code, _, err = run("check", path)
    assert code == 2
    assert err.startswith(f"{path}:1: cannot tell from its keys whether")
    assert "levels: Field required" in run("check", "--kind", "cascade", path)[2]
    assert run("check", tmp_path / "gone.yaml")[0] == 2


def test_show(cascade: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = run("show", cascade)
    assert code == 0
    assert "Is it night? (night or day)" in out
    assert "yes >= 0.9, no <= 0.1" in out
    code, out, _ = run("show", cascade, "--json", "--policy", "none")
    shown = json.loads(out)
    assert (code, shown["policy"], shown["question"]) == (0, "none", QUESTION)
    assert [level["members"][0]["model"] for level in shown["levels"]] == ["quick", "thorough"]
    assert shown["levels"][0]["exit"] == {"rule": "threshold", "yes": 0.9, "no": 0.1}


def test_schema(tmp_path: Path) -> None:
    code, out, _ = run("schema", "--out", tmp_path / "a" / "b")
    assert code == 0
    assert all(json.loads(Path(line).read_text())["type"] == "object" for line in out.splitlines())
    (tmp_path / "file").write_text("")
    assert run("schema", "--out", tmp_path / "file")[0] == 2


def test_the_question_is_not_wired_in(cascade: Path) -> None:
    resolved, _ = load_cascade(cascade)
    text = repr(replace(resolved, cards={}))
    assert "roadwork" not in text
