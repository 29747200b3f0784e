"""Recording with scripted models; as a program: ``test_record.py MANIFEST OUT DELAY``, to be killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from natix_cascade.errors import RecordsError, SpecError
from natix_cascade.image import Level
from natix_cascade.plan import record as module
from natix_cascade.plan.record import Recorded, cascade_of, record
from natix_cascade.plan.records import Records, read_records
from natix_cascade.report.manifest import Row, read_manifest
from natix_cascade.report.records import collect
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import ScriptedModel, make_card, scripted_cascade, write_scenes

PICTURES, CHUNK = 24, 4
SIZE = (96, 64)


class StopError(Exception):
    """Raised by a test in the middle of a run."""


def brightness(pixels: NDArray[np.uint8]) -> float:
    return float(pixels.mean()) / 255


def reds(pixels: NDArray[np.uint8]) -> float:
    return float(pixels[..., 0].mean()) / 255


def models(*, delay_s: float = 0.0, fault: str | None = None, gmacs: float = 2.0) -> LoadedCascade:
    cheap = ScriptedModel("cheap", brightness, card=make_card("cheap", gmacs=0.5), delay_s=delay_s)
    card = make_card("dear", gmacs=gmacs, usd=0.01)
    dear = ScriptedModel("dear", reds, card=card, delay_s=delay_s, fault=fault)  # type: ignore[arg-type]  # a literal
    resolved, ready = scripted_cascade([cheap, dear])
    return LoadedCascade(resolved, {}, models=ready)


def run(rows: list[Row], out: Path, *, loaded: LoadedCascade | None = None, **options: object) -> Recorded:
    given = {"levels": [Level.L0, Level.L2], "repetitions": 2, "chunk": CHUNK} | options
    return record(loaded or models(), rows, out, **given)  # type: ignore[arg-type]  # as record has them


def stopped(rows: list[Row], out: Path, after: int = 9, **options: object) -> None:
    def stop(done: int, total: int) -> None:
        assert total == len(rows)
        if done >= after:
            raise StopError

    with pytest.raises(StopError):
        run(rows, out, on_progress=stop, **options)
    assert not out.exists()


def assert_same_but_times(one: Records, other: Records) -> None:
    for name in ("picture", "group", "split", "level", "label", "score", "failed", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.labels, one.models, one.unit, one.sha256) == (other.labels, other.models, other.unit, other.sha256)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), PICTURES, seed=5, size=SIZE)


@pytest.fixture(scope="module")
def rows(manifest: Path) -> list[Row]:
    return read_manifest(manifest)


def test_pictures_as_they_are(rows: list[Row], tmp_path: Path) -> None:
    done = run(rows, tmp_path / "r.parquet", levels=[], unit="usd")
    records = done.records
    assert (done.resumed, done.failures, len(records)) == (0, (), PICTURES)
    assert set(records.level) == {"clean"}
    assert records.labels == ("none", "roadwork")
    assert records.models == ("cheap", "dear")
    by_name = {row.key: row for row in rows}
    assert [by_name[name].label for name in records.picture] == records.label.astype(bool).tolist()
    assert [by_name[name].group for name in records.picture] == records.group.tolist()
    assert set(records.split) == {"test"}
    assert (records.weight == 1).all()
    assert records.unit == "usd"
    assert {unit: costs.tolist() for unit, costs in records.costs.items() if unit != "ms"} == {
        "gmacs": [0.5, 2.0],
        "usd": [0.0, 0.01],
    }
    np.testing.assert_allclose(records.costs["ms"], records.latency_ms.mean(axis=0), rtol=1e-5)
    assert (records.latency_ms > 0).all()
    assert records.sha256 == {"cheap": "0" * 64, "dear": "0" * 64}
    again = read_records(done.path)
    assert_same_but_times(again, records)
    np.testing.assert_array_equal(again.latency_ms, records.latency_ms)
    assert not (tmp_path / "r.parquet.parts").exists()


def test_scores_are_those_of_an_evaluation_and_levels_count_the_same(rows: list[Row], tmp_path: Path) -> None:
    records = run(rows, tmp_path / "r.parquet", seed=4).records
    found = collect(models(), rows, levels=[Level.L0, Level.L2], repetitions=2, seed=4, flips=False)
    names = np.array([found.rows[int(index)].key for index in found.row])
    for level, (base, repetition) in {"L0": ("L0", 0), "L2": ("L2", 0), "L2#1": ("L2", 1)}.items():
        mine, theirs = records.level == level, (found.level == base) & (found.repetition == repetition)
        np.testing.assert_array_equal(records.picture[mine], names[theirs])
        np.testing.assert_array_equal(records.score[mine], found.scores[theirs])
    assert len(records) == 3 * PICTURES
    assert records.weight[records.level == "L0"].sum() == PICTURES
    assert records.weight[np.char.startswith(records.level, "L2")].sum() == PICTURES


def test_killed_twice_it_goes_on_and_the_result_is_the_same(manifest: Path, rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    command = [sys.executable, __file__, str(manifest), str(out)]
    parts = tmp_path / "r.parquet.parts"
    for _ in range(2):
        before = len(list(parts.glob("*.npz")))
        with subprocess.Popen([*command, "0.15"], stdout=subprocess.DEVNULL) as child:
            while child.poll() is None and len(list(parts.glob("*.npz"))) <= before:
                time.sleep(0.005)
            child.kill()
        assert child.returncode == -signal.SIGKILL, "the run ended before it could be killed"
        assert not out.exists()
    finished = len(list(parts.glob("*.npz"))) * CHUNK
    told = subprocess.run([*command, "0"], check=True, capture_output=True, text=True).stdout.split()
    assert told == [str(PICTURES), str(finished)]
    assert 2 * CHUNK <= finished < PICTURES
    assert not parts.exists()
    assert_same_but_times(read_records(out), run(rows, tmp_path / "whole.parquet").records)


def test_order_of_the_rows_and_size_of_parts_do_not_matter(rows: list[Row], tmp_path: Path) -> None:
    one = run(rows, tmp_path / "a.parquet").records
    assert_same_but_times(run(rows[::-1], tmp_path / "b.parquet", chunk=100).records, one)


def test_a_torn_part_is_made_again(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    stopped(rows, out)
    part = tmp_path / "r.parquet.parts" / "000001.npz"
    part.write_bytes(part.read_bytes()[:-100])
    (part.parent / ".000002.npz.x").write_text("half")
    assert run(rows, out).resumed == CHUNK
    assert not part.parent.exists()


def test_another_configuration_is_refused_until_it_is_fresh(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    stopped(rows, out)
    for options, what in (
        ({"seed": 1}, "other seed;"),
        ({"levels": [Level.L0], "repetitions": 1}, "other levels and repetitions;"),
        ({"flips": True}, "other flips;"),
        ({"loaded": models(gmacs=3.0)}, "other models;"),
    ):
        with pytest.raises(RecordsError, match=rf"unfinished run with {what}.*--fresh"):
            run(rows, out, **options)  # type: ignore[arg-type]  # as record has them
    with pytest.raises(RecordsError, match="other pictures;"):
        run([replace(rows[0], split="train"), *rows[1:]], out)
    assert run(rows, out, seed=1, fresh=True).resumed == 0
    with pytest.raises(RecordsError, match=r"exists already.*--fresh"):
        run(rows, out)
    assert run(rows, out, fresh=True, unit="ms").records.unit == "ms"


def test_nothing_finished_binds_nobody(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    with pytest.raises(StopError):
        run(rows, out, on_progress=lambda *_: (_ for _ in ()).throw(StopError), chunk=100)
    for part in (tmp_path / "r.parquet.parts").glob("*.npz"):
        part.unlink()
    assert run(rows, out, seed=1).resumed == 0


def test_killed_between_output_and_cleaning(rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "r.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda _: None)
        first = run(rows, out)
    again = run(rows, out)
    assert again.resumed == PICTURES
    np.testing.assert_array_equal(again.records.latency_ms, first.records.latency_ms)
    assert [path.name for path in tmp_path.iterdir()] == ["r.parquet"]


def test_two_runs_of_one_output_are_refused(rows: list[Row], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"

    def second(_: int, __: int) -> None:
        with pytest.raises(RecordsError, match="another run is recording"):
            run(rows, out)

    assert len(run(rows, out, on_progress=second).records) == 3 * PICTURES


def test_lost_pictures_are_left_out_and_told_after_a_restart_too(rows: list[Row], tmp_path: Path) -> None:
    gone = replace(rows[0], path=tmp_path / "gone.jpg", name="a-gone.jpg")  # by name in the first part
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    more = [*rows, gone, replace(rows[1], path=broken, name="z-broken.jpg")]
    out = tmp_path / "r.parquet"
    stopped(more, out)
    done = run(more, out)
    assert done.resumed >= 8
    assert [failure.name for failure in done.failures] == ["a-gone.jpg", "z-broken.jpg"]
    assert_same_but_times(done.records, run(rows, tmp_path / "whole.parquet").records)
    with pytest.raises(RecordsError, match=r"none of the 1 pictures can be decoded; the first: .*gone"):
        run([gone], tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet.parts").exists()


def test_a_model_that_fails_leaves_failed_cells(rows: list[Row], tmp_path: Path) -> None:
    records = run(rows, tmp_path / "r.parquet", loaded=models(fault="error"), levels=[]).records
    assert records.failed.sum(axis=0).tolist() == [0, PICTURES]
    assert np.isnan(records.score[:, 1]).all()
    assert not np.isnan(records.score[:, 0]).any()
    assert read_records(tmp_path / "r.parquet").failed[:, 1].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "eur"}, "the unit is 'eur'; choose among gmacs, usd, ms"),
        ({"repetitions": 0}, "each must be at least 1"),
        ({"chunk": 0}, "each must be at least 1"),
    ],
)
def test_options_out_of_range(rows: list[Row], tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        run(rows, tmp_path / "r.parquet", **options)
    assert not list(tmp_path.iterdir())


def test_no_pictures_and_pictures_that_come_twice(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="there are no pictures"):
        run([], tmp_path / "r.parquet")
    with pytest.raises(RecordsError, match=r"scenes/00003.jpg comes twice"):
        run([*rows, rows[3]], tmp_path / "r.parquet")


def test_a_cascade_of_models() -> None:
    spec = cascade_of(["road-lite0", "road-gate"])
    assert [member.model for level in spec.levels for member in level.members] == ["road-lite0", "road-gate"]
    assert spec.question.positive == "roadwork"
    with pytest.raises(SpecError, match=r"no card for model road-none; known cards: .*road-gate"):
        cascade_of(["road-gate", "road-none"])
    with pytest.raises(SpecError, match="no model was named"):
        cascade_of([])


def test_the_question_of_other_cards(tmp_path: Path) -> None:
    text = """
name: NAME
licence: none
classes: [CLASSES]
positive: cat
input: {height: 32, width: 32}
weights: {file: w.onnx, sha256: "SHA", bytes: 1}
"""
    for name, classes in (("two", "dog, cat"), ("three", "dog, cat, cow")):
        card = text.replace("NAME", name).replace("CLASSES", classes).replace("SHA", "0" * 64)
        (tmp_path / f"{name}.yaml").write_text(card)
    assert (cascade_of(["two"], tmp_path).question.negative, cascade_of(["two"], tmp_path).question.id) == (
        "dog",
        "cat",
    )
    assert cascade_of(["three"], tmp_path).question.negative == "not cat"


if __name__ == "__main__":
    finished = run(read_manifest(sys.argv[1]), Path(sys.argv[2]), loaded=models(delay_s=float(sys.argv[3])))
    sys.stdout.write(f"{len(set(finished.records.picture))} {finished.resumed}\n")
