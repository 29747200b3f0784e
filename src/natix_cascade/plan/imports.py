"""Other people's tables as records: a folder with one CSV file per model, or one wide table."""

from __future__ import annotations

import re
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
from natix_cascade.plan.records import Floats, Ints, Records, Texts

__all__ = ["Costs", "from_table", "import_folder", "read_costs"]

Costs: TypeAlias = str | Path | Mapping[str, float] | Mapping[str, Mapping[str, float]]
"""What one answer costs: a file for `read_costs`, model to cost, or unit to model to cost."""

_POSITIVE = {"1": "0", "yes": "no", "true": "false", "roadwork": "none"}
_SHARED = ("picture", "group", "split")
_TEXT = ("row", "true_label", "pred_label", *_SHARED)
_NUMBERS = ("confidence", "score", "latency_ms")
_SHOWN = 6
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class _Pictures:
    """What is said of the pictures, whatever the model: text by column, and the file that said it first."""

    row: pa.Array
    truth: tuple[str, pa.Array]
    more: dict[str, tuple[str, pa.Array]]


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """One model's column; `where` names it in errors."""

    where: str
    score: Floats
    answer: pa.Array | None  # text, null where the model failed; None: the score is P(positive)
    latency: Floats | None = None


def import_folder(
    folder: str | Path, *, costs: Costs | None = None, unit: str | None = None, positive: str | None = None
) -> Records:
    """Read one CSV file per model, named after it.

    Columns: ``row`` (the same in every file for the same picture), ``true_label``, and either ``pred_label`` (empty
    where the model failed) and ``confidence``, or ``score``, which is P(positive) and empty where the model failed.
    Any file may have ``picture``, ``group``, ``split`` and ``latency_ms``; without groups, each picture is its own.

    Parameters
    ----------
    folder : str or Path
        Where the files are.
    costs : str, Path or mapping, optional
        See `Costs`; default: ``costs.csv`` in the folder if there is one, else 1 each in the unit ``asks``.
    unit : str, optional
        Unit that is used when none is named; default: the first.
    positive : str, optional
        The label whose probability scores are; default: whichever of 1, yes, true and roadwork is there.

    Raises
    ------
    RecordsError
        Files are missing or contradict each other, a column is missing, a row comes twice or not at all, a number is
        out of range, or a model has no cost; the text names file and row.
    """
    place = Path(folder)
    own = place / "costs.csv"
    if costs is None and own.exists():
        costs = own
    aside = {own, Path(costs)} if isinstance(costs, str | Path) else {own}
    files = [file for file in sorted(place.glob("*.csv")) if file.absolute() not in {each.absolute() for each in aside}]
    if not files:
        raise RecordsError(f"no tables in {place}; put one <model>.csv per model there")
    tables = {file: _read_answers(file) for file in files}
    first = tables[files[0]]
    pictures = _Pictures(first["row"], (str(files[0]), first["true_label"]), {})
    models: dict[str, _Answers] = {}
    for file, given in tables.items():
        table = _aligned(given, str(file), pictures)
        labelled = "pred_label" in table.column_names
        models[file.stem] = _Answers(
            str(file),
            table["confidence" if labelled else "score"].to_numpy(),
            table["pred_label"] if labelled else None,
            table["latency_ms"].to_numpy() if "latency_ms" in table.column_names else None,
        )
    return _assemble(pictures, models, costs, unit, positive)


def from_table(
    table: Any,
    *,
    label: str,
    models: Mapping[str, str] | Sequence[str] | None = None,
    answers: Mapping[str, str] | None = None,
    picture: str | None = None,
    group: str | None = None,
    split: str | None = None,
    costs: Costs | None = None,
    unit: str | None = None,
    positive: str | None = None,
) -> Records:
    """Make records of one table with a row per picture and columns per model.

    Parameters
    ----------
    table : str, Path, pyarrow.Table, pandas.DataFrame or mapping
        A CSV or Parquet file, or columns by name, each of n values.
    label : str
        Column of the truth.
    models : mapping or sequence of str, optional
        Model to the column of its scores, or columns that are named like their models. Scores are P(positive), or,
        where there are `answers`, the confidence; empty (None, NaN) where the model failed. Default: every column of
        numbers that is nothing else is a model.
    answers : mapping, optional
        Model to the column of the labels that it gave, for the same models: makes label records.
    picture, group, split : str, optional
        Columns of these; default: the number of the row from 0, each picture a group of its own, none.
    costs : mapping, str or Path, optional
        See `Costs`; model to cost alone is in `unit`, or in "cost". Default: 1 each, in "asks".
    unit : str, optional
        Unit that is used when none is named; default: the first.
    positive : str, optional
        The label whose probability scores are; default: whichever of 1, yes, true and roadwork is there.

    Raises
    ------
    RecordsError
        A column is missing or has the wrong kind of values, a picture comes twice, or a model has no cost.
    """
    columns = zip(_SHARED, (picture, group, split), strict=True)
    shared = {name: column for name, column in columns if column is not None}
    given = dict(answers or {})
    where = str(table) if isinstance(table, str | Path) else "the table"
    data = _arrow(table, [label, *shared.values(), *given.values()])
    if models is None:
        used = {label, *shared.values(), *given.values()}
        models = [name for name in data.column_names if name not in used and _is_number(data[name].type)]
    scores = dict(models) if isinstance(models, Mapping) else {name: name for name in models}
    if not scores:
        raise RecordsError(f"{where}: no column of numbers is left to be a model's scores; name them with --score")
    if given and set(given) != set(scores):
        other = ", ".join(sorted(set(given) ^ set(scores)))
        raise RecordsError(f"{where}: each model needs a column of answers and one of confidences; one only: {other}")
    _need(data, [label, *shared.values(), *scores.values(), *given.values()], where)
    row = pa.array(np.arange(data.num_rows)).cast(pa.string())
    more = {name: (where, _text(data, column, where)) for name, column in shared.items()}
    said = {
        name: _Answers(
            f"{where}, column {column}",
            _number(data, column, where),
            _text(data, given[name], where) if given else None,
        )
        for name, column in scores.items()
    }
    return _assemble(_Pictures(row, (where, _text(data, label, where)), more), said, costs, unit, positive)


def read_costs(file: str | Path) -> dict[str, dict[str, float]]:
    """Read a CSV file with a column ``model`` and columns of costs; unit to model to cost of one answer.

    Raises
    ------
    RecordsError
        The file cannot be read, a column is missing, or a model comes twice.
    """
    table = _read_csv(Path(file), {"model": pa.string()})
    _need(table, ["model"], str(file))
    models = table["model"].to_pylist()
    twice = sorted({str(name) for name in models if models.count(name) > 1})
    if twice:
        raise RecordsError(f"{file}: {', '.join(twice)} comes twice; keep one row per model")
    numbers = {name: table[name].to_pylist() for name in table.column_names if _is_number(table[name].type)}
    if not numbers:
        raise RecordsError(f"{file}: no column of numbers; add one, such as usd_per_image")
    return {
        unit: {str(name): float(cost) for name, cost in zip(models, values, strict=True) if cost is not None}
        for unit, values in numbers.items()
    }


def _assemble(
    pictures: _Pictures, models: Mapping[str, _Answers], costs: Costs | None, unit: str | None, positive: str | None
) -> Records:
    where, truth = pictures.truth
    if not len(truth):
        raise RecordsError(f"{where}: there are no rows below the header")
    if truth.null_count:
        raise RecordsError(f"{where}: row {pictures.row[_first(pc.is_null(truth))]}: the true label is empty")
    named = [name for name, column in models.items() if column.answer is not None]
    if named and len(named) < len(models):
        raise RecordsError(f"{', '.join(named)} came with labels and the others with scores; give one kind for all")
    known = {str(item) for item in pc.unique(truth).to_pylist()}
    answers = {name: _as_known(column.answer, known) for name, column in models.items() if column.answer is not None}
    if answers:
        said = {str(item) for column in answers.values() for item in pc.unique(column.drop_null()).to_pylist()}
        labels = tuple(sorted(known | said, key=_natural))
    else:
        labels = _two(where, known, positive)
    texts = {name: values for name, (_, values) in pictures.more.items()}
    name = texts.get("picture", pictures.row).fill_null("")
    _unique(name, pictures.more.get("picture", pictures.truth)[0], "picture")
    group = pc.if_else(pc.equal(found := texts.get("group", name).fill_null(""), ""), name, found)
    score = np.stack([_checked(column, pictures.row) for column in models.values()], axis=1)
    answer = np.stack([_codes(column, labels) for column in answers.values()], axis=1) if answers else None
    failed = np.isnan(score) if answer is None else answer < 0
    n = len(truth)
    by_unit, chosen = _costs(costs, list(models), unit)
    empty = np.full(n, np.nan)
    return Records(
        picture=_strings(name),
        group=_strings(group),
        split=_strings(texts["split"].fill_null("")) if "split" in texts else np.full(n, "", dtype=np.str_),
        level=np.full(n, "", dtype=np.str_),
        label=_codes(truth, labels),
        labels=labels,
        models=tuple(models),
        score=np.where(failed, np.nan, score),
        answer=answer,
        failed=failed,
        latency_ms=np.stack(
            [empty if column.latency is None else column.latency for column in models.values()],
            axis=1,
            dtype=np.float32,
        ),
        weight=np.ones(n),
        costs=by_unit,
        unit=chosen,
    )


def _checked(column: _Answers, rows: pa.Array) -> Floats:
    """Scores in [0, 1]; those of label records are there wherever there is a label."""
    wrong = (column.score < 0) | (column.score > 1)
    if wrong.any():
        at = int(wrong.argmax())
        raise RecordsError(
            f"{column.where}: row {rows[at]}: the score is {column.score[at]:g}, wanted between 0 and 1; turn logits "
            "into probabilities first (sigmoid, softmax)"
        )
    if column.answer is not None:
        lacking = np.isnan(column.score) & column.answer.is_valid().to_numpy()
        if lacking.any():
            raise RecordsError(
                f"{column.where}: row {rows[int(lacking.argmax())]}: there is a label without a confidence; leave the "
                "label empty too where the model failed"
            )
    return column.score


def _two(where: str, known: set[str], positive: str | None) -> tuple[str, str]:
    """The negative and the positive label."""
    found = ", ".join(sorted(known, key=_natural)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
    guesses = [label for label in known if label.lower() in _POSITIVE] if positive is None else [positive]
    others = sorted(known - set(guesses))
    if len(guesses) != 1:
        raise RecordsError(f"{where}: the labels are {found}; say with --positive which one the scores speak of")
    if len(others) > 1:
        raise RecordsError(
            f"{where}: scores are for two labels, P({guesses[0]!r}) or not, but the labels are {found}; for more than "
            "two give the label that each model chose, with its confidence"
        )
    return others[0] if others else _POSITIVE.get(guesses[0].lower(), f"not {guesses[0]}"), guesses[0]


def _costs(costs: Costs | None, models: Sequence[str], unit: str | None) -> tuple[dict[str, Floats], str]:
    """Costs of these models by unit, where they are known of all, and the unit to use."""
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


def _arrow(table: Any, texts: Sequence[str]) -> pa.Table:
    """A table as Arrow; of a CSV file, the columns of texts are taken as they are written."""
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


def _need(table: pa.Table, names: Sequence[str], where: str) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise RecordsError(f"{where}: no column {', '.join(missing)}; columns here: {', '.join(table.column_names)}")
    twice = sorted({name for name in names if table.column_names.count(name) > 1})
    if twice:
        raise RecordsError(f"{where}: there are two columns {', '.join(twice)}; keep one of each")


def _read_answers(file: Path) -> pa.Table:
    """One model's file with its columns as they should be; each row has a name of its own."""
    table = _read_csv(file, dict.fromkeys(_TEXT, pa.string()) | dict.fromkeys(_NUMBERS, pa.float64()))
    kind = ["score"] if "score" in table.column_names else ["pred_label", "confidence"]
    _need(table, ["row", "true_label", *kind], str(file))
    wanted = ("row", "true_label", *kind, *_SHARED, "latency_ms")
    table = table.select([name for name in wanted if name in table.column_names]).combine_chunks()
    _unique(table["row"].fill_null(""), str(file), "row")
    return table


def _unique(names: pa.Array, where: str, what: str) -> None:
    counts = pc.value_counts(names).to_pylist() if pc.count_distinct(names).as_py() < len(names) else []
    for item in counts:
        if item["counts"] > 1:
            raise RecordsError(f"{where}: the {what} {item['values']!r} comes {item['counts']} times; keep one")


def _aligned(table: pa.Table, where: str, pictures: _Pictures) -> pa.Table:
    """The rows in the order of the first file, which they must not contradict."""
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
    for what, column in (("true label", "true_label"), *((name, name) for name in _SHARED)):
        if column in table.column_names:
            said = (where, mine[column])
            before = pictures.truth if column == "true_label" else pictures.more.setdefault(column, said)
            other = pc.not_equal(before[1].fill_null(""), said[1].fill_null(""))
            if pc.any(other).as_py():
                at = _first(other)
                raise RecordsError(
                    f"{where}: row {pictures.row[at]}: the {what} is {said[1][at].as_py()!r}, but in {before[0]} it is "
                    f"{before[1][at].as_py()!r}; the same row must be the same picture in every file"
                )
    return mine


def _text(table: pa.Table, column: str, where: str) -> pa.Array:
    values = table[column]
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        raise RecordsError(f"{where}: column {column} holds {values.type}; wanted text or numbers") from None


def _number(table: pa.Table, column: str, where: str) -> Floats:
    values = table[column]
    if not _is_number(values.type) and not pa.types.is_null(values.type):
        raise RecordsError(f"{where}: column {column} holds {values.type}; wanted numbers between 0 and 1")
    numbers: Floats = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return numbers


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _as_known(values: pa.Array, known: set[str]) -> pa.Array:
    """Labels as the truth writes them: a column with gaps often comes as 3.0 for 3."""
    kinds = pc.unique(values)
    texts = [
        new if text not in known and (new := text.removesuffix(".0")) in known else text
        for text in (item or "" for item in kinds.to_pylist())
    ]
    return pa.array([text or None for text in texts], pa.string()).take(pc.index_in(values, value_set=kinds))


def _codes(values: pa.Array, labels: Sequence[str]) -> Ints:
    """Index of each value in `labels`; -1 for none."""
    found = pc.index_in(values, value_set=pa.array(labels, pa.string()))
    codes: Ints = found.fill_null(-1).to_numpy().astype(np.int64)
    return codes


def _strings(values: pa.Array) -> Texts:
    return np.array(values.to_pylist(), dtype=np.str_)


def _first(mask: pa.Array) -> int:
    return int(pc.index(mask, True).as_py())


def _natural(text: str) -> tuple[bool, float, tuple[str | int, ...], str]:
    """Sort key: numbers by their value before all else, then words with the numbers in them by value."""
    if _NUMBER.fullmatch(text):
        return False, float(text), (), text
    return True, 0.0, tuple(int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", text))), text
