from __future__ import annotations

import csv
import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from natix_cascade.testing import render_scene, write_scenes

if TYPE_CHECKING:
    from pathlib import Path

SMALL = (128, 72)


def read(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_manifest_is_readable_and_balanced(tmp_path: Path) -> None:
    manifest = write_scenes(tmp_path / "new" / "folder", 31, size=SMALL)
    rows = read(manifest)
    assert manifest.name == "manifest.csv"
    assert list(rows[0]) == ["path", "label", "group", "split", "quality"]
    assert len(rows) == len({row["group"] for row in rows}) == 31
    labels = Counter(row["label"] for row in rows)
    assert abs(labels["1"] - labels["0"]) <= 1
    assert {(row["label"], row["quality"]) for row in rows} == {("1", "A"), ("0", "N")}
    assert {row["split"] for row in rows} == {"test"}
    for row in rows:
        with Image.open(manifest.parent / row["path"]) as picture:
            assert picture.format == "JPEG"
            assert picture.size == SMALL


def test_leaves_no_temporary_files(tmp_path: Path) -> None:
    manifest = write_scenes(tmp_path, 3, size=SMALL)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"manifest.csv", "00000.jpg", "00001.jpg", "00002.jpg"}
    assert manifest == tmp_path / "manifest.csv"


def test_same_seed_same_files(tmp_path: Path) -> None:
    def digest(folder: Path) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()]

    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        write_scenes(tmp_path / name, 4, seed=seed, size=SMALL)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_files_hold_the_scenes_of_their_seeds(tmp_path: Path) -> None:
    write_scenes(tmp_path, 2, seed=7, size=SMALL)
    scene = render_scene(8, roadwork=True, size=SMALL, weather="clear", time_of_day="day")
    assert (tmp_path / "scenes" / "00001.jpg").read_bytes() == scene.jpeg()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_scenes(tmp_path, 1, size=SMALL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count is 0"):
        write_scenes(tmp_path, 0)
