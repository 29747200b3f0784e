"""Other people's tables as records: a folder with one CSV file per model, or one wide table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from natix_cascade.errors import RecordsError
from natix_cascade.plan.records import Floats, Ints, Records, Texts
from natix_cascade.plan.tables import (
    SHARED,
    Costs,
    Pictures,
    aligned,
    as_arrow,
    costs_of,
    first_of,
    is_number,
    need,
    numbers_of,
    read_answers,
    text_of,
    unique,
)

__all__ = ["from_table", "import_folder"]

_POSITIVE = {"1": "0", "yes": "no", "true": "false", "roadwork": "none"}
_SHOWN = 6
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


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
    tables = {file: read_answers(file) for file in files}
    first = tables[files[0]]
    pictures = Pictures(first["row"], (str(files[0]), first["true_label"]), {})
    models: dict[str, _Answers] = {}
    for file, given in tables.items():
        table = aligned(given, str(file), pictures)
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
    columns = zip(SHARED, (picture, group, split), strict=True)
    shared = {name: column for name, column in columns if column is not None}
    given = dict(answers or {})
    where = str(table) if isinstance(table, str | Path) else "the table"
    data = as_arrow(table, [label, *shared.values(), *given.values()])
    if models is None:
        used = {label, *shared.values(), *given.values()}
        models = [name for name in data.column_names if name not in used and is_number(data[name].type)]
    scores = dict(models) if isinstance(models, Mapping) else {name: name for name in models}
    if not scores:
        raise RecordsError(f"{where}: no column of numbers is left to be a model's scores; name them with --score")
    if given and set(given) != set(scores):
        other = ", ".join(sorted(set(given) ^ set(scores)))
        raise RecordsError(f"{where}: each model needs a column of answers and one of confidences; one only: {other}")
    need(data, [label, *shared.values(), *scores.values(), *given.values()], where)
    row = pa.array(np.arange(data.num_rows)).cast(pa.string())
    more = {name: (where, text_of(data, column, where)) for name, column in shared.items()}
    said = {
        name: _Answers(
            f"{where}, column {column}",
            numbers_of(data, column, where),
            text_of(data, given[name], where) if given else None,
        )
        for name, column in scores.items()
    }
    return _assemble(Pictures(row, (where, text_of(data, label, where)), more), said, costs, unit, positive)


def _assemble(
    pictures: Pictures, models: Mapping[str, _Answers], costs: Costs | None, unit: str | None, positive: str | None
) -> Records:
    where, truth = pictures.truth
    if not len(truth):
        raise RecordsError(f"{where}: there are no rows below the header")
    if truth.null_count:
        raise RecordsError(f"{where}: row {pictures.row[first_of(pc.is_null(truth))]}: the true label is empty")
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
    unique(name, pictures.more.get("picture", pictures.truth)[0], "picture")
    group = pc.if_else(pc.equal(found := texts.get("group", name).fill_null(""), ""), name, found)
    score = np.stack([_checked(column, pictures.row) for column in models.values()], axis=1)
    answer = np.stack([_codes(column, labels) for column in answers.values()], axis=1) if answers else None
    failed = np.isnan(score) if answer is None else answer < 0
    n = len(truth)
    by_unit, chosen = costs_of(costs, list(models), unit)
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


def _natural(text: str) -> tuple[bool, float, tuple[str | int, ...], str]:
    """Sort key: numbers by their value before all else, then words with the numbers in them by value."""
    if _NUMBER.fullmatch(text):
        return False, float(text), (), text
    return True, 0.0, tuple(int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", text))), text
