"""Pictures on disk, and rows read back, for the tests of scan."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from natix_cascade.image import encode_jpeg


def grey(value: int) -> bytes:
    """A small JPEG of one grey."""
    return encode_jpeg(np.full((32, 48, 3), value, np.uint8))


def write_greys(folder: Path, count: int) -> Path:
    """Pictures from black to white, in three folders."""
    for index in range(count):
        path = folder / f"f{index % 3}" / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(grey(index * 255 // max(count - 1, 1)))
    return folder


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of any format, with JSON cells of CSV and maps of Parquet taken apart."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: _cell(key, value) for key, value in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            if row["model_probabilities"] is not None:
                row["model_probabilities"] = dict(row["model_probabilities"])
        return rows
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _cell(key: str, value: str) -> Any:
    if value == "":
        return None
    texts = {"path", "sha256", "exit_level", "error", "error_kind", "cascade", "policy"}
    return value if key in texts else json.loads(value)


def essence(path: Path) -> list[dict[str, Any]]:
    """Rows without the one column that differs from run to run."""
    return [{key: value for key, value in row.items() if key != "latency_ms"} for row in read_rows(path)]
