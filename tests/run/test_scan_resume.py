from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
import scan_child
from scan_child import cascade
from scan_files import essence, read_rows, write_greys

from natix_cascade.errors import ManifestError
from natix_cascade.image import Limits
from natix_cascade.run import scan_journal
from natix_cascade.run.scan import scan
from natix_cascade.run.scan_journal import Journal, Seen, digest_of

KILLS = {".jsonl": 4, ".csv": 1, ".parquet": 2}
PICTURES = 240


class StopError(Exception):
    """Raised by a test in the middle of a scan."""


def interrupted(source: Path, output: Path, **options: object) -> None:
    """A scan that stops after its second chunk."""

    def stop(progress: object) -> None:
        if progress.done >= 8:  # type: ignore[attr-defined]  # a ScanProgress
            raise StopError

    with pytest.raises(StopError):
        scan(source, output, cascade(), chunk=4, on_progress=stop, **options)  # type: ignore[arg-type]  # limits
    assert not output.exists()


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    return write_greys(tmp_path / "greys", 30)


@pytest.mark.parametrize("suffix", KILLS)
def test_killed_at_random_moments_each_picture_has_one_row(tmp_path: Path, suffix: str) -> None:
    source, output = write_greys(tmp_path / "greys", PICTURES), tmp_path / f"out{suffix}"
    command = [sys.executable, scan_child.__file__, str(source), str(output)]
    journal = tmp_path / f"out{suffix}.parts" / "journal.jsonl"
    generator = random.Random(suffix)  # noqa: S311  # moments, not secrets
    for kill in range(KILLS[suffix]):
        with subprocess.Popen([*command, "0.03"], stdout=subprocess.DEVNULL) as child:
            size = journal.stat().st_size if journal.exists() else 0
            while child.poll() is None and (not journal.exists() or journal.stat().st_size <= size):
                time.sleep(0.001)  # until it works: starting is not what is tested
            time.sleep(generator.uniform(0, 0.15))
            child.kill()
        assert child.returncode == -signal.SIGKILL, f"kill {kill} came too late"
        assert not output.exists()
    before = journal.read_bytes().count(b"\n") * 8
    done = subprocess.run([*command, "0"], check=True, capture_output=True, text=True).stdout.split()
    assert int(done[0]) == PICTURES
    assert abs(int(done[1]) - before) <= 8  # a torn last line does not count
    scan(source, tmp_path / f"whole{suffix}", cascade(), chunk=8)
    assert essence(output) == essence(tmp_path / f"whole{suffix}")
    paths = [row["path"] for row in read_rows(output)]
    assert len(paths) == len(set(paths)) == PICTURES
    assert not journal.parent.exists()


@pytest.mark.parametrize("step", range(40))
def test_stopped_between_any_two_steps_on_disk(
    greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The system calls that write are let through one by one: the scan dies before the step-th of them."""
    calls = [0]

    def dying(name: str) -> object:
        real = getattr(scan_journal.os, name)

        def call(*args: object) -> object:
            calls[0] += 1
            if calls[0] > step:
                raise StopError
            return real(*args)

        return call

    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        for name in ("fsync", "write", "replace", "truncate"):
            patch.setattr(scan_journal.os, name, dying(name))
        try:
            scan(greys, output, cascade(), chunk=8)
        except StopError:
            died = True
        else:
            died = False
    assert died == (calls[0] > step)
    summary = scan(greys, output, cascade(), chunk=8, overwrite=not died)
    assert summary.done == 30
    paths = [row["path"] for row in read_rows(output)]
    assert len(paths) == len(set(paths)) == 30


def test_torn_line_and_orphans_are_thrown_away(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    interrupted(greys, output)
    parts = tmp_path / "out.jsonl.parts"
    done = len((parts / "journal.jsonl").read_text().splitlines()) * 4
    with (parts / "journal.jsonl").open("a") as file:
        file.write('{"part": "part-000009.jsonl", "bytes": 3')
    (parts / "part-000009.jsonl").write_text("{")
    (parts / "whole.tmp").write_text("half")
    summary = scan(greys, output, cascade(), chunk=4)
    assert (summary.done, summary.skipped, summary.repeated) == (30, done, 0)
    assert len({row["path"] for row in read_rows(output)}) == 30


def test_a_lost_part_is_done_again(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    interrupted(greys, output)
    (tmp_path / "out.csv.parts" / "part-000002.csv").write_text("")
    assert scan(greys, output, cascade(), chunk=4).skipped == 4
    assert len({row["path"] for row in read_rows(output)}) == 30


def test_killed_between_output_and_cleaning(greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_clean", lambda _: None)
        first = scan(greys, output, cascade())
    assert (tmp_path / "out.jsonl.parts").exists()
    before = output.read_bytes()
    again = scan(greys, output, cascade())
    assert (again.done, again.yes, again.exit_shares) == (first.done, first.yes, first.exit_shares)
    assert output.read_bytes() == before
    assert not (tmp_path / "out.jsonl.parts").exists()


def test_another_cascade_source_format_or_limit_is_refused(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    interrupted(greys, output)
    (tmp_path / "other").mkdir()
    parts = sorted(path.name for path in (tmp_path / "out.jsonl.parts").iterdir())
    with pytest.raises(ManifestError, match=r"another cascade: it was 'scripted@1' and is 'other@1' now.*--no-resume"):
        scan(greys, output, cascade(name="other"))
    with pytest.raises(ManifestError, match="another source"):
        scan(tmp_path / "other", output, cascade())
    with pytest.raises(ManifestError, match="another format: it was 'jsonl' and is 'csv' now"):
        scan(greys, output, cascade(), format="csv")
    with pytest.raises(ManifestError, match="another limits"):
        scan(greys, output, cascade(), limits=Limits(max_aspect=2))
    assert sorted(path.name for path in (tmp_path / "out.jsonl.parts").iterdir()) == parts
    assert scan(greys, output, cascade(name="other"), resume=False).skipped == 0
    assert {row["cascade"] for row in read_rows(output)} == {"other@1"}


def test_an_output_is_not_replaced_unasked(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out.jsonl"
    scan(greys, output, cascade(), limit=2)
    with pytest.raises(ManifestError, match="exists already"):
        scan(greys, output, cascade())
    assert len(read_rows(output)) == 2
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]
    assert scan(greys, output, cascade(), overwrite=True).done == 30
    assert len(read_rows(output)) == 30


def test_two_scans_of_one_output_are_refused(greys: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    refused: list[str] = []

    def second(_: object) -> None:
        with pytest.raises(ManifestError, match="another scan is writing") as caught:
            scan(greys, output, cascade())
        refused.append(str(caught.value))

    assert scan(greys, output, cascade(), chunk=10, on_progress=second).done == 30
    assert len(refused) == 3
    assert len(read_rows(output)) == 30


def test_a_full_disk_is_a_sentence_and_loses_nothing(
    greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, calls = tmp_path / "out.jsonl", [0]
    write = scan_journal._write

    def full(path: Path, data: bytes) -> None:
        calls[0] += path.suffix == ".jsonl"
        if calls[0] > 3:
            raise OSError(28, "No space left on device")
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(scan_journal, "_write", full)
        with pytest.raises(ManifestError, match="No space left on device"):
            scan(greys, output, cascade(), chunk=4)
    assert scan(greys, output, cascade(), chunk=4).skipped == 12
    assert len({row["path"] for row in read_rows(output)}) == 30


def test_unknown_suffix_is_refused(greys: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"\.jsonl, \.ndjson, \.csv, \.parquet"):
        scan(greys, tmp_path / "out.txt", cascade())
    assert scan(greys, tmp_path / "out.txt", cascade(), format="csv").done == 30


def test_seen_is_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_journal, "_MERGE", 16)
    seen = Seen(np.array([digest_of(f"{i}") for i in range(50)], np.uint64))
    assert [seen.add(digest_of(f"{i}")) for i in range(200)] == [i >= 50 for i in range(200)]
    assert not any(seen.add(digest_of(f"{i}")) for i in range(200))
    assert len(seen) == 200
