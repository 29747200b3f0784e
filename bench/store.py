"""What remembering a verdict costs in CPU time: a transaction of SQLite for each, against the service's store.

Both write the same JSON of 900 bytes, in WAL mode without waiting for the disk. The store is asked by 16 coroutines at
a time, as a worker is; its journal, its filing into SQLite and the wake-ups of the loop are all in its CPU time. The
two take turns.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

import common
from natix_cascade.serve.store import Store

VERDICTS, ROUNDS, AT_ONCE = 4000, 7, 16


def names(round_: int, count: int) -> list[tuple[str, bytes]]:
    """Ids in the order of time, and bodies."""
    ids = [f"{round_:012x}{number:020x}" for number in range(count)]
    return [(each, b'{"verdict_id":"%s","x":"%s"}' % (each.encode(), b"x" * 850)) for each in ids]


def one_by_one(folder: Path, rows: list[tuple[str, bytes]]) -> float:
    """Microseconds of CPU time for a verdict, a transaction each."""
    store = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = NORMAL")
    store.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, body BLOB NOT NULL)")
    began = time.process_time()
    for row in rows:
        store.execute("BEGIN IMMEDIATE")
        store.execute("INSERT INTO verdicts VALUES (?, ?)", row)
        store.execute("COMMIT")
    spent = time.process_time() - began
    store.close()
    return spent / len(rows) * 1e6


def with_store(folder: Path, rows: list[tuple[str, bytes]]) -> float:
    """Microseconds of CPU time for a verdict in the service's store, closed and all."""

    async def work() -> None:
        async def some(part: list[tuple[str, bytes]]) -> None:
            for name, body in part:
                await store.add_verdict(name, body)

        await asyncio.gather(*(some(rows[first::AT_ONCE]) for first in range(AT_ONCE)))

    began = time.process_time()
    store = Store(folder / "state")
    asyncio.run(work())
    store.close()
    return (time.process_time() - began) / len(rows) * 1e6


def main() -> None:
    """Measure, print and write."""
    given = common.options(__doc__, "store").parse_args()
    rounds, count = (1, 200) if given.quick else (ROUNDS, VERDICTS)
    plain: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            rows = names(number, count)
            plain.append(one_by_one(Path(name), rows))
            ours.append(with_store(Path(name), rows))
            common.progress(f"round {number + 1} of {rounds}")
    common.progress("")
    ratio = common.ratio(plain, ours)
    figures = {"transaction_us": common.spread(plain), "store_us": common.spread(ours), "times": ratio}
    print(f"a transaction each {figures['transaction_us']['median']:.0f} us, ", end="")
    print(f"the store {figures['store_us']['median']:.0f} us of CPU time: {ratio['median']:.1f} times")
    common.save(given.out, __doc__, data={"pictures": count, "rounds": rounds}, figures=figures, quick=given.quick)


if __name__ == "__main__":
    main()
