from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from natix_cascade.cli.records import app
from natix_cascade.cli.records_summary import _auc
from natix_cascade.plan.records import read_records

runner = CliRunner()
ANSWERS = "row,true_label,pred_label,confidence\n"


def run(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "answers"
    place.mkdir()
    (place / "small.csv").write_text(ANSWERS + "0,cat,dog,0.5\n1,dog,dog,0.75\n2,cow,cow,1\n3,cow,,\n")
    (place / "big.csv").write_text(ANSWERS + "0,cat,cat,0.9\n1,dog,dog,0.8\n2,cow,cow,0.7\n3,cow,cow,0.6\n")
    (place / "costs.csv").write_text("model,usd,ms\nbig,0.5,3\nsmall,0,1\n")
    return place


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    file = tmp_path / "wide.csv"
    rows = [f"p{k},drive{k // 2},{k % 2},{0.1 + 0.7 * (k % 2)},{0.3 if k else ''},test" for k in range(8)]
    file.write_text("\n".join(["name,drive,roadwork,scout,judge,part", *rows, ""]))
    return file


def test_a_folder_in_and_shown(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    result = run("import", folder, "--cost-column", "ms", "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"4 pictures, 3 labels, 2 models, cost in ms; written to {out}\n"
    data = json.loads(run("show", out, "--json").stdout)
    assert data["labels"] == {"cat": 1, "cow": 2, "dog": 1}
    assert (data["kind"], data["unit"], data["splits"], data["levels"]) == ("labels", "ms", {}, {})
    assert data["models"]["small"] == {
        "answers": 3,
        "failures": 1,
        "accuracy": pytest.approx(2 / 3),
        "mean_confidence": pytest.approx(0.75),
        "costs": {"usd": 0.0, "ms": 1.0},
        "latency_ms": None,
        "sha256": None,
    }
    shown = run("show", out)
    assert shown.exit_code == 0
    for word in ("4 pictures, 3 labels, 2 models", "labels: cat 1, cow 2, dog 1", "small", "0.6667", "confidence"):
        assert word in shown.stdout
    assert "MCC" not in shown.stdout


def test_one_table_in_split_and_shown(wide: Path, tmp_path: Path) -> None:
    out, a, b = (tmp_path / name for name in ("r.parquet", "a.parquet", "b.parquet"))
    columns = ["--label", "roadwork", "--picture", "name", "--group", "drive", "--split", "part"]
    result = run("import", wide, *columns, "--cost", "scout=1", "--cost", "judge=9", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["out"] == str(out)
    assert data["splits"] == {"test": 8}
    assert data["groups"] == 4
    assert data["unit"] == "cost"
    assert (data["models"]["scout"]["mcc"], data["models"]["scout"]["auc"]) == (1.0, 1.0)
    assert data["models"]["judge"]["failures"] == 1
    assert data["models"]["judge"]["auc"] == 0.5
    assert "MCC" in run("show", out).stdout
    result = run("split", out, "--seed", "2", "--share", "0.25", "--out-a", a, "--out-b", b)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"2 pictures of 1 groups, 2 labels, 2 models; written to {a}"
    first, rest = read_records(a), read_records(b)
    assert not set(first.group.tolist()) & set(rest.group.tolist())
    assert sorted([*first.picture.tolist(), *rest.picture.tolist()]) == [f"p{k}" for k in range(8)]
    listed = json.loads(run("split", out, "--by", "row", "--out-a", a, "--out-b", b, "--json").stdout)
    assert [part["pictures"] for part in listed] == [4, 4]


def test_answers_of_one_table(tmp_path: Path) -> None:
    file, out = tmp_path / "t.csv", tmp_path / "r.parquet"
    file.write_text("truth,said,sure\n7,7,0.5\n8,,\n")
    result = run("import", file, "--label", "truth", "--answer", "m=said", "--score", "m=sure", "--out", out)
    assert result.exit_code == 0, result.output
    records = read_records(out)
    assert (records.models, records.labels, records.unit) == (("m",), ("7", "8"), "asks")
    assert records.failed[:, 0].tolist() == [False, True]


def test_scores_by_their_columns_names(wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    options = ["--label", "roadwork", "--score", "judge", "--score", "s=scout", "--positive", "0"]
    assert run("import", wide, *options, "--out", out).exit_code == 0
    records = read_records(out)
    assert (records.models, records.labels) == (("judge", "s"), ("1", "0"))


def test_many_labels_and_latencies(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    (tmp_path / "f").mkdir()
    rows = "".join(f"{k},{k},{k},0.5,{k}\n" for k in range(21))
    (tmp_path / "f" / "m.csv").write_text("row,true_label,pred_label,confidence,latency_ms\n" + rows)
    data = json.loads(run("import", tmp_path / "f", "--out", out, "--json").stdout)
    assert data["labels"] == 21
    assert data["models"]["m"]["latency_ms"] == {"mean": 10.0, "p95": 19.0}
    shown = run("show", out).stdout
    assert "21 labels" in shown
    assert "labels: " not in shown
    assert "p95" in shown


def test_a_model_that_never_answered(tmp_path: Path) -> None:
    file, out = tmp_path / "t.csv", tmp_path / "r.parquet"
    file.write_text("truth,m\n1,\n0,\n")
    assert run("import", file, "--label", "truth", "--score", "m", "--out", out).exit_code == 0
    assert json.loads(run("show", out, "--json").stdout)["models"]["m"]["accuracy"] is None
    assert run("show", out).exit_code == 0


@pytest.mark.parametrize("ties", [True, False])
def test_the_area_under_the_curve_counts_pairs(*, ties: bool) -> None:
    draw = np.random.default_rng(1)
    score = draw.integers(0, 4, 40) / 4 if ties else draw.random(40)
    truth, weight = draw.random(40) < 0.4, draw.random(40)
    pairs = np.outer(weight[truth], weight[~truth])
    above = np.sign(score[truth][:, None] - score[~truth]) / 2 + 0.5
    assert _auc(truth, score, weight) == pytest.approx((pairs * above).sum() / pairs.sum())
    assert _auc(np.ones(40, bool), score, weight) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "none", "--out", "OUT"], "nothing at none"),
        (["import", "WIDE", "--out", "OUT"], "name its column of the truth with --label"),
        (["import", "WIDE", "--label", "truth", "--out", "OUT"], "no column truth; columns here: name, drive"),
        (["import", "FOLDER", "--label", "x", "--out", "OUT"], "--label: columns are named for one table"),
        (["import", "FOLDER", "--cost-column", "eur", "--out", "OUT"], "no costs in 'eur'; there are usd, ms"),
        (["import", "FOLDER", "--costs", "none.csv", "--out", "OUT"], "none.csv cannot be read"),
        (["import", "FOLDER", "--costs", "x", "--cost", "m=1", "--out", "OUT"], "--costs and --cost are both given"),
        (["import", "FOLDER", "--cost", "big=dear", "--out", "OUT"], "--cost dear: not a number"),
        (["import", "FOLDER", "--cost", "big=1", "--out", "OUT"], "no cost in cost for small"),
        (["import", "FOLDER", "--cost", "big=", "--out", "OUT"], "write MODEL=VALUE"),
        (["import", "FOLDER", "--cost", "a=1", "--cost", "a=2", "--out", "OUT"], "that model was given before"),
        (["import", "FOLDER", "--out", "WIDE/x"], "WIDE"),
        (["show", "none.parquet"], "no records at none.parquet"),
        (["show", "WIDE"], "cannot be read as Parquet"),
        (["split", "none.parquet", "--out-a", "OUT", "--out-b", "OUT2"], "no records at none.parquet"),
        (["split", "none.parquet", "--out-a", "OUT", "--out-b", "OUT"], "give two files"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, wide: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"FOLDER": str(folder), "WIDE": str(wide), "OUT": str(tmp_path / "out.parquet")}
    given = [names.get(item, item.replace("WIDE", str(wide))) for item in arguments]
    result = run(*given)
    assert result.exit_code == 2
    assert message.replace("WIDE", str(wide)) in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (tmp_path / "out.parquet").exists()
