"""Files of verdicts: what `scan` writes, what `detect --json` prints and what the service answers, read alike."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ManifestError
from natix_cascade.run.sinks import FORMATS

__all__ = ["Answered", "answers"]

_DETECTED = "_detected"
_BATCH = 2048
_LISTS = ("verdicts", "results")
_JSON_CELLS = ("levels_executed", "reasons", "model_probabilities")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One line of a file: a verdict, or the error of a picture that has none.

    Attributes
    ----------
    name : str
        The picture, as the file calls it.
    verdict : Verdict or None
        Of a scan's row the models' levels, scores and times are not known, nor why it ended: these are empty.
    answer : mapping
        All that stands in the line.
    """

    name: str
    verdict: Verdict | None
    answer: Mapping[str, Any]


def answers(path: Path) -> Iterator[Answered]:
    """Every line of a results file, in its order and in bounded memory (one JSON document is read whole).

    Parameters
    ----------
    path : Path
        ``.jsonl``, ``.ndjson``, ``.csv`` or ``.parquet`` of a scan; or JSON of verdicts: one, a list, a line each, or
        ``{"verdicts": [...]}`` as the service answers.

    Raises
    ------
    ManifestError
        It cannot be read, or holds something else; the text says where.
    """
    try:
        for where, line in _lines(path):
            yield _answered(where, line)
    except OSError as error:
        raise ManifestError(f"the results {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"the results {path} are not UTF-8: {error}") from error


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    kind = FORMATS.get(path.suffix.lower())
    if kind == "parquet":
        return _parquet(path)
    if kind == "csv":
        return _csv(path)
    return _json(path)


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa  # noqa: PLC0415  # slow to import; the other formats do without it
    import pyarrow.parquet as pq  # noqa: PLC0415  # the same

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, use_threads=False):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield f"{path}, row {number}", row
    except pa.ArrowInvalid as error:
        raise ManifestError(f"the results {path} are not Parquet: {error}") from error


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # reasons may be long
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, strict=True)
        try:
            for cells in table:
                yield f"{path}:{table.line_num}", {key: _cell(key, cells[key]) for key in cells if key is not None}
        except (csv.Error, ValueError) as error:
            raise ManifestError(f"{path}:{table.line_num}: this is no row of a scan: {error}") from error


def _cell(column: str, text: str | None) -> Any:
    """A cell as it was before it was written; numbers stay text, which `float` takes."""
    if not text:
        return None
    return json.loads(text) if column in _JSON_CELLS or column.endswith(_DETECTED) or column == "degraded" else text


def _json(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        try:
            known = json.loads(first)
        except json.JSONDecodeError:  # a document over several lines
            known = None
        rest = file if known is not None else None
        if rest is None or not isinstance(known, dict) or any(name in known for name in _LISTS):
            yield from _document(path, first + file.read())
            return
        yield f"{path}:1", known
        for number, line in enumerate(rest, 2):
            if line.strip():
                yield f"{path}:{number}", _object(f"{path}:{number}", line)


def _document(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = _object(str(path), text)
    inner = next((found[name] for name in _LISTS if isinstance(found, dict) and name in found), found)
    for number, line in enumerate(inner if isinstance(inner, list) else [inner], 1):
        yield f"{path}, verdict {number}", line


def _object(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{where}: this is no JSON ({error}); wanted what `scan` writes or `detect --json` prints"
        ) from error


def _answered(where: str, line: Mapping[str, Any]) -> Answered:
    try:
        name = str(line["path"] if "path" in line else line["id"])
        if line.get("error"):
            return Answered(name=name, verdict=None, answer=line)
        verdict = Verdict.from_dict(line) if "model_predictions" in line else _of_row(name, line)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(
            f"{where}: this is no verdict ({type(error).__name__}: {error}); wanted what `natix-cascade scan` writes, "
            "what `detect --json` prints, or what the service answers"
        ) from error
    return Answered(name=name, verdict=verdict, answer=line)


def _of_row(name: str, row: Mapping[str, Any]) -> Verdict:
    """A row has of each opinion only its probability."""
    unknown = {"level": "", "score": None, "latency_ms": 0.0, "cost_usd": 0.0, "failure": None}
    said = {model: {**unknown, "probability": p} for model, p in row["model_probabilities"].items()}
    return Verdict.from_dict({**row, "id": name, "model_predictions": said})
