"""The store: what is acknowledged is there, in order, after any end, and never more than is to be kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from natix_cascade.errors import CascadeError
from natix_cascade.serve.store import FeedbackRow, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "deep" / "state", keep=100)
    yield found
    found.close()


def body(number: int) -> bytes:
    return b'{"verdict_id": "%032x"}' % number


def verdict(number: int) -> tuple[str, bytes]:
    return f"{number:032x}", body(number)


def feedback(number: int, of: int, *, note: str | None = None) -> FeedbackRow:
    return FeedbackRow(f"f{number:031x}", f"{of:032x}", float(number), number % 2 == 0, note, True, None)


def test_verdicts_come_back_the_newest_first(store: Store) -> None:
    async def work() -> None:
        await asyncio.gather(*(store.add_verdict(*verdict(number)) for number in range(30)))

    asyncio.run(work())
    assert store.verdict(f"{7:032x}") == body(7)
    assert store.verdict("none") is None
    assert [name for name, _ in store.verdicts(limit=3)] == [f"{number:032x}" for number in (29, 28, 27)]
    assert [name for name, _ in store.verdicts(limit=2, before=f"{5:032x}")] == [f"{4:032x}", f"{3:032x}"]


def test_feedback_comes_back_with_its_verdict(store: Store) -> None:
    rows = [feedback(1, 7, note="schräg 🚧"), feedback(2, 7), feedback(3, 8)]

    async def work() -> None:
        await store.add_verdict(*verdict(7))
        for row in rows:
            await store.add_feedback(row)

    asyncio.run(work())
    assert store.feedback(f"{7:032x}") == rows[:2]
    assert store.all_feedback() == rows


def test_old_verdicts_go_but_not_those_with_feedback(store: Store) -> None:
    async def work() -> None:
        await store.add_verdict(*verdict(0))
        await store.add_feedback(feedback(1, 0))
        for first in range(1, 4001, 500):
            await asyncio.gather(*(store.add_verdict(*verdict(number)) for number in range(first, first + 500)))

    asyncio.run(work())
    until = time.monotonic() + 20
    while len(left := [int(name, 16) for name, _ in store.verdicts(limit=10_000)]) > 2101 and time.monotonic() < until:
        time.sleep(0.01)  # the journal is filed a moment later
    assert 0 in left
    assert left[0] == 4000
    assert len(left) <= 100 + 1 + 2000  # what is kept, what has feedback, and what came since the last look


def test_a_run_hears_only_what_it_is_told(store: Store) -> None:
    async def work() -> None:
        await store.set_control("a", "drain", "1")
        await store.set_control("b", "generation", "2")
        await store.set_worker("a", 1, 11, b"one")
        await store.set_worker("a", 0, 10, b"zero")
        await store.set_worker("a", 0, 10, b"zero again")
        await store.set_worker("b", 0, 12, b"other")

    asyncio.run(work())
    assert store.control("a") == {"drain": "1"}
    assert store.control("c") == {}
    assert store.workers("a", younger_than_s=60) == [b"zero again", b"one"]
    assert store.workers("a", younger_than_s=-1) == []


def test_two_stores_of_one_folder_see_each_other(store: Store) -> None:
    other = Store(store.folder)

    async def work() -> None:
        await asyncio.gather(*((store, other)[number % 2].add_verdict(*verdict(number)) for number in range(50)))

    asyncio.run(work())
    until = time.monotonic() + 20
    while len(other.verdicts(limit=100)) + len(store.verdicts(limit=100)) < 100 and time.monotonic() < until:
        time.sleep(0.01)  # each has its own in a journal first
    assert len(other.verdicts(limit=100)) == len(store.verdicts(limit=100)) == 50
    other.close()


def test_writes_that_wait_are_done_before_it_closes(tmp_path: Path) -> None:
    store = Store(tmp_path)

    async def work() -> None:
        for number in range(100):
            asyncio.ensure_future(store.add_verdict(*verdict(number)))  # noqa: RUF006  # nobody waits for them
        await asyncio.sleep(0)

    asyncio.run(work())
    store.close()
    again = Store(tmp_path)
    assert len(again.verdicts(limit=1000)) == 100
    again.close()


def test_a_locked_store_holds_no_verdict_up_and_loses_none(store: Store) -> None:
    with sqlite3.connect(store.path, isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        for number in range(10):
            asyncio.run(store.add_verdict(*verdict(number), timeout_s=20))
            assert store.verdict(f"{number:032x}") == body(number)
        with pytest.raises(TimeoutError):
            asyncio.run(store.set_worker("a", 0, 1, b"{}", timeout_s=0.05))
        lock.execute("ROLLBACK")
    lock.close()
    asyncio.run(store.add_verdict(*verdict(10)))
    assert len(store.verdicts(limit=100)) == 11


def test_a_full_disk_is_said_and_takes_nothing_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(store.add_verdict(*verdict(1)))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("natix_cascade.serve.journal.os.write", full)
        with pytest.raises(CascadeError, match="No space left"):
            asyncio.run(store.add_verdict(*verdict(2)))
    asyncio.run(store.add_verdict(*verdict(3)))
    assert [name for name, _ in store.verdicts(limit=9)] == [f"{3:032x}", f"{1:032x}"]


def test_half_a_line_of_a_dead_process_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "journal-dead.ndjson").write_bytes(body(1) + b"\n" + b"no JSON\n" + body(2) + b"\n" + body(3)[:20])
    store = Store(tmp_path)
    assert [name for name, _ in store.verdicts(limit=9)] == [f"{2:032x}", f"{1:032x}"]
    store.close()
    assert not list(tmp_path.glob("journal-*"))


def test_the_journal_of_a_living_process_is_left_alone(store: Store) -> None:
    asyncio.run(store.add_verdict(*verdict(1)))
    other = Store(store.folder)
    assert len(list(store.folder.glob("journal-*"))) == 2
    other.close()
    assert len(list(store.folder.glob("journal-*"))) == 1
    assert store.verdict(f"{1:032x}") == body(1)


def test_a_store_that_cannot_be_written_says_so(store: Store) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute("DROP TABLE feedback")
    other.close()
    with pytest.raises(CascadeError, match="cannot be written"):
        asyncio.run(store.add_feedback(feedback(1, 1)))
    asyncio.run(store.add_verdict(*verdict(1)))  # the thread lives on


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service.sqlite").write_bytes(b"this is not SQLite, but longer than its header is" * 10)
    with pytest.raises(CascadeError, match="give another --state"):
        Store(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CascadeError, match="cannot be opened"):
        Store(tmp_path / "file")


WRITER = """
import asyncio, sys
from pathlib import Path
from natix_cascade.serve.store import FeedbackRow, Store

store = Store(Path(sys.argv[1]))

async def write(part):
    for number in range(1_000_000):
        name = f"{part:04x}{number:028x}"
        await store.add_verdict(name, b'{"verdict_id": "%s"}' % name.encode())
        await store.add_feedback(FeedbackRow(name, name, 0.0, True, None, True, None))
        print(name, flush=True)

async def all_of_them():
    await asyncio.gather(*(write(part) for part in range(8)))

asyncio.run(all_of_them())
"""


def test_whatever_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    for turn in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            first = [writer.stdout.readline() for _ in range(20 * (turn + 1))]
            writer.send_signal(signal.SIGKILL)
            acknowledged = {line.strip().decode() for line in [*first, *writer.stdout] if line.endswith(b"\n")}
        assert writer.returncode == -signal.SIGKILL
        assert len(acknowledged) >= 20 * (turn + 1)
        store = Store(tmp_path)
        found = {name for name, _ in store.verdicts(limit=1_000_000)}
        said = {row.id for row in store.all_feedback()}
        store.close()
        assert acknowledged <= found
        assert acknowledged <= said


def test_generations_have_one_order(store: Store) -> None:
    other = Store(store.folder)

    async def work() -> list[int]:
        return await asyncio.gather(*((store, other)[n % 2].add_generation("a", f"c{n}", None) for n in range(20)))

    numbers = asyncio.run(work())
    assert sorted(numbers) == list(range(2, 22))
    assert other.generation("a") == (21, f"c{numbers.index(21)}", None)
    assert store.generation("b") is None
    other.close()


def test_what_workers_of_yesterday_said_is_forgotten(store: Store) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute("INSERT INTO workers VALUES ('old', 0, 1, ?, x'00')", (time.time() - 2 * 86_400,))
        other.execute("INSERT INTO control VALUES ('old', 'drain', '1')")
    other.close()

    async def work() -> None:
        await store.set_worker("new", 0, os.getpid(), b"{}")
        await store.set_control("new", "generation", "2")
        await asyncio.gather(*(store.add_verdict(*verdict(number)) for number in range(2001)))

    asyncio.run(work())
    until = time.monotonic() + 20
    while store.control("old") and time.monotonic() < until:
        time.sleep(0.01)  # the journal is filed a moment later
    assert store.control("old") == {}
    assert store.workers("old", younger_than_s=1e9) == []
    assert store.control("new") == {"generation": "2"}
    assert store.workers("new", younger_than_s=60) == [b"{}"]
