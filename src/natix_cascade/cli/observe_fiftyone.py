"""``natix-cascade observe fiftyone``: verdicts beside their pictures, to look through and learn from."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import JsonOption, console, fail, print_json, printable

if TYPE_CHECKING:
    from natix_cascade.observe.cases import Counted
    from natix_cascade.observe.dataset_fill import Filled
    from natix_cascade.observe.dataset_tree import Exported
    from natix_cascade.observe.dataset_views import Judgement
    from natix_cascade.spec.cascade import Question

__all__ = ["fiftyone"]


def fiftyone(
    results: Annotated[
        Path,
        typer.Argument(
            help="What `scan` writes (JSONL, CSV, Parquet), what `detect --json` or the service answers, or the state "
            "folder of a service."
        ),
    ],
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            help="Folder that the results' paths are relative to. Default: that of the labels, of the results, or the "
            "working folder.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Manifest of the truth: a CSV with path, label, group, split.")
    ] = None,
    cascade: Annotated[
        str | None,
        typer.Option("--cascade", "-c", help="Cascade that was asked, where its question is one of your own."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the data set.", show_default="the results' name")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Throw away the data set of this name, and the export, first.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write the hard examples here: a folder for each class, and manifest.csv."),
    ] = None,
    launch: Annotated[bool, typer.Option("--launch", help="Then serve FiftyOne's App until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of the App, on 127.0.0.1.")] = 5151,
    database: Annotated[
        str | None,
        typer.Option("--database", help="mongodb://... Default: FIFTYONE_DATABASE_URI, else FiftyOne's own mongod."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Make a FiftyOne data set of verdicts: truth, opinions, boxes, places; evaluated, with views of what went wrong.

    The same command again adds what is new and changes what has changed; nothing is there twice.

    Example: natix-cascade observe fiftyone verdicts.parquet --labels manifest.csv --launch
    """
    from natix_cascade.errors import CascadeError

    try:
        with contextlib.redirect_stdout(sys.stderr):  # the package prints whatever it likes
            told = _made(results, pictures, labels, cascade, name, export, database, replace=replace)
    except CascadeError as error:
        fail(error)
    if json_output:
        print_json(told, lines=launch)
    else:
        typer.echo(printable(_text(told)))
    if launch:
        _launch(port, told["dataset"], json_output=json_output)


def _made(
    results: Path,
    pictures: Path | None,
    labels: Path | None,
    cascade: str | None,
    name: str | None,
    export: Path | None,
    database: str | None,
    *,
    replace: bool,
) -> dict[str, Any]:
    """Do it all, and return what is told of it."""
    from itertools import chain

    from natix_cascade.observe import dataset_fill, dataset_views
    from natix_cascade.observe.cases import Album, Counted, cases
    from natix_cascade.observe.dataset_rows import question_of
    from natix_cascade.observe.dataset_tree import check_place, export_tree
    from natix_cascade.observe.fiftyone import connect

    words = _words(cascade)
    folders = [pictures] if pictures else [*([labels.parent] if labels else []), results.parent, Path()]
    counted = Counted()
    found = cases(results, Album(folders, labels, words), counted)
    first = next(found, None)
    if first is None:
        fail(_nothing(results, counted))
    question = words or question_of(first.verdict.question)
    if export is not None:
        check_place(export, replace=replace)
    fo = connect(database)
    dataset = dataset_fill.open_dataset(fo, name or results.absolute().stem, question, replaced=replace)
    with _progress() as on_progress:
        filled = dataset_fill.fill(fo, dataset, chain([first], found), question, on_progress)
    judged = dataset_views.evaluate(fo, dataset)
    views = dataset_views.save_views(fo, dataset)
    dataset_views.arrange(fo, dataset)
    exported = None
    if export is not None:
        exported = export_tree(export, dataset_views.hard_examples(fo, dataset), replace=replace)
    return _told(dataset, counted, filled, judged, views, exported)


def _told(
    dataset: Any,
    counted: Counted,
    filled: Filled,
    judged: Judgement | None,
    views: dict[str, int],
    exported: Exported | None,
) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "samples": len(dataset),
        "classes": dataset.info["classes"],
        **asdict(counted),
        **asdict(filled),
        "evaluation": asdict(judged) if judged else None,
        "views": views,
        "export": asdict(exported) if exported else None,
    }


def _words(cascade: str | None) -> Question | None:
    if cascade is None:
        return None
    from natix_cascade.spec.library import find_cascade

    return find_cascade(cascade)[0].question


def _nothing(results: Path, counted: Counted) -> str:
    if counted.missing:
        names = ", ".join(counted.missing_names)
        return f"none of the {counted.missing} pictures is there ({names}, ...); say with --pictures where they lie"
    return f"{results} holds no verdict ({counted.errors} errors)"


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """A count and a rate on standard error, in a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.completed:.0f} pictures"), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done)


def _text(told: dict[str, Any]) -> str:
    """What was done, for people."""
    became = f"{told['added']} added, {told['updated']} changed, {told['unchanged']} as they were"
    lines = [f"data set {told['dataset']!r}: {told['samples']} samples; {became}"]
    if told["repeated"]:
        lines.append(f"{told['repeated']} verdicts are of a picture that came again: the later one counts")
    if told["missing"]:
        more = ", ..." if told["missing"] > len(told["missing_names"]) else ""
        lines.append(
            f"{told['missing']} pictures were not found and are left out: {', '.join(told['missing_names'])}{more}"
        )
    if told["errors"]:
        lines.append(f"{told['errors']} lines hold an error in place of a verdict")
    lines += _report(told["evaluation"], told["classes"])
    lines.append("views: " + ", ".join(f"{name} {count}" for name, count in told["views"].items()))
    if (out := told["export"]) is not None:
        classes = ", ".join(f"{word} {count}" for word, count in sorted(out["classes"].items()))
        lines.append(f"hard examples in {out['folder']}: {classes or 'none'}; {out['unlabelled']} without a truth")
    return "\n".join(lines)


def _report(judged: dict[str, Any] | None, classes: list[str]) -> list[str]:
    if judged is None:
        return ["no picture has a truth; give --labels to evaluate"]
    negative, positive = classes
    wide = max(len(f"is {word}") for word in classes)
    cells = (
        (positive, judged["true_positive"], judged["false_negative"]),
        (negative, judged["false_positive"], judged["true_negative"]),
    )
    head = [f"said {positive}", f"said {negative}"]
    return [
        f"{judged['labelled']} with a truth: accuracy {judged['accuracy']:.1%}, MCC {judged['mcc']:.3f}",
        f"  {'':<{wide}}  {head[0]}  {head[1]}",
        *(f"  {f'is {w}':<{wide}}  {yes:>{len(head[0])}}  {no:>{len(head[1])}}" for w, yes, no in cells),
    ]


def _launch(port: int, dataset: str, *, json_output: bool) -> None:
    from natix_cascade.errors import CascadeError
    from natix_cascade.observe.fiftyone import serve_app

    def ready(url: str) -> None:
        if json_output:
            print_json({"url": url}, lines=True)
        else:
            typer.echo(f"FiftyOne's App: {url} (Ctrl-C ends it)")

    try:
        serve_app(port, dataset, ready)
    except CascadeError as error:
        fail(error)
