from __future__ import annotations

from pathlib import Path

import pytest

from natix_cascade.errors import ManifestError
from natix_cascade.observe.dataset_tree import Example, export_tree
from natix_cascade.report.manifest import read_manifest


def example(folder: Path, name: str, truth: bool | None, **more: str) -> Example:  # noqa: FBT001  # the value
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name, "utf-8")
    word = {True: "road/work", False: "none", None: "none"}[truth]
    return Example(picture=path, sha256=name.encode().hex().ljust(64, "0"), truth=truth, word=word, **more)


def everything(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): f.read_text("utf-8") for f in folder.rglob("*") if f.is_file()}


def test_a_folder_for_each_class_and_a_manifest_that_is_read(tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "deep" / "out"
    gone = example(pictures, "gone.jpg", True)
    gone.picture.unlink()
    chosen = [
        example(pictures, "x/a.JPG", True, group="street", split="test"),
        example(pictures, "y/a.png", False),
        example(pictures, "z.webp", None),
        gone,
    ]

    done = export_tree(out, chosen)

    assert (done.classes, done.unlabelled, done.missing) == ({"road/work": 1, "none": 1}, 1, 1)
    names = [f"{each.sha256[:16]}{each.picture.suffix.lower()}" for each in chosen]
    files = everything(out)
    assert set(files) == {"manifest.csv", f"road_work/{names[0]}", f"none/{names[1]}", f"_unlabeled/{names[2]}"}
    assert files[f"none/{names[1]}"] == "y/a.png"
    rows = read_manifest(out / "manifest.csv")
    assert [(r.name, r.label, r.group, r.split) for r in rows] == [
        (f"road_work/{names[0]}", True, "street", "test"),
        (f"none/{names[1]}", False, chosen[1].sha256, ""),
    ]
    assert all(row.path.is_file() for row in rows)
    assert (out.stat().st_mode & 0o777) == 0o755
    assert [each.name for each in out.parent.iterdir()] == ["out"]


def test_what_is_there_stays_unless_it_was_an_export_and_may_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_tree(out, [example(tmp_path, "a.jpg", True)])
    before = everything(out)
    with pytest.raises(ManifestError, match="is there already"):
        export_tree(out, [])
    assert everything(out) == before

    export_tree(out, [example(tmp_path, "b.jpg", False)], replace=True)
    assert {name.split("/")[0] for name in everything(out)} == {"manifest.csv", "none"}

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear", "utf-8")
    with pytest.raises(ManifestError, match="holds no manifest"):
        export_tree(mine, [], replace=True)
    assert everything(mine) == {"letter.txt": "dear"}


def test_half_an_export_is_none(tmp_path: Path) -> None:
    def broken() -> object:
        yield example(tmp_path / "pictures", "a.jpg", True)
        raise ManifestError("the database went away")

    with pytest.raises(ManifestError, match="went away"):
        export_tree(tmp_path / "out", broken())  # type: ignore[arg-type]
    assert [each.name for each in tmp_path.iterdir()] == ["pictures"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="no export into"):
        export_tree(tmp_path / "file" / "out", [])
