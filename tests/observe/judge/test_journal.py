from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from natix_cascade.errors import StoreError
from natix_cascade.observe.judge.journal import FILE, Answer, Journal, Question, read_rows, read_skipped

WRITER = """
import sys
from pathlib import Path
from natix_cascade.observe.judge.journal import Answer, Journal, Question
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number = journal.ask(Question(created=float(number), verdict_id=f"{number:032x}", answer=True, probability=0.9,
        cascade="c@1", policy="p@1", rubric="r@1", digest="d", judge="j", by_chance=True, most_usd=1.0))
    print(number, flush=True)
    if number % 2:
        journal.answer(number, Answer(created=0.0, score=0.5, abstained=False, reason="r" * 300, cost_usd=0.25,
            latency_ms=1.0, failure=None))
        print(-number, flush=True)
"""


def question(number: int = 1, *, by_chance: bool = True, most_usd: float = 1.0, created: float = 100.0) -> Question:
    return Question(
        created=created,
        verdict_id=f"{number:032x}",
        answer=True,
        probability=0.9,
        cascade="c@1",
        policy="p@1",
        rubric="r@1",
        digest="d",
        judge="j",
        by_chance=by_chance,
        most_usd=most_usd,
    )


def answer(score: float | None = 0.5, *, cost_usd: float = 0.25, failure: str | None = None) -> Answer:
    return Answer(
        created=101.0,
        score=score,
        abstained=score is None and failure is None,
        reason="Cones.",
        cost_usd=cost_usd,
        latency_ms=12.0,
        failure=failure,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.answer(journal.ask(question(1)), answer(0.25))
    journal.answer(journal.ask(question(2, by_chance=False)), answer(None))
    journal.ask(question(3, most_usd=2.0))
    journal.truth(1.0, f"{1:032x}", label=True)
    journal.truth(2.0, f"{1:032x}", label=False)
    journal.truth(3.0, "nobody", label=True)
    journal.skipped(5.0, {"pace": 3, "busy": 1})
    journal.skipped(9.0, {"pace": 4})
    assert journal.spent(0.0) == (2.5, 0.25)
    assert journal.spent(200.0) == (0.0, 0.0)
    assert journal.entered(0.0) == [(100.0, True), (100.0, False), (100.0, True)]
    assert journal.scores("d", "j", 10) == [0.25]
    assert journal.scores("another", "j", 10) == []
    first, second, third = read_rows(tmp_path)  # while it is open
    journal.close()
    assert (first.score, first.label, first.abstained, first.failure) == (0.25, False, False, None)
    assert (second.score, second.label, second.abstained, second.by_chance) == (None, None, True, False)
    assert (third.failure, third.cost_usd, third.abstained) == ("no answer was written", 2.0, False)
    assert read_skipped(tmp_path) == {"busy": 1, "pace": 7}
    assert read_skipped(tmp_path, since=6.0) == {"pace": 4}


def test_kill_9_at_any_moment_loses_nothing_that_was_written(tmp_path: Path) -> None:
    written: set[int] = set()
    for stop in (1, 7, 40):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(stop):
            written.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        written |= {int(line) for line in process.stdout.read().splitlines()}
        process.wait(10)
        process.stdout.close()
    rows = read_rows(tmp_path)
    assert len(rows) >= max(written)
    answered = sum(row.score is not None for row in rows)
    assert answered >= sum(number < 0 for number in written)
    journal = Journal(tmp_path)
    assert journal.spent(0.0)[0] == pytest.approx(0.25 * answered + 1.0 * (len(rows) - answered))
    journal.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


def test_old_rows_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path, keep=3)
    for number in range(10):
        journal.answer(journal.ask(question(number)), answer())
        journal.truth(1.0, f"{number:032x}", label=True)
    journal.close()
    Journal(tmp_path, keep=3).close()
    assert [int(row.verdict_id, 16) for row in read_rows(tmp_path)] == [7, 8, 9]
    with sqlite3.connect(tmp_path / FILE) as file:
        counts = [file.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("answers", "truths")]  # noqa: S608
    file.close()
    assert counts == [3, 3]


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no judge's journal at"):
        read_rows(tmp_path)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 40, b"\0" * 4096])
def test_what_is_no_journal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreError):
        Journal(tmp_path)
    with pytest.raises(StoreError):
        read_rows(tmp_path)


def test_another_version(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("PRAGMA user_version = 9")
    file.close()
    with pytest.raises(StoreError, match="version 9"):
        Journal(tmp_path)
    with pytest.raises(StoreError, match="version 9"):
        read_rows(tmp_path)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Journal(tmp_path / "file")


def test_after_the_end_writing_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    with pytest.raises(StoreError, match="cannot be written"):
        journal.ask(question())
