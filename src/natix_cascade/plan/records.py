"""Records: what every model said of every picture, with the truth; one row per picture and model in Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from natix_cascade.errors import RecordsError
from natix_cascade.files import write_whole

__all__ = ["Records", "join", "read_records", "split_records", "write_records"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Texts = NDArray[np.str_]

_KEY = b"natix_cascade.records"
_VERSION = 1
_COLUMNS = ("picture", "group", "split", "level", "label", "model", "score")
_YES_NO = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Records:
    """What m models said of n pictures.

    Two kinds: *yes/no* records have two labels, and `score` is the model's P(second label); *label* records have any
    number of labels, and `score` is the model's confidence in the label that it gave.

    Attributes
    ----------
    picture, group, split, level : (n,) arrays of str
        Name; what belongs together (drive, place, source picture); train, calibration or test (may be empty); level of
        difficulty at which the picture was shown (may be empty). A picture and a level together are unique.
    label : (n,) array of int
        The truth: index into `labels`.
    labels : tuple of str
        For yes/no records: the negative answer, then the positive one.
    models : tuple of str
        In the order of the columns.
    score : (n, m) array of float
        In [0, 1]; NaN where a model gave none.
    answer : (n, m) array of int, or None
        Label records: the label that each model gave, -1 where it gave none. None for yes/no records.
    failed : (n, m) array of bool
        The model was asked and did not answer.
    latency_ms : (n, m) array of float32
        NaN where it was not measured.
    weight : (n,) array of float
        What each row counts.
    costs : dict
        Unit (``gmacs``, ``usd``, ``ms_per_image``) to (m,) array: cost of one answer.
    unit : str
        The unit that is used when none is named.
    sha256 : dict
        Model name to digest of its weights, where known.
    """

    picture: Texts
    group: Texts
    split: Texts
    level: Texts
    label: Ints
    labels: tuple[str, ...]
    models: tuple[str, ...]
    score: Floats
    answer: Ints | None
    failed: Bools
    latency_ms: NDArray[np.float32]
    weight: Floats
    costs: dict[str, Floats]
    unit: str
    sha256: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def yes_no(self) -> bool:
        """Whether `score` is P(second label)."""
        return self.answer is None

    def cost(self, unit: str | None = None) -> Floats:
        """Cost of one answer of each model, (m,).

        Raises
        ------
        RecordsError
            The records do not know this unit.
        """
        wanted = unit or self.unit
        if wanted not in self.costs:
            raise RecordsError(f"no costs in {wanted!r}; these records have {', '.join(self.costs) or 'none'}")
        return self.costs[wanted]

    def column(self, model: str) -> int:
        """Index of a model.

        Raises
        ------
        RecordsError
            It is not in the records.
        """
        if model not in self.models:
            raise RecordsError(f"no model {model!r} in these records, which have {', '.join(self.models)}")
        return self.models.index(model)

    def rows(self, chosen: NDArray[Any]) -> Records:
        """Some of the pictures: a mask or indices."""
        return replace(
            self,
            picture=self.picture[chosen],
            group=self.group[chosen],
            split=self.split[chosen],
            level=self.level[chosen],
            label=self.label[chosen],
            score=self.score[chosen],
            answer=None if self.answer is None else self.answer[chosen],
            failed=self.failed[chosen],
            latency_ms=self.latency_ms[chosen],
            weight=self.weight[chosen],
        )

    def only(self, models: Sequence[str]) -> Records:
        """Some of the models, in the order given."""
        at = [self.column(model) for model in models]
        return replace(
            self,
            models=tuple(models),
            score=self.score[:, at],
            answer=None if self.answer is None else self.answer[:, at],
            failed=self.failed[:, at],
            latency_ms=self.latency_ms[:, at],
            costs={unit: values[at] for unit, values in self.costs.items()},
            sha256={name: self.sha256[name] for name in models if name in self.sha256},
        )


def write_records(records: Records, path: str | Path) -> Path:
    """Write Parquet, one row per picture and model, model after model; whole or not at all.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    facts = {
        "version": _VERSION,
        "kind": "yes_no" if records.yes_no else "labels",
        "labels": list(records.labels),
        "unit": records.unit,
        "models": {
            name: {
                "costs": {unit: float(values[index]) for unit, values in records.costs.items()},
                "sha256": records.sha256.get(name),
            }
            for index, name in enumerate(records.models)
        },
    }

    sink = pa.BufferOutputStream()
    writer: pq.ParquetWriter | None = None
    for table in _tables(records):
        if writer is None:
            schema = table.schema.with_metadata({_KEY: json.dumps(facts).encode()})
            writer = pq.ParquetWriter(sink, schema, compression="zstd")
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()
    return write_whole(path, sink.getvalue().to_pybytes())


def _tables(records: Records) -> Iterator[pa.Table]:
    n = len(records)
    labels = np.array(records.labels, dtype=np.str_)
    shared = {
        name: pa.array(getattr(records, name)).dictionary_encode() for name in ("picture", "group", "split", "level")
    } | {"label": pa.DictionaryArray.from_arrays(pa.array(records.label, pa.int32()), pa.array(labels))}
    for index, model in enumerate(records.models):
        answer = np.full(n, -1) if records.answer is None else records.answer[:, index]
        gone = records.failed[:, index]
        yield pa.table(
            shared
            | {
                "model": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([model])),
                "answer": pa.DictionaryArray.from_arrays(
                    pa.array(answer, pa.int32(), mask=answer < 0), pa.array(labels)
                ),
                "score": pa.array(records.score[:, index], mask=np.isnan(records.score[:, index])),
                "latency_ms": pa.array(
                    records.latency_ms[:, index], pa.float32(), mask=np.isnan(records.latency_ms[:, index])
                ),
                "cost": pa.array(np.full(n, records.cost()[index])),
                "failure": pa.array(np.where(gone, "did not answer", ""), mask=~gone).dictionary_encode(),
                "weight": pa.array(records.weight),
            }
        )


def read_records(path: str | Path) -> Records:
    """Read records that `write_records` (or `natix-cascade record`) wrote.

    Raises
    ------
    RecordsError
        The file is missing, is not Parquet, lacks a column, or two rows speak of the same picture and model.
    """
    try:
        table = pq.read_table(path, read_dictionary=["picture", "group", "split", "level", "label", "model", "answer"])
    except FileNotFoundError:
        raise RecordsError(f"no records at {path}; make some with 'natix-cascade record' or 'records import'") from None
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(f"{path} cannot be read as Parquet: {error}") from None
    missing = [name for name in _COLUMNS if name not in table.column_names]
    facts = (table.schema.metadata or {}).get(_KEY)
    if missing or facts is None:
        what = f"column {', '.join(missing)}" if missing else "the description that the tools write"
        raise RecordsError(
            f"{path} is Parquet but not records: {what} is missing; bring other tables in with 'records import'"
        )
    if not table.num_rows:
        raise RecordsError(f"{path} has no rows")
    known = json.loads(facts)
    if known["version"] != _VERSION:
        raise RecordsError(f"{path} has records of version {known['version']}; this program reads {_VERSION}")
    return _wide(table, known, str(path))


def _wide(table: pa.Table, facts: dict[str, Any], source: str) -> Records:
    labels, models = tuple(facts["labels"]), tuple(facts["models"])
    column = _codes(table, "model", models)
    names, picture = _names(table, "picture")
    stages, level = _names(table, "level")
    keys = picture.astype(np.int64) * len(stages) + level
    unique, first, row = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # pictures stay in the order in which they were written
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    row = place[row]
    first = first[order]
    n, m = len(unique), len(models)
    cell = row * m + column
    if len(np.unique(cell)) != len(cell):
        raise RecordsError(f"{source}: two rows speak of the same picture, level and model; keep one of them")

    def fill(name: str, empty: float, dtype: type) -> NDArray[Any]:
        result: NDArray[Any] = np.full(n * m, empty, dtype=dtype)
        result[cell] = table[name].combine_chunks().fill_null(empty).to_numpy(zero_copy_only=False)
        return result.reshape(n, m)

    answer: Ints | None = None
    if facts["kind"] == "labels":
        said = np.full(n * m, -1, dtype=np.int64)
        said[cell] = _codes(table, "answer", labels)
        answer = said.reshape(n, m)
    score = fill("score", np.nan, np.float64)
    if ((score < 0) | (score > 1)).any():
        raise RecordsError(f"{source}: scores must lie in [0, 1]; turn logits into probabilities first (sigmoid)")
    failed = np.zeros(n * m, dtype=np.bool_)
    failed[cell] = table["failure"].is_valid().to_numpy()
    groups, group = _names(table, "group")
    splits, split = _names(table, "split")
    label = _codes(table, "label", labels)[first]
    if (label < 0).any():
        raise RecordsError(f"{source}: a picture has no label; leave such pictures out")
    return Records(
        picture=names[picture[first]],
        group=groups[group[first]],
        split=splits[split[first]],
        level=stages[level[first]],
        label=label,
        labels=labels,
        models=models,
        score=score,
        answer=answer,
        failed=failed.reshape(n, m),
        latency_ms=fill("latency_ms", np.nan, np.float32),
        weight=table["weight"].to_numpy()[first].astype(np.float64),
        costs={
            unit: np.array([facts["models"][name]["costs"][unit] for name in models], dtype=np.float64)
            for unit in next(iter(facts["models"].values()))["costs"]
        },
        unit=facts["unit"],
        sha256={name: entry["sha256"] for name, entry in facts["models"].items() if entry["sha256"]},
    )


def _names(table: pa.Table, column: str) -> tuple[Texts, NDArray[np.int64]]:
    """Distinct values and, per row, which."""
    found = table[column].unify_dictionaries().combine_chunks()
    values = np.array([str(item) for item in found.dictionary.to_pylist()], dtype=np.str_)
    return values, found.indices.fill_null(0).to_numpy().astype(np.int64)


def _codes(table: pa.Table, column: str, wanted: Sequence[str]) -> Ints:
    """Index of each row's value in `wanted`; -1 for none."""
    found = table[column].unify_dictionaries().combine_chunks()
    index = {name: at for at, name in enumerate(wanted)}
    lookup = np.array([index.get(str(item), -1) for item in found.dictionary.to_pylist()] + [-1], dtype=np.int64)
    codes: Ints = lookup[found.indices.fill_null(len(lookup) - 1).to_numpy()]
    return codes


def split_records(records: Records, *, seed: int = 0, by: str = "group", share: float = 0.5) -> tuple[Records, Records]:
    """Split at random: whole groups, or single pictures with all their levels.

    Parameters
    ----------
    records : Records
        Of n pictures; one without a group is a group of its own.
    seed : int
        The same seed gives the same split, whatever the order of the rows.
    by : {"group", "row"}
        What stays together.
    share : float
        Of the groups (or pictures) that go into the first part, in (0, 1).

    Raises
    ------
    RecordsError
        A part would be empty, or an option is wrong.
    """
    if by not in {"group", "row"} or not 0 < share < 1:
        raise RecordsError(f"split by {by!r} with share {share}: give 'group' or 'row', and a share between 0 and 1")
    together = by == "group" and records.group != ""
    names, member = np.unique(np.where(together, records.group, records.picture), return_inverse=True)
    count = len(names)
    drawn = np.random.default_rng(seed).permutation(count)[: round(share * count)]
    if not 0 < len(drawn) < count:
        raise RecordsError(f"{count} {by}s cannot be split into {share:g} and the rest; bring more, or split by row")
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[drawn] = True
    mask = chosen[member]
    return records.rows(mask), records.rows(~mask)


def join(parts: Sequence[Records]) -> Records:
    """One after the other; they must have the same models and labels.

    Raises
    ------
    RecordsError
        They do not fit together.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.models != first.models or part.labels != first.labels or part.yes_no != first.yes_no:
            raise RecordsError("records of different models or labels cannot be joined")
    stacked: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("picture", "group", "split", "level", "label", "score", "failed", "latency_ms", "weight")
    }
    answer = None if first.answer is None else np.concatenate([p.answer for p in parts if p.answer is not None])
    return replace(first, **stacked, answer=answer)
