from __future__ import annotations

from pathlib import Path

import pytest

from natix_cascade.errors import ManifestError
from natix_cascade.report.manifest import read_manifest
from natix_cascade.spec.cascade import Question


def manifest(folder: Path, text: str) -> Path:
    path = folder / "m.csv"
    path.write_text(text, "utf-8")
    return path


def test_reads_all_columns_and_defaults(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        "path,label,group,split,quality,source_repo,extra\na.jpg,1,g1,test,A,cam,x\nb.jpg,No,,train,,,\n\n"
        "c.jpg,ROADWORK,,test,,,\n",
    )
    first, second, third = read_manifest(path)
    assert (first.path, first.label, first.group, first.source) == (tmp_path / "a.jpg", True, "g1", "cam")
    assert (second.label, second.group, second.quality, second.name) == (False, "b.jpg", "", "b.jpg")
    assert third.label
    assert [row.name for row in read_manifest(path, split="test")] == ["a.jpg", "c.jpg"]
    assert read_manifest(path, root="/data")[0].path == Path("/data/a.jpg")


def test_the_questions_own_answers_are_labels(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label\na.jpg,flooded\nb.jpg,dry\n")
    rows = read_manifest(path, question=Question(id="flood", positive="flooded", negative="dry"))
    assert [row.label for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,truth\na.jpg,1\n", r"m\.csv:1: .*missing: label"),
        ("", r"m\.csv:1: .*empty"),
        ("path,label\n", "no rows"),
        ("path,label\na.jpg,1\nb.jpg,maybe\n", r"m\.csv:3: the label is 'maybe'"),
        ("path,label\n,1\n", r"m\.csv:2: the path is empty"),
        ("path,label\na.jpg,1,2\n", r"m\.csv:2: 3 cells"),
        ("path,label\na.jpg,1\na.jpg,0\n", r"m\.csv:3: a\.jpg is labelled otherwise in line 2"),
    ],
)
def test_says_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_unknown_split_and_unreadable_file(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label,split\na.jpg,1,test\n")
    with pytest.raises(ManifestError, match="splits here: test"):
        read_manifest(path, split="tset")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")
    path.write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(path)
