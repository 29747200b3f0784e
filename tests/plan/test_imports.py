from __future__ import annotations

import csv
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.errors import RecordsError
from natix_cascade.plan.imports import from_table, import_folder
from natix_cascade.plan.records import read_records, write_records
from natix_cascade.plan.tables import read_costs

SHARED = Path(__file__).parents[3] / "shared" / "records"  # beside the checkout
ANSWERS = "row,true_label,pred_label,confidence\n"


def folder_of(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Two models, three pictures in another order in each file; the big one fails once."""
    return folder_of(
        tmp_path / "animals",
        small=ANSWERS + "0,cat,dog,0.5\n1,dog,dog,0.75\n2,cow,cow,1\n",
        big=ANSWERS + "2,cow,,\n0,cat,cat,0.9\n1,dog,cat,0.25\n",
        costs="model,usd,name,ms\nbig,0.5,Big,3\nsmall,0,Small,1\nother,1,Other,1\n",
    )


def test_a_folder_of_answers(animals: Path) -> None:
    records = import_folder(animals)
    assert records.models == ("big", "small")
    assert records.labels == ("cat", "cow", "dog")
    assert records.picture.tolist() == ["2", "0", "1"]
    assert records.group.tolist() == ["2", "0", "1"]
    assert (set(records.split), set(records.level)) == ({""}, {""})
    assert records.label.tolist() == [1, 0, 2]
    assert records.answer is not None
    assert records.answer.tolist() == [[-1, 1], [0, 2], [0, 2]]
    assert records.failed.tolist() == [[True, False], [False, False], [False, False]]
    np.testing.assert_array_equal(records.score, [[np.nan, 1], [0.9, 0.5], [0.25, 0.75]])
    assert {unit: cost.tolist() for unit, cost in records.costs.items()} == {"usd": [0.5, 0.0], "ms": [3.0, 1.0]}
    assert records.unit == "usd"
    assert np.isnan(records.latency_ms).all()
    assert import_folder(animals, unit="ms").unit == "ms"


def test_imported_records_can_be_written(animals: Path, tmp_path: Path) -> None:
    records = import_folder(animals)
    again = read_records(write_records(records, tmp_path / "r.parquet"))
    for name in ("picture", "group", "label", "score", "answer", "failed", "latency_ms", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(records, name), err_msg=name)


def test_two_labels_are_still_label_records_and_sort_naturally(tmp_path: Path) -> None:
    two = folder_of(tmp_path / "two", m=ANSWERS + "0,1,0,0.5\n1,0,0,0.5\n")
    assert not import_folder(two).yes_no
    text = ANSWERS + "".join(f"{k},{k},{label},0.5\n" for k, label in enumerate([11, 100, "c10", "c9", -1, 2.5]))
    many = import_folder(folder_of(tmp_path / "many", m=text))
    assert many.labels == ("-1", "0", "1", "2", "2.5", "3", "4", "5", "11", "100", "c9", "c10")


def test_answers_with_gaps_that_became_fractions(tmp_path: Path) -> None:
    records = import_folder(folder_of(tmp_path / "f", m=ANSWERS + "0,3,3.0,0.5\n1,4,,\n2,4,4.0,0.5\n"))
    assert records.labels == ("3", "4")
    assert records.answer is not None
    assert records.answer[:, 0].tolist() == [0, -1, 1]


def test_a_folder_of_scores_with_more_columns(tmp_path: Path) -> None:
    text = "row,true_label,score,group,split,picture,latency_ms\na,roadwork,0.9,g,test,x.jpg,4\nb,none,,,test,y.jpg,\n"
    folder = folder_of(tmp_path / "s", one=text, two="row,true_label,score\nb,none,0\na,roadwork,1\n")
    records = import_folder(folder)
    assert records.yes_no
    assert records.labels == ("none", "roadwork")
    assert records.label.tolist() == [1, 0]
    np.testing.assert_array_equal(records.score, [[0.9, 1], [np.nan, 0]])
    assert records.failed.tolist() == [[False, False], [True, False]]
    assert records.picture.tolist() == ["x.jpg", "y.jpg"]
    assert records.group.tolist() == ["g", "y.jpg"]
    assert records.split.tolist() == ["test", "test"]
    np.testing.assert_array_equal(records.latency_ms, np.array([[4, np.nan], [np.nan, np.nan]], np.float32))
    assert (records.unit, records.cost().tolist()) == ("asks", [1.0, 1.0])
    assert import_folder(folder, positive="none").labels == ("roadwork", "none")


@pytest.mark.parametrize(
    ("labels", "positive", "wanted"),
    [
        ("01", None, ("0", "1")),
        (["no", "Yes"], None, ("no", "Yes")),
        (["1"], None, ("0", "1")),
        (["x"], "x", ("not x", "x")),
        (["0"], "1", ("0", "1")),
        (["a", "b"], None, "the labels are a, b; say with --positive"),
        (["0"], None, "say with --positive"),
        (["1", "true"], None, "say with --positive"),
        (["a", "b", "c"], "a", "scores are for two labels"),
        (["a", "b"], "c", "scores are for two labels"),
    ],
)
def test_which_label_the_scores_speak_of(labels: list[str], positive: str | None, wanted: object) -> None:
    table = {"truth": list(labels), "m": [0.5] * len(labels)}
    if isinstance(wanted, str):
        with pytest.raises(RecordsError, match=wanted):
            from_table(table, label="truth", positive=positive)
    else:
        assert from_table(table, label="truth", positive=positive).labels == wanted


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tables in"),
        ({"m": "row,label,pred_label,confidence\n0,1,1,1\n"}, r"m.csv: no column true_label; columns here: row, label"),
        ({"m": "row,true_label,answer\n0,1,1\n"}, r"m.csv: no column pred_label, confidence"),
        ({"m": "row,row,true_label,score\n0,0,1,1\n"}, "two columns row"),
        ({"m": ANSWERS}, "no rows below the header"),
        ({"m": ""}, r"m.csv cannot be read as CSV"),
        ({"m": ANSWERS + "0,1,1\n"}, r"m.csv cannot be read as CSV: .*Expected 4 columns"),
        ({"m": ANSWERS + "0,1,1,high\n"}, r"m.csv cannot be read as CSV: .*high"),
        ({"m": ANSWERS + "7,1,1,0\n8,1,1,0\n7,1,1,0\n"}, r"m.csv: the row '7' comes 2 times"),
        ({"m": ANSWERS + "0,1,1,0\n1,,1,0\n"}, r"m.csv: row 1: the true label is empty"),
        ({"m": ANSWERS + "0,1,1,0\n1,1,1,1.5\n"}, r"m.csv: row 1: the score is 1.5.*sigmoid"),
        ({"m": ANSWERS + "0,1,1,0\n1,1,1,-inf\n"}, r"m.csv: row 1: the score is -inf"),
        ({"m": ANSWERS + "0,1,1,nan\n"}, r"m.csv: row 0: there is a label without a confidence"),
        ({"a": ANSWERS + "0,1,1,1\n1,1,1,1\n", "b": ANSWERS + "0,1,1,1\n"}, r"b.csv: row 1 is missing, which .*a.csv"),
        ({"a": ANSWERS + "0,1,1,1\n", "b": ANSWERS + "0,1,1,1\n1,1,1,1\n"}, r"a.csv: row 1 is missing, which .*b.csv"),
        (
            {"a": ANSWERS + "0,1,1,1\n5,2,1,1\n", "b": ANSWERS + "5,3,1,1\n0,1,1,1\n"},
            r"b.csv: row 5: the true label is '3', but in .*a.csv it is '2'",
        ),
        (
            {"a": "row,true_label,score,group\n0,1,1,g\n", "b": "row,true_label,score,group\n0,1,1,h\n"},
            "row 0: the group is 'h'",
        ),
        ({"a": ANSWERS + "0,1,1,1\n", "b": "row,true_label,score\n0,1,1\n"}, "a came with labels and the others with"),
        ({"a": "row,true_label,score,picture\n0,1,1,x\n1,1,1,x\n"}, "the picture 'x' comes 2 times"),
    ],
)
def test_what_is_wrong_with_a_folder(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        import_folder(folder_of(tmp_path / "f", **files))


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("model,usd\nbig,1\n", None, "no cost in usd for small"),
        ("model,usd,ms\nbig,1,1\nsmall,1,\n", "ms", "no cost in ms for small"),
        ("model,usd\nbig,1\nsmall,1\n", "eur", "no costs in 'eur'; there are usd"),
        ("model,usd\nbig,1\nsmall,-1\n", None, r"the cost of small is -1.0 usd"),
        ("model,usd\nbig,1\nsmall,1\nbig,1\n", None, "big comes twice"),
        ("name,usd\nbig,1\n", None, r"costs.csv: no column model; columns here: name, usd"),
        ("model,usd\nbig,cheap\n", None, "no column of numbers"),
    ],
)
def test_what_is_wrong_with_costs(animals: Path, text: str, unit: str | None, message: str) -> None:
    (animals / "costs.csv").write_text(text)
    with pytest.raises(RecordsError, match=message):
        import_folder(animals, unit=unit)


def test_costs_from_elsewhere(animals: Path) -> None:
    (animals / "costs.csv").rename(animals / "prices.csv")
    assert import_folder(animals, costs=animals / "prices.csv").models == ("big", "small")
    assert import_folder(animals.parent / "animals", costs=str(animals / "prices.csv")).unit == "usd"
    (animals / "prices.csv").unlink()
    assert import_folder(animals).unit == "asks"
    with pytest.raises(RecordsError, match="no costs in 'usd'"):
        import_folder(animals, unit="usd")
    plain = import_folder(animals, costs={"small": 1, "big": 7}, unit="eur")
    assert (plain.unit, plain.cost().tolist()) == ("eur", [7.0, 1.0])
    by_unit = import_folder(animals, costs={"s": {"small": 1, "big": 2}, "half": {"small": 1}})
    assert {unit: cost.tolist() for unit, cost in by_unit.costs.items()} == {"s": [2.0, 1.0]}
    with pytest.raises(RecordsError, match="cannot be read"):
        read_costs(animals / "none.csv")


def test_one_wide_table(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text("name,place,truth,part,a,b,note\nx.jpg,north,True,test,0.5,1,good\ny.jpg,north,False,test,,0,bad\n")
    records = from_table(file, label="truth", picture="name", group="place", split="part")
    assert records.models == ("a", "b")
    assert records.labels == ("False", "True")
    assert records.picture.tolist() == ["x.jpg", "y.jpg"]
    assert records.group.tolist() == ["north", "north"]
    np.testing.assert_array_equal(records.score, [[0.5, 1], [np.nan, 0]])
    assert records.failed.tolist() == [[False, False], [True, False]]
    parquet = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"truth": [1, 0, 1], "p": [0.5, None, float("nan")], "level": ["a", "b", "c"]}), parquet)
    found = from_table(parquet, label="truth", models={"only": "p"})
    assert (found.models, found.labels) == (("only",), ("0", "1"))
    assert found.failed[:, 0].tolist() == [False, True, True]
    assert found.picture.tolist() == ["0", "1", "2"]


def test_a_table_of_answers_in_memory() -> None:
    table = {
        "truth": np.array([3.0, 10.0, 3.0]),
        "a_says": [3.0, None, 10.0],
        "a_sure": np.array([0.5, np.nan, 1.0], np.float32),
    }
    records = from_table(table, label="truth", models={"a": "a_sure"}, answers={"a": "a_says"}, costs={"a": 2})
    assert records.labels == ("3", "10")
    assert records.answer is not None
    assert records.answer[:, 0].tolist() == [0, -1, 1]
    assert (records.unit, records.cost().tolist()) == ("cost", [2.0])
    as_arrow = pa.table({"truth": pa.array([0, 1]), "p": pa.array([0.5, 1.0]), "q": pa.array([0, 1])})
    assert from_table(as_arrow, label="truth").models == ("p", "q")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "none"}, "no column none; columns here: truth, name, p, far"),
        ({"label": "truth", "models": ["q"]}, "no column q"),
        ({"label": "truth", "models": ["name"]}, "column name holds string; wanted numbers"),
        ({"label": "truth", "models": ["far"]}, "column far: row 1: the score is 7"),
        ({"label": "truth", "models": []}, "no column of numbers is left"),
        ({"label": "truth", "models": ["p"], "picture": "name"}, "the picture 'x' comes 2 times"),
        ({"label": "truth", "models": ["p"], "answers": {"q": "name"}}, "one only: p, q"),
        ({"label": "truth", "models": ["p"], "costs": {"q": 1.0}}, "no cost in cost for p"),
    ],
)
def test_what_is_wrong_with_a_table(options: dict[str, object], message: str) -> None:
    table = {"truth": [0, 1], "name": ["x", "x"], "p": [0.5, 0.5], "far": [0.5, 7]}
    with pytest.raises(RecordsError, match=message):
        from_table(table, **options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("table", [7, {"truth": [0, 1], "p": [0.5]}, {"truth": 3}])
def test_what_is_no_table(table: object) -> None:
    with pytest.raises(RecordsError, match="is no table of columns of the same length"):
        from_table(table, label="truth")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(RecordsError, match=rf"{name} cannot be read as"):
            from_table(tmp_path / name, label="truth")


@given(data=st.data(), count=st.integers(1, 8), models=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_a_folder_says_what_was_written_to_it(data: st.DataObject, count: int, models: int) -> None:
    word = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=4)
    truth = data.draw(st.lists(word, min_size=count, max_size=count))
    answer = st.one_of(st.none(), st.tuples(st.sampled_from(truth), st.floats(0, 1)))
    written: dict[str, dict[int, tuple[str, float] | None]] = {}
    with TemporaryDirectory() as name:
        for index in range(models):
            order = data.draw(st.permutations(range(count)))
            said = {row: data.draw(answer) for row in order}
            written[f"m{index}"] = said
            with (Path(name) / f"m{index}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["confidence", "row", "pred_label", "true_label"])
                writer.writerows(
                    [given[1] if given else "", row, given[0] if given else "", truth[row]]
                    for row, given in said.items()
                )
        records = import_folder(name)
    assert records.answer is not None
    for place, picture in enumerate(records.picture.tolist()):
        assert records.labels[records.label[place]] == truth[int(picture)]
        for column, model in enumerate(records.models):
            given = written[model][int(picture)]
            assert records.failed[place, column] == (given is None)
            if given is not None:
                assert records.labels[records.answer[place, column]] == given[0]
                assert records.score[place, column] == given[1]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the measured answers are not at {SHARED}")
@pytest.mark.parametrize(
    ("name", "unit", "size", "best", "right"),
    [
        ("imagenet", "ms_per_image", (25_000, 8, 1000), "efficientnet_b3a", 0.81864),
        ("rafdb", "usd_per_image", (15_339, 4, 7), "microsoft", 0.71687),
        ("ferplus", "usd_per_image", (6_358, 4, 7), "microsoft", 0.81394),
    ],
)
def test_answers_that_others_measured(
    name: str, unit: str, size: tuple[int, int, int], best: str, right: float
) -> None:
    began = time.perf_counter()
    records = import_folder(SHARED / name, unit=unit)
    assert time.perf_counter() - began < 10
    assert (len(records), len(records.models), len(records.labels)) == size
    assert records.labels == tuple(str(label) for label in range(size[2]))
    assert records.answer is not None
    share = (records.answer == records.label[:, None]).mean(axis=0)
    assert records.models[int(share.argmax())] == best
    assert share.max() == pytest.approx(right, abs=1e-5)
