"""Tables as they come: CSV, Parquet or columns in memory, read and checked for what is wanted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from natix_cascade.errors import RecordsError
from natix_cascade.plan.records import Floats

__all__ = [
    "SHARED",
    "Costs",
    "Pictures",
    "aligned",
    "as_arrow",
    "costs_of",
    "first_of",
    "is_number",
    "need",
    "numbers_of",
    "read_answers",
    "read_costs",
    "text_of",
    "unique",
]

Costs: TypeAlias = str | Path | Mapping[str, float] | Mapping[str, Mapping[str, float]]
"""What one answer costs: a file for `read_costs`, model to cost, or unit to model to cost."""

SHARED = ("picture", "group", "split")
"""Columns that say something of a picture, whatever the model."""

_TEXT = ("row", "true_label", "pred_label", *SHARED)
_NUMBERS = ("confidence", "score", "latency_ms")


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What is said of the pictures, whatever the model: text by column, and the file that said it first."""

    row: pa.Array
    truth: tuple[str, pa.Array]
    more: dict[str, tuple[str, pa.Array]]


def as_arrow(table: Any, texts: Sequence[str]) -> pa.Table:
    """Return a table as Arrow; of a CSV file, the columns of texts are taken as they are written."""
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, str | Path):
        file = Path(table)
        if file.suffix.lower() not in {".parquet", ".pq"}:
            return _read_csv(file, dict.fromkeys(texts, pa.string()))
        try:
            return pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise RecordsError(f"{file} cannot be read as Parquet: {error}") from None
    try:
        return pa.table({str(name): pa.array(table[name]) for name in table.keys()})  # noqa: SIM118  # pandas has keys
    except (pa.ArrowException, AttributeError, TypeError, ValueError) as error:
        raise RecordsError(f"a {type(table).__name__} is no table of columns of the same length: {error}") from None


def read_answers(file: Path) -> pa.Table:
    """Read one model's file with its columns as they should be; each row has a name of its own."""
    table = _read_csv(file, dict.fromkeys(_TEXT, pa.string()) | dict.fromkeys(_NUMBERS, pa.float64()))
    kind = ["score"] if "score" in table.column_names else ["pred_label", "confidence"]
    need(table, ["row", "true_label", *kind], str(file))
    wanted = ("row", "true_label", *kind, *SHARED, "latency_ms")
    table = table.select([name for name in wanted if name in table.column_names]).combine_chunks()
    unique(table["row"].fill_null(""), str(file), "row")
    return table


def read_costs(file: str | Path) -> dict[str, dict[str, float]]:
    """Read a CSV file with a column ``model`` and columns of costs; unit to model to cost of one answer.

    Raises
    ------
    RecordsError
        The file cannot be read, a column is missing, or a model comes twice.
    """
    table = _read_csv(Path(file), {"model": pa.string()})
    need(table, ["model"], str(file))
    models = table["model"].to_pylist()
    twice = sorted({str(name) for name in models if models.count(name) > 1})
    if twice:
        raise RecordsError(f"{file}: {', '.join(twice)} comes twice; keep one row per model")
    numbers = {name: table[name].to_pylist() for name in table.column_names if is_number(table[name].type)}
    if not numbers:
        raise RecordsError(f"{file}: no column of numbers; add one, such as usd_per_image")
    return {
        unit: {str(name): float(cost) for name, cost in zip(models, values, strict=True) if cost is not None}
        for unit, values in numbers.items()
    }


def costs_of(costs: Costs | None, models: Sequence[str], unit: str | None) -> tuple[dict[str, Floats], str]:
    """Return costs of these models by unit, where they are known of all, and the unit to use."""
    if costs is None:
        if unit is not None:
            raise RecordsError(f"no costs in {unit!r}: no costs are known at all; give a table of costs")
        return {"asks": np.ones(len(models))}, "asks"
    known = read_costs(costs) if isinstance(costs, str | Path) else _by_unit(costs, unit)
    whole = {name: values for name, values in known.items() if all(model in values for model in models)}
    chosen = unit or next(iter(whole or known))
    if chosen not in known:
        raise RecordsError(f"no costs in {chosen!r}; there are {', '.join(known)}")
    if chosen not in whole:
        lacking = ", ".join(model for model in models if model not in known[chosen])
        raise RecordsError(f"no cost in {chosen} for {lacking}; every model needs one (0 where it is free)")
    for name, values in whole.items():
        for model in models:
            if not 0 <= values[model] < np.inf:
                raise RecordsError(f"the cost of {model} is {values[model]} {name}; wanted a number from 0 up")
    return {name: np.array([values[model] for model in models], np.float64) for name, values in whole.items()}, chosen


def _by_unit(costs: Mapping[str, Any], unit: str | None) -> Mapping[str, Mapping[str, float]]:
    plain = not any(isinstance(value, Mapping) for value in costs.values())
    return {unit or "cost": costs} if plain else costs


def _read_csv(file: Path, types: dict[str, pa.DataType]) -> pa.Table:
    options = pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    try:
        return pacsv.read_csv(file, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(f"{file} cannot be read as CSV: {error}") from None


def need(table: pa.Table, names: Sequence[str], where: str) -> None:
    """Require columns, each of them once."""
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise RecordsError(f"{where}: no column {', '.join(missing)}; columns here: {', '.join(table.column_names)}")
    twice = sorted({name for name in names if table.column_names.count(name) > 1})
    if twice:
        raise RecordsError(f"{where}: there are two columns {', '.join(twice)}; keep one of each")


def unique(names: pa.Array, where: str, what: str) -> None:
    """Require that no two names are the same."""
    counts = pc.value_counts(names).to_pylist() if pc.count_distinct(names).as_py() < len(names) else []
    for item in counts:
        if item["counts"] > 1:
            raise RecordsError(f"{where}: the {what} {item['values']!r} comes {item['counts']} times; keep one")


def aligned(table: pa.Table, where: str, pictures: Pictures) -> pa.Table:
    """Return the rows in the order of the first file, which they must not contradict."""
    first, rows = pictures.truth[0], table["row"]
    place = pc.index_in(pictures.row, value_set=rows)
    for lacks, has, lacking in (
        (where, first, pictures.row.filter(pc.is_null(place))),
        (first, where, rows.filter(pc.is_null(pc.index_in(rows, value_set=pictures.row)))),
    ):
        if len(lacking):
            raise RecordsError(
                f"{lacks}: row {lacking[0]} is missing, which {has} has; every file needs every row, with an empty "
                "answer where the model failed"
            )
    mine = table.take(place)
    for what, column in (("true label", "true_label"), *((name, name) for name in SHARED)):
        if column in table.column_names:
            said = (where, mine[column])
            before = pictures.truth if column == "true_label" else pictures.more.setdefault(column, said)
            other = pc.not_equal(before[1].fill_null(""), said[1].fill_null(""))
            if pc.any(other).as_py():
                at = first_of(other)
                raise RecordsError(
                    f"{where}: row {pictures.row[at]}: the {what} is {said[1][at].as_py()!r}, but in {before[0]} it is "
                    f"{before[1][at].as_py()!r}; the same row must be the same picture in every file"
                )
    return mine


def text_of(table: pa.Table, column: str, where: str) -> pa.Array:
    """Return a column as text; NaN is null."""
    values = table[column]
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        raise RecordsError(f"{where}: column {column} holds {values.type}; wanted text or numbers") from None


def numbers_of(table: pa.Table, column: str, where: str) -> Floats:
    """Return a column of numbers; null is NaN."""
    values = table[column]
    if not is_number(values.type) and not pa.types.is_null(values.type):
        raise RecordsError(f"{where}: column {column} holds {values.type}; wanted numbers between 0 and 1")
    numbers: Floats = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return numbers


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def first_of(mask: pa.Array) -> int:
    """Place of the first row that is true."""
    return int(pc.index(mask, True).as_py())
