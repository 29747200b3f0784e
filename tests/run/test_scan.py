from __future__ import annotations

import io
import json
import os
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from scan_child import cascade
from scan_files import essence, grey, read_rows, write_greys

from natix_cascade.errors import ManifestError
from natix_cascade.image import Limits, Picture
from natix_cascade.run import scan as scan_module
from natix_cascade.run import scan_source
from natix_cascade.run.scan import ScanProgress, scan
from natix_cascade.run.scan_source import PictureSource

COLUMNS = [
    "path",
    "sha256",
    "roadwork_detected",
    "probability",
    "confidence",
    "consensus_ratio",
    "exit_level",
    "levels_executed",
    "model_probabilities",
    "latency_ms",
    "cost_usd",
    "gmacs",
    "degraded",
    "reasons",
    "error",
    "error_kind",
    "error_status",
    "cascade",
    "policy",
]


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    return write_greys(tmp_path / "greys", 20)


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".csv", ".parquet"])
def test_every_format_has_the_same_rows_and_columns(greys: Path, tmp_path: Path, suffix: str) -> None:
    (greys / "broken.jpg").write_bytes(grey(9)[:300])
    (greys / "text.png").write_text("no picture")
    output, plain = tmp_path / f"out{suffix}", tmp_path / "plain.jsonl"
    summary = scan(greys, output, cascade(), chunk=7)
    scan(greys, plain, cascade(), chunk=7)
    assert essence(output) == essence(plain)
    assert list(read_rows(output)[0]) == COLUMNS
    assert (summary.done, summary.errors, summary.yes) == (22, 2, 10)
    assert sum(summary.exit_shares.values()) == pytest.approx(1)
    assert set(summary.exit_shares) == {"level-1", "level-2"}
    assert not list(tmp_path.glob("*.parts"))


def test_errors_are_rows(greys: Path, tmp_path: Path) -> None:
    (greys / "broken.jpg").write_bytes(grey(9)[:300])
    (greys / "text.png").write_text("no picture")
    (greys / "tiny.jpg").write_bytes(grey(9))
    (greys / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(greys / "pipe.jpg")
    listing = tmp_path / "list.txt"
    listing.write_text("greys/broken.jpg\ngreys/text.png\ngreys/pipe.jpg\ngreys/gone.jpg\ngreys\n")
    scan(listing, tmp_path / "out.jsonl", cascade(), limits=Limits(max_bytes=400))
    rows = {row["path"]: row for row in read_rows(tmp_path / "out.jsonl")}
    kinds = {path: (row["error_kind"], row["error_status"]) for path, row in rows.items()}
    assert kinds == {
        "greys/broken.jpg": ("CorruptPictureError", 422),
        "greys/text.png": ("UnsupportedFormatError", 415),
        "greys/pipe.jpg": ("PictureError", 422),
        "greys/gone.jpg": ("PictureError", 422),
        "greys": ("PictureError", 422),
    }
    assert all(row["error"] and row["probability"] is None and row["cascade"] for row in rows.values())


def test_a_picture_that_no_model_can_judge_is_an_error_row(greys: Path, tmp_path: Path) -> None:
    loaded = cascade(fault="error")
    loaded._models["cheap"] = cascade(fault="error")._models["dear"]
    summary = scan(greys, tmp_path / "out.jsonl", loaded, limit=3)
    rows = read_rows(tmp_path / "out.jsonl")
    assert summary.errors == 3
    assert {row["error_kind"] for row in rows} == {"ModelError"}
    assert all(len(row["sha256"]) == 64 for row in rows)


def test_one_bad_model_drops_out(greys: Path, tmp_path: Path) -> None:
    summary = scan(greys, tmp_path / "out.csv", cascade(fault="error"))
    rows = read_rows(tmp_path / "out.csv")
    assert summary.errors == 0
    asked = [row for row in rows if "dear" in row["model_probabilities"]]
    assert asked
    assert all(row["degraded"] and row["model_probabilities"]["dear"] is None for row in asked)


def test_all_sources_name_the_same_pictures(greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(os.path.relpath(path, tmp_path) for path in greys.rglob("*.jpg"))
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*names, "", names[0]]).encode())
    (tmp_path / "nul.txt").write_bytes("\0".join(names).encode())
    (tmp_path / "list.csv").write_text("label,path\n" + "".join(f"1,{name}\n" for name in names))
    expected = None
    for source in ("list.txt", "nul.txt", "list.csv", "-"):
        if source == "-":
            monkeypatch.chdir(tmp_path)
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(names).encode())))
        output = tmp_path / "out.jsonl"
        summary = scan(tmp_path / source if source != "-" else "-", output, cascade(), overwrite=True)
        assert [row["path"] for row in read_rows(output)] == names
        assert summary.repeated == (source == "list.txt")
        assert summary.errors == 0
        expected = expected or essence(output)
        assert essence(output) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "file,label\nx.jpg,1\n", "no column 'path'; its columns: file, label"),
        ("a.csv", "", "no column 'path'"),
        ("a.jpg", "", "is one picture"),
        ("a.parquet", "", "no list of pictures"),
        (None, "", "cannot read the source"),
    ],
)
def test_bad_sources_are_refused(tmp_path: Path, name: str | None, text: str, message: str) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError, match=message):
        scan(tmp_path / (name or "nothing"), tmp_path / "out.jsonl", cascade())
    assert not list(tmp_path.glob("out*"))


def test_csv_line_without_path_is_an_error_row(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\n,1\n")
    scan(tmp_path / "m.csv", tmp_path / "out.jsonl", cascade())
    assert "line 2 of the manifest has no path" in read_rows(tmp_path / "out.jsonl")[0]["error"]


def test_weird_names_and_loops_survive(tmp_path: Path) -> None:
    root = tmp_path / "weird"
    names = [
        b"a b/c d.JPG",
        b"new\nline.jpg",
        b"quote\"',;.jpeg",
        b"\xff\xfe.jpg",
        b"\\xff\xc3\xa4.jpg",
        b"x.jpg/y.jpg",
    ]
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(grey(len(name) * 5))
    (root / "loop").symlink_to(root)
    (root / "a b" / "up").symlink_to("..")
    (root / "again").symlink_to(root / "a b")
    for suffix in (".jsonl", ".csv", ".parquet"):
        summary = scan(root, tmp_path / f"out{suffix}", cascade(), chunk=2)
        found = {row["path"] for row in read_rows(tmp_path / f"out{suffix}")}
        wanted = {name.decode("utf-8", "backslashreplace") for name in names}
        assert found == wanted
        assert (summary.done, summary.errors) == (len(names), 0)


def test_deterministic_and_in_order_of_names(greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(greys, tmp_path / "a.jsonl", cascade(), chunk=3, workers=3)
    monkeypatch.setattr(scan_source, "_HELD", 3)  # the same order when a folder is too large to be held
    scan(greys, tmp_path / "b.jsonl", cascade(), chunk=3, workers=1)
    assert essence(tmp_path / "a.jsonl") == essence(tmp_path / "b.jsonl")
    paths = [row["path"] for row in read_rows(tmp_path / "a.jsonl")]
    assert paths == sorted(paths)
    assert len(paths) == 20


def test_a_million_names_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(100):
        (tmp_path / f"{index:03d}.jpg").touch()
    calls: list[int] = []
    nsmallest = scan_source.heapq.nsmallest
    monkeypatch.setattr(scan_source, "_HELD", 8)
    monkeypatch.setattr(scan_source.heapq, "nsmallest", lambda n, names: calls.append(n) or nsmallest(n, names))
    assert [item.name for item in PictureSource(tmp_path)] == [f"{index:03d}.jpg" for index in range(100)]
    assert calls == [8] * 13
    assert PictureSource(tmp_path).count(10) == 100


def test_few_decoded_pictures_are_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.jpg").write_bytes(grey(3))
    (tmp_path / "list.txt").write_text("".join(f"{'./' * (index + 1)}one.jpg\n" for index in range(300)))
    alive, most, lock = [0], [0], threading.Lock()
    decode = scan_module.decode

    def gone() -> None:
        with lock:
            alive[0] -= 1

    def counted(*args: Any, **options: Any) -> Picture:
        picture = decode(*args, **options)
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        weakref.finalize(picture.pixels, gone)
        return picture

    monkeypatch.setattr(scan_module, "decode", counted)
    assert scan(tmp_path / "list.txt", tmp_path / "out.jsonl", cascade(delay_s=0.002), chunk=10).done == 300
    assert 10 <= most[0] <= 30
    assert alive[0] == 0


def test_progress_tells_what_happens(greys: Path, tmp_path: Path) -> None:
    told: list[ScanProgress] = []
    summary = scan(greys, tmp_path / "out.jsonl", cascade(), chunk=6, on_progress=told.append)
    assert [progress.done for progress in told] == [6, 12, 18, 20]
    assert {progress.total for progress in told} == {20}
    assert told[-1].yes == summary.yes == 10
    assert told[-1].rate > 0
    spent = summary.time
    assert spent.decode_wait + spent.models + spent.overhead + spent.writing == pytest.approx(summary.seconds, rel=0.01)
    assert json.loads(json.dumps(summary.as_dict()))["time"]["by_model"].keys() == {"cheap", "dear"}


def test_nothing_to_do_is_an_empty_file_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for suffix in (".jsonl", ".csv", ".parquet"):
        assert scan(tmp_path / "empty", tmp_path / f"out{suffix}", cascade()).done == 0
        assert read_rows(tmp_path / f"out{suffix}") == []


@pytest.mark.parametrize("options", [{"chunk": 0}, {"workers": 0}, {"limit": 0}])
def test_numbers_below_one_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        scan(tmp_path, tmp_path / "out.jsonl", cascade(), **options)
