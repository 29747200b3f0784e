"""The verbs `plan make` and `plan check`."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "plan"))  # for made_records.py: test folders are not packages
from made_records import labelled, yes_no

from natix_cascade.cli.plan import app
from natix_cascade.plan import Records, plan, read_records, write_records
from natix_cascade.plan.sequential import Watch
from natix_cascade.spec.build import plain
from natix_cascade.spec.library import bundle, load_policy
from natix_cascade.spec.policy import Policy

runner = CliRunner()
SHIPPED = ["road-gate", "road-lite0", "road-lite1"]
CHAIN = ("--levels", "gate > large")
CHECKED = {
    "cost",
    "reference_cost",
    "metric",
    "reference_metric",
    "regret",
    "exit_shares",
    "holds",
    "within",
    "p_value",
    "alarm",
    "limit",
    "budget",
    "pictures",
    "groups",
    "sequential",
}


def run(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def make(*arguments: object) -> Any:
    return run("make", *arguments)


def check(*arguments: object) -> Any:
    return run("check", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records in files: to plan with, and of days on which nothing changed or the cheap model got worse."""
    place = tmp_path_factory.mktemp("records")
    half = np.where(np.arange(1_200) % 4 < 2, "calibration", "test")
    made = yes_no(1_200, 3, group_size=2, latency=(1.0, 3.0, 8.0))
    write_records(replace(made, split=half, costs=made.costs | {"usd": np.array([0.0, 1.0, 2.0])}), place / "r.parquet")
    write_records(labelled(800, 0), place / "labels.parquet")
    write_records(yes_no(2_000, 11, group_size=2), place / "good.parquet")
    write_records(yes_no(2_000, 12, group_size=2, drift=0.8), place / "bad.parquet")
    return place


@pytest.fixture(scope="module")
def policy(folder: Path) -> Path:
    out = folder / "held.json"
    result = make(folder / "r.parquet", "--out", out, "--max-regret", 0.03, *CHAIN)
    assert result.exit_code == 0, result.output
    return out


def test_files_are_written_and_told(folder: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "sub" / "p.json", tmp_path / "front.csv"
    result = make(folder / "r.parquet", "-o", out, "--max-regret", "0.02", "--table", table, "--name", "mine")
    assert result.exit_code == 0, result.output
    page = tmp_path / "sub" / "p.html"
    for file in (out, page, table):
        assert f"wrote {file}" in result.stderr.replace("\n", "")
    for words in ("gmacs a picture instead of", "times cheaper than large", "accuracy", "leave", "Beside it"):
        assert words in result.stdout
    made = load_policy(out)
    assert made.name == "mine"
    assert made.promise is not None
    assert made.promise.limit == 0.02
    assert made.promise.delta is None
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "mine" in text
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [*rows[0]] == ["name", "kind", "cost", "unit", "accuracy", "low", "high", "certified"]
    assert [row["kind"] for row in rows].count("chosen") == 1
    assert {row["unit"] for row in rows} == {"gmacs"}
    for row in rows:
        assert float(row["low"]) <= float(row["accuracy"]) + 1e-9 <= float(row["high"]) + 2e-9


def test_json_is_all_there_is_on_standard_output(folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "p.json", tmp_path / "own.html"
    result = make(folder / "r.parquet", "--out", out, "--html", page, "--max-regret", "0.02", *CHAIN, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert {"unit", "metric", "reference", "limit", "budget", "delta", "expected", "points", "steps"} <= set(data)
    assert {"policy", "pictures", "groups", "p_value", "notes", "created", "files"} <= set(data)
    assert data["files"] == [str(out), str(page)]
    assert (data["limit"], data["delta"], data["p_value"], data["budget"]) == (0.02, None, None, None)
    assert (data["pictures"], data["groups"]) == (1_200, 600)
    assert sum(data["expected"]["exit_shares"].values()) == pytest.approx(1)
    assert data["policy"] == "planned@1"
    assert page.exists()
    assert not (tmp_path / "p.html").exists()


def test_what_is_written_is_what_the_library_plans(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    records = read_records(folder / "r.parquet")
    assert make(folder / "r.parquet", "--out", out, "--budget", "12", "--seed", "2").exit_code == 0
    assert load_policy(out) == plan(records, budget=12.0, seed=2).policy
    options = ["--metric", "mcc", "--prevalence", "0.2", "--reference", "vote:small,large", "--voting", "mean"]
    assert make(folder / "r.parquet", "--out", out, "--max-regret", "0.05", *options, *CHAIN).exit_code == 0
    wish: dict[str, Any] = {"metric": "mcc", "prevalence": 0.2, "reference": "vote:small,large", "voting": "mean"}
    wish["levels"] = (("gate",), ("large",))
    assert load_policy(out) == plan(records, max_regret=0.05, **wish).policy


@pytest.mark.parametrize("options", [("--max-regret", 0.06, "--delta", 0.2), ("--risk", 0.06, "--delta", 0.2)])
def test_a_limit_with_delta_is_certified(folder: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    out = tmp_path / "p.json"
    result = make(folder / "r.parquet", "--out", out, *options, *CHAIN, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["limit"], data["delta"]) == (0.06, 0.2)
    assert 0 <= data["p_value"] <= 0.2
    made = load_policy(out)
    assert made.promise is not None
    assert (made.promise.limit, made.promise.delta) == (0.06, 0.2)
    assert made.certificate["test"] == "exact"


def test_a_guarantee_is_told_to_people(folder: Path, tmp_path: Path) -> None:
    result = make(folder / "r.parquet", "--out", tmp_path / "p.json", "--risk", "0.06", *CHAIN)
    assert result.exit_code == 0, result.output
    assert "guaranteed: regret at most 0.06 with probability 90%" in result.stdout


def test_models_levels_split_and_unit_are_taken(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    options = ["--budget", "1.5", "--models", "gate, large", "--levels", "gate > large", "--split", "calibration"]
    result = make(folder / "r.parquet", "--out", out, *options, "--unit", "usd", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["pictures"] == 600
    assert data["unit"] == "usd"
    assert [step["models"] for step in data["steps"]] == [["gate"], ["large"]]
    together = make(folder / "r.parquet", "--out", out, "--budget", "30", "--levels", "gate+small>large", "--json")
    assert [step["models"] for step in json.loads(together.stdout)["steps"]] == [["gate", "small"], ["large"]]
    assert make(folder / "r.parquet", "--out", out, "--max-regret", "0.05", "--latency", "9").exit_code == 0


def test_labels_are_planned_and_checked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    assert make(folder / "labels.parquet", "--out", out, "--max-regret", "0.02").exit_code == 0
    assert len(load_policy(out).labels) == 5
    result = check(out, folder / "labels.parquet", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["holds"] is True


def shipped(seed: int) -> Records:
    cards = bundle().cards
    made = yes_no(600, seed)
    return replace(
        made, models=tuple(SHIPPED), sha256={name: cards[name].weights.sha256 for name in SHIPPED if name in cards}
    )


def test_the_shipped_cascade_of_these_models_is_named(folder: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "p.json", write_records(shipped(0), tmp_path / "r.parquet")
    options = ["--out", out, "--max-regret", "0.05", "--levels"]
    assert make(file, *options, "road-gate > road-lite1").exit_code == 0
    assert load_policy(out).cascade == "embedded"
    assert make(file, *options, "road-gate > road-lite1", "--cascade", "own").exit_code == 0
    assert load_policy(out).cascade == "own"
    assert make(folder / "r.parquet", *options, "gate > large").exit_code == 0
    assert load_policy(out).cascade == "planned"


def test_the_front_as_a_picture(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    png = tmp_path / "front.png"
    options = ["--budget", "12", *CHAIN, "--png", png, "--json"]
    result = make(folder / "r.parquet", "--out", tmp_path / "p.json", *options)
    assert result.exit_code == 0, result.output
    assert png.read_bytes().startswith(b"\x89PNG")
    assert json.loads(result.stdout)["files"][-1] == str(png)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "a plan needs one aim, not 0 (none given)"),
        (["--max-regret", "0.1", "--budget", "3"], "a plan needs one aim, not 2 (max_regret, budget)"),
        (["--risk", "0.1", "--delta", "0"], "delta is 0.0, but a probability between 0 and 1 is needed"),
        (["--budget", "0.5"], "no plan costs at most 0.5 gmacs; the cheapest costs 1"),
        (["--max-regret", "0.1", "--reference", "huge"], "reference 'huge' is not in these records"),
        (["--max-regret", "0.1", "--models", "gate,huge"], "no model 'huge' in these records, which have gate"),
        (["--max-regret", "0.1", "--levels", "gate > huge"], "no model 'huge' in these records, which have gate"),
        (
            ["--max-regret", "0.1", "--split", "train"],
            "has no rows of the split 'train'; its splits: calibration, test",
        ),
        (["--max-regret", "0.1", "--unit", "eur"], "no costs in 'eur'; these records have gmacs, usd"),
        (["--max-regret", "0.1", "--conditional"], "conditional needs risk, and accuracy as the metric"),
        (["--max-regret", "0.1", "--prevalence", "2"], "prevalence is 2.0, but a share between 0 and 1 is needed"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(folder: Path, tmp_path: Path, options: list[str], message: str) -> None:
    out = tmp_path / "p.json"
    result = make(folder / "r.parquet", "--out", out, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    said = result.stderr.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    assert result.stdout == ""
    assert not out.exists()


def test_records_that_are_not_there_or_no_records(folder: Path, policy: Path, tmp_path: Path) -> None:
    text = tmp_path / "t.parquet"
    text.write_text("no")
    for result, message in (
        (make(tmp_path / "none.parquet", "--out", tmp_path / "p.json", "--budget", "1"), "no records at"),
        (make(text, "--out", tmp_path / "p.json", "--budget", "1"), "cannot be read as Parquet"),
        (check(policy, tmp_path / "none.parquet"), "no records at"),
        (check(tmp_path / "none.json", folder / "good.parquet"), "no policy"),
        (
            check(policy, folder / "good.parquet", "--split", "test"),
            "has no rows of the split 'test'; its splits: none",
        ),
    ):
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


def test_a_promise_that_holds(folder: Path, policy: Path) -> None:
    result = check(policy, folder / "good.parquet")
    assert result.exit_code == 0, result.output
    assert "promise (regret at most 0.03): holds" in result.stdout
    assert "leave at: gate" in result.stdout
    data = json.loads(check(policy, folder / "good.parquet", "--json").stdout)
    assert set(data) == CHECKED
    assert data["holds"] is True
    assert (data["limit"], data["budget"], data["alarm"], data["sequential"]) == (0.03, None, 0.05, False)
    assert (data["pictures"], data["groups"]) == (2_000, 1_000)
    assert data["regret"] == pytest.approx(data["reference_metric"] - data["metric"])
    assert data["reference_cost"] == 40
    assert 1 < data["cost"] < 40
    assert sum(data["exit_shares"].values()) == pytest.approx(1)


def test_a_promise_that_is_broken(folder: Path, policy: Path) -> None:
    result = check(policy, folder / "bad.parquet", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["holds"], data["within"]) == (False, False)
    assert data["p_value"] < 0.05
    people = check(policy, folder / "bad.parquet")
    assert people.exit_code == 1
    assert "promise (regret at most 0.03): BROKEN" in people.stdout


def test_the_alarm_can_be_set(folder: Path, policy: Path) -> None:
    p = json.loads(check(policy, folder / "bad.parquet", "--json").stdout)["p_value"]
    assert check(policy, folder / "bad.parquet", "--alarm", p / 2).exit_code in {0, 1}
    data = json.loads(check(policy, folder / "good.parquet", "--alarm", 0.2, "--json").stdout)
    assert data["alarm"] == 0.2


def test_day_after_day_a_state_gathers_evidence(policy: Path, tmp_path: Path) -> None:
    state, day = tmp_path / "watch.json", tmp_path / "day.parquet"
    seen = 0
    for number in range(3):
        write_records(yes_no(300, 100 + number, group_size=2), day)
        result = check(policy, day, "--state", state, "--json")
        assert result.exit_code == 0, result.output
        seen += 300
        data = json.loads(result.stdout)
        assert (data["pictures"], data["groups"], data["sequential"]) == (seen, seen // 2, True)
        assert Watch.from_dict(json.loads(state.read_text())).pictures == seen
    codes = []
    for number in range(10):
        write_records(yes_no(300, 200 + number, group_size=2, drift=0.8), day)
        codes.append(check(policy, day, "--state", state, "--json").exit_code)
    assert codes[-1] == 1
    assert codes == sorted(codes)  # once broken, it stays so
    write_records(yes_no(300, 300, group_size=2), day)
    assert check(policy, day, "--state", state).exit_code == 1
    assert check(policy, day).exit_code == 0  # the day alone is fine


@pytest.mark.parametrize("text", ["no json", "{}", "[1]", '{"alpha": 1}'])
def test_another_file_is_no_state(folder: Path, policy: Path, tmp_path: Path, text: str) -> None:
    state = tmp_path / "watch.json"
    state.write_text(text)
    result = check(policy, folder / "good.parquet", "--state", state)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "watch" in result.stderr
    assert state.read_text() == text  # it is left alone


def test_a_state_belongs_to_one_promise(folder: Path, policy: Path, tmp_path: Path) -> None:
    state = tmp_path / "watch.json"
    assert check(policy, folder / "good.parquet", "--state", state).exit_code == 0
    before = state.read_text()
    other = tmp_path / "other.json"
    assert make(folder / "r.parquet", "--out", other, "--max-regret", "0.05", *CHAIN).exit_code == 0
    result = check(other, folder / "good.parquet", "--state", state)
    assert result.exit_code == 2
    assert "watches over a limit of 0.03 with alarm 0.05, not 0.05 and 0.05" in result.stderr
    assert result.stderr.count("\n") == 1
    assert check(policy, folder / "good.parquet", "--state", state, "--alarm", "0.01").exit_code == 2
    assert state.read_text() == before


def test_a_budget_has_no_state(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    assert make(folder / "r.parquet", "--out", out, "--budget", "20", *CHAIN).exit_code == 0
    good = check(out, folder / "good.parquet", "--json")
    assert json.loads(good.stdout)["budget"] == 20
    assert "promise (cost at most 20 gmacs)" in check(out, folder / "good.parquet").stdout
    result = check(out, folder / "good.parquet", "--state", tmp_path / "watch.json")
    assert result.exit_code == 2
    assert "a watch over many days is for promises of accuracy" in result.stderr
    assert not (tmp_path / "watch.json").exists()


def told(policy: Policy, records: Path, tmp_path: Path) -> str:
    """The one sentence with which a check is refused."""
    file = tmp_path / "told.json"
    file.write_text(json.dumps(plain(policy)))
    result = check(file, records)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


def test_what_cannot_be_checked_is_one_sentence(folder: Path, policy: Path, tmp_path: Path) -> None:
    held, good = load_policy(policy), folder / "good.parquet"
    assert "promises nothing; make one with 'natix-cascade plan make'" in told(
        replace(held, promise=None), good, tmp_path
    )
    part = write_records(yes_no(100, 0).only(["gate", "small"]), tmp_path / "part.parquet")
    assert "no model 'large' in these records, which have gate, small" in told(held, part, tmp_path)
    digests = {"gate": "a" * 64, "large": "b" * 64}
    mine = write_records(yes_no(300, 0, sha256=digests), tmp_path / "mine.parquet")
    other = replace(held, models=digests | {"large": "c" * 64})
    assert "made with other weights of 'large' (sha256 cccccccccccc...)" in told(other, mine, tmp_path)
    file = tmp_path / "p.json"
    file.write_text('{"name": 3}')
    result = check(file, good)
    assert result.exit_code == 2
    assert "p.json:1: name" in result.stderr
