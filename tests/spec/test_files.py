"""Good files are read; each bad one is refused with its file, line and key, and never with all of memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from natix_cascade.errors import SpecError
from natix_cascade.spec import parse as parsing
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.files import read_spec, validate
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.rules import Agreement, Platt, Threshold, Window

CARD = """\
# a card
name: owl
licence: MIT
input: {height: 8, width: 8}
weights:
  file: owl.onnx
  sha256: "{digest}"
  bytes: 10
""".replace("{digest}", "ab" * 32)
CASCADE = """\
name: two-steps
levels:
  - name: first
    members:
      - model: owl
        weight: 1e-1
    exit: {rule: threshold, yes: 0.9, no: 0.1}
  - name: second
    members: [{model: lark, band: [0, 0.5]}]
"""
POLICY = """\
{
\t"name": "fitted",
\t"cascade": "two-steps",
\t"calibrators": {"owl": {"kind": "platt", "slope": 2, "intercept": -1e-05}},
\t"certificate": {"risk": 1e-05, "of": "\\ud83e\\udd89"}
}
"""


def write(folder: Path, text: str | bytes, name: str = "it.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes, kind: type = CascadeSpec, name: str = "it.yaml") -> list[str]:
    path = write(folder, text, name)
    with pytest.raises(SpecError) as caught:
        read_spec(path, kind)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    assert all(len(line) < len(str(path)) + 300 for line in lines)
    return [line.removeprefix(str(path)).removeprefix(":") for line in lines]


def test_good_files(tmp_path: Path) -> None:
    card = read_spec(write(tmp_path, CARD), ModelCard)
    assert (card.name, card.engine, card.input.height, card.positive) == ("owl", "onnx", 8, "roadwork")
    cascade = read_spec(write(tmp_path, CASCADE), CascadeSpec)
    assert cascade.levels[0].exit == Threshold(yes=0.9, no=0.1)  # `yes` and `no` are words here
    assert cascade.levels[0].members[0].weight == 0.1
    assert cascade.levels[1].members[0].band == (0.0, 0.5)
    policy = read_spec(write(tmp_path, POLICY, "it.json"), Policy)
    assert policy.calibrators == {"owl": Platt(slope=2.0, intercept=-1e-05)}
    assert policy.certificate == {"risk": 1e-05, "of": "\N{OWL}"}


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    text = CARD + "classes: [no, yes]\npositive: yes\nversion: 2024-01-02\nnotes: 12:30:45\ntrained: true\n"
    card = read_spec(write(tmp_path, text), ModelCard)
    assert (card.classes, card.positive, card.version) == (("no", "yes"), "yes", "2024-01-02")
    assert (card.notes, card.trained) == ("12:30:45", True)


def test_byte_order_marks_and_windows_line_ends(tmp_path: Path) -> None:
    assert read_spec(write(tmp_path, b"\xef\xbb\xbf" + CARD.replace("\n", "\r\n").encode()), ModelCard).name == "owl"
    assert read_spec(write(tmp_path, b"\xef\xbb\xbf" + POLICY.encode(), "it.json"), Policy).name == "fitted"


def test_aliases_and_merges_may_be_used(tmp_path: Path) -> None:
    text = (
        "name: a\nlevels:\n  - &base\n    name: x\n    members: [{model: m}]\n  - {<<: *base, name: y, members: []}\n"
    )
    cascade = read_spec(write(tmp_path, text), CascadeSpec)
    assert [level.name for level in cascade.levels] == ["x", "y"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("weight: 1e-1", "wieght: 1", 6, "levels.0.members.0.wieght: unknown key (given: 1)"),
        ("weight: 1e-1", "weight: heavy", 6, "levels.0.members.0.weight: Input should be a valid number"),
        ("weight: 1e-1", "weight: -1", 6, "levels.0.members.0.weight: Input should be greater than or equal to 0"),
        ("weight: 1e-1", "weight: .nan", 6, "levels.0.members.0.weight: Input should be a finite number"),
        ("weight: 1e-1", "weight: .inf", 6, "levels.0.members.0.weight: Input should be a finite number"),
        ("model: owl\n        ", "", 5, "levels.0.members.0.model: Field required"),
        ("name: two-steps\n", "", 1, "name: Field required"),
        ("[0, 0.5]", "[0]", 9, "levels.1.members.0.band.1: Field required"),
        ("[0, 0.5]", "[0, 2]", 9, "levels.1.members.0.band.1: Input should be less than or equal to 1 (given: 2)"),
        ("name: second", "name: [x]", 8, "levels.1.name: Input should be a valid string (given: ['x'])"),
        ("name: second", "name: ''", 8, "levels.1.name: String should have at least 1 character"),
        ("yes: 0.9", "yep: 0.9", 7, "levels.0.exit.yep: unknown key (given: 0.9)"),
        ("yes: 0.9", "yes: 9", 7, "levels.0.exit.yes: Input should be less than or equal to 1 (given: 9)"),
        ("rule: threshold", "rule: treshold", 7, "levels.0.exit.rule: unknown rule; write one of 'threshold', 'agr"),
        ("rule: threshold, yes", "yep", 7, "levels.0.exit: fits no rule; write rule: one of 'threshold'"),
        ("{rule: threshold, yes: 0.9, no: 0.1}", "yes", 7, "levels.0.exit: wanted keys, among them rule: one of"),
        ("name: second", "name: second\n    mode: some", 9, "levels.1.mode: Input should be 'all', 'one' or 'until-"),
        ("name: second", "name: second\n    7: x", 9, "levels.1.7: Keys should be strings"),
        ("name: second", "name: second\n    name: third", 9, "name: given twice; keep one"),
        ("{rule:", "{no: 0.2, rule:", 7, "no: given twice; keep one"),
        ("name: two-steps\n", "name: two-steps\nname: x\n", 2, "name: given twice; keep one"),
        ("  - name: second", "\t- name: second", 8, "not valid YAML: found character '\\t'"),
        ("[0, 0.5]", "[0, 0.5", 9, "not valid YAML: expected ',' or ']'"),
        ("name: second", "name: *nobody", 8, "not valid YAML: found undefined alias"),
        ("name: second", "name: !!python/object:os.system x", 8, "not valid YAML: could not determine a constructor"),
        ("name: second", "name: second\n    ? [a, {b: c}]\n    : 1", 9, "not valid YAML: found unhashable key"),
        ("name: two-steps", "name: two-steps\n---\nname: again", 2, "not valid YAML: but found another document"),
        ("name: second", "name: \x07", 8, "not valid YAML: special characters are not"),
    ],
)
def test_each_problem_has_its_line_and_key(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in CASCADE
    found = problems(tmp_path, CASCADE.replace(old, new))
    assert len(found) == 1, found
    assert found[0].startswith(f"{line}: {said}")


def test_several_problems_are_several_lines(tmp_path: Path) -> None:
    text = CARD.replace("height: 8", "height: 7").replace("bytes: 10", "bytes: 0\n  kilobytes: 1").replace("abab", "ab")
    found = problems(tmp_path, text, ModelCard)
    assert [line.split(": ")[:2] for line in found] == [
        ["4", "input.height"],
        ["7", "weights.sha256"],
        ["8", "weights.bytes"],
        ["9", "weights.kilobytes"],
    ]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "it.yaml", " is empty, wanted the keys of a CascadeSpec"),
        ("# nothing\n", "it.yaml", " is empty"),
        ("", "it.json", " is empty"),
        ("null", "it.json", "1: is empty"),
        ("# list\n- name: a\n", "it.yaml", "2: holds list, wanted the keys of a CascadeSpec"),
        ("[1]", "it.json", "1: holds list"),
        ("just words", "it.yaml", "1: holds str"),
        (b"name: caf\xe9\n", "it.yaml", "1: cannot be read as text: byte 9 is not UTF-8"),
        (b"name: a\nx: \xff\n", "it.json", "2: cannot be read as text"),
        ("name: a".encode("utf-16"), "it.yaml", "1: cannot be read as text"),
        ('{"name": "a",\n "levels": [}', "it.json", "2: not valid JSON: "),
        ('{"name": NaN}', "it.json", " not valid JSON: NaN is not a number of JSON"),
        ('{"name": "a",\n\t"name": "b"}', "it.json", "2: name: given twice; keep one"),
        ('{"name": "a",\n\t"levels": 3}', "it.json", "2: levels: Input should be a valid tuple (given: 3)"),
        ("a: " + "9" * 5000, "it.yaml", " not valid YAML: Exceeds the limit"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: str | bytes, name: str, said: str) -> None:
    found = problems(tmp_path, text, name=name)[0]
    assert found.startswith(said)


def test_json_names_twice_even_where_yaml_cannot_say_the_line(tmp_path: Path) -> None:
    long = "k" * 1100  # longer than a key of YAML may be
    assert problems(tmp_path, f'{{"{long}": 1, "name": 2, "name": 3}}', name="it.json") == [
        " name: given twice; keep one"
    ]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read: No such file"):
        read_spec(tmp_path / "gone.yaml", ModelCard)
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_spec(tmp_path, ModelCard)


LAUGHS = "name: &a0 [lol, lol]\n" + "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
MERGES = "k0: &a0 {x: 1, y: 2}\n" + "".join(
    f"k{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30)
)
LONG = f"s: &s {'x' * 100_000}\nclasses: [{', '.join(['*s'] * 1000)}]\n"
BIG_FILE = "name: " + "x" * (4 * 1024 * 1024)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "7: its aliases, written out, make more than 4194304 characters"),
        (MERGES, "its aliases, written out, make more than"),
        (LONG, "2: its aliases, written out"),
        ("name: a\nlevels: &l [*l]\n", "2: an anchor holds itself; write the values out"),
        ("name: &m\n  again: *m\n", "an anchor holds itself"),
        ("name: " + " [\n" * 20_000, "not valid YAML: nested too deeply"),
        (BIG_FILE, "larger than 4194304 bytes; a card, cascade or policy is a small text file"),
    ],
    ids=["laughs", "merges", "long", "itself", "mapping", "deep", "huge"],
)
def test_bombs_do_not_go_off(tmp_path: Path, text: str, said: str) -> None:
    tracemalloc.start()
    try:
        found = problems(tmp_path, text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    assert said in found[0]
    assert peak < 100e6


def test_deep_json(tmp_path: Path) -> None:
    assert problems(tmp_path, "[" * 100_000, name="it.json") == [" not valid JSON: nested too deeply"]
    assert "name" in problems(tmp_path, '{"name": ' + "[" * 400 + "]" * 400 + "}", name="it.json")[0]


def test_an_endless_file_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_MAX_BYTES", 1000)
    with pytest.raises(SpecError, match="larger than 1000 bytes"):
        read_spec(Path("/dev/zero"), ModelCard)


def test_validating_data_without_a_file() -> None:
    assert validate(Window, {"half_width": 2}) == Window(half_width=2.0)
    with pytest.raises(SpecError, match=r"^<data>: members: Input should be greater than or equal to 1"):
        validate(Agreement, {"members": 0})
    with pytest.raises(SpecError, match=r"^here: holds list, wanted the keys of a Window"):
        validate(Window, [], source="here")


def test_all_members_of_unions_are_told_apart(tmp_path: Path) -> None:
    data = json.loads(POLICY)
    for calibrator, said in [
        ({"kind": "platt", "slope": 0}, "calibrators.owl.slope: Input should be greater than 0"),
        ({"kind": "isotonic", "scores": [0.5]}, "calibrators.owl.probabilities: Field required"),
        ({"kind": "binning", "probabilities": [2]}, "calibrators.owl.probabilities.0: Input should be less than or"),
        ({"kind": "plat"}, "calibrators.owl.kind: unknown kind; write one of 'identity', 'temperature', 'platt'"),
        (None, "calibrators.owl: wanted keys, among them kind: one of"),
    ]:
        found = problems(tmp_path, json.dumps(data | {"calibrators": {"owl": calibrator}}), Policy, "it.json")
        assert len(found) == 1, found
        assert found[0].startswith(f"1: {said}")
