from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from natix_cascade.errors import ManifestError
from natix_cascade.observe.cases import Album, Case, Counted, cases
from natix_cascade.spec.cascade import Question

sys.path.insert(0, str(Path(__file__).parent))  # for made_verdicts.py: test folders are not packages
from made_verdicts import answer, made, state


def results(folder: Path, *names: str) -> Path:
    path = folder / "v.ndjson"
    path.write_text("".join(json.dumps(made(name).as_dict()) + "\n" for name in names), "utf-8")
    return path


def read(path: Path, album: Album) -> tuple[dict[str, Case], Counted]:
    counted = Counted()
    return {case.name: case for case in cases(path, album, counted)}, counted


def test_the_manifest_knows_pictures_by_file_and_by_name(tmp_path: Path) -> None:
    scenes = tmp_path / "data" / "scenes"
    scenes.mkdir(parents=True)
    for name in ("0.jpg", "1.jpg", "2.jpg"):
        (scenes / name).touch()
    manifest = tmp_path / "data" / "manifest.csv"
    manifest.write_text("path,label,group,split\nscenes/0.jpg,dug up,street,test\nscenes/1.jpg,0,,train\n", "utf-8")
    question = Question(positive="dug up", negative="smooth")

    found, counted = read(results(tmp_path, "0.jpg", "1.jpg", "2.jpg", "3.jpg"), Album([scenes], manifest, question))

    assert {name: (case.truth, case.group, case.split) for name, case in found.items()} == {
        "0.jpg": (True, "street", "test"),
        "1.jpg": (False, "scenes/1.jpg", "train"),
        "2.jpg": (None, "", ""),
    }
    assert found["0.jpg"].picture == scenes / "0.jpg"
    assert (counted.read, counted.missing, counted.errors, counted.missing_names) == (4, 1, 0, ["3.jpg"])

    named, _ = read(results(tmp_path, "scenes/0.jpg"), Album([], manifest, question))
    assert (named["scenes/0.jpg"].truth, named["scenes/0.jpg"].picture) == (True, scenes / "0.jpg")


def test_the_first_folder_that_has_it_counts_and_absolute_names_are_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    absolute = tmp_path / "two" / "a.jpg"
    found, _ = read(results(tmp_path, "a.jpg", str(absolute)), Album([tmp_path / "one", tmp_path / "two"]))
    assert [case.picture for case in found.values()] == [tmp_path / "one" / "a.jpg", absolute]


def test_many_missing_pictures_are_counted_and_some_named(tmp_path: Path) -> None:
    found, counted = read(results(tmp_path, *(f"{n}.jpg" for n in range(9))), Album([tmp_path]))
    assert (found, counted.missing, counted.missing_names) == ({}, 9, [f"{n}.jpg" for n in range(5)])


def test_a_state_gives_place_truth_and_kept_picture_and_the_manifest_knows_better(tmp_path: Path) -> None:
    kept, named = made("kept"), made("named.jpg", 0.2)
    answers = [
        answer("1" * 32, kept, place={"lat": 48.1, "lon": 11.5}, label=True),
        answer("2" * 32, named, label=True),
        answer("3" * 32, made("nowhere")),
    ]
    folder = state(tmp_path / "state", answers)
    own = folder / "pictures" / kept.sha256[:2] / f"{kept.sha256}.jpg"
    own.parent.mkdir(parents=True)
    own.touch()
    (tmp_path / "named.jpg").touch()
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,label\nnamed.jpg,0\n", "utf-8")

    found, counted = read(folder, Album([tmp_path], manifest))

    assert (found["kept"].picture, found["kept"].place, found["kept"].truth) == (own, (48.1, 11.5), True)
    assert (found["kept"].verdict_id, found["kept"].created) == ("1" * 32, "2026-05-04T03:02:01.000Z")
    assert (found["named.jpg"].truth, found["named.jpg"].place) == (False, None)
    assert (counted.read, counted.missing) == (3, 1)


def test_a_relative_state_folder_gives_absolute_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = made("kept")
    folder = state(tmp_path / "state", [answer("1" * 32, kept)])
    own = folder / "pictures" / kept.sha256[:2] / f"{kept.sha256}.jpg"
    own.parent.mkdir(parents=True)
    own.touch()
    monkeypatch.chdir(tmp_path)
    found, _ = read(Path("state"), Album([]))
    assert os.fspath(found["kept"].picture) == os.fspath(own)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"folder without service\.sqlite"):
        read(tmp_path, Album([]))
