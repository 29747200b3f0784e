from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.errors import RecordsError
from natix_cascade.plan.records import Records, join, read_records, split_records, write_records

ARRAYS = ("picture", "group", "split", "level", "label", "score", "failed", "latency_ms", "weight")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


def make(n: int = 6, *, seed: int = 0, labels: tuple[str, ...] = ("none", "roadwork"), kinds: bool = False) -> Records:
    draw = np.random.default_rng(seed)
    failed = draw.random((n, 2)) < 0.2
    return Records(
        picture=np.array([f"p{index // 2}.jpg" for index in range(n)]),
        group=np.array([f"g{index // 4}" for index in range(n)]),
        split=np.full(n, "test"),
        level=np.array(["L0", "L1"] * n)[:n],
        label=draw.integers(0, len(labels), n),
        labels=labels,
        models=("small", "big"),
        score=np.where(failed, np.nan, draw.random((n, 2))),
        answer=np.where(failed, -1, draw.integers(0, len(labels), (n, 2))) if kinds else None,
        failed=failed,
        latency_ms=np.where(failed, np.nan, draw.random((n, 2))).astype(np.float32),
        weight=draw.random(n),
        costs={"gmacs": np.array([0.1, 2.0]), "usd": np.array([0.0, 0.25])},
        unit="gmacs",
        sha256={"big": "ab" * 32},
    )


def assert_same(one: Records, other: Records) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.labels, one.models, one.unit, one.sha256) == (other.labels, other.models, other.unit, other.sha256)
    assert {unit: cost.tolist() for unit, cost in one.costs.items()} == {u: c.tolist() for u, c in other.costs.items()}
    assert one.yes_no == other.yes_no
    if one.answer is not None:
        np.testing.assert_array_equal(one.answer, other.answer)


@given(
    names=st.lists(WORDS, min_size=1, max_size=12, unique=True),
    labels=st.lists(WORDS, min_size=2, max_size=4, unique=True).map(tuple),
    group=WORDS,
    kinds=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(names: list[str], labels: tuple[str, ...], group: str, kinds: bool, seed: int) -> None:  # noqa: FBT001
    records = make(len(names), seed=seed, labels=labels if kinds else ("none", "roadwork"), kinds=kinds)
    records = replace(records, picture=np.array(names), group=np.full(len(names), group))
    with TemporaryDirectory() as folder:
        assert_same(records, read_records(write_records(records, Path(folder) / "r.parquet")))


def test_a_cell_that_was_never_asked_is_empty_and_not_failed(tmp_path: Path) -> None:
    path = write_records(make(4), tmp_path / "r.parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    found = read_records(path)
    assert np.isnan(found.score[3, 1])
    assert not found.failed[3, 1]


def test_other_files_are_told_from_records(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with pytest.raises(RecordsError, match=r"no records at .*natix-cascade record"):
        read_records(path)
    path.write_text("row,true_label\n")
    with pytest.raises(RecordsError, match="cannot be read as Parquet"):
        read_records(path)
    pq.write_table(pa.table({"picture": ["a"]}), path)
    with pytest.raises(RecordsError, match=r"column group, split.*records import"):
        read_records(path)
    write_records(make(4), path)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(RecordsError, match="the description that the tools write is missing"):
        read_records(path)
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(RecordsError, match="no rows"):
        read_records(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(RecordsError, match="two rows speak of the same picture, level and model"):
        read_records(path)
    write_records(replace(make(4), score=np.full((4, 2), 3.5)), path)
    with pytest.raises(RecordsError, match=r"\[0, 1\].*sigmoid"):
        read_records(path)


def test_some_rows_and_models() -> None:
    records = make(6, kinds=True)
    part = records.rows(records.level == "L1").only(["big"])
    assert len(part) == 3
    assert part.models == ("big",)
    assert part.answer is not None
    np.testing.assert_array_equal(part.answer[:, 0], records.answer[1::2, 1])  # type: ignore[index]  # kinds
    assert part.cost().tolist() == [2.0]
    assert part.cost("usd").tolist() == [0.25]
    assert records.only(["small"]).sha256 == {}
    with pytest.raises(RecordsError, match="no model 'huge' in these records, which have small, big"):
        records.only(["huge"])
    with pytest.raises(RecordsError, match="no costs in 'eur'; these records have gmacs, usd"):
        records.cost("eur")


@given(n=st.integers(9, 60), seed=st.integers(0, 20), share=st.floats(0.2, 0.8), by=st.sampled_from(["group", "row"]))
@settings(max_examples=40, deadline=None)
def test_a_split_keeps_together_what_belongs_together(n: int, seed: int, share: float, by: str) -> None:
    records = make(n)
    first, rest = split_records(records, seed=seed, by=by, share=share)
    assert len(first) + len(rest) == n
    names = records.group if by == "group" else records.picture
    one, other = (set((part.group if by == "group" else part.picture).tolist()) for part in (first, rest))
    assert not one & other
    assert len(one) == round(share * len(set(names.tolist())))
    shuffled = np.random.default_rng(seed).permutation(n)
    again, _ = split_records(records.rows(shuffled), seed=seed, by=by, share=share)
    assert sorted(zip(again.picture, again.level, strict=True)) == sorted(zip(first.picture, first.level, strict=True))


def test_pictures_without_groups_are_groups_of_their_own() -> None:
    records = replace(make(40), group=np.full(40, ""))
    by_group, _ = split_records(records, seed=3)
    by_row, _ = split_records(records, seed=3, by="row")
    assert len(by_group) == 20
    assert_same(by_group, by_row)
    assert set(by_group.picture.tolist()).isdisjoint(split_records(records, seed=3)[1].picture.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "place"}, "give 'group' or 'row'"),
        ({"share": 1.0}, "a share between 0 and 1"),
        ({"share": 0.01}, "cannot be split into 0.01"),
    ],
)
def test_a_split_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        split_records(make(8), **options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("kinds", [True, False])
def test_parts_join_to_the_whole(*, kinds: bool) -> None:
    records = make(10, kinds=kinds)
    assert_same(join([records.rows(np.arange(4)), records.rows(np.arange(4, 10))]), records)
    with pytest.raises(RecordsError, match="different models or labels"):
        join([records, records.only(["big"])])
