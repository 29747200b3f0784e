"""``natix-cascade records``: bring other people's tables in, split records, and say what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import JsonOption, fail, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from natix_cascade.plan.records import Records

__all__ = ["app"]

app = typer.Typer(help="Import, split and show records: what every model said of every picture.", no_args_is_help=True)

_MOST_LABELS = 12
_HALF = 0.5
_FILE = {"dir_okay": False}


@app.command("import")
def import_records(
    source: Annotated[
        Path,
        typer.Argument(help="A folder with one <model>.csv per model, or one CSV or Parquet table (then: --label)."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.", **_FILE)],
    costs: Annotated[
        Path | None,
        typer.Option(
            "--costs", help="CSV with the column model and costs of one answer. Default: the folder's costs.csv."
        ),
    ] = None,
    cost_column: Annotated[
        str | None, typer.Option("--cost-column", help="Cost that plans use by default. Default: the first.")
    ] = None,
    cost: Annotated[
        list[str] | None, typer.Option("--cost", help="MODEL=VALUE instead of --costs; repeatable.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="One table: column of the truth.")] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="One table: MODEL=COLUMN of scores; repeatable. Default: every column of numbers that is left.",
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer", help="One table: MODEL=COLUMN of the label given; repeatable; --score is then the confidence."
        ),
    ] = None,
    picture: Annotated[str | None, typer.Option("--picture", help="One table: column of the picture's name.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="One table: column of what belongs together.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="One table: column of train, calibration, test.")] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="The label whose probability the scores are.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make records of tables that other tools wrote.

    Files in a folder have the columns row, true_label, and pred_label and confidence (or score); if wanted, picture,
    group, split and latency_ms. The same row is the same picture in each; an empty answer means that the model failed.

    Example: natix-cascade records import answers/ --cost-column usd_per_image --out records.parquet
    """
    from natix_cascade.errors import CascadeError, RecordsError
    from natix_cascade.plan.imports import from_table, import_folder
    from natix_cascade.plan.records import write_records

    columns = {"label": label, "picture": picture, "group": group, "split": split}
    try:
        if costs is not None and cost:
            raise RecordsError("--costs and --cost are both given; choose one")
        price = costs or {model: _number(value) for model, value in _pairs(cost, "--cost").items()} or None
        if source.is_dir():
            used = [f"--{name}" for name, value in (columns | {"score": score, "answer": answer}).items() if value]
            if used:
                raise RecordsError(f"{', '.join(used)}: columns are named for one table; {source} is a folder")
            records = import_folder(source, costs=price, unit=cost_column, positive=positive)
        else:
            records = from_table(
                source,
                label=label or _missing(source),
                models=_pairs(score, "--score") or None,
                answers=_pairs(answer, "--answer"),
                picture=picture,
                group=group,
                split=split,
                costs=price,
                unit=cost_column,
                positive=positive,
            )
        write_records(records, out)
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json({"out": str(out), **_summary(records)})
    else:
        typer.echo(f"{_brief(records)}, cost in {records.unit}; written to {out}")


@app.command("split")
def split_command(
    source: Annotated[Path, typer.Argument(help="Records.")],
    out_a: Annotated[Path, typer.Option("--out-a", help="Where the first part goes.", **_FILE)],
    out_b: Annotated[Path, typer.Option("--out-b", help="Where the rest goes.", **_FILE)],
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same split.")] = 0,
    by: Annotated[
        str, typer.Option("--by", help="What stays together: group, or row (a picture with all its levels).")
    ] = "group",
    share: Annotated[float, typer.Option("--share", help="Of the groups or rows that go into the first part.")] = 0.5,
    as_json: JsonOption = False,
) -> None:
    """Split records at random into two parts, such as one to plan with and one to check the plan on.

    Example: natix-cascade records split all.parquet --out-a calibration.parquet --out-b test.parquet
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.plan.records import read_records, split_records, write_records

    if out_a.absolute() == out_b.absolute():
        fail(f"--out-a and --out-b are both {out_a}; give two files")
    try:
        parts = dict(
            zip((out_a, out_b), split_records(read_records(source), seed=seed, by=by, share=share), strict=True)
        )
        for path, part in parts.items():
            write_records(part, path)
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json([{"out": str(path), **_size(part)} for path, part in parts.items()])
    else:
        for path, part in parts.items():
            typer.echo(f"{_brief(part)}; written to {path}")


@app.command("show")
def show(
    source: Annotated[Path, typer.Argument(help="Records.")],
    as_json: JsonOption = False,
) -> None:
    """Say what records hold, and how good and how costly each model is.

    Example: natix-cascade records show records.parquet
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.plan.records import read_records

    try:
        records = read_records(source)
    except CascadeError as error:
        fail(error)
    if as_json:
        print_json(_summary(records))
    else:
        _print(records)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """``MODEL=COLUMN`` by model; a column alone is named like its model."""
    from natix_cascade.errors import RecordsError

    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or (equals and not value) or name in found:
            why = "that model was given before" if name in found else "write MODEL=VALUE"
            raise RecordsError(f"{option} {text}: {why}")
        found[name] = value or name
    return found


def _number(text: str) -> float:
    from natix_cascade.errors import RecordsError

    try:
        return float(text)
    except ValueError:
        raise RecordsError(f"--cost {text}: not a number; write MODEL=VALUE, such as big=0.0015") from None


def _missing(source: Path) -> str:
    from natix_cascade.errors import RecordsError

    if not source.exists():
        raise RecordsError(f"nothing at {source}; give a folder of CSV files, or one CSV or Parquet table")
    raise RecordsError(f"{source} is one table: name its column of the truth with --label")


def _size(records: Records) -> dict[str, int]:
    return {
        "rows": len(records),
        "pictures": len(set(records.picture.tolist())),
        "groups": len(set(records.group.tolist())),
        "models": len(records.models),
    }


def _brief(records: Records) -> str:
    size = _size(records)
    rows = f" in {size['rows']} rows" if size["rows"] != size["pictures"] else ""
    groups = f" of {size['groups']} groups" if size["groups"] != size["pictures"] else ""
    return f"{size['pictures']} pictures{groups}{rows}, {len(records.labels)} labels, {size['models']} models"


def _summary(records: Records) -> dict[str, Any]:
    """All that `show` shows, as plain data; figures that are not known are None."""
    import numpy as np

    counts = np.bincount(records.label, minlength=len(records.labels)).tolist()
    named = dict(zip(records.labels, counts, strict=True))
    return {
        **_size(records),
        "kind": "yes_no" if records.yes_no else "labels",
        "labels": named if len(named) <= _MOST_LABELS else len(named),
        "splits": _counts(records.split),
        "levels": _counts(records.level),
        "unit": records.unit,
        "models": {name: _model(records, index) for index, name in enumerate(records.models)},
    }


def _counts(values: Any) -> dict[str, int]:
    """How many rows have each value, in order; empty where no row has one."""
    import numpy as np

    names, counts = np.unique(values, return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {} if set(found) == {""} else found


def _model(records: Records, index: int) -> dict[str, Any]:
    import numpy as np

    from natix_cascade.decide import accuracy, mcc

    score, took = records.score[:, index], records.latency_ms[:, index]
    there, timed = ~np.isnan(score), took[~np.isnan(took)]
    weight, label = records.weight[there], records.label[there]
    found: dict[str, Any] = {"answers": int(there.sum()), "failures": int(records.failed[:, index].sum())}
    if not weight.sum():
        figures: dict[str, float | None] = {"accuracy": None, "mean_confidence": None}
    elif records.answer is None:
        truth, p = label == 1, score[there]
        figures = {
            "accuracy": accuracy(truth, p >= _HALF, weight),
            "mcc": mcc(truth, p >= _HALF, weight),
            "auc": _auc(truth, p, weight),
            "mean_confidence": float(np.average(np.maximum(p, 1 - p), weights=weight)),
        }
    else:
        figures = {
            "accuracy": float(np.average(records.answer[there, index] == label, weights=weight)),
            "mean_confidence": float(np.average(score[there], weights=weight)),
        }
    return {
        **found,
        **figures,
        "costs": {unit: float(values[index]) for unit, values in records.costs.items()},
        "latency_ms": {"mean": float(timed.mean()), "p95": float(np.percentile(timed, 95))} if len(timed) else None,
        "sha256": records.sha256.get(records.models[index]),
    }


def _auc(truth: Any, score: Any, weight: Any) -> float | None:
    """Area under the ROC curve: how often a yes scores above a no, ties count half; None with one label alone."""
    import numpy as np

    _, place = np.unique(score, return_inverse=True)
    yes, no = (np.bincount(place, weight * side, minlength=place.max() + 1) for side in (truth, ~truth))
    pairs = yes.sum() * no.sum()
    return float((yes * (np.cumsum(no) - no / 2)).sum() / pairs) if pairs else None


def _print(records: Records) -> None:
    """Print for people on standard output."""
    from rich.console import Console

    screen = Console(highlight=False, markup=False)
    data = _summary(records)
    screen.print(_brief(records))
    for name in ("labels", "splits", "levels"):
        if data[name] and isinstance(data[name], dict):
            counts = ", ".join(f"{key or 'none'} {count}" for key, count in data[name].items())
            screen.print(f"{name}: {counts}")
    models = data["models"]
    quality = {"accuracy": "accuracy", "mcc": "MCC", "auc": "AUC", "mean_confidence": "confidence"}
    if not records.yes_no:
        quality = {key: title for key, title in quality.items() if key not in {"mcc", "auc"}}
    rows = {
        name: [
            str(model["answers"]),
            str(model["failures"]),
            *(_figure(model.get(key), ".4f") for key in quality),
        ]
        for name, model in models.items()
    }
    screen.print(_table(["model", "answers", "failures", *quality.values()], rows))
    units = sorted(records.costs, key=lambda unit: unit != records.unit)
    rows = {name: [_figure(model["costs"][unit], ".4g") for unit in units] for name, model in models.items()}
    if any(model["latency_ms"] for model in models.values()):
        units += ["mean latency, ms", "p95, ms"]
        for name, model in models.items():
            took = model["latency_ms"] or {}
            rows[name] += [_figure(took.get(key), ".4g") for key in ("mean", "p95")]
    screen.print(_table(["cost of one answer", *units], rows))


def _table(titles: list[str], rows: dict[str, list[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(titles[0], overflow="fold")
    for title in titles[1:]:
        table.add_column(title, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
