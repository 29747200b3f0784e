from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from natix_cascade.cli import main
from natix_cascade.image import encode_jpeg
from natix_cascade.testing import render_scene

KEYS = {
    "id",
    "sha256",
    "roadwork_detected",
    "probability",
    "confidence",
    "consensus_ratio",
    "exit_level",
    "exit_reason",
    "levels_executed",
    "model_predictions",
    "latency_ms",
    "cost_usd",
    "gmacs",
    "degraded",
    "reasons",
    "cascade",
    "policy",
}


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Said]


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, through its entry point."""

    def call(*arguments: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return Said(int(left.value.code or 0), out, err)

    return call


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return render_scene(2, roadwork=True, size=(320, 180)).jpeg()


@pytest.fixture
def folder(in_tmp: Path, jpeg: bytes) -> Path:
    """The working directory, with one.jpg, in/two.PNG and in/notes.txt in a folder `pictures`."""
    pictures = in_tmp / "pictures"
    (pictures / "in").mkdir(parents=True)
    (pictures / "one.jpg").write_bytes(jpeg)
    Image.fromarray(render_scene(3, roadwork=False, size=(320, 180)).pixels).save(pictures / "in" / "two.PNG", "PNG")
    (pictures / "in" / "notes.txt").write_text("not a picture", "utf-8")
    return pictures


def test_one_file_for_people(run: Run, folder: Path) -> None:
    said = run("detect", folder / "one.jpg")
    assert (said.code, said.err) == (0, "")
    first, *rest = said.out.splitlines()
    assert first.startswith(("YES  roadwork", "no   none"))
    assert "% sure  exit " in first
    assert first.endswith("one.jpg")
    assert any("road-gate" in line and "P = " in line for line in rest)
    assert any("the vote is P(roadwork)" in line for line in rest)


def test_one_file_as_json_is_one_object_and_nothing_else(run: Run, folder: Path) -> None:
    said = run("detect", folder / "one.jpg", "--json")
    data = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert set(data) == KEYS
    assert data["id"] == str(folder / "one.jpg")


def test_several_files_are_one_line_each(run: Run, folder: Path) -> None:
    files = folder / "one.jpg", folder / "in" / "two.PNG"
    said = run("detect", *files)
    assert len(said.out.splitlines()) == 2
    said = run("detect", *files, "--json")
    assert (said.code, said.err) == (0, "")
    assert [data["id"] for data in said.lines] == [str(file) for file in files]
    assert all(set(data) == KEYS for data in said.lines)


def test_a_folder_is_searched_for_pictures(run: Run, folder: Path) -> None:
    said = run("detect", folder, "--json")
    assert said.code == 0
    assert [data["id"] for data in said.lines] == [str(folder / "in" / "two.PNG"), str(folder / "one.jpg")]


def test_a_folder_with_one_picture_is_still_lines(run: Run, folder: Path) -> None:
    said = run("detect", folder / "in", "--json")
    assert [data["id"] for data in said.lines] == [str(folder / "in" / "two.PNG")]


def test_an_empty_folder_is_a_wrong_command(run: Run, in_tmp: Path) -> None:
    (in_tmp / "empty").mkdir()
    said = run("detect", "empty")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: no pictures in empty; wanted .jpg, .jpeg, .png or .webp files\n"


def test_standard_input(run: Run, jpeg: bytes, in_tmp: Path) -> None:
    said = run("detect", "-", "--json", stdin=jpeg)
    assert said.code == 0
    assert json.loads(said.out)["id"] == "-"
    said = run("detect", "-", "--explain", in_tmp / "out", "--json", stdin=jpeg)
    assert Path(json.loads(said.out)["explanation"]).name.startswith("stdin-")
    said = run("detect", "-")
    assert said.code == 1
    assert said.err == "error: -: the picture is empty: it has no bytes\n"


def test_a_missing_file_is_one_sentence(run: Run, folder: Path) -> None:
    said = run("detect", "none.jpg")
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: none.jpg: cannot read the picture 'none.jpg': No such file or directory\n"
    said = run("detect", "none.jpg", folder / "one.jpg", "--json")  # the others are judged all the same
    assert said.code == 1
    bad, good = said.lines
    assert bad == {
        "id": "none.jpg",
        "error": "cannot read the picture 'none.jpg': No such file or directory",
        "kind": "PictureError",
        "status": 422,
    }
    assert set(good) == KEYS


def test_what_is_no_picture_is_one_sentence(run: Run, folder: Path) -> None:
    said = run("detect", folder / "in" / "notes.txt", "--json")
    assert said.code == 1
    assert json.loads(said.out)["status"] == 415
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


def test_explanations_are_pictures(run: Run, folder: Path, in_tmp: Path) -> None:
    said = run("detect", folder, "--explain", in_tmp / "deep" / "out", "--json")
    assert said.code == 0
    for data in said.lines:
        with Image.open(data["explanation"]) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 100
            assert np.asarray(picture.convert("RGB")).std() > 0
    said = run("detect", folder / "one.jpg", "--explain", in_tmp / "out")
    assert "explained in" in said.out


def test_a_folder_for_explanations_that_cannot_be_is_one_sentence(run: Run, folder: Path) -> None:
    said = run("detect", folder / "one.jpg", "--explain", folder / "in" / "notes.txt")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: no folder for explanations at ")


def test_wrong_cascade_and_wrong_policy_are_wrong_commands(run: Run, folder: Path) -> None:
    said = run("detect", folder / "one.jpg", "--cascade", "nope")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: no cascade 'nope'")
    assert "embedded" in said.err
    said = run("detect", folder / "one.jpg", "--policy", "nope", "--json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: no policy 'nope'")


def test_without_policy_raw_scores_count(run: Run, folder: Path) -> None:
    data = json.loads(run("detect", folder / "one.jpg", "--policy", "none", "--json").out)
    assert data["policy"] == "none"
    gate = data["model_predictions"]["road-gate"]
    assert gate["score"] == pytest.approx(gate["probability"], abs=1e-5)


def test_a_deadline_that_is_long_enough_changes_nothing(run: Run, folder: Path) -> None:
    data = json.loads(run("detect", folder / "one.jpg", "--deadline-ms", 60_000, "--json").out)
    assert not data["degraded"]


def test_a_deadline_that_is_too_short_is_said(run: Run, folder: Path) -> None:
    said = run("detect", folder / "one.jpg", "--deadline-ms", 1, "--json")  # the model is not even loaded by then
    assert said.code == 1
    assert json.loads(said.out)["kind"] == "DeadlineError"
    assert "deadline" in said.err
    assert run("detect", folder / "one.jpg", "--deadline-ms", 0).code == 2


def test_no_input_is_a_wrong_command(run: Run) -> None:
    said = run("detect")
    assert (said.code, said.out) == (2, "")


def test_names_that_are_not_utf_8(folder: Path, jpeg: bytes) -> None:
    name = os.path.join(os.fsencode(folder), b"stra\xdfe.jpg")  # noqa: PTH118  # Path has no bytes
    Path(os.fsdecode(name)).write_bytes(jpeg)
    for extra in ([], ["--json"]):
        done = subprocess.run(
            [Path(sys.executable).parent / "natix-cascade", "detect", name, b"gone-\xdf.jpg", *extra],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        text = done.stdout.decode("utf-8")
        if extra:
            good, bad = (json.loads(line) for line in text.splitlines())
            assert os.fsencode(good["id"]) == name
            assert os.fsencode(bad["id"]) == b"gone-\xdf.jpg"


def test_the_installed_command_in_a_process_of_its_own(folder: Path) -> None:
    command = Path(sys.executable).parent / "natix-cascade"
    done = subprocess.run(
        [command, "detect", folder / "one.jpg", "--json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)) == KEYS


def test_large_standard_input_is_refused(run: Run) -> None:
    data = encode_jpeg(np.zeros((64, 64, 3), np.uint8)) + bytes(21 * 1024 * 1024)
    said = run("detect", "-", "--json", stdin=data)
    assert said.code == 1
    assert json.loads(said.out)["status"] == 413
