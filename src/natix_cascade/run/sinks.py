"""Rows of a scan and the three formats they are written in: JSON lines, CSV and Parquet.

Each format writes a chunk of rows as a part of its own and joins parts to one file without holding them in memory.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ManifestError

__all__ = ["FORMATS", "CsvSink", "Format", "JsonLinesSink", "ParquetSink", "Row", "Sink", "make_sink", "output_format"]

Format = Literal["jsonl", "csv", "parquet"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
"""Suffix of the output to format."""

_ROW_GROUP = 8192
"""Rows in a row group of Parquet, and most rows in memory while parts are joined."""


@dataclass(frozen=True, slots=True)
class Row:
    r"""One picture of the output: a verdict or an error, never both.

    Attributes
    ----------
    path : str
        The picture's name: relative to a scanned folder, or as a list names it. Bytes that are not UTF-8 stand as
        ``\xNN``.
    sha256 : str or None
        Of the file; None when it could not be decoded.
    detected, probability, confidence, consensus_ratio, exit_level, levels_executed
        As in `Verdict`; None with an error. The column of `detected` is called ``<question>_detected``.
    model_probabilities : dict or None
        Calibrated probability by model that was asked; None for one that did not answer.
    latency_ms, cost_usd, gmacs, degraded, reasons
        As in `Verdict`.
    error, error_kind : str or None
        Why there is no verdict, and the error's class.
    error_status : int or None
        The HTTP status that a service would have answered with.
    cascade, policy : str
        ``name@version``.
    """

    path: str
    sha256: str | None
    detected: bool | None
    probability: float | None
    confidence: float | None
    consensus_ratio: float | None
    exit_level: str | None
    levels_executed: tuple[str, ...] | None
    model_probabilities: dict[str, float | None] | None
    latency_ms: float | None
    cost_usd: float | None
    gmacs: float | None
    degraded: bool | None
    reasons: tuple[str, ...] | None
    error: str | None
    error_kind: str | None
    error_status: int | None
    cascade: str
    policy: str

    @classmethod
    def of_verdict(cls, path: str, verdict: Verdict) -> Row:
        """A row for a picture that was judged."""
        return cls(
            path=_plain(path),
            sha256=verdict.sha256,
            detected=verdict.detected,
            probability=verdict.probability,
            confidence=verdict.confidence,
            consensus_ratio=verdict.consensus_ratio,
            exit_level=verdict.exit_level,
            levels_executed=verdict.levels_executed,
            model_probabilities={opinion.model: opinion.probability for opinion in verdict.opinions},
            latency_ms=round(verdict.latency_ms, 3),
            cost_usd=verdict.cost_usd,
            gmacs=verdict.gmacs,
            degraded=verdict.degraded,
            reasons=tuple(_plain(reason) for reason in verdict.reasons),
            error=None,
            error_kind=None,
            error_status=None,
            cascade=verdict.cascade,
            policy=verdict.policy,
        )

    @classmethod
    def of_error(
        cls, path: str, error: str, *, kind: str, status: int | None, sha256: str | None, cascade: str, policy: str
    ) -> Row:
        """A row for a picture without a verdict."""
        empty = dict.fromkeys(cls.__slots__)
        known = {
            "path": _plain(path),
            "sha256": sha256,
            "error": _plain(error),
            "error_kind": kind,
            "error_status": status,
            "cascade": cascade,
            "policy": policy,
        }
        return cls(**{**empty, **known})  # type: ignore[arg-type]  # each field is named once, with its own type

    def values(self) -> list[Any]:
        """Values in the order of the columns."""
        return [getattr(self, name) for name in self.__slots__]


class Sink(Protocol):
    """A format of the output."""

    @property
    def suffix(self) -> str:
        """Of the parts, with the dot."""
        ...

    def encode(self, rows: list[Row]) -> bytes:
        """A part: some rows, complete in themselves."""
        ...

    def join(self, parts: Iterable[Path], file: BinaryIO) -> None:
        """Write all parts to one file, in their order, in bounded memory."""
        ...


class JsonLinesSink:
    """One JSON object a line, UTF-8."""

    suffix = ".jsonl"

    def __init__(self, question: str) -> None:
        self._columns = _columns(question)

    def encode(self, rows: list[Row]) -> bytes:
        """A part: lines."""
        lines = (dict(zip(self._columns, row.values(), strict=True)) for row in rows)
        return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()

    def join(self, parts: Iterable[Path], file: BinaryIO) -> None:
        """Copy one part behind the other."""
        _copy(parts, file)


class CsvSink:
    """RFC 4180 with a header; lists and the models' probabilities are JSON, yes and no ``true`` and ``false``."""

    suffix = ".csv"

    def __init__(self, question: str) -> None:
        self._columns = _columns(question)

    def encode(self, rows: list[Row]) -> bytes:
        """A part: lines, without the header."""
        return _csv_lines([_csv_cell(value) for value in row.values()] for row in rows)

    def join(self, parts: Iterable[Path], file: BinaryIO) -> None:
        """Write the header, then copy one part behind the other."""
        file.write(_csv_lines([self._columns]))
        _copy(parts, file)


class ParquetSink:
    """Typed columns: lists of strings, a map from model to probability."""

    suffix = ".parquet"

    def __init__(self, question: str) -> None:
        self._columns = _columns(question)

    def encode(self, rows: list[Row]) -> bytes:
        """A part: a small Parquet file."""
        import pyarrow as pa  # noqa: PLC0415  # slow to import; the other formats do without it
        import pyarrow.parquet as pq  # noqa: PLC0415  # the same

        schema = _schema(self._columns)
        columns = list(zip(*(row.values() for row in rows), strict=True)) or [()] * len(self._columns)
        arrays = [
            pa.array([list(value.items()) if isinstance(value, dict) else value for value in column], type=field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
        return buffer.getvalue()

    def join(self, parts: Iterable[Path], file: BinaryIO) -> None:
        """Read part by part and write row groups of some thousand rows."""
        import pyarrow as pa  # noqa: PLC0415  # slow to import; the other formats do without it
        import pyarrow.parquet as pq  # noqa: PLC0415  # the same

        schema = _schema(self._columns)
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            held: list[Any] = []
            for part in parts:
                held.append(pq.ParquetFile(part).read(use_threads=False))
                if sum(table.num_rows for table in held) >= _ROW_GROUP:
                    writer.write_table(pa.concat_tables(held), row_group_size=_ROW_GROUP)
                    held.clear()
            if held:
                writer.write_table(pa.concat_tables(held), row_group_size=_ROW_GROUP)


def output_format(output: Path, format: str | None = None) -> Format:  # noqa: A002  # the word that users know
    """The format of an output: as said, or by its suffix.

    Raises
    ------
    ManifestError
        Neither says one that there is.
    """
    known = ", ".join(FORMATS)
    if format is not None:
        if format not in FORMATS.values():
            raise ManifestError(f"format {format!r} is none of jsonl, csv, parquet")
        return FORMATS["." + format]
    found = FORMATS.get(output.suffix.lower())
    if found is None:
        raise ManifestError(f"output {str(output)!r}: its suffix says no format; let it end in one of {known}")
    return found


def make_sink(format: Format, question: str) -> Sink:  # noqa: A002  # the word that users know
    """The sink of a format, for a question's id."""
    kinds: dict[Format, type[JsonLinesSink | CsvSink | ParquetSink]] = {
        "jsonl": JsonLinesSink,
        "csv": CsvSink,
        "parquet": ParquetSink,
    }
    return kinds[format](question)


def _columns(question: str) -> list[str]:
    return [f"{question}_detected" if name == "detected" else name for name in Row.__slots__]


def _plain(text: str) -> str:
    r"""Text that can be written as UTF-8: bytes of a file name that are not UTF-8 become ``\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _copy(parts: Iterable[Path], file: BinaryIO) -> None:
    for part in parts:
        with part.open("rb") as source:
            shutil.copyfileobj(source, file)


def _csv_lines(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | tuple):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return str(value)


def _schema(columns: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # slow to import; the other formats do without it

    kinds = {
        "detected": pa.bool_(),
        "degraded": pa.bool_(),
        "levels_executed": pa.list_(pa.string()),
        "reasons": pa.list_(pa.string()),
        "model_probabilities": pa.map_(pa.string(), pa.float64()),
        "error_status": pa.int16(),
        **dict.fromkeys(
            ("probability", "confidence", "consensus_ratio", "latency_ms", "cost_usd", "gmacs"), pa.float64()
        ),
    }
    fields = zip(columns, Row.__slots__, strict=True)
    return pa.schema([(column, kinds.get(name, pa.string())) for column, name in fields])
