"""Many pictures to one file of verdicts: streaming, level by level in large batches, and safe against any crash.

::

    source -> decode (threads) -> BulkRunner.judge -> rows -> part on disk (thread) -> ... -> output
              chunk k + 1         chunk k                     chunk k - 1

At most two chunks of decoded pictures are in memory. What is finished lies beside the output; see `scan_journal`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from natix_cascade.errors import CascadeError, PictureError
from natix_cascade.image import Limits, Picture, decode
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.loaded import LoadedCascade, cores
from natix_cascade.run.scan_journal import Journal, digest_of
from natix_cascade.run.scan_report import ScanProgress, ScanSummary, ScanTime
from natix_cascade.run.scan_source import Item, PictureSource
from natix_cascade.run.sinks import Row, make_sink, output_format
from natix_cascade.spec.build import plain

__all__ = ["ScanProgress", "ScanSummary", "ScanTime", "scan"]

_DEFAULT = Limits()
_COUNTING_S = 1.0
"""Most seconds that are spent on finding out how many pictures there are."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a picture could not be decoded: an exception without the frames that would keep its bytes."""

    text: str
    kind: str
    status: int | None


def scan(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    loaded: LoadedCascade,
    *,
    limits: Limits = _DEFAULT,
    chunk: int = 64,
    workers: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    limit: int | None = None,
    on_progress: Callable[[ScanProgress], None] | None = None,
    format: str | None = None,  # noqa: A002  # the word that users know
) -> ScanSummary:
    """Judge all pictures of a source and write one row for each.

    A picture that cannot be read or judged becomes a row with `error`; nothing about one picture stops a scan.
    Interrupted at any moment, even by ``kill -9``, the same call goes on where it stopped: finished chunks lie in
    ``<output>.parts`` beside the output, which itself appears whole at the end. Then, 8 bytes for each finished
    picture are in memory.

    Parameters
    ----------
    source : str or os.PathLike
        A folder (recursively), a text file of paths, a CSV manifest with a column ``path``, or ``-`` for paths on
        standard input. See `PictureSource`.
    output : str or os.PathLike
        ``.jsonl``, ``.ndjson``, ``.csv`` or ``.parquet``. Columns: see `Row`.
    loaded : LoadedCascade
        The cascade and its models; stays open.
    limits : Limits
        Pictures beyond them become errors.
    chunk : int
        Pictures that are judged together and written together: what a crash costs at most, twice, in work.
    workers : int or None
        Threads that decode, beside the models; by default as many as cores. Whoever waits does not compute: with costly
        models the decoders are idle, with cheap ones the models are.
    resume : bool
        Go on with what an interrupted scan left; otherwise it is thrown away.
    overwrite : bool
        Replace an output that is there.
    limit : int or None
        The first so many pictures of the source only.
    on_progress : callable or None
        Called with a `ScanProgress` after each chunk, in the calling thread. What it raises stops the scan.
    format : {"jsonl", "csv", "parquet"} or None
        Instead of the output's suffix.

    Returns
    -------
    ScanSummary

    Raises
    ------
    ManifestError
        The source cannot be read, the output is there already or cannot be written, another scan writes it, or what
        an interrupted scan left was made with another cascade, policy, source, format, version or other weights.

    Examples
    --------
    >>> from natix_cascade.run.loaded import LoadedCascade
    >>> from natix_cascade.run.scan import scan
    >>> summary = scan("pictures", "verdicts.parquet", LoadedCascade.load(threads=1))  # doctest: +SKIP
    """
    for name, value in (("chunk", chunk), ("workers", workers), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; give 1 or more")
    pictures, target = PictureSource(source), Path(output)
    kind = output_format(target, format)
    sink = make_sink(kind, loaded.resolved.question.id)
    meta = _meta(loaded, pictures, kind, limits)
    with Journal(target, sink, meta, resume=resume, overwrite=overwrite) as journal:
        run = _Scan(loaded, pictures, journal, limits=limits, chunk=chunk, limit=limit, on_progress=on_progress)
        if not journal.finished:
            run.all(workers or cores())
        return run.summary()


class _Scan:
    """One run over a source."""

    def __init__(
        self,
        loaded: LoadedCascade,
        source: PictureSource,
        journal: Journal,
        *,
        limits: Limits,
        chunk: int,
        limit: int | None,
        on_progress: Callable[[ScanProgress], None] | None,
    ) -> None:
        self._loaded, self._source, self._journal = loaded, source, journal
        self._limits, self._chunk, self._limit = limits, chunk, limit
        self._on_progress = on_progress
        self._short_side = loaded.short_side
        self._total: int | None = None
        self._known = 0
        self._began = time.perf_counter()
        self._decode_wait = self._writing = 0.0
        self._by_model: dict[str, float] = {}

    def all(self, workers: int) -> None:
        """Judge everything that is not done and put the output in place."""
        if self._on_progress is not None:
            self._total = self._source.count(_COUNTING_S)
            self._total = min(self._total, self._limit) if self._total is not None and self._limit else self._total
        runner = BulkRunner(self._loaded)
        decoders = ThreadPoolExecutor(workers, thread_name_prefix="natix-decode")
        writer = ThreadPoolExecutor(1, thread_name_prefix="natix-write")
        try:
            self._pipe(runner, decoders, writer)
        finally:
            decoders.shutdown(cancel_futures=True)
            writer.shutdown()  # a chunk that is being written is written
            runner.close()
            self._by_model = dict(runner.spent.by_model)
        began = time.perf_counter()
        self._journal.finish()
        self._writing += time.perf_counter() - began

    def _pipe(self, runner: BulkRunner, decoders: ThreadPoolExecutor, writer: ThreadPoolExecutor) -> None:
        chunks = self._chunks()
        ahead = self._submit(decoders, next(chunks, []))
        written: Future[None] | None = None
        while ahead:
            now, ahead = ahead, self._submit(decoders, next(chunks, []))
            rows = self._judge(runner, now)
            digests = [digest_of(item.name) for item, _ in now]
            del now  # the decoded pictures go
            self._wait(written)
            written = writer.submit(self._journal.commit, rows, digests)
        self._wait(written)

    def _chunks(self) -> Iterator[list[Item]]:
        """Lists of items that have no row yet."""
        seen = self._journal.seen
        items = iter(self._source) if self._limit is None else islice(self._source, self._limit)
        fresh: list[Item] = []
        for item in items:
            if seen.add(digest_of(item.name)):
                fresh.append(item)
            else:
                self._known += 1
            if len(fresh) == self._chunk:
                yield fresh
                fresh = []
        if fresh:
            yield fresh

    def _submit(self, decoders: ThreadPoolExecutor, items: list[Item]) -> list[tuple[Item, Future[Picture | _Failure]]]:
        return [(item, decoders.submit(_load, item, self._limits, self._short_side)) for item in items]

    def _judge(self, runner: BulkRunner, items: list[tuple[Item, Future[Picture | _Failure]]]) -> list[Row]:
        began = time.perf_counter()
        decoded = [future.result() for _, future in items]
        self._decode_wait += time.perf_counter() - began
        verdicts = iter(runner.judge([one for one in decoded if isinstance(one, Picture)]))
        rows: list[Row] = []
        for (item, _), one in zip(items, decoded, strict=True):
            if isinstance(one, _Failure):
                rows.append(self._error(item, one, None))
                continue
            verdict = next(verdicts)
            if isinstance(verdict, CascadeError):
                rows.append(self._error(item, _failure(verdict), one.sha256))
            else:
                rows.append(Row.of_verdict(item.name, verdict))
        return rows

    def _error(self, item: Item, failure: _Failure, sha256: str | None) -> Row:
        return Row.of_error(
            item.name,
            failure.text,
            kind=failure.kind,
            status=failure.status,
            sha256=sha256,
            cascade=self._loaded.resolved.name,
            policy=self._loaded.resolved.policy,
        )

    def _wait(self, written: Future[None] | None) -> None:
        """Wait until a chunk is on disk, then tell of it."""
        if written is None:
            return
        began = time.perf_counter()
        written.result()
        self._writing += time.perf_counter() - began
        if self._on_progress is not None:
            summary = self.summary()
            names = ScanProgress.__slots__
            self._on_progress(ScanProgress(**{name: getattr(summary, name) for name in names}))

    def summary(self) -> ScanSummary:
        """The state of things."""
        counts, seconds = self._journal.counts, time.perf_counter() - self._began
        judged = sum(counts.exits.values())
        models = sum(self._by_model.values())
        return ScanSummary(
            done=counts.done,
            errors=counts.errors,
            yes=counts.yes,
            total=self._total,
            rate=(counts.done - self._journal.skipped) / seconds if seconds else 0.0,
            exit_shares={
                level.name: counts.exits[level.name] / judged if judged else 0.0
                for level in self._loaded.resolved.levels
            },
            skipped=self._journal.skipped,
            repeated=max(0, self._known - self._journal.skipped),
            seconds=seconds,
            time=ScanTime(
                decode_wait=self._decode_wait,
                models=models,
                overhead=max(0.0, seconds - self._decode_wait - models - self._writing),
                writing=self._writing,
                by_model=self._by_model,
            ),
            output=self._journal.output,
        )


def _load(item: Item, limits: Limits, short_side: int) -> Picture | _Failure:
    """Decode one picture; never raises."""
    try:
        if item.problem is not None:
            return _failure(PictureError(item.problem))
        if not stat.S_ISREG(os.stat(item.file).st_mode):  # noqa: PTH116  # reading a pipe would wait for ever
            return _failure(PictureError(f"{item.name!r} is no regular file"))
        return decode(item.file, limits=limits, short_side=short_side, id=item.name)
    except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this picture only
        return _failure(error)


def _failure(error: Exception) -> _Failure:
    if isinstance(error, OSError):  # the file is not there or not to be reached
        error = PictureError(f"cannot read the picture: {error.strerror or error}")
    return _Failure(str(error) or type(error).__name__, type(error).__name__, getattr(error, "status", None))


def _meta(loaded: LoadedCascade, source: PictureSource, format: str, limits: Limits) -> dict[str, Any]:  # noqa: A002
    """What all rows of one output must have in common."""
    resolved = loaded.resolved
    try:
        version = metadata.version("natix-cascade")
    except metadata.PackageNotFoundError:
        version = "unknown"
    return {
        "format": format,
        "source": os.fsencode(source.identity).decode("utf-8", "backslashreplace"),
        "cascade": resolved.name,
        "policy": resolved.policy,
        "weights": {name: card.digest for name, card in resolved.cards.items()},
        "version": version,
        "limits": asdict(limits),
        "definition": hashlib.sha256(json.dumps(plain(resolved), sort_keys=True).encode()).hexdigest(),
    }
