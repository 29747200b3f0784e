"""``natix-cascade records``: bring other people's tables in, split records, and say what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natix_cascade.cli.common import JsonOption, fail, print_json
from natix_cascade.cli.records_summary import brief, print_summary, size, summary

__all__ = ["app"]

app = typer.Typer(help="Import, split and show records: what every model said of every picture.", no_args_is_help=True)

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
        print_json({"out": str(out), **summary(records)})
    else:
        typer.echo(f"{brief(records)}, cost in {records.unit}; written to {out}")


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
        print_json([{"out": str(path), **size(part)} for path, part in parts.items()])
    else:
        for path, part in parts.items():
            typer.echo(f"{brief(part)}; written to {path}")


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
        print_json(summary(records))
    else:
        print_summary(records)


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
